"""Layers with dotted names are members of a container: an `nn.Sequential` where they are called one after the other,
otherwise an `nn.ModuleList`, or an `nn.ModuleDict` where their names are not numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from netdsl.backends.torch.quoting import quoted
from netdsl.backends.torch.tree import Apply, Group, Members, Node, Run
from netdsl.ir.model import Definition, Layer, Step

T = TypeVar("T")
Runs = Callable[[Sequence[Node]], tuple[Run, ...]]


class Containers:
    """The containers of a definition. `sequential`: the steps of each container that is called as a whole."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.uses = Counter(s.layer for s in definition.steps if s.layer is not None)
        self.layers = _by_root((layer.name, layer) for layer in definition.layers)
        self.children = _children(definition.layers)
        self.numbered = {name for name, inner in self.children.items() if _is_numbered(inner)}
        self.readers = _readers(definition)
        self.at = _by_root((str(step.layer), i) for i, step in enumerate(definition.steps) if step.layer is not None)
        """Where the steps stand that call a layer of a container."""
        roots = [name for name in self.children if "." not in name]
        self.sequential = {root: steps for root in roots if (steps := self._chain(root))}

    def is_list(self, name: str) -> bool:
        """Whether the members of a container are numbered."""
        return name in self.numbered

    def reference(self, layer: str) -> str:
        """How a layer is reached from `self`: `stages[0]`, `parts["a"]`."""
        root, *rest = layer.split(".")
        text, path = root, root
        for part in rest:
            text += f"[{part}]" if self.is_list(path) else f"[{quoted(part)}]"
            path += f".{part}"
        return text

    def attribute(self, layer: str) -> str:
        """How a parameter is reached from `self`: as an attribute; the items of a container are modules."""
        container, _, name = layer.rpartition(".")
        return f"{self.reference(container)}.{name}" if container else name

    def tree(self, name: str, layers: Mapping[str, Node], runs: Runs) -> Node:
        """The tree that constructs a container around the trees of its layers."""
        if name in layers:
            return layers[name]
        found = {n: self._inner(f"{name}.{n}", layers, runs) for n in self.children[name]}
        names, trees = [n for n, t in found.items() if t is not None], [t for t in found.values() if t is not None]
        if name in self.sequential:
            return Apply("nn.Sequential", runs(trees))
        if self.is_list(name):
            return Apply("nn.ModuleList", (Group(runs(trees), "["),))
        return Apply("nn.ModuleDict", (Members(tuple(names), tuple(trees)),))

    def _inner(self, name: str, layers: Mapping[str, Node], runs: Runs) -> Node | None:
        """The tree of a member of a container; None where none of these layers is in it."""
        if name in layers:
            return layers[name]
        holds = name in self.children and any(f"{name}.{n}" in layers for n in self._leaves(name))
        return self.tree(name, layers, runs) if holds else None

    def _leaves(self, name: str) -> Iterator[str]:
        """The layers in a container, by their paths inside it."""
        for inner in self.children[name]:
            path = f"{name}.{inner}"
            yield from (f"{inner}.{n}" for n in self._leaves(path)) if path in self.children else (inner,)

    def _chain(self, root: str) -> tuple[Step, ...] | None:
        """The steps of a container whose members, called in order, each feed only the next; else None."""
        if not self.is_list(root) or any(f"{root}.{n}" in self.children for n in self.children[root]):
            return None
        steps = self.definition.steps
        at = self.at[root]
        chain = steps[at[0] : at[-1] + 1]
        if [s.layer for s in chain] != [f"{root}.{n}" for n in self.children[root]]:
            return None
        if any(len(s.inputs) != 1 or len(s.outs) != 1 or s.training for s in chain):
            return None
        linked = all(b.inputs == a.outs and self.readers[a.outs[0].name] == 1 for a, b in pairwise(chain))
        return chain if linked else None


def _is_numbered(members: list[str]) -> bool:
    return members == [str(i) for i in range(len(members))]


def _readers(definition: Definition) -> Counter[str]:
    """How often each value is read, by steps or as an output."""
    found = Counter(v.name for s in definition.steps for v in s.inputs)
    found.update(o.value.name for o in definition.outputs)
    return found


def _by_root(things: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Things of layers by the first name of the layer, that of its container or its own."""
    found: dict[str, list[T]] = {}
    for path, thing in things:
        found.setdefault(path.partition(".")[0], []).append(thing)
    return found


def _children(layers: Iterable[Layer]) -> dict[str, list[str]]:
    """The members of each container, in order, by its path."""
    found: dict[str, dict[str, None]] = {}
    for layer in layers:
        parts = layer.name.split(".")
        for i in range(1, len(parts)):
            found.setdefault(".".join(parts[:i]), {})[parts[i]] = None
    return {name: list(members) for name, members in found.items()}
