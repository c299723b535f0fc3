"""Layers of elsewhere as they are called here, with their arguments: the table of habits applied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain, takewhile

from msgspec import Struct
from msgspec.structs import fields

from netdsl.fixes.calls import Argument, calls
from netdsl.fixes.habits import HABITS, Habit, exact, habit_of, loose
from netdsl.fixes.tensors import shaped
from netdsl.fixes.written import batchless, call, shown, value, word
from netdsl.ops import REGISTRY

DEFAULTS = {"maxpool": "2", "avgpool": "2", "upsample": "2"}
"""What the one required argument is elsewhere where it is left out."""

UNPADDED = re.compile(r"Conv[123][dD]")
"""Convolutions of PyTorch and Keras, which do not pad unless told to."""

WRAPPERS: dict[str, tuple[str, str] | None] = {
    "Bidirectional": ("bidirectional", "true"), "TimeDistributed": None,
    "spectral_norm": ("spectral_norm", "true"), "weight_norm": ("weight_norm", "true"),
}  # fmt: skip
"""Layers of elsewhere that are given another layer, and the option of it that they stand for."""

POOLS = {"max": "maxpool", "avg": "avgpool", "average": "avgpool", "mean": "avgpool"}
"""Stages of a pipeline that are pooling where all they are told is a small number, which would be an axis elsewhere."""

_MARGIN = re.compile(r"(reflection|replication|circular)pad[123]d")

SWITCHES = ("true", "false", "1", "0")
"""What a switch is given elsewhere."""

_SIX = ([("max_value", "6")], [("max_value", "6.0")], [("", "6")], [("", "6.0")])
_FRACTION = re.compile(r"\d*\.\d*|\d+e-\d+")
_POINT = re.compile(r"[\s1,()]+")


class Said(Struct, frozen=True):
    """An argument as it is said here; `follows` is a layer of its own after the call."""

    name: str = ""
    text: str = ""
    follows: str = ""


def layers(name: str, given: list[Argument], function: bool = False) -> Iterator[str]:
    """A layer of elsewhere with these arguments; `function` where the tensor was one of them."""
    yield from _whole(name, given)
    if not function:
        yield from _pooled(name, given)
    yield from shaped(name, given)
    habit = habit_of(name)
    if habit is not None:
        ways = (_by_own_order(name, habit, given), _habitual(name, habit, given))
        yield from chain.from_iterable(ways[::-1] if function else ways)
    elif name in REGISTRY and function:
        yield call(name, [shown(a) for a in given])


def _whole(name: str, given: list[Argument]) -> Iterator[str]:
    """Layers of no table: named activations, wrappers, and layers that are several here."""
    if name in ("Activation", "activation") and len(given) == 1:
        own = HABITS.get(word(given[0].text))
        yield own.op if own is not None else word(given[0].text)
    if not given and (code := exact(name)) is not None:
        yield code
    if name in WRAPPERS and given and not given[0].name:
        yield from _wrapped(WRAPPERS[name], given[0].text)
    yield from _several(loose(name), given)


def _several(name: str, given: list[Argument]) -> Iterator[str]:
    """A layer that is another one here, or two, because of what it is given."""
    margin = _MARGIN.fullmatch(name)
    if margin is not None and len(given) == 1:
        mode = {"reflection": "reflect", "replication": "replicate"}.get(margin[1], margin[1])
        yield f"pad({shown(given[0])}, mode={mode})"
    if name == "relu" and [(a.name, a.text) for a in given] in _SIX:
        yield "relu6"
    if name in ("separableconv2d", "separableconv1d"):
        yield from _separable(given)


def _pooled(name: str, given: list[Argument]) -> Iterator[str]:
    """A stage of a pipeline that is told nothing but a small number."""
    if name in POOLS and len(given) == 1 and re.fullmatch(r"[2-9]", given[0].text):
        yield f"{POOLS[name]}({given[0].text})"


def _wrapped(option: tuple[str, str] | None, inner: str) -> Iterator[str]:
    """The layer inside of a wrapper, with the option that the wrapper stands for."""
    made = next(calls(inner), None)
    if made is not None and (made.start, made.end) == (0, len(inner)):
        given = [*made.given, *([Argument(*option, 0, 0)] if option is not None else [])]
        yield from layers(made.name.rpartition(".")[2], given, function=True)


def _by_own_order(name: str, habit: Habit, given: list[Argument]) -> Iterator[str]:
    """A layer of the table whose name is ours too, with its arguments in our order."""
    if name in REGISTRY and any(a.name for a in given):
        yield from _named(name, habit, given)
    elif name in REGISTRY:
        yield call(name, [shown(a) for a in given])


def _habitual(name: str, habit: Habit, given: list[Argument]) -> Iterator[str]:
    """A layer of the table with its arguments in the order of elsewhere."""
    if name == "mean" and _is_global(given):
        yield "gap"
    if UNPADDED.fullmatch(name):
        yield from _unpadded(habit, given)
    yield from _called(habit, given)
    if habit.op == "upsample" and given and not given[0].name:
        yield from _called(habit, [Argument("scale_factor", given[0].text, 0, 0), *given[1:]])
    if loose(name).startswith("global") and name.endswith(("1D", "1d")):  # of places, which come first in [L, D]
        yield f"reduce_{'max' if habit.op == 'gmp' else 'mean'}(axis=0)"


def _separable(given: list[Argument]) -> Iterator[str]:
    """A convolution of each channel by itself, then one of all channels at each place (Keras)."""
    filters = [a for a in given if a.name in ("", "filters")][:1]
    last = [a for a in given if a.name in ("use_bias", "activation")]
    first = [a for a in given if a not in (*filters, *last)]
    padded = [] if any(a.name == "padding" for a in first) else [Argument("padding", "0", 0, 0)]
    for depthwise in _called(HABITS["DepthwiseConv2D"], [*first, *padded, Argument("use_bias", "false", 0, 0)]):
        for pointwise in _called(HABITS["Conv2D"], [*filters, Argument("kernel_size", "1", 0, 0), *last]):
            yield f"{depthwise} -> {pointwise}"


def _is_global(given: list[Argument]) -> bool:
    axes = {re.sub(r"\s", "", a.text.strip("[]()")) for a in given}
    return not given or bool(axes & {"2,3", "-2,-1", "-1,-2", "1,2"})


@cache
def _entries(op: str) -> dict[str, str]:
    """The entry of every argument that an op has elsewhere."""
    return {_plain(e): e for h in reversed(HABITS.values()) if h.op == op for e in h.arguments.split()}


def _plain(entry: str) -> str:
    return entry.lstrip("-@").partition(">")[0].rstrip("!")


def _target(entry: str) -> str:
    """The argument here that an entry of the table stands for."""
    return entry.lstrip("-@").rstrip("!").rpartition(">")[2]


@cache
def _own(op: str) -> tuple[str, ...]:
    return tuple(f.name for f in fields(REGISTRY[op]))


def _said(entry: str, text: str, own: tuple[str, ...]) -> Said | None:
    """Translate an argument of another library; None where it has no name here, or no width where one is inferred."""
    if entry.startswith(("-num_", "-in_")) and _FRACTION.fullmatch(text):
        return None
    if entry == "-return_sequences" and text.lower() == "false":
        return Said(follows="take(-1)")
    if entry.startswith("-"):
        return Said()
    if entry.endswith("!"):
        return Said(follows=_activation(text))
    target = entry.lstrip("@").partition(">")[2] or entry.lstrip("@")
    if target not in own:
        return None
    written = batchless(text) if entry.startswith("@") else value(text)
    if written is None or (target, written) in (("start", "0"), ("padding_mode", "zeros")):
        return Said()
    return Said(target, written)


def _activation(text: str) -> str:
    """The layer that an activation of elsewhere is; "" for none."""
    return "" if word(text) in ("linear", "none", "identity", "null") else word(text)


def _named(name: str, habit: Habit, given: list[Argument]) -> Iterator[str]:
    """A layer by our name, its positions in our order, its names those of elsewhere."""
    entries = _entries(habit.op)
    bare = [value(a.text) for a in given if not a.name]
    told = _told([(entries.get(a.name, a.name), a.text) for a in given if a.name], _own(name))
    if told is None:
        return
    arguments = {s.name: s.text for s in told if s.name}
    if bare:
        yield call(name, [*bare, *(f"{n}={text}" for n, text in arguments.items())]) + _after(told)
    else:
        yield _written(name, arguments) + _after(told)


def _called(habit: Habit, given: list[Argument], **meant: str) -> Iterator[str]:
    """The call of an op with arguments of elsewhere, in their order there; nothing where one is unknown here.

    `meant`: arguments that it has elsewhere without being told.
    """
    own, told = _own(habit.op), _arguments(habit, given)
    if told is None:
        return
    arguments = {s.name: s.text for s in told if s.name} | meant
    yield _written(habit.op, arguments) + _after(told)
    if habit.op in DEFAULTS and own[0] not in arguments:
        yield _written(habit.op, {own[0]: DEFAULTS[habit.op], **arguments}) + _after(told)


def _arguments(habit: Habit, given: list[Argument]) -> list[Said] | None:
    """Translate arguments in the order of another library; None where one is unknown."""
    entries = {_plain(e): e for e in habit.arguments.split()}
    order = iter(_order(habit, given))
    pairs = [(entries.get(a.name, a.name) if a.name else next(order, ""), a.text) for a in given]
    if any(entry == "-inplace" and text.lower() not in SWITCHES for entry, text in pairs):
        return None
    return _told(pairs, _own(habit.op))


def _unpadded(habit: Habit, given: list[Argument]) -> Iterator[str]:
    """A convolution of elsewhere that says nothing of padding, with what that means there."""
    told = {s.name: s.text for s in _arguments(habit, given) or ()}
    if "padding" not in told and not _POINT.fullmatch(told.get("kernel_size", "1")):
        yield from _called(habit, given, padding="0")


def _order(habit: Habit, given: list[Argument]) -> list[str]:
    """The arguments of elsewhere by position, without the inferred ones where there are too few for all."""
    order = habit.arguments.split()
    inferred = list(takewhile(lambda entry: entry.startswith(("-in_", "-input_size")), order))
    required = [f.name for f in fields(REGISTRY[habit.op]) if f.required]
    named = {_target(entry) for entry in order if _plain(entry) in {a.name for a in given if a.name}}
    told = sum(not a.name for a in given) + sum(name in named for name in required)
    return order[len(inferred) :] if told < len(inferred) + len(required) else order


def _told(pairs: list[tuple[str, str]], own: tuple[str, ...]) -> list[Said] | None:
    """Translate entries of the table with the texts given for them; None where one has no name here."""
    told: list[Said] = []
    for entry, text in pairs:
        said = _said(entry, text, own)
        if said is None:
            return None
        told.append(said)
    return told


def _after(told: list[Said]) -> str:
    return "".join(f" -> {s.follows}" for s in told if s.follows)


def _written(op: str, said: dict[str, str]) -> str:
    """A call with its arguments in our order, those that may stand by position without their names."""
    own = _own(op)
    leading = own[: REGISTRY[op].positional]
    count = next((i for i, name in enumerate(leading) if name not in said), len(leading))
    bare = [said[name] for name in leading[:count]]
    return call(op, [*bare, *(f"{n}={said[n]}" for n in own if n in said and n not in leading[:count])])
