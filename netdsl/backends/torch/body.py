"""One definition as PyTorch text in tree form: the submodules it constructs, and the operations of its forward."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.torch.containers import Containers
from netdsl.backends.torch.forms import Forms
from netdsl.backends.torch.sizes import express
from netdsl.backends.torch.tree import (
    Apply,
    Cycle,
    Node,
    Num,
    Power,
    Progress,
    Read,
    Run,
    Text,
    children,
    head,
    outline,
    rebuild,
    same,
    transform,
    walk,
)
from netdsl.diagnostics.diagnostic import fault
from netdsl.ir.model import Definition, Layer, Step
from netdsl.ir.reserved import free_name
from netdsl.ops.base import Op
from netdsl.sizes.dims import Size

HEAVY_ROLES = frozenset(("conv", "linear", "embedding", "attention", "recurrent"))
TENSORS = frozenset(("nn.Parameter", "nn.Buffer"))
"""What constructs a tensor of a module, which is read and not called."""
AUTOMATIC = re.compile(r"x\d*")
"""Names of values that the author did not choose."""
ALTERNATING = 4
"""Fewer layers than this in turns, or with a number that is multiplied each time, are written out."""
Construct = Callable[[Definition], Node]
"""Gives the tree that constructs a definition as a submodule."""


class Operation(Struct, frozen=True):
    """One call in a forward method: `targets = node`.

    `weight` says how much a reader sees in it: `pure` (a function), `light` (a norm, a dropout) or `heavy` (a
    convolution, a block). `shared`: its layer is called elsewhere too.
    """

    targets: tuple[int, ...]
    node: Node
    weight: str
    training: bool = False
    shared: bool = False


class Body(Struct, frozen=True, eq=False):
    """A definition in tree form. Values are numbered: the inputs first, then what the steps give.

    `members`: what the constructor sets, by name. `returns`: the value of each output, and whether it exists only
    while training. `names` and `shapes` are those of the values.
    """

    definition: Definition
    members: tuple[tuple[str, Node], ...]
    operations: tuple[Operation, ...]
    returns: tuple[tuple[int, bool], ...]
    names: tuple[str, ...]
    shapes: tuple[str, ...]


def build_body(definition: Definition, construct: Construct, forms: Forms, outputs: Sequence[str] = ()) -> Body:
    """The tree form of a definition. `outputs`: names for its outputs, empty where there is none."""
    builder = _Builder(definition, construct, forms)
    names = [v.name for v in builder.values]
    for output, name in zip(definition.outputs, outputs, strict=False):
        at = builder.index[output.value.name]
        own = output.value in definition.inputs  # inputs keep the author's names
        if name and name not in names and not own and AUTOMATIC.fullmatch(names[at]):
            names[at] = name
    return builder.body(tuple(names))


def sequence(definition: Definition, construct: Construct, forms: Forms) -> Node:
    """A chain as `nn.Sequential`."""
    layers = {layer.name: layer for layer in definition.layers}
    trees = [layer_tree(layers[str(s.layer)], construct, forms) for s in definition.steps]
    return Apply("nn.Sequential", runs(trees))


def layer_tree(layer: Layer, construct: Construct, forms: Forms) -> Node:
    """The tree that constructs a layer."""
    if isinstance(layer.callee, Definition):
        return construct(layer.callee)
    return forms.constructor(forms.of(layer.callee, layer.inputs))


def runs(trees: Sequence[Node]) -> tuple[Run, ...]:
    """Children of a sequence, with equal ones, or ones whose numbers grow evenly, told as one."""
    found: list[Run] = []
    start = 0
    while start < len(trees):
        end = start + 1
        while end < len(trees) and trees[end] == trees[start]:
            end += 1
        if end - start == 1 and (steps := _growing(trees, start)) > 2:
            end = start + steps
            found.append(Run(Num(steps), _progress(trees[start], trees[start + 1])))
        elif end - start == 1 and (steps := _alternating(trees, start)) >= ALTERNATING:
            end = start + steps
            found.append(Run(Num(steps), _paired(trees[start], trees[start + 1], Cycle)))
        elif end - start == 1 and (multiplied := _multiplied(trees, start)) is not None:
            found.append(multiplied)
            end = start + multiplied.count.value
        else:
            found.append(Run(Num(end - start), trees[start]))
        start = end
    return tuple(found)


def _growing(trees: Sequence[Node], start: int) -> int:
    """How many of the trees from `start` on differ only in numbers that grow by the same step each time."""
    if len(trees) - start < 3 or not _alike(trees[start], trees[start + 1]):
        return 1
    return _count(trees, start, _progress(trees[start], trees[start + 1]))


def _alternating(trees: Sequence[Node], start: int) -> int:
    """How many of the trees from `start` on are the first and the second in turns, which differ in one literal."""
    pair = trees[start : start + 2]
    if len(pair) < 2 or outline(pair[0]) != outline(pair[1]) or any(isinstance(n, Run) for n in walk(pair[0])):
        return 1
    if sum(isinstance(n, Cycle) for n in walk(_paired(pair[0], pair[1], Cycle))) != 1:
        return 1
    count = 2
    while start + count < len(trees) and trees[start + count] == pair[count % 2]:
        count += 1
    return count


def _multiplied(trees: Sequence[Node], start: int) -> Run | None:
    """The trees from `start` on in which one number is multiplied each time, perhaps from the first on again."""
    pair = trees[start : start + 2]
    if len(pair) < 2 or not _alike(*pair):
        return None
    child = _paired(pair[0], pair[1], lambda a, b: Power(a, Num(b.value // a.value if a.value else 0), Num(0)))
    powers = [n for n in walk(child) if isinstance(n, Power)]
    if len(powers) != 1 or powers[0].factor.value < 2 or _member(child, 1) != pair[1]:
        return None
    count = _count(trees, start, child)
    if trees[start + count : start + count + 1] == trees[start : start + 1]:
        child = transform(child, lambda n: replace(n, period=Num(count)) if isinstance(n, Power) else n)
        count = _count(trees, start, child)
    return Run(Num(count), child) if count >= ALTERNATING else None


def _count(trees: Sequence[Node], start: int, child: Node) -> int:
    """How many of the trees from `start` on are the members of a run with this child."""
    members = enumerate(trees[start:])
    return next((i for i, tree in members if tree != _member(child, i)), len(trees) - start)


def _paired(first: Node, second: Node, made: Callable[[Num, Num], Node]) -> Node:
    """The child of a run whose first two members are given, with something `made` where their literals differ."""
    if isinstance(first, Num) and isinstance(second, Num):
        return first if same(first.value, second.value) else made(first, second)
    if isinstance(first, Run):
        return first
    return rebuild(first, [_paired(a, b, made) for a, b in zip(children(first), children(second), strict=True)])


def _alike(a: Node, b: Node) -> bool:
    """Whether two trees are the same but for whole numbers (those of inner runs included)."""
    if isinstance(a, Run | Progress | Power | Cycle):
        return a == b
    if isinstance(a, Num) and isinstance(b, Num):
        return a == b or (type(a.value) is int and type(b.value) is int)
    return head(a) == head(b) and all(map(_alike, children(a), children(b)))


def _progress(first: Node, second: Node) -> Node:
    """The child of a run whose first two members are given, and whose numbers grow evenly."""
    return _paired(first, second, lambda a, b: Progress(a, Num(b.value - a.value)))


def _member(tree: Node, i: int) -> Node:
    """Member `i` of a run with this child."""
    if isinstance(tree, Progress):
        return Num(tree.start.value + tree.step.value * i)
    if isinstance(tree, Power):
        passed = i % tree.period.value if tree.period.value else i
        return Num(tree.start.value * tree.factor.value**passed)
    if isinstance(tree, Run):
        return tree
    return rebuild(tree, [_member(child, i) for child in children(tree)])


class _Builder:
    def __init__(self, definition: Definition, construct: Construct, forms: Forms) -> None:
        self.definition = definition
        self.construct = construct
        self.forms = forms
        self.index = {v.name: i for i, v in enumerate(definition.inputs)}
        self.values = list(definition.inputs)
        for step in definition.steps:
            for value in step.outs:
                self.index[value.name] = len(self.values)
                self.values.append(value)
        self.containers = Containers(definition)
        self.layers = {layer.name: layer for layer in definition.layers}
        self.members: dict[str, Node] = {}
        self.numbers: dict[str, int] = {}
        """How far the members of a name are numbered."""
        self.atoms: dict[str, Node] = {}
        """Values that are read as attributes: parameters."""

    def body(self, names: tuple[str, ...]) -> Body:
        operations = [op for step in self.definition.steps if (op := self.operation(step))]
        returns = tuple((self.index[o.value.name], o.training) for o in self.definition.outputs)
        shapes = tuple(str(v.type) for v in self.values)
        return Body(self.definition, tuple(self.members.items()), tuple(operations), returns, names, shapes)

    def operation(self, step: Step) -> Operation | None:
        """The call of a step; None where it runs as a member of an `nn.Sequential` that is called as a whole."""
        reads = tuple(self.atoms.get(v.name) or Read(self.index[v.name]) for v in step.inputs)
        targets = tuple(self.index[v.name] for v in step.outs)
        if step.layer is None:
            return self.function(step, reads, targets)
        root = step.layer.partition(".")[0]
        self.register(root)
        owns = self.forms.of(step.callee, _types(step)).owns if isinstance(step.callee, Op) else ()
        if owns:
            return self.reading(step, reads, targets, owns)
        self.check_shared(step)
        sequential = self.containers.sequential.get(root)
        if sequential is not None:
            if step is not sequential[0]:
                return None
            targets = (self.index[sequential[-1].outs[0].name],)
            return Operation(targets, Apply(f"self.{root}", reads), "heavy")
        shared = self.containers.uses[step.layer] > 1
        attribute = f"self.{self.containers.reference(step.layer)}"
        if isinstance(step.callee, Op) and self.forms.is_tensor(step.callee, _types(step)):
            attribute = f"self.{self.containers.attribute(step.layer)}"
            self.atoms[step.outs[0].name] = Text(attribute)
            return Operation(targets, Text(attribute), "pure")
        return Operation(targets, Apply(attribute, reads), weight(step), step.training, shared)

    def reading(
        self, step: Step, reads: tuple[Node, ...], targets: tuple[int, ...], owns: tuple[str, ...]
    ) -> Operation:
        """The operation of a step that reads tensors of a layer instead of calling it."""
        assert isinstance(step.callee, Op)
        layer = f"self.{self.containers.reference(str(step.layer))}"
        form = self.forms.of(step.callee, _types(step))
        tensors = tuple(Text(f"{layer}.{name}") for name in owns)
        node = self.forms.expression(form, (*reads, *tensors), lambda size: self.express(size, step))
        return Operation(targets, node, weight(step), step.training, shared=True)

    def function(self, step: Step, reads: tuple[Node, ...], targets: tuple[int, ...]) -> Operation | None:
        """The operation of a step without a layer: an expression, or a module without parameters."""
        if isinstance(step.callee, Definition):
            tree = self.construct(step.callee)
            name = step.callee.name.lower()
        else:
            form = self.forms.of(step.callee, _types(step))
            if form.expression is not None:
                node = self.forms.expression(form, reads, lambda size: self.express(size, step))
                if isinstance(node, Read):
                    self.index[step.outs[0].name] = node.index
                    return None
                return Operation(targets, node, "pure", step.training)
            tree, name = self.forms.constructor(form), step.callee.kind
        fresh = self.fresh_name(free_name(name))
        self.members[fresh] = tree
        return Operation(targets, Apply(f"self.{fresh}", reads), weight(step), step.training)

    def fresh_name(self, name: str) -> str:
        """The name of a member that no layer has yet: `name`, `name2`, `name3`."""
        fresh = name if name not in self.numbers else f"{name}{self.numbers[name]}"
        while fresh in self.members or fresh in self.containers.layers:
            self.numbers[name] = self.numbers.get(name, 1) + 1
            fresh = f"{name}{self.numbers[name]}"
        return fresh

    def register(self, root: str) -> None:
        """Construct a layer, or the container of several, where it is first used."""
        if root in self.members:
            return
        trees = {layer.name: layer_tree(layer, self.construct, self.forms) for layer in self.containers.layers[root]}
        if list(trees) == [root]:
            self.members[root] = trees[root]
            return
        parameters = {n: t for n, t in trees.items() if isinstance(t, Apply) and t.function in TENSORS}
        modules = {n: t for n, t in trees.items() if n not in parameters}
        self.members[root] = self.containers.tree(root, modules, runs)
        for name, tree in parameters.items():
            self.members[self.containers.attribute(name)] = tree

    def check_shared(self, step: Step) -> None:
        """Raise Fault where a shared layer would have to be constructed in two ways."""
        layer = self.layers[str(step.layer)]
        if step.callee is layer.callee or _types(step) == layer.inputs:
            return
        again = layer_tree(Layer(layer.name, step.callee, _types(step)), self.construct, self.forms)
        if again != layer_tree(layer, self.construct, self.forms):
            message = f"`{layer.name}` is shared, but on {', '.join(map(str, _types(step)))} it would be another layer"
            raise fault("cannot-share", message, step.place, "use it on one size, or give the sizes as arguments")

    def express(self, size: Size, step: Step) -> Node:
        """A size by the shapes of what the step reads, or of what the definition is given."""
        own = {self.index[v.name]: v.type for v in step.inputs if v.name not in self.atoms}
        given = {i: v.type for i, v in enumerate(self.definition.inputs)}
        return express(size, own | given)


def _types(step: Step) -> tuple[Any, ...]:
    return tuple(v.type for v in step.inputs)


def weight(step: Step) -> str:
    """How much a reader sees in a step."""
    if isinstance(step.callee, Definition):
        return "heavy"
    roles: Iterable[str] = (p.role for p in step.callee.params(*_types(step)).values())
    return "heavy" if HEAVY_ROLES.intersection(roles) else "light"
