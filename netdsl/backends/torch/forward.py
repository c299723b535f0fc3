"""The forward method of a printed class: values get the names of variables, operations become lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain, count

from netdsl.backends.torch.body import AUTOMATIC, Operation
from netdsl.backends.torch.classes import TorchClass
from netdsl.backends.torch.container_loops import lengths, loop_end
from netdsl.backends.torch.guards import Shapes
from netdsl.backends.torch.hints import method, result
from netdsl.backends.torch.layout import INDENT, WIDTH, Layout
from netdsl.backends.torch.naming import RESERVED, SHADOWED, python_name, python_names
from netdsl.backends.torch.tree import Apply, Gather, Group, Node, Num, Read, Shape, Text, transform, walk
from netdsl.ir.model import Program

SHORT = 30
"""Longer shapes say more than a reader wants to know."""
FRESH = ("x", "y", "z")


class Forward:
    """Prints the forward method of one class. `main`: what exists only while training is returned only then.

    `guard`: the program whose inputs and constraints the method holds its own to.
    """

    def __init__(self, made: TorchClass, layout: Layout, main: bool, guard: Program | None = None) -> None:
        self.made = made
        self.layout = layout
        self.main = main
        self.guard = guard
        body = made.plans[0].body
        self.definition = body.definition
        self.names = body.names
        self.outputs = body.returns
        own = set(self.names[: len(self.definition.inputs)])
        self.spelled = python_names(self.names, made.helpers | (SHADOWED - own))
        inputs = [self.spelled[self.names[i]] for i in range(len(self.definition.inputs))]
        self.variables: dict[int, str] = dict(enumerate(inputs))
        chosen = {self.spelled[n] for n in self.names if not AUTOMATIC.fullmatch(n)} | RESERVED
        declared = guard.main.inputs if guard else self.definition.inputs
        self.inputs = Shapes(declared, inputs, frozenset(chosen.union(inputs)))
        self.checks = self._checks()
        self.last = self._last_reads()
        self.chosen = chosen | self.inputs.taken - set(inputs)
        self.shapes = _shapes(made)
        self.shown: set[str] = set()
        self.lengths = lengths(made.members)
        trees = [op.node for op in made.operations] + list(made.returns)
        self.uses = Counter(value for tree in trees for value in self._reads(tree))
        self.live = Counter(v for i, v in self.variables.items() if i in self.last)
        """The variables that are still read, each with how many values it stands for: one, or in passing two."""
        self.ending: dict[int, list[int]] = {}
        for value, last in self.last.items():
            self.ending.setdefault(last, []).append(value)
        self.called: dict[str, str] = {}
        """Members of containers that are called by another text than their own."""
        self.ended = 0
        """The operations before this one have been printed: what they read last is no longer live."""

    def _checks(self) -> list[str]:
        """The lines that name the sizes of the inputs, and in a net refuse those it cannot take."""
        checks: list[str] = []
        if self.guard:
            checks += self.inputs.check_shapes()
            checks += self.inputs.check(self.guard.constraints, self.made.name)
        return checks + self.inputs.bind([op.node for op in self.made.operations] + list(self.made.returns))

    def lines(self) -> list[str]:
        """The method, inside a class."""
        inputs = [f"{self.variables[i]}: Tensor" for i in range(len(self.definition.inputs))]
        lines = method("forward", inputs, result([training for _, training in self.outputs], self.main))
        lines += [f"{INDENT * 2}{line}" for line in self.checks]
        operations = self.made.operations
        start = 0
        while start < len(operations):
            if isinstance(operations[start].node, Gather):
                lines += self._gathering(operations[start], start)
                start += 1
                continue
            end = loop_end(operations, start, self.lengths, self.uses)
            if end > start + 1:
                lines += self._loop(start, end)
                start = end
                continue
            end = start + 1
            while end < len(operations) and operations[start].training and operations[end].training:
                end += 1
            lines += self._lines(start, end)
            start = end
        return lines + self._returns()

    def _loop(self, start: int, end: int) -> list[str]:
        """A loop over the members of a container."""
        first, last = self.made.operations[start], self.made.operations[end - 1]
        assert isinstance(first.node, Apply)
        container = first.node.function.partition("[")[0]
        flow = self.layout.flat(self._named(first.node.args[0]))
        name = self._target(last.targets[0], first, start)
        arguments = [name, *(self.layout.flat(self._named(a)) for a in first.node.args[1:])]
        before = [f"{INDENT * 2}{name} = {flow}"] if flow != name else []
        layer = python_name("layer", self.chosen)
        return [
            *before,
            f"{INDENT * 2}for {layer} in {container}:",
            f"{INDENT * 3}{name} = {layer}({', '.join(arguments)})",
        ]

    def _gathering(self, op: Operation, at: int) -> list[str]:
        """A loop over members of a container that collects one of their two results."""
        assert isinstance(op.node, Gather)
        flow, *rest = (self.layout.flat(self._named(a)) for a in op.node.args)
        held = [self.variables[v] for a in op.node.args[1:] for v in self._reads(a)]
        self.live.update(held)  # read in every round
        name, found = (self._target(t, op, at) for t in op.targets)
        layer, item = python_name("layer", self.chosen), self._unused()
        self.live.subtract(held)
        results = (name, item) if op.node.flow == 0 else (item, name)
        left = self.lengths[op.node.container] - op.node.count
        if left == 1:  # the one that the loop leaves out is the last, however many there are
            self.called[f"self.{op.node.container}[{op.node.count}]"] = f"self.{op.node.container}[-1]"
        return [
            *([f"{INDENT * 2}{name} = {flow}"] if flow != name else []),
            f"{INDENT * 2}{found} = []",
            f"{INDENT * 2}for {layer} in self.{op.node.container}{f'[:-{left}]' if left else ''}:",
            f"{INDENT * 3}{', '.join(results)} = {layer}({', '.join([name, *rest])})",
            f"{INDENT * 3}{found}.append({item})",
        ]

    def _unused(self, candidates: Iterable[str] = ()) -> str:
        """The first of these variables, or of fresh ones, that stands for nothing which is still read."""
        names = chain(candidates, FRESH, (f"x{i}" for i in count(1)))
        return next(n for n in names if not self.live[n] and n not in self.chosen)

    def _last_reads(self) -> dict[int, int]:
        """For each value the operation that reads it last; the outputs are read after all."""
        last: dict[int, int] = {}
        for i, op in enumerate(self.made.operations):
            last.update(dict.fromkeys(self._reads(op.node), i))
        for tree in self.made.returns:
            last.update(dict.fromkeys(self._reads(tree), len(self.made.operations)))
        return last

    def _reads(self, tree: Node) -> list[int]:
        """The values that a tree reads, but for sizes that have a name."""
        shapes = (Read, Shape)
        return [n.index for n in walk(tree) if isinstance(n, shapes) and n not in self.inputs.bound]

    def _lines(self, start: int, end: int) -> list[str]:
        """One operation, or several that run only while training."""
        ops = self.made.operations[start:end]
        if not ops[0].training:
            return self._assign(ops[0], start, INDENT * 2)
        if len(ops) == 1 and len(ops[0].targets) == 1:
            return self._assign(ops[0], start, INDENT * 2, guarded=True)
        inner = [line for i, op in enumerate(ops) for line in self._assign(op, start + i, INDENT * 3)]
        returned = [value for value, _ in self.outputs]
        absent = [self.variables[t] for op in ops for t in op.targets if t in returned]
        before = [f"{INDENT * 2}{' = '.join(absent)} = None"] if absent and not self.main else []
        return [*before, f"{INDENT * 2}if self.training:", *inner]

    def _assign(self, op: Operation, at: int, indent: str, guarded: bool = False) -> list[str]:
        tree = self._named(op.node)
        if guarded:
            tree = Apply("if", (tree, Text("self.training"), Num(None)))
        names = [self._target(t, op, at) for t in op.targets]
        lines = self.layout.lines(f"{', '.join(names)} = ", tree, "", indent)
        return lines if op.training or len(op.targets) > 1 else self._commented(lines, op.targets[0])

    def _commented(self, lines: list[str], value: int) -> list[str]:
        """The lines with the shape of the result, where it is one that was not shown before."""
        shape = self.shapes.get(value, "")
        fits = len(lines) == 1 and len(f"{lines[0]}  # {shape}") <= WIDTH and len(shape) <= SHORT
        if shape and fits and shape not in self.shown:
            self.shown.add(shape)
            return [f"{lines[0]}  # {shape}"]
        return lines

    def _target(self, value: int, op: Operation, at: int) -> str:
        """The variable of a new value: the author's name, that of a value no longer needed, or a fresh one."""
        name = self.names[value]
        if value not in self.last:
            self.variables[value] = "_"
            return "_"
        self._end(at)
        if not AUTOMATIC.fullmatch(name):
            again = name.rstrip("0123456789")
            free = again in self.spelled and not self.live[self.spelled[again]]
            variable = self.spelled[again if free else name]
        else:
            ended = [self.variables[v] for v in self._reads(op.node) if v in self.variables]
            variable = self._unused(ended)
        self.variables[value] = variable
        self.live[variable] += 1
        return variable

    def _end(self, at: int) -> None:
        """Forget the variables of values that no operation after number `at` reads."""
        for i in range(self.ended, at + 1):
            for value in self.ending.get(i, ()):
                if value in self.variables:
                    self.live[self.variables[value]] -= 1
        self.ended = max(self.ended, at + 1)

    def _named(self, tree: Node) -> Node:
        def name(node: Node) -> Node:
            if isinstance(node, Read):
                return Text(self.variables[node.index])
            if isinstance(node, Shape):
                return self.inputs.text(node, self.variables[node.index])
            if isinstance(node, Apply) and node.function in self.called:
                return Apply(self.called[node.function], node.args, node.kwargs)
            return node

        return transform(tree, name)

    def _returns(self) -> list[str]:
        trees = list(self.made.returns)
        kept = [t for t, (_, training) in zip(trees, self.outputs, strict=True) if not training]
        if not self.main or len(kept) == len(trees):
            return self._return(trees, INDENT * 2)
        return [f"{INDENT * 2}if self.training:", *self._return(trees, INDENT * 3), *self._return(kept, INDENT * 2)]

    def _return(self, trees: list[Node], indent: str) -> list[str]:
        if len(trees) != 1:
            text = self.layout.flat(self._named(Group(tuple(trees), "(")))
            return [f"{indent}return {text[1:-1] if len(trees) > 1 else 'None'}"]
        lines = self.layout.lines("return ", self._named(trees[0]), "", indent)
        named = isinstance(trees[0], Read)
        return lines if named else self._commented(lines, self.outputs[0][0])


def _shapes(made: TorchClass) -> dict[int, str]:
    """The shapes of values, where they are the same in all uses of the class."""
    first, *others = [plan.body.shapes for plan in made.plans]
    return {i: shape for i, shape in enumerate(first) if shape and all(f[i : i + 1] == (shape,) for f in others)}
