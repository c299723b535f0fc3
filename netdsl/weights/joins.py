"""Layers that other projects store differently: separate query, key and value, transposed linears."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from netdsl.weights.slots import Source, Unit, spelled

ROLE_OF = {"q": "query", "query": "query", "k": "key", "key": "key", "v": "value", "value": "value"}
AFFIXES = frozenset({"proj", "projection", "lin", "linear", "fc", "w", "to", "dense", "conv", "in", "layer"})
PARTS = ("query", "key", "value")

NO_PARTS: Mapping[str, str] = {}

INTERLEAVED = ("query_key_value",)
"""Fused projections whose rows go head by head: not the layout of `in_proj_weight`, so they match nothing."""


def joined(all_units: Sequence[Unit], parts: Mapping[str, str] = NO_PARTS) -> list[Unit]:
    """The layers with every query, key and value that stand side by side as one fused projection.

    `parts`: which layers of a net are which of the three, where its use of them shows it; else names say it.
    """
    beside: dict[tuple[str, ...], dict[str, dict[str, Unit]]] = defaultdict(lambda: defaultdict(dict))
    for unit in all_units:
        affix, part = ("", parts[unit.name]) if unit.name in parts else attention_part(unit.path[-1])
        if part:
            beside[unit.path[:-1]][affix][part] = unit
    replaced: dict[Unit, Unit | None] = {}
    for owner, by_affix in beside.items():
        for found in by_affix.values():
            fused = _fused(owner, found)
            if fused is not None:
                replaced |= dict.fromkeys(found.values())
                replaced[found["query"]] = fused
    kept = [replaced.get(u, u) for u in all_units]
    return _with_biases([u for u in kept if u is not None])


def attention_part(name: str) -> tuple[str, str]:
    """The text around the letter or word in `q_proj`, `query`, `to_k`, `wv`, and which part it is ("" for none)."""
    tokens = re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower())
    if len(tokens) == 1 and re.fullmatch(r"w[qkv]", tokens[0]):
        tokens = ["w", tokens[0][1]]
    parts = [t for t in tokens if t in ROLE_OF]
    rest = [t for t in tokens if t not in ROLE_OF]
    if len(parts) == 1 and all(t in AFFIXES for t in rest) and not re.search(r"\d", name):
        return "_".join(rest), ROLE_OF[parts[0]]
    return "", ""


def _fused(owner: tuple[str, ...], found: dict[str, Unit]) -> Unit | None:
    """One projection of the three; None where they are not three linear layers, or pointwise convolutions, over
    the same input."""
    if set(found) != set(PARTS):
        return None
    three = [dict(found[p].parts) for p in PARTS]
    roles = {tuple(sorted(t)) for t in three}
    if roles != {("bias", "weight")} and roles != {("weight",)}:
        return None
    shapes = [spelled("weight", t["weight"].shape) for t in three]
    if any(len(s) != 2 or s[1] != shapes[0][1] for s in shapes):
        return None
    return Unit((*owner, "qkv"), tuple((role, _stacked([t[role] for t in three])) for role in three[0]))


def _stacked(sources: Sequence[Source]) -> Source:
    rows = sum(s.shape[0] for s in sources)
    return Source("joined", (rows, *sources[0].shape[1:]), inputs=tuple(sources))


def _with_biases(all_units: list[Unit]) -> list[Unit]:
    """Fused projections whose biases stand beside them, that of the keys being 0 (`qkv.weight`, `q_bias`, `v_bias`)."""
    by_path = {u.path: u for u in all_units}
    gone: set[tuple[str, ...]] = set()
    found: list[Unit] = []
    for unit in all_units:
        owner, source = unit.path[:-1], unit.parts[0][1]
        q, v = by_path.get((*owner, "q_bias")), by_path.get((*owner, "v_bias"))
        if unit.path[-1] == "qkv" and len(unit.parts) == 1 and q is not None and v is not None:
            given, last = q.parts[0][1], v.parts[0][1]
            zeros = Source("zeros", given.shape)
            if 3 * given.shape[0] == source.shape[0] and given.shape == last.shape:
                bias = _stacked([given, zeros, last])
                unit = Unit(unit.path, (("weight", source), ("bias", bias)))
                gone |= {q.path, v.path}
        found.append(unit)
    return [u for u in found if u.path not in gone]


def upright(all_units: Sequence[Unit]) -> list[Unit]:
    """The layers with linear weights as [out, in], where biases show that a file writes them [in, out] (GPT-2).

    A square weight shows nothing by itself: it follows the layers of its name, or else all the others of the file.
    """
    seen = {u.path: _lies(u) for u in all_units}
    by_name: dict[str, Counter[bool]] = defaultdict(Counter)
    for unit in all_units:
        lies = seen[unit.path]
        if lies is not None:
            by_name[unit.path[-1]][lies] += 1
    overall = sum(by_name.values(), Counter[bool]())
    return [_turned(u) if seen[u.path] or _follows(u, by_name, overall) else u for u in all_units]


def _matrix(unit: Unit) -> bool:
    parts = dict(unit.parts)
    return set(parts) == {"weight", "bias"} and len(parts["weight"].shape) == 2 and len(parts["bias"].shape) == 1


def _lies(unit: Unit) -> bool | None:
    """Whether a linear weight is [in, out]; None where its shape does not show it."""
    if not _matrix(unit):
        return None
    (rows, columns), outputs = unit.part("weight").shape, unit.part("bias").shape[0]
    if rows == columns or outputs not in (rows, columns):
        return None
    return outputs == columns


def _follows(unit: Unit, by_name: dict[str, Counter[bool]], overall: Counter[bool]) -> bool:
    if not _matrix(unit) or len(set(unit.part("weight").shape)) > 1:
        return False
    votes = by_name.get(unit.path[-1]) or overall
    return votes[True] > 0 and votes[False] == 0


def _turned(unit: Unit) -> Unit:
    return Unit(unit.path, tuple((r, s.transposed() if r == "weight" else s) for r, s in unit.parts))
