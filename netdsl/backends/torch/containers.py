"""Layers with dotted names are members of a container: an `nn.Sequential` where they are called one after the other,
otherwise an `nn.ModuleList`, or an `nn.ModuleDict` where their names are not numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from netdsl.backends.torch.quoting import quoted
from netdsl.backends.torch.tree import Apply, Group, Members, Node, Run
from netdsl.ir.model import Definition, Step

Runs = Callable[[Sequence[Node]], tuple[Run, ...]]


class Containers:
    """The containers of a definition. `sequential`: the steps of each container that is called as a whole."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.uses = Counter(s.layer for s in definition.steps if s.layer is not None)
        self.children: dict[str, list[str]] = {}
        for layer in definition.layers:
            parts = layer.name.split(".")
            for i in range(1, len(parts)):
                inner = self.children.setdefault(".".join(parts[:i]), [])
                if parts[i] not in inner:
                    inner.append(parts[i])
        roots = [name for name in self.children if "." not in name]
        self.sequential = {root: steps for root in roots if (steps := self._chain(root))}

    def is_list(self, name: str) -> bool:
        """Whether the members of a container are numbered."""
        return self.children[name] == [str(i) for i in range(len(self.children[name]))]

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
        names = [n for n in self.children[name] if any(_under(key, f"{name}.{n}") for key in layers)]
        trees = [self.tree(f"{name}.{n}", layers, runs) for n in names]
        if name in self.sequential:
            return Apply("nn.Sequential", runs(trees))
        if self.is_list(name):
            return Apply("nn.ModuleList", (Group(runs(trees), "["),))
        return Apply("nn.ModuleDict", (Members(tuple(names), tuple(trees)),))

    def _chain(self, root: str) -> tuple[Step, ...] | None:
        """The steps of a container whose members, called in order, each feed only the next; else None."""
        if not self.is_list(root) or any(f"{root}.{n}" in self.children for n in self.children[root]):
            return None
        steps = self.definition.steps
        at = [i for i, s in enumerate(steps) if s.layer is not None and s.layer.startswith(f"{root}.")]
        chain = steps[at[0] : at[-1] + 1]
        if [s.layer for s in chain] != [f"{root}.{n}" for n in self.children[root]]:
            return None
        if any(len(s.inputs) != 1 or len(s.outs) != 1 or s.training for s in chain):
            return None
        readers = Counter(v.name for s in steps for v in s.inputs)
        readers.update(o.value.name for o in self.definition.outputs)
        linked = all(b.inputs == a.outs and readers[a.outs[0].name] == 1 for a, b in pairwise(chain))
        return chain if linked else None


def _under(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}.")
