"""Nets of the installed zoo, known by the sizes of their weights.

`zoo.txt` holds a line for every net of the zoo that needs no arguments: a hash of its weights' sizes, the spec and the
net, the width of the last layer. It is written by `python -m netdsl.lift.zoo`. A hit is a guess, which the
comparisons of lifting prove or not: a table that is out of date costs a hit, never a wrong answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

from netdsl.ir.flatten import flatten
from netdsl.ir.model import Value
from netdsl.lift.fill import exact, in_order, weights
from netdsl.lift.model import Lifted, LiftError
from netdsl.loader import load_source, read_import, zoo
from netdsl.ops.base import Op
from netdsl.pipeline import Net, Spec
from netdsl.tensors import TensorType

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "zoo.txt")

FEWEST = 3
"""A net of fewer layers with weights is as short without an import."""

Layers = Iterable[tuple[Op, tuple[TensorType, ...]]]


def candidates(flat: Lifted, name: str) -> Iterator[tuple[str, str]]:
    """The nets of the zoo that a flat net may be, and a spec called `name` for each; those that keep the zoo's keys
    come first, then those that are given other sizes than the zoo's."""
    found = fingerprint((exact(c), c.types) for c in flat.calls)
    if found is None:
        return
    known = [(net, _called(net, found[1], width)) for key, net, width in _table() if key == found[0]]
    for which, call in known:
        yield which, f"{_imported(which, name)}\n\nnet {name} = {_as(which, name)}{call}\n"
    if len(flat.inputs) == 1 == len(flat.outputs):
        value = flat.inputs[0]
        shape = ", ".join(map(str, value.type.shape))
        head = f"net {name} {{\n  input {value.name} [{shape}]\n\n  "
        for which, call in known:
            yield which, f"{_imported(which, name)}\n\n{head}{_as(which, name)}{call}\n}}\n"


def filled(flat: Lifted, net: Net) -> Mapping[str, Any]:
    """The weights of a flat net for a net of the zoo: by the graph, and where the two are spelled differently (a 1x1
    convolution that is a `linear`) by the order of use. Raises LiftError where either has what the other has not."""
    own = flatten(net.checked, drop_vanishing=True)
    if len(own.outputs) != len(flat.outputs) or _sizes(own.inputs) != _sizes(flat.inputs):
        raise LiftError("the net of the zoo has other inputs or outputs")
    trained = {n.layer_path for n in flatten(net.checked, training=True) if n.op.params(*n.types)}
    if trained - {n.layer_path for n in own}:
        raise LiftError("the net of the zoo has layers that are in no file: they are used only while training")
    try:
        return weights(flat, own)
    except LiftError:
        return in_order(flat, own)


def fingerprint(layers: Layers) -> tuple[str, int] | None:
    """A hash of the sizes of a net's weights, in any order and without the width of the last, which is the second
    value; None for a net of few layers. Sizes of 1 do not count: a `linear` over channels may be a convolution."""
    shapes = [p.shape for op, types in layers if op.kind != "param" for p in op.params(*types).values()]
    shapes = [s for s in shapes if len(s) > 1]
    if len(shapes) < FEWEST:
        return None
    width, shapes[-1] = shapes[-1][0], shapes[-1][1:]
    plain = sorted(tuple(n for n in s if n != 1) for s in shapes)
    return blake2b(repr(plain).encode(), digest_size=8).hexdigest(), width


def lines() -> Iterator[str]:
    """The table, of the zoo as it is."""
    for file, path in zoo().items():
        for name, program in Spec(load_source(path), read_import).programs.items():
            flat = flatten(program, drop_vanishing=True) if program else ()
            if found := fingerprint((n.op, n.types) for n in flat):
                yield f"{found[0]} {file}:{name} {found[1]}"


def _table() -> Iterator[tuple[str, str, int]]:
    with open(TABLE, encoding="utf-8") as file:
        for line in file:
            key, net, width = line.split()
            yield key, net, int(width)


def _sizes(inputs: Iterable[Value]) -> list[tuple[object, ...]]:
    """The types of inputs, whose named sizes are numbered: files have names of their own."""
    numbers: dict[str, str] = {}

    def plain(size: object) -> object:
        return size if isinstance(size, int) else numbers.setdefault(str(size), f"size {len(numbers)}")

    return [(value.type.dtype, *map(plain, value.type.shape)) for value in inputs]


def _called(net: str, width: int, usual: int) -> str:
    """The arguments of a net whose last layer has another width than usual."""
    return "" if width == usual else f"(classes={width})"


def _as(net: str, name: str) -> str:
    """The local name of the imported net, in a spec whose own net is called `name`."""
    imported = net.partition(":")[2]
    return imported if imported != name else f"Zoo{imported}"


def _imported(net: str, name: str) -> str:
    file, _, imported = net.partition(":")
    called = _as(net, name)
    return f"from {file} import {imported}" + (f" as {called}" if called != imported else "")


if __name__ == "__main__":
    print("\n".join(lines()))
