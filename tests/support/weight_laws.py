"""The law of foreign weights: a file of a known layout is taken rightly or refused, whatever its order, keys and kind.

Run as a script, it prints a line for each net of the zoo and a table in the end; a part of the zoo at a time where time
is short: `python tests/support/weight_laws.py --seeds 4 --part 0/3 --kinds shuffled sharded [SPEC[:NET] ...]`.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from layouts import layouts, scrambled, tensors, truth, wrong
from msgspec import Struct
from msgspec.structs import replace
from zoo_tables import net

from netdsl.diagnostics.diagnostic import UserError
from netdsl.weights.load import Rules, matched
from netdsl.weights.mapping import declared
from netdsl.weights.match import Matching
from netdsl.weights.read import Foreign, read_file
from netdsl.weights.slots import Slot, Source, slots

PREFIXES = ("module.", "model.", "net.backbone.0.", "_orig_mod.student.", "module._orig_mod.", "ema_model.")
WRAPPERS = ("state_dict", "model", "net", "params", "weights", "model_state_dict", "generator", "student")
LARGEST = 400_000_000
"""Files of nets with more weights than these are not written."""


class Outcome(Struct, frozen=True):
    """What became of one file: pairs that are not the true ones; whether it was refused, and in what words."""

    own: str
    layout: str
    kind: str
    wrong: tuple[tuple[str, str], ...] = ()
    refused: str = ""
    seconds: float = 0.0


def outcome(own: str, layout: str, kind: str, seed: int) -> Outcome:
    """Take a file of a net's layout, made in one of KINDS."""
    draw = random.Random(f"{own} {layout} {kind} {seed}")
    program = net(own).checked
    if layout == OWN:
        theirs, true = list(slots(program.main)), {s.key: s.key for s in slots(program.main)}
    else:
        theirs, true = tensors(layout), truth(own, layout)
    hints = () if kind in SCRAMBLED else tuple(declared(net(own).spec.constant("weights")))
    with tempfile.TemporaryDirectory() as folder:
        file = KINDS[kind](draw, theirs, Path(folder))
        start = time.process_time()
        try:
            found = matched(program, read_file(str(file)) if isinstance(file, Path) else file, Rules(hints=hints))
        except UserError as error:
            return Outcome(own, layout, kind, (), error.message, time.process_time() - start)
        spent = time.process_time() - start
    if kind in SCRAMBLED:
        found = _renamed(found, {new: old for old, new in _words(theirs, kind, draw).items()})
    else:
        found = _bare(found, {s.key for s in theirs})
    return Outcome(own, layout, kind, tuple(wrong(found, true)), "" if found.complete else _why(found), spent)


def _why(found: Matching) -> str:
    return "; ".join(found.reasons) or f"{len(found.open)} open, {len(found.missing)} missing"


Tensors = Sequence[Slot]


def _foreign(named: Tensors) -> Foreign:
    """A file that is not on the disk, every tensor full of a number of its own."""
    return Foreign("memory", {s.key: np.broadcast_to(_number(s, i), s.shape) for i, s in enumerate(named)})


def _number(slot: Slot, number: int) -> Any:
    return np.asarray(number, "int64" if slot.constant else "float32")


def _shuffled(draw: random.Random, named: Tensors) -> list[Slot]:
    return draw.sample(list(named), len(named))


def _prefixed(named: Tensors, prefix: str) -> list[Slot]:
    return [replace(s, key=prefix + s.key) for s in named]


def _pickle(draw: random.Random, named: Tensors, folder: Path) -> Path:
    """A `.pth` in the library's order, behind a prefix or none."""
    return _saved(_state(_prefixed(named, draw.choice(("", *PREFIXES)))), folder)


def _wrapped(draw: random.Random, named: Tensors, folder: Path) -> Path:
    """A checkpoint of a training: the weights under some key, beside an optimizer, settings and an average."""
    key = draw.choice(WRAPPERS)
    content: dict[str, Any] = {
        "epoch": 7,
        "args": argparse.Namespace(lr=0.1),
        "optimizer": {"state": {i: {"exp_avg": v} for i, v in enumerate(_state(named[:50]).values())}},
        key: _state(_prefixed(named, draw.choice(("", *PREFIXES)))),
    }
    if draw.random() < 0.5 and key in ("state_dict", "model", "net"):
        content["model_ema"] = _state(named)
    return _saved({k: content[k] for k in draw.sample(list(content), len(content))}, folder)


def _saved(content: Any, folder: Path) -> Path:
    import torch

    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def _state(named: Tensors) -> dict[str, Any]:
    """Tensors that take the place of one number on the disk."""
    import torch

    return {s.key: torch.from_numpy(_number(s, i)).expand(s.shape) for i, s in enumerate(named)}


def _safetensors(draw: random.Random, named: Tensors, folder: Path) -> Path:
    return _sparse(_shuffled(draw, _prefixed(named, draw.choice(("", *PREFIXES)))), folder / "model.safetensors")


def _sharded(draw: random.Random, named: Tensors, folder: Path) -> Path:
    """Two to four files, the tensors of any layer in any of them."""
    count = draw.randint(2, 4)
    where = {s.key: draw.randrange(count) for s in named}
    names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    for i, name in enumerate(names):
        _sparse(_shuffled(draw, [s for s in named if where[s.key] == i]), folder / name)
    index = {"metadata": {}, "weight_map": {k: names[i] for k, i in where.items()}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _sparse(named: Tensors, path: Path) -> Path:
    """A safetensors file in half precision of zeros, but for the first numbers of every tensor."""
    header, starts, at = {}, [], 0
    for slot in named:
        size = int(np.prod(slot.shape, dtype="int64")) * (8 if slot.constant else 2)
        kind = "I64" if slot.constant else "F16"
        header[slot.key] = {"dtype": kind, "shape": [*slot.shape], "data_offsets": [at, at + size]}
        starts.append((at, size))
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for slot, (start, size) in zip(named, starts, strict=True):
            file.seek(8 + len(text) + start)
            file.write(zlib.crc32(slot.key.encode()).to_bytes(8, "little")[:size])
        file.truncate(8 + len(text) + at)
    return path


def _words(named: Tensors, kind: str, draw: random.Random) -> dict[str, str]:
    return scrambled([s.key for s in named], named[0].key, kind == "numbers alone")


def _scrambled(kind: str) -> Callable[[random.Random, Tensors, Path], Foreign]:
    def made(draw: random.Random, named: Tensors, folder: Path) -> Foreign:
        words = _words(named, kind, draw)
        return _foreign(_shuffled(draw, [replace(s, key=words[s.key]) for s in named]))

    return made


SCRAMBLED = ("numbers alone", "no names")
"""Kinds of files that nobody has: every word means nothing. They may be refused."""

KINDS: dict[str, Callable[[random.Random, Tensors, Path], Foreign | Path]] = {
    "shuffled": lambda draw, named, folder: _foreign(_shuffled(draw, named)),
    "prefixed": lambda draw, named, folder: _foreign(_prefixed(_shuffled(draw, named), draw.choice(PREFIXES))),
    "pth": _pickle,
    "wrapped": _wrapped,
    "safetensors": _safetensors,
    "sharded": _sharded,
    **{kind: _scrambled(kind) for kind in SCRAMBLED},
}
"""How a file is made of a layout's tensors."""

WRITTEN = ("safetensors", "sharded")
OWN = "its own keys"


def _bare(found: Matching, keys: set[str]) -> Matching:
    """A matching with the file's keys as the layout has them, without what stands before all."""
    given = [k for m in found.matches for k in m.foreign.keys]
    depth = next((n for n in range(8) if all(_behind(k, n) in keys for k in given)), 0)
    return _renamed(found, {k: _behind(k, depth) for k in given})


def _behind(key: str, depth: int) -> str:
    return ".".join(key.split(".")[depth:])


def _renamed(found: Matching, names: dict[str, str]) -> Matching:
    return replace(found, matches=tuple(replace(m, foreign=_named(m.foreign, names)) for m in found.matches))


def _named(source: Source, names: dict[str, str]) -> Source:
    inputs = tuple(_named(s, names) for s in source.inputs)
    return replace(source, key=names.get(source.key, source.key), inputs=inputs)


def cases(own: str, layout: str, kinds: Sequence[str], seeds: Sequence[int]) -> Iterator[Outcome]:
    """The files of one layout of a net, in each kind with each seed."""
    weights = sum(int(np.prod(s.shape)) for s in slots(net(own).checked.main))
    for kind in kinds:
        if kind not in WRITTEN or weights < LARGEST:
            yield from (outcome(own, layout, kind, seed) for seed in seeds)


def every() -> list[tuple[str, str]]:
    """Every net of the zoo with each of its layouts, its own keys too."""
    known = layouts()
    return [*known, *((own, OWN) for own in dict.fromkeys(own for own, _ in known))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", help="spec or spec:Net (all)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--part", default="0/1", help="every n-th layout only")
    args = parser.parse_args()
    part, parts = map(int, args.part.split("/"))
    chosen = [pair for pair in every() if not args.nets or {pair[0], pair[0].partition(":")[0]} & {*args.nets}]
    found: list[Outcome] = []
    for own, layout in chosen[part::parts]:
        new = list(cases(own, layout, args.kinds, range(args.first, args.first + args.seeds)))
        found += new
        refused = Counter(o.kind for o in new if o.refused)
        bad = [f"WRONG {o.kind} {o.wrong[:2]}" for o in new if o.wrong]
        said = ", ".join([*bad, *(f"{n} refused {kind}" for kind, n in refused.items())])
        print(f"{sum(o.seconds for o in new):6.2f} s {len(new):3} files  {own}  {layout}  {said}", flush=True)
    print("\n| kind | files | wrong | refused | slowest, CPU s |")
    for kind in args.kinds:
        print(_row(kind, [o for o in found if o.kind == kind]))


def _row(kind: str, found: Sequence[Outcome]) -> str:
    slowest = max(found, key=lambda o: o.seconds, default=None)
    where = f"{slowest.seconds:.2f} {slowest.own}" if slowest else ""
    bad, refused = sum(bool(o.wrong) for o in found), sum(bool(o.refused) for o in found)
    return f"| {kind} | {len(found)} | {bad} | {refused} | {where} |"


if __name__ == "__main__":
    main()
