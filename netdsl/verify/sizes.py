"""The sizes at which a net is verified: several batches, and several images or sequences where sizes may vary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod

from msgspec import Struct

from netdsl.diagnostics.diagnostic import UserError
from netdsl.ir.flatten import Node, flatten
from netdsl.ir.model import Program, Value
from netdsl.ops.base import argument
from netdsl.sizes.constraints import Either, Relation
from netdsl.sizes.dims import Dim, evaluate

BATCHES = (1, 2, 3, 4, 5)
"""Batch sizes where nothing else may vary."""

MIXED_BATCHES = (1, 2, 3, 1, 2)
IMAGES = ((24, 40), (40, 24), (33, 25), (57, 34), (48, 40))
SEQUENCES = (7, 12, 5, 16, 9)
LARGEST = 1024
"""Named sizes up to this are tried."""

BUDGET = 30e9
"""Multiply-accumulates that one pass over all cases may take; two cases are run whatever they take."""

MEMORY = 2**29
"""Bytes that the cases may hold at once, two whatever they take: the inputs and outputs of all, and the largest value
inside the last."""


class At(Struct, frozen=True):
    """One batch size and the values of the named sizes."""

    batch: int
    sizes: tuple[tuple[str, int], ...] = ()

    @property
    def named(self) -> dict[str, int]:
        return dict(self.sizes)

    def __str__(self) -> str:
        return ", ".join([f"N={self.batch}", *(f"{k}={v}" for k, v in self.sizes)])


def choose(program: Program, budget: float = BUDGET) -> tuple[At, ...]:
    """Sizes that satisfy the constraints of a net: N = 1 among them, and images that are not square.

    Costly and large nets get fewer, by `budget` and `MEMORY`. Raises ValueError where no sizes up to LARGEST satisfy
    the constraints.
    """
    found: list[At] = []
    spent, kept = 0.0, 0
    names = _names(program)
    for i, batch in enumerate(MIXED_BATCHES if names else BATCHES):
        sizes = _near(program, {name: _target(program, name, i) for name in names})
        ends, largest = _bytes(program, sizes)
        spent += batch * macs(program, sizes)
        kept += batch * ends
        if (spent > budget or kept + batch * largest > MEMORY) and len(found) >= 2:
            break
        found.append(At(batch, tuple(sizes.items())))
    return tuple(found)


def at_once(program: Program, sizes: Mapping[str, int]) -> int:
    """How many samples torch computes at the same time: a convolution holds a few copies of what it reads."""
    return max(1, MEMORY // 4 // max(1, _bytes(program, sizes)[1]))


def macs(program: Program, sizes: Mapping[str, int]) -> int:
    """Multiply-accumulates of one sample at these sizes."""
    nodes = flatten(program)
    return sum(evaluate(n.op.macs(n.outputs[0].type, *n.types), sizes) for n in nodes)


def _bytes(program: Program, sizes: Mapping[str, int]) -> tuple[int, int]:
    """The bytes of the inputs and outputs of one sample, and of the largest value inside, in single precision."""

    def size(value: Value) -> int:
        return 4 * prod(evaluate(s, sizes) for s in value.type.shape)

    ends = (*program.main.inputs, *(o.value for o in program.main.outputs))
    return sum(map(size, ends)), max((size(v) for n in flatten(program) for v in n.outputs), default=0)


def _names(program: Program) -> list[str]:
    return sorted(frozenset[str]().union(*(v.type.names for v in program.main.inputs)))


def _target(program: Program, name: str, case: int) -> int:
    """A number that a size should be near: images are larger than sequences, and not square."""
    for value in program.main.inputs:
        if name in value.type.names and value.type.rank >= 3:
            axis = next(i for i, s in enumerate(value.type.shape) if str(s) == name or name in str(s))
            return IMAGES[case][axis % 2]
    return SEQUENCES[case]


def _near(program: Program, targets: Mapping[str, int]) -> dict[str, int]:
    """Values that satisfy all constraints, each as near its target as may be."""
    relations = [c for c in program.constraints if isinstance(c, Relation | Either)]
    choices = [_admissible(program, name, target) for name, target in targets.items()]
    for values in _combinations(choices, exhaustive=bool(relations)):
        sizes = dict(zip(targets, values, strict=True))
        if all(r.holds(sizes) for r in relations):
            return sizes
    message = ", ".join(map(str, program.constraints))
    raise UserError("unfit-size", f"no sizes up to {LARGEST} satisfy {message}")


def _admissible(program: Program, name: str, target: int) -> list[int]:
    own = [c for c in program.constraints if not isinstance(c, Relation | Either) and c.symbol == name]
    values = [v for v in range(1, LARGEST + 1) if all(c.holds({name: v}) for c in own)]
    return sorted(values, key=lambda v: (v < target, abs(v - target)))


def _combinations(choices: list[list[int]], exhaustive: bool) -> Iterator[tuple[int, ...]]:
    """The nearest values first; all of the near ones where names depend on each other."""
    if all(choices):
        yield tuple(c[0] for c in choices)
    if exhaustive:
        few = LARGEST if len(choices) < 3 else 64
        yield from product(*(c[:few] for c in choices))


def index_limit(program: Program, name: str, sizes: Mapping[str, int]) -> int:
    """The number that an integer input must stay below: the least of the tables and axes that are read with it; 2
    without any."""
    same = {name}
    limits: list[int] = []
    for node in flatten(program):
        if same.isdisjoint(v.name for v in node.inputs):
            continue
        same.update(v.name for v in node.outputs if v.type.dtype.startswith("int"))
        limits += [evaluate(limit, sizes) for limit in _limits(node, same)]
    return min(limits, default=2)


def _limits(node: Node, integers: set[str]) -> Iterator[Dim]:
    """The rows of a table, the classes of a one-hot code, the axis that an index points into."""
    for field in ("num_embeddings", "num_classes"):
        if isinstance(rows := argument(node.op, field), int):
            yield rows
    if "index" in node.op.operands and node.inputs[-1].name in integers:
        yield argument(node.op, "size", node.types[0].shape[0])
