"""A net's weights out of a foreign file: the one set of rules behind every command and recipe that takes weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.weights.convert import Channels, own_values
from netdsl.weights.match import Matching, match
from netdsl.weights.read import Foreign, is_counter, is_floating
from netdsl.weights.reconcile import Change
from netdsl.weights.slots import KERNEL, Shape, Slot, Source, slots
from netdsl.weights.tied import copies, superfluous
from netdsl.weights.unwrap import WeightsError
from netdsl.weights.use import over_images

Fresh = Callable[[], Mapping[str, Any]]
"""Makes the tensors that the net starts with, by key."""


CHANGES: dict[Change, str] = {
    "channels": "other input channels: adapted",
    "positions": "other positions: interpolated (bicubic)",
    "classes": "other classes: initialized",
}
"""What is done about a size that differs."""


IN_RECIPE = " (`inside=` in a recipe)"


class Rules(Struct, frozen=True):
    """How weights are taken over. `mapping`: pairs of a foreign and an own key or prefix; `hints`: the same, of the
    spec, for a layout that the file may have; `exclude`: prefixes, of the file or of the net, that are left out;
    `partial`: what is not found starts fresh; `head`: the path of a layer that does where its
    classes are others, or the file lacks it."""

    mapping: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = ()
    exclude: tuple[str, ...] = ()
    partial: bool = False
    head: str = ""
    channels: Channels = "sum"
    keep_dtype: bool = False


class Loaded(Struct, frozen=True):
    """The state of a net, by its own keys, and notes about how it was found."""

    state: Mapping[str, Any]
    found: Matching
    notes: tuple[str, ...]


def matched(program: Program, foreign: Foreign, rules: Rules) -> Matching:
    """Match the tensors of a file with those of a net. Raises WeightsError where nothing is."""
    given = foreign.slots()
    _check_excluded(rules.exclude, [s.key for s in (*slots(program.main), *given)])
    twice = superfluous(foreign.tensors, [s.shape for s in slots(program.main)])
    found = _matched(program, given, twice, rules)
    if (
        twice and not found.complete
    ):  # equal numbers may be copied layers, as those of an encoder that was never trained
        found = min(found, _matched(program, given, (), rules), key=_undecided)
    if not found.matches and not found.open:
        reasons = f": {'; '.join(found.reasons[:3])}" if found.reasons else ""
        message, hint = f"{foreign.path} has no weights of this net{reasons}", _several(foreign) or _integers(foreign)
        raise WeightsError("unfit-weights", message, hint)
    return found


def _matched(program: Program, given: Sequence[Slot], twice: Collection[str], rules: Rules) -> Matching:
    """The matching of a file without what it holds `twice`."""
    theirs = [s for s in given if s.key not in twice and not _is_excluded(s.key, rules.exclude)]
    found = _without(match(program, theirs, rules.mapping, rules.hints), rules.exclude)
    return replace(found, left_over=(*found.left_over, *(s for s in given if s.key in twice)))


def _undecided(found: Matching) -> int:
    """How many tensors of the net a matching has nothing for."""
    return len(found.missing) + sum(len(o.own) for o in found.open)


def _check_excluded(prefixes: Sequence[str], known: Sequence[str]) -> None:
    """Refuse to exclude what neither side has."""
    unknown = next((p for p in prefixes if not any(below(k, p) for k in known)), None)
    if unknown is not None:
        raise WeightsError("bad-mapping", f"nothing to exclude: neither the net nor the file has `{unknown}`")


def _is_excluded(key: str, prefixes: Sequence[str]) -> bool:
    return any(below(key, p) for p in prefixes)


def below(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


def _without(found: Matching, excluded: Sequence[str]) -> Matching:
    """A matching without the tensors of the net that are excluded: they start fresh."""

    def kept(key: str) -> bool:
        return not _is_excluded(key, excluded)

    gone = tuple(s for s in found.missing if not kept(s.key))
    return replace(
        found,
        matches=tuple(m for m in found.matches if all(map(kept, m.own.keys))),
        missing=tuple(s for s in found.missing if kept(s.key)),
        open=tuple(o for o in found.open if all(map(kept, o.own))),
        spared=(*found.spared, *gone),
    )


def _several(foreign: Foreign) -> str | None:
    """A hint for a file with the same tensors below several prefixes, as a net and the average of its weights, whose
    keys may have more in front (`model.stem.weight`, `ema.module.stem.weight`)."""
    inside: dict[str, list[tuple[str, Shape]]] = {}
    for key, array in sorted(foreign.tensors.items()):
        first, _, rest = key.partition(".")
        inside.setdefault(first, []).append((rest, tuple(array.shape)))
    alike: dict[tuple[tuple[str, Shape], ...], list[str]] = {}
    for prefix, found in inside.items():
        alike.setdefault(tuple(_without_prefix(found)), []).append(prefix)
    same, names = max(alike.items(), key=lambda pair: len(pair[0]) * len(pair[1]))
    are_nets = any("." in rest for rest, _ in same) and len(same) * len(names) >= 0.9 * len(foreign.tensors)
    if len(names) < 2 or not are_nets:
        return None
    listed = ", ".join(f"`{name}`" for name in names[:6])
    return f"it has the same tensors below {listed}: `--inside {names[0]}` takes one of them{IN_RECIPE}"


def _without_prefix(found: Sequence[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    """Keys without the parts that they all begin with."""
    levels = zip(*[key.split(".") for key, _ in found], strict=False)
    start = next((i for i, level in enumerate(levels) if len(set(level)) > 1), 0)
    return ((".".join(key.split(".")[start:]), shape) for key, shape in found)


def _integers(foreign: Foreign) -> str | None:
    names = [k for k, a in foreign.tensors.items() if not is_floating(a) and a.ndim > 1]
    return f"`{names[0]}` is {foreign.tensors[names[0]].dtype}: quantised weights are not read" if names else None


def load(program: Program, foreign: Foreign, fresh: Fresh, rules: Rules) -> Loaded:
    """The whole state of a net from a file. Raises WeightsError where it is not complete, or not numbers."""
    found = matched(program, foreign, rules)
    if not found.complete and not _is_enough(found, rules):
        raise incomplete(foreign.path, found)
    return fill(program, foreign, found, fresh, rules)


ADAPTERS = re.compile(r"(^|[._])(lora|loha|lokr|hada|ia3|dora|adapters?)([._]|$)", re.I)
"""Names of matrices that are added to the weights beside which they stand (LoRA and the like)."""


OF_KERAS = re.compile(r":0$|conv\dd_transpose")
"""Keys that TensorFlow or Keras has given, not Flax."""


def _check_beside(foreign: Foreign, found: Matching) -> None:
    """Refuse what is left over of layers that are taken: with it they compute something else."""
    left = [s for s in found.left_over if not s.constant]
    adapter = next((s.key for s in left if ADAPTERS.search(s.key)), None)
    beside = adapter or _part_of_taken(foreign, left, [k for m in found.matches for k in m.foreign.keys])
    if beside is not None:
        message = f"`{beside}` of {foreign.path} is part of what is taken over, and the net has no such tensor"
        hint = "merge adapters into the weights first (`merge_and_unload` of peft)" if adapter else None
        raise WeightsError("unfit-weights", message, hint or f"`--exclude {beside}` leaves it out")


def _part_of_taken(foreign: Foreign, left: Sequence[Slot], keys: Sequence[str]) -> str | None:
    """A tensor that is left over of a layer whose weight is taken, or of a norm or a scale among such layers; none that
    the file holds a second time."""
    taken = {_owner(k) for k in keys if _parts(k)[-1] in ("weight", "kernel")}
    around = {owner[:-1] for owner in taken}

    def is_beside(slot: Slot) -> bool:
        owner = _owner(slot.key)
        return owner in taken or (owner[:-1] in around and (_is_variance(slot.key) or _is_gain(slot)))

    found = [s.key for s in left if is_beside(s)]
    again = copies(foreign.tensors, keys) if found else {}
    return next((k for k in found if k not in again), None)


def _parts(key: str) -> tuple[str, ...]:
    """The parts of a key. `:0` of TensorFlow and the collections of Flax say nothing."""
    return tuple(re.split(r"[./]", re.sub(r"^(params|batch_stats)[./]|:0$", "", key)))


def _owner(key: str) -> tuple[str, ...]:
    return _parts(key)[:-1]


def _is_gain(slot: Slot) -> bool:
    """Whether a tensor is what a norm, a scale or a PReLU multiplies each feature by."""
    return len(slot.shape) == 1 and _parts(slot.key)[-1] in ("weight", "gamma", "scale", "g")


def _is_variance(key: str) -> bool:
    """Whether a tensor is the variance that a batch norm has seen."""
    return _parts(key)[-1] in ("running_var", "moving_variance") or bool(re.fullmatch(r"batch_stats[./].*\bvar", key))


def _check_kernels(program: Program, path: str, found: Matching) -> None:
    """Refuse kernels of Keras and Flax that mean something else than their axes in another order."""
    taken = {m.own.keys[0]: m.foreign for m in found.matches if KERNEL.fullmatch(m.foreign.keys[0])}
    if not taken:
        return
    flat = [k for layer in over_images(program) if (k := f"{layer}.weight") in taken]
    for keys, what in (
        (flat, "is over a flattened image, whose channels come last there and first here"),
        (
            _mirrored(program, taken),
            "is of a transposed convolution: those of Flax are mirrored, and have their inputs first",
        ),
    ):
        for key in keys[:1]:
            hint = f"`--exclude {key.removesuffix('.weight')}` leaves the layer out"
            raise WeightsError("unfit-weights", f"`{taken[key].keys[0]}` of {path} {what}", hint)


def _mirrored(program: Program, taken: Mapping[str, Source]) -> list[str]:
    """The weights of transposed convolutions that are kernels of Flax, as far as names tell."""
    ups = (f"{n.layer_path}.weight" for n in flatten(program, training=True) if n.op.kind == "upconv")
    return [k for k in ups if k in taken and taken[k].how == "transposed" and not OF_KERAS.search(taken[k].keys[0])]


def _is_enough(found: Matching, rules: Rules) -> bool:
    """Whether what is missing may start fresh."""
    if found.open:
        return False
    if rules.partial:
        return True
    fresh = [*(s.key for s in found.missing), *(k for m in found.resized("classes") for k in m.own.keys)]
    return bool(rules.head) and all(below(key, rules.head) for key in fresh)


def incomplete(path: str, found: Matching) -> WeightsError:
    """Why a matching is not enough, and what to do."""
    if found.open:
        keys = found.open[0].own
        count = sum(len(o.own) for o in found.open)
        return WeightsError(
            "ambiguous-weights",
            f"{path}: `{keys[0]}` and {count - 1} more could each be several tensors of the file",
            "`netdsl weights SPEC FILE --stub map.toml` writes a mapping to be filled in, `--map` (`map=` in a recipe) "
            "reads it",
        )
    heads = found.resized("classes")
    if heads and not found.missing:
        own, theirs = heads[0].own, heads[0].foreign
        return WeightsError(
            "unfit-weights",
            f"`{own.keys[0]}` is {[*own.shape]}, in {path} it is {[*theirs.shape]}: another number of classes",
            "`--partial` takes the rest over and initializes the head (`strict=false` in a recipe)",
        )
    first = found.missing[0]
    reasons = f" ({'; '.join(found.reasons[:2])})" if found.reasons else ""
    more = f" and {len(found.missing) - 1} more of the net's tensors" if len(found.missing) > 1 else ""
    message = f"{path} has no `{first.key}` {[*first.shape]}{more}{reasons}"
    return WeightsError("unfit-weights", message, _other_form(first, found) or PARTIAL)


PARTIAL = "`--partial` initializes what is missing (`strict=false` in a recipe)"


def _other_form(first: Slot, found: Matching) -> str | None:
    """A matrix of the file that has as many numbers as a missing kernel: patches may be flattened in several orders."""
    same = (s for s in found.left_over if len(s.shape) == 2 < len(first.shape) and s.shape[0] == first.shape[0])
    flat = next((s for s in same if prod(s.shape) == prod(first.shape)), None)
    if flat is None:
        return None
    return (
        f"`{flat.key}` {[*flat.shape]} has as many numbers, in an order that its shape does not show: reshape it there"
    )


def fill(program: Program, foreign: Foreign, found: Matching, fresh: Fresh, rules: Rules) -> Loaded:
    """The state of a net by a matching; what the file does not give is what the net starts with."""
    _check_beside(foreign, found)
    _check_kernels(program, foreign.path, found)
    own = slots(program.main)
    state = _taken(own, foreign, found, rules)
    rest = [s for s in own if s.key not in state]
    counters = [s for s in rest if is_counter(s.key)]
    state |= {s.key: np.zeros(s.shape, "int64") for s in counters}
    if len(counters) < len(rest):
        start = fresh()
        state |= {s.key: np.asarray(start[s.key]) for s in rest if s.key not in state}
    return Loaded(
        {s.key: np.ascontiguousarray(state[s.key]).reshape(s.shape) for s in own},
        found,
        (*_other_sets(foreign), *_negative(state), *notes(found, rest)),
    )


def _negative(state: Mapping[str, Any]) -> tuple[str, ...]:
    """A note on variances below 0: a norm makes NaN of one, unless its eps is larger."""
    keys = [k for k, array in state.items() if k.endswith("running_var") and (array < 0).any()]
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return (f"`{keys[0]}`{more}: variances below 0, of which a norm makes NaN",) if keys else ()


def _taken(own: Sequence[Slot], foreign: Foreign, found: Matching, rules: Rules) -> dict[str, Any]:
    """The tensors that the file gives, by the net's keys. Heads of other classes are not taken."""
    shapes = {s.key: s.shape for s in own}
    state: dict[str, Any] = {}
    for each in found.matches:
        if each.change != "classes":
            values = own_values(each, foreign.tensors, shapes, rules.channels)
            _check_numbers(foreign.path, each.foreign.keys[0], values)
            state |= values if rules.keep_dtype else {k: _single(k, a) for k, a in values.items()}
    return state


def _single(key: str, array: Any) -> Any:
    return array.astype("int64" if is_counter(key) else "float32") if is_floating(array) else array


def _check_numbers(path: str, name: str, arrays: Mapping[str, Any]) -> None:
    """Refuse weights that are not finite."""
    for array in arrays.values():
        wide = array if array.dtype == "float64" else array.astype("float32")
        if is_floating(array) and not np.isfinite(wide).all():
            raise WeightsError("not-finite", f"`{name}` of {path} is not finite: it holds NaN or infinity")


def _other_sets(foreign: Foreign) -> tuple[str, ...]:
    """A note on the set of weights that was taken, where a file holds an average of them too."""
    if not foreign.beside:
        return ()
    listed = ", ".join(f"`{w}`" for w in foreign.beside)
    taken = f"`{foreign.inside}`" if foreign.inside else "what has no key of its own"
    return (f"taken: {taken}; the file holds {listed} too: `--inside {foreign.beside[0]}` takes that{IN_RECIPE}",)


def notes(found: Matching, rest: Sequence[Slot]) -> tuple[str, ...]:
    """Notes about a file that is not exactly the net's: sizes that differ, what starts fresh."""
    said = []
    for change, how in CHANGES.items():
        said += [
            f"`{m.own.keys[0]}` is {[*m.own.shape]}, the file's {[*m.foreign.shape]}: {how}"
            for m in found.resized(change)
        ]
    constant = {s.key for s in found.filled}
    drawn = [s.key for s in rest if s.key not in constant and not any(s.key in m.own.keys for m in found.matches)]
    if drawn:
        said.append(f"not in the file, initialized: {', '.join(f'`{k}`' for k in drawn[:6])}" + _more(len(drawn) - 6))
    if found.left_over:
        names = [f"`{s.key}`" for s in found.left_over]
        said.append(f"left in the file: {', '.join(names[:6])}" + _more(len(names) - 6))
    return tuple(said)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
