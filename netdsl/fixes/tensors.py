"""Functions of several tensors, of shapes and of axes, as they are written here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from netdsl.fixes.begun import begun, learned, parameters
from netdsl.fixes.calls import Argument
from netdsl.fixes.habits import BINARY, JOINED, SIGNS, SPELT
from netdsl.fixes.patterns import patterned
from netdsl.fixes.written import as_tuple, batchless, is_list, is_plain, items, listed


def several(name: str, given: list[Argument]) -> Iterator[str]:
    """A function of several tensors, or one that makes a tensor."""
    if not given:
        return
    if name in JOINED:
        yield from _joined(name, JOINED[name], given)
    if not any(a.name for a in given):  # `alpha=2` says something
        yield from _combined(name, listed(given))
    if name == "einsum":
        yield from patterned(name, given)
    if name in ("zeros", "ones"):
        yield from _made(name, given)
    if name == "Parameter":
        yield from learned(given[0].text)
    if name == "param":
        yield from begun(given)


def _joined(name: str, op: str, given: list[Argument]) -> Iterator[str]:
    """`cat([a, b], 1)`: axis 1 counts the batch."""
    is_one = is_list(given[0].text)
    bare = [a.text for a in given if not a.name]
    tensors, rest = (items(bare[0]), bare[1:]) if is_one and bare else (bare, [])
    named = next((a.text for a in given if a.name in ("dim", "axis")), rest[0] if rest else "0")
    is_last = op == "concat" and named in ("-1", "3") and name[-4:] == "nate"  # channels come last there
    for axis in dict.fromkeys((*[None] * is_last, batchless(named), named)):
        said = f", axis={axis}" if axis not in (None, "0") else ""
        yield f"{op}({', '.join(tensors)}{said})"


def _combined(name: str, tensors: list[str]) -> Iterator[str]:
    """A function of each place of two tensors or three."""
    plain = [t if re.fullmatch(r"[\w.]+", t) else f"({t})" for t in tensors]
    if name in ("max", "min") and len(tensors) == 2 and not is_plain(tensors[1]):  # not of an axis
        name += "imum"
    if name in BINARY:
        yield f"{BINARY[name]}({', '.join(tensors)})"
        if BINARY[name] in SIGNS and len(tensors) == 2:
            yield f" {SIGNS[BINARY[name]]} ".join(plain)
    if name in SPELT and len(tensors) == 1 + max(int(n) for n in re.findall(r"{(\d)}", SPELT[name])):
        yield SPELT[name].format(*plain)


def _made(name: str, given: list[Argument]) -> Iterator[str]:
    """A tensor of one number, perhaps with the batch: a parameter that starts so."""
    yield from parameters(listed(given), ", init=1" if name == "ones" else "")


def shaped(name: str, given: list[Argument]) -> Iterator[str]:
    """Reshapes and exchanges of axes."""
    if name in ("rearrange", "reduce"):
        yield from patterned(name, given)
    rule = _SHAPED.get(name)
    if rule is not None:
        named = [a.text for a in given if a.name in ("dim0", "dim1", "dims", "shape", "target_shape")]
        values = listed(given) or (items(named[0]) if len(named) == 1 and is_list(named[0]) else named)
        yield from rule(values)


def _reshaped(values: list[str]) -> Iterator[str]:
    if len(values) <= 2 and values[-1:] == ["-1"]:
        yield "flatten"
    ways = [values[1:], values] if _is_batch(values[:1]) else [values, values[1:]]
    yield from (f"reshape({as_tuple(way)})" for way in ways if way)
    if values:
        yield "flatten"


def _is_batch(first: list[str]) -> bool:
    """Whether the first of several sizes is that of the batch: no number but -1 and 1."""
    return first != [] and (not first[0].isdigit() or first[0] == "1")


def _permuted(values: list[str]) -> Iterator[str]:
    axes = _numbers(values)
    if axes:
        yield f"permute({as_tuple([str(a - 1) for a in axes if a])})"
        yield f"permute({as_tuple(values)})"


def _exchanged(values: list[str]) -> Iterator[str]:
    """Two axes exchanged, of tensors of every rank: counted with the batch, and without."""
    axes = _numbers(values)
    for rank in (2, 3, 4, 1) if len(axes) == 2 else ():
        for batch in (1, 0):
            order = list(range(rank))
            a, b = (x - batch if x >= 0 else rank + x for x in axes)
            if {a, b} <= set(order):
                order[a], order[b] = order[b], order[a]
                yield f"permute({as_tuple([str(x) for x in order])})"


def _numbers(values: list[str]) -> list[int]:
    return [int(v) for v in values] if all(re.fullmatch(r"-?\d+", v) for v in values) else []


_SHAPED: dict[str, Callable[[list[str]], Iterator[str]]] = {
    "view": _reshaped, "reshape": _reshaped, "Reshape": _reshaped, "permute": _permuted, "Permute": _permuted,
    "transpose": _exchanged, "swapaxes": _exchanged,
}  # fmt: skip
