"""Classes that call all their numbered layers one after the other are printed with loops: `unit1` to `unit8`."""

from __future__ import annotations

from netdsl.backends.torch.body import runs
from netdsl.backends.torch.classes import TorchClass
from netdsl.backends.torch.growth import NUMBERED, numbered, simplified
from netdsl.backends.torch.hints import method
from netdsl.backends.torch.layout import INDENT, Layout
from netdsl.backends.torch.naming import python_name
from netdsl.backends.torch.tree import Apply, Node, Read, Run

LONG = 4
"""Fewer layers than this are written out."""

Member = tuple[str, Node]


def is_loop(made: TorchClass) -> bool:
    """Whether a class is one straight chain of all its layers, many of them alike."""
    trees = [op.node for op in made.operations] + list(made.returns)
    if made.state or len(made.plans[0].body.definition.inputs) != 1 or any(op.training for op in made.operations):
        return False
    flow: Node = Read(0)
    for (name, _), tree, targets in zip(
        made.members, trees, [op.targets for op in made.operations] + [()], strict=False
    ):
        if tree != Apply(f"self.{name}", (flow,)):
            return False
        flow = Read(targets[0]) if targets else flow
    counts = [run.count.value for _, members in numbered(made.members) for run in runs([t for _, t in members])]
    return len(trees) == len(made.members) and max(counts, default=0) >= LONG


def constructor_lines(made: TorchClass, layout: Layout) -> list[str]:
    """The layers of a chain, equal ones in a loop."""
    lines: list[str] = []
    for base, members in numbered(made.members):
        names = iter(name for name, _ in members)
        for run in runs([tree for _, tree in members]):
            own = [next(names) for _ in range(run.count.value)]
            lines += _run(run, base, own, layout) if len(own) >= LONG else _each(own, run, members, layout)
    return lines


def _run(run: Run, base: str, names: list[str], layout: Layout) -> list[str]:
    number = NUMBERED.fullmatch(names[0])
    assert number is not None
    call = f'self.add_module(f"{base}{{i + {number[2]}}}", '
    return [
        f"{INDENT * 2}for i in range({len(names)}):",
        *layout.lines(call, run.child, ")", INDENT * 3),
    ]


def _each(names: list[str], run: Run, members: list[Member], layout: Layout) -> list[str]:
    trees = dict(members)
    return [line for name in names for line in layout.lines(f"self.{name} = ", simplified(trees[name]))]


def forward_lines(name: str, checks: list[str]) -> list[str]:
    """The forward method of a chain whose input is called `name`."""
    layer = python_name("layer", (name,))
    return [
        *method("forward", [f"{name}: Tensor"], "Tensor"),
        *(f"{INDENT * 2}{line}" for line in checks),
        f"{INDENT * 2}for {layer} in self.children():",
        f"{INDENT * 3}{name} = {layer}({name})",
        f"{INDENT * 2}return {name}",
    ]
