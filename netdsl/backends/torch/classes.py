"""The classes that a program is printed as: definitions of one block that differ only in numbers, or in a submodule
that the caller can give, become one class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import chain, count
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.torch.arguments import Explainer
from netdsl.backends.torch.body import Body, Operation, build_body, sequence
from netdsl.backends.torch.conditions import is_test
from netdsl.backends.torch.forms import Forms
from netdsl.backends.torch.fractions import with_fractions
from netdsl.backends.torch.groups import blocks, groups, is_identity, numbered, output_names, reach, used
from netdsl.backends.torch.growth import grown, settled
from netdsl.backends.torch.known import Argument, Constants, computed, constants
from netdsl.backends.torch.merging import merged
from netdsl.backends.torch.naming import RESERVED, camel, helper_names, python_name
from netdsl.backends.torch.nesting import behind_others, nested
from netdsl.backends.torch.optional import OptionalLayers
from netdsl.backends.torch.signatures import Signature
from netdsl.backends.torch.tree import Apply, Field, Node, Num, Recursive, Slot, Text, number, outline, transform, walk
from netdsl.backends.torch.unify import Misfit, Unifier
from netdsl.ir.model import Definition, Program
from netdsl.ir.reserved import free_name

MOST_PARTS = 8
"""Of a block with more forms than this, the others are classes of their own."""


class Plan(Struct, frozen=True, eq=False):
    """A body whose calls have been nested: what is printed of one definition."""

    body: Body
    operations: tuple[Operation, ...]
    returns: tuple[Node, ...]

    @property
    def trees(self) -> list[tuple[str, Node]]:
        """Everything in which definitions may differ, each tree with its name."""
        own = [("", op.node) for op in self.operations] + [("", tree) for tree in self.returns]
        return [*self.body.members, *own]

    @property
    def frame(self) -> Any:
        """A key that definitions printed as one class must share, whatever their layers are."""
        members = tuple(name for name, _ in self.body.members)
        calls = tuple((op.targets, op.training) for op in self.operations)
        return (members, calls, self.body.returns, len(self.body.definition.inputs))


class TorchClass(Struct, frozen=True, eq=False):
    """A class to print. `arguments` are in the order of the constructor; `state` are the arguments kept for forward."""

    name: str
    doc: str
    plans: tuple[Plan, ...]
    arguments: tuple[Argument, ...]
    state: tuple[tuple[str, Node], ...]
    members: tuple[tuple[str, Node], ...]
    operations: tuple[Operation, ...]
    returns: tuple[Node, ...]
    optional: frozenset[str] = frozenset()
    """The members that are None where their condition does not hold."""
    helpers: frozenset[str] = frozenset()
    """The classes and functions of the file's helpers, which no variable hides."""

    @property
    def signature(self) -> Signature:
        defaults = tuple((a.name, a.default) for a in self.arguments if a.default is not None)
        by_name = tuple(a.name for a in self.arguments if a.kind != "number" and a.default is None)
        return Signature(tuple(a.name for a in self.arguments), defaults, by_name)


class Classes:
    """The classes of a program, those that others need first. Made by `run`."""

    def __init__(self, program: Program, class_name: str) -> None:
        self.forms = Forms()
        self.program = program
        self.main = program.main
        self.found: list[TorchClass] = []
        self.of: dict[int, tuple[TorchClass, int]] = {}
        """The class of each definition, and its number among the class's definitions."""
        self.blocks = blocks(program.main)
        self.numbered = numbered(self.blocks.values())
        self.groups = groups(self.blocks.values())
        self.group_of = {id(d): key for key, definitions in self.groups.items() for d in definitions}
        self.reach = reach(self.groups, self.group_of)
        self.output_names = output_names(program.main)
        self.class_name = class_name
        self.helpers = helper_names(program)
        self.taken = {class_name, *RESERVED, *self.helpers}
        self.families: dict[str, Any] = {}
        self._constructed: dict[tuple[Any, int], Node] = {}

    def run(self) -> list[TorchClass]:
        for key in self._order():
            self._add_group(key)
        return self.found

    def _order(self) -> list[Any]:
        """Groups, with those that a group uses before it."""
        order: dict[Any, None] = {}
        stack = [(self.group_of[id(self.main)], False)]
        opened = set()
        while stack:
            key, closed = stack.pop()
            if closed:
                order[key] = None
            elif key not in opened:
                opened.add(key)
                inner = [self.group_of[id(d)] for g in self.groups[key] for d in used(g) if id(d) in self.group_of]
                stack += [(key, True), *((k, False) for k in reversed(inner))]
        return list(order)

    def construct(self, definition: Definition, group: Any) -> Node:
        """The tree that constructs a definition inside one of a group."""
        key = (group, id(definition))
        if key not in self._constructed:
            self._constructed[key] = self._construct(definition, group)
        return self._constructed[key]

    def _construct(self, definition: Definition, group: Any) -> Node:
        if is_identity(definition):
            return Apply("nn.Identity")
        if definition.chain:
            return sequence(definition, lambda d: self.construct(d, group), self.forms)
        own = self.group_of[id(definition)]
        if group == own or (group in self.reach[own] and own in self.reach[group]):
            return Recursive(id(definition))
        return self._call(definition)

    def _call(self, definition: Definition) -> Node:
        """The tree that constructs a definition whose class is known."""
        found, index = self.of[id(definition)]
        values = [self._value(a, a.values[index]) for a in found.arguments]
        return Apply(found.name, tuple(values))

    def _value(self, argument: Argument, value: Any) -> Node:
        if argument.kind == "number":
            return number(value)
        if value == Apply("nn.Identity") and argument.default == Num(None):
            return Num(None)
        return transform(value, lambda n: self._call(self.blocks[n.key]) if isinstance(n, Recursive) else n)

    def _add_group(self, key: Any) -> None:
        definitions = [d for d in self.groups[key] if d is self.main or not is_identity(d)]
        plans = [self._plan(d, key) for d in definitions]
        parts = self._joined(_parts(plans, self._unifier))
        doc = self.program.doc or self.main.doc if definitions == [self.main] else definitions[0].doc if parts else ""
        ordered = sorted(parts, key=lambda p: (-len(p), -len(p[0].operations)))
        for part in ordered:
            self._add(part, doc, ("",) if part is ordered[0] else differences(ordered[0][0], part[0]))
            doc = ""

    def _plan(self, definition: Definition, group: Any) -> Plan:
        names = self.output_names.get(id(definition), ())
        return _planned(build_body(definition, lambda d: self.construct(d, group), self.forms, names))

    def _unifier(self) -> Unifier:
        return Unifier(self.forms.signatures, self.families)

    def _joined(self, parts: list[list[Plan]]) -> list[list[Plan]]:
        """The parts of a block, with those joined that differ in what an `if` in the constructor leaves out."""
        waiting = sorted(parts, key=lambda p: -len(p[0].body.operations))[:MOST_PARTS]
        done = [p for p in parts if all(p is not w for w in waiting)]
        while waiting:
            first, *waiting = waiting
            joined, group = first, [first]
            for part in list(waiting):
                found = self._join([*group, part])
                if found is not None:
                    joined, group = found, [*group, part]
                    waiting = [w for w in waiting if w is not part]
            done.append(joined)
        return done

    def _join(self, parts: list[list[Plan]]) -> list[Plan] | None:
        """Several parts as one; None where they are better printed as several classes."""
        try:
            plans = list(map(_planned, merged([[p.body for p in part] for part in parts])))
            if any(plan.frame != plans[0].frame for plan in plans):
                return None
            _make("", "", plans, self._unifier(), frozenset(self.taken), True)
        except Misfit:
            return None
        order = {id(d): i for i, d in enumerate(self.blocks.values())}
        return sorted(plans, key=lambda p: order[id(p.body.definition)])

    def _add(self, plans: list[Plan], doc: str, apart: Sequence[str]) -> None:
        definition = plans[0].body.definition
        name = self.class_name if definition is self.main else self._name(definition, apart)
        made = _make(name, doc, plans, self._unifier(), frozenset(self.taken), definition is not self.main)
        made = replace(made, helpers=self.helpers)
        self.forms.signatures[name] = made.signature
        self.families[name] = self.group_of[id(definition)]
        self.found.append(made)
        self.of |= {id(p.body.definition): (made, i) for i, p in enumerate(plans)}

    def _name(self, definition: Definition, apart: Sequence[str]) -> str:
        """A name for the class of a definition. `apart`: what may be added to tell it from the others of its block."""
        name = definition.name
        if id(definition) in self.numbered and len(name) > 3 and name.endswith("s") and not name.endswith("ss"):
            name = name[:-1]
        named = [camel(name) + word for word in apart]
        numbered = (f"{named[0]}{i}" for i in count(2))
        fresh = next(n for n in chain(named, numbered) if n not in self.taken and python_name(n) == n)
        self.taken.add(fresh)
        return fresh


def _planned(body: Body) -> Plan:
    body, operations, returns = nested(body)
    return Plan(body, tuple(operations), tuple(returns))


def differences(first: Plan, other: Plan) -> list[str]:
    """The suffixes that may tell a class from the first one of its block: that it is the end of a recursion, a layer
    that only one of them has, that it is shorter or longer."""
    (own, recursive), (others, elsewhere) = _parts_of(other), _parts_of(first)
    lengths = len(other.body.operations) - len(first.body.operations)
    size = "Longer" if lengths > 0 else "Shorter" if lengths < 0 else "Alternative"
    found = ["Innermost"] if elsewhere and not recursive else []
    found += [f"With{name}" for name in own if name not in others]
    found += [f"Without{name}" for name in others if name not in own]
    return [*found, size, *(f"{size}{name}" for name in found)]


def _parts_of(plan: Plan) -> tuple[list[str], bool]:
    """The names of the classes that a class constructs, and whether it may be constructed inside itself."""
    nodes = [node for _, tree in plan.body.members for node in walk(tree)]
    calls = [n.function.rpartition(".")[2] for n in nodes if isinstance(n, Apply) and isinstance(n.function, str)]
    named = [camel(re.sub(r"\dd$", "", name)) for name in calls if name[:1].isupper() and name != "Identity"]
    return named, any(isinstance(n, Recursive) for n in nodes)


def _parts(plans: list[Plan], unifier: Callable[[], Unifier]) -> list[list[Plan]]:
    """Plans that can be printed as one class, together."""
    alike: dict[Any, list[Plan]] = {}
    for plan in plans:
        alike.setdefault((plan.frame, tuple(outline(tree) for _, tree in plan.trees)), []).append(plan)
    parts: list[list[list[Plan]]] = []
    for bucket in alike.values():
        for part in parts:
            if bucket[0].frame == part[0][0].frame and _fits([b[0] for b in (*part, bucket)], unifier()):
                part.append(bucket)
                break
        else:
            parts.append([bucket])
    ordered = {id(p): i for i, p in enumerate(plans)}
    return [sorted((p for bucket in part for p in bucket), key=lambda p: ordered[id(p)]) for part in parts]


def _fits(plans: Sequence[Plan], unifier: Unifier) -> bool:
    try:
        _unify(plans, unifier)
    except Misfit:
        return False
    return True


def _is_recursive(plan: Plan) -> bool:
    return any(isinstance(n, Recursive) for _, tree in plan.trees for n in walk(tree))


def _unify(plans: Sequence[Plan], unifier: Unifier, is_block: bool = False) -> list[Node]:
    """The trees of all plans as one. `is_block`: what a caller constructs may have the author's arguments."""
    definitions = [p.body.definition for p in plans]
    size = len(plans[0].body.members)
    found = constants(definitions) if is_block else []
    known = Constants(found, computed(definitions, found))
    made: list[Node] = []
    unifier.fields = known.explain if found else None
    if not found and len(plans) == 1 and not _is_recursive(plans[0]):
        return [tree for _, tree in plans[0].trees]  # nothing differs
    names = [name for name, _ in plans[0].trees]
    rows = _rows(plans)
    if is_block:
        rows[:size] = grown(names[:size], rows[:size], known)
    for i, (name, row) in enumerate(zip(names, rows, strict=True)):
        unifier.member = name
        unifier.known = known.explain_layer if i < size else None
        made.append(unifier.unify(row, name.rpartition(".")[2]))
    return [*map(settled, made[:size]), *made[size:]]


def _rows(plans: Sequence[Plan]) -> list[list[Node]]:
    """For each tree of a plan that of all plans."""
    return [[tree for _, tree in row] for row in zip(*(p.trees for p in plans), strict=True)]


def _make(
    name: str, doc: str, plans: list[Plan], unifier: Unifier, taken: frozenset[str], is_block: bool = False
) -> TorchClass:
    """The class that prints all these plans. `taken`: what its arguments cannot be called, the classes of the file."""
    trees = _unify(plans, unifier, is_block)
    body = plans[0].body
    size, calls = len(body.members), len(plans[0].operations)
    behind = frozenset(chain.from_iterable(behind_others(p.operations, p.returns) for p in plans))
    explainer = Explainer([p.body.definition for p in plans], unifier, taken, behind)
    explainer.explain_functions()
    named = [(n, t) for (n, _), t in zip(body.members, trees, strict=False)]
    optional = OptionalLayers(named, unifier.columns)
    state = _State(explainer, {n for n, _ in named}, optional)
    members = [(n, transform(optional.simplified(n, t), state.constructed)) for n, t in named]
    gone = {f"self.{n}" for n, tree in members if tree == Apply("nn.Identity")}
    forward = [transform(tree, partial(_without, gone, state)) for tree in trees[size:]]
    members, forward = with_fractions(explainer.definitions, members, forward)
    operations = [
        Operation(op.targets, tree, op.weight, op.training, op.shared)
        for op, tree in zip(plans[0].operations, forward, strict=False)
    ]
    kept = tuple((n, tree) for n, tree in members if f"self.{n}" not in gone)
    arguments = sorted(explainer.used.values(), key=lambda a: (a.default is not None, a.kind != "number", a.rank))
    return TorchClass(
        name,
        doc,
        tuple(plans),
        tuple(arguments),
        tuple(state.kept.items()),
        kept,
        tuple(operations),
        tuple(forward[calls:]),
        optional.names(dict(kept)),
    )


def _without(gone: Collection[str], state: _State, node: Node) -> Node:
    """A node of the forward method; layers that do nothing in any use are not called."""
    if isinstance(node, Apply) and node.function in gone and len(node.args) == 1:
        return cast(Node, node.args[0])
    return state.read(node)


class _State:
    """Replaces slots by expressions; `kept` are the attributes that forward needs."""

    def __init__(self, explainer: Explainer, members: set[str], optional: OptionalLayers) -> None:
        self.explainer = explainer
        self.optional = optional
        self.members = members
        self.kept: dict[str, Node] = {}

    def constructed(self, node: Node) -> Node:
        """A node of the constructor with its slot explained."""
        if isinstance(node, Apply) and isinstance(node.function, Slot):
            return Apply(self.explainer.expression(node.function.index), node.args, node.kwargs)
        if not isinstance(node, Slot):
            return node
        tree = self.explainer.expression(node.index)
        if isinstance(tree, Text):
            argument = self.explainer.used[tree.code]
            if argument.kind == "module" and Apply("nn.Identity") in argument.values:
                absent = Apply("is", (tree, Num(None)))
                return Apply("if", (Apply("nn.Identity"), absent, tree))
        return tree

    def read(self, node: Node) -> Node:
        """A node of the forward method with its slot read from an attribute."""
        if isinstance(node, Field):
            return cast(Node, node.value)
        if isinstance(node, Apply) and isinstance(node.function, Slot):
            return Apply(self._attribute(node.function), node.args, node.kwargs)
        if not isinstance(node, Slot):
            return self.optional.of_its_own(node)
        if self.optional.is_asked(node):
            return self.optional.asked(node)
        field = self.explainer.unifier.columns[node.index].field
        size = None if field else self.explainer.shape(node.index)
        return size or self._attribute_or_literal(node)

    def _attribute_or_literal(self, slot: Slot) -> Node:
        """An attribute, or the number itself where no argument is it."""
        tree = self.explainer.expression(slot.index)
        if isinstance(tree, Num):
            return tree
        if is_test(tree):
            return transform(tree, lambda node: Text(self._kept(node, "")) if isinstance(node, Text) else node)
        return Text(self._attribute(slot))

    def _attribute(self, slot: Slot) -> str:
        hint = self.explainer.unifier.columns[slot.index].hint
        return self._kept(self.explainer.expression(slot.index), hint)

    def _kept(self, tree: Node, hint: str) -> str:
        """The attribute that has the value of an expression over the arguments."""
        base = free_name(tree.code if isinstance(tree, Text) else hint or "size")
        name, count = base, 2
        while name in self.members or self.kept.get(name, tree) != tree:
            name, count = f"{base}{count}", count + 1
        self.kept[name] = tree
        return f"self.{name}"
