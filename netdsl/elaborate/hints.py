"""Hints for values that do not fit where they stand: too few parts, a pair, a quoted number, a width of 0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from netdsl.diagnostics.diagnostic import Fault, fault
from netdsl.elaborate.values import Builtin, It, Tensor, describe, is_arrow
from netdsl.source import Place

INITIAL = ("init", "initializer", "weight_init", "kernel_init", "bias_init", "kernel_initializer", "bias_initializer")
"""Arguments of layers elsewhere that say how weights begin."""


def of_parts(value: Any, names: int, text: str) -> str | None:
    """A hint for so many names before a value that has another number of parts."""
    if not isinstance(value, tuple):
        is_list = names == 2 and (text.isidentifier() or text[:1] == "[" or text.startswith("range("))
        return f"`enumerate({text})` numbers the items of a list" if is_list else None
    if re.search(rf"\bchunk\(\s*{len(value)}\b", text):
        return f"`chunk({names})` gives {names} parts"
    if len(value) > names:
        return "a value that is not used is called `_`"
    lack = names - len(value)
    return f"{'one value is' if lack == 1 else f'{lack} values are'} missing: each name takes one"


def of_number(value: Any, text: str) -> str | None:
    """A hint for something else in the place of a whole number."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int) and text.isidentifier():
        return f"a pair is taken apart where it is named, as in `for i, {text} in enumerate(...)`; `len({text})` counts"
    if isinstance(value, tuple):
        return f"`len({text})` is how many there are" if text.isidentifier() else None
    return f"a number is written without quotes: `{value}`" if isinstance(value, str) and value.isdigit() else None


def of_switch(value: Any, name: str, words: Sequence[str]) -> str | None:
    """A hint for `true` where there is one word to choose: `gelu(approximate=True)` of Keras."""
    return f"write `{name}={words[0]}`" if value is True and len(words) == 1 else None


def of_argument(value: Any, text: str) -> str | None:
    """A hint for an argument of an op that has the wrong type or lies out of range."""
    said = re.sub(r"^[A-Za-z_]\w*\s*=(?!=)\s*", "", text)
    if isinstance(value, str) and value.isdigit():
        return f"a number is written without quotes: `{text.removesuffix(said)}{value}`"
    return f"`max(1, {said})` is never 0" if value == 0 and "//" in said else None


OF_TENSORS = {
    "int": "cast(int64)", "float": "cast(float32)", "round": "it + 0.5 -> floor", "abs": "absolute",
    "max": "reduce_max", "min": "reduce_min", "sum": "reduce_sum", "sorted": "topk", "reversed": "flip(axis=0)",
}  # fmt: skip
"""Functions of numbers, and the layers that do the same to a tensor."""

TOGETHER = "numbers that belong together stand in brackets"


def bracketed(kind: str, numbers: list[int]) -> str:
    """A hint for numbers that are given one by one: `reshape(-1, 4, 4)` of elsewhere counts the batch."""
    if kind == "reshape" and numbers[:1] == [-1] and -1 not in numbers[1:]:
        return f"the batch is not written: `{kind}({_in_brackets(numbers[1:])})`"
    return f"{TOGETHER}: `{kind}({_in_brackets(numbers)})`"


def _in_brackets(numbers: list[int]) -> str:
    return str(tuple(numbers) if len(numbers) > 1 else numbers)


def of_recipes(name: str) -> str | None:
    """A hint for an argument that no layer has, because a recipe says it."""
    return "how weights begin is a field of the recipe: `init = kaiming`" if name in INITIAL else None


def not_a_layer(value: Any, at: Place) -> Fault:
    """The mistake of a plain value in the place of a layer; a list is of values to join, or of layers in a loop."""
    hint = None
    if isinstance(value, Builtin) and value.name in OF_TENSORS:
        hint = f"write `{OF_TENSORS[value.name]}`: `{value.name}` is a function of numbers"
    if isinstance(value, tuple) and value and at.text.startswith("["):
        joins = any(isinstance(item, Tensor | It) for item in value)
        loop = "layers of a list follow each other in a loop: `for layer in layers { layer }`"
        hint = f"it may mean `concat({at.text[1:-1].strip()})`" if joins else loop
    elif isinstance(value, tuple) and at.text.isidentifier() and any(isinstance(item, Tensor) for item in value):
        hint = f"the first of them is `{at.text}[0]`; several names stand before `=`: `a, b = chunk(2)`"
    return fault("not-a-layer", f"a layer is needed here, found {describe(value)}", at, hint)


def of_weight(name: str, text: str, is_shared: bool) -> str | None:
    """A hint for a shared layer where its weight is meant."""
    said = re.sub(r"^[A-Za-z_]\w*\s*=(?!=)\s*", "", text)
    return f"a layer's weight is named behind a dot: `{name}={said}.weight`" if is_shared and name == "weight" else None


_OPEN = re.compile(r"([A-Za-z_]\w*)\[\s*(-?\d+)?\s*:\s*(-?\d+)?\s*\]")


def _rest(value: Tensor, text: str) -> str | None:
    """A hint for a part that an end of the first axis closes, `x[8:]`; None where its length is not known."""
    said, shape = _OPEN.fullmatch(text), value.wire.type.shape
    size = shape[0] if shape else None
    if said is None or not isinstance(size, int):
        return None
    begin, stop, _ = slice(*(None if end is None else int(end) for end in said.groups()[1:])).indices(size)
    return f"write `{said[1]} -> narrow({begin}, {stop - begin})`" if stop > begin else None


def no_items(value: Any, at: Place) -> Fault:
    """The mistake of asking for items of what is no list; a tensor has parts along an axis."""
    rest = _rest(value, at.text) if isinstance(value, Tensor) else None
    usual = "a part of a tensor is `x -> narrow(0, 2)`, one position `x -> take(-1, axis=0)`; the batch is no axis"
    message = f"only a list has items, found {describe(value)}"
    if not isinstance(value, Tensor):
        usual = "a position of what a layer gives is `-> take(-1, axis=0)`: the batch is no axis"
    return fault("not-a-list", message, at, rest or (usual if is_arrow(value) else None))
