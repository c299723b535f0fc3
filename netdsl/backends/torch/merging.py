"""Blocks that differ by what an `if` of the author's leaves out, brought to one form with that `if` in it.

The operations of two bodies are aligned. Where one has operations that the other lacks, what they give is read
through a choice: `x + y if residual else y`. A `Switch` stands for the condition, a `Ghost` for what a body lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count

from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.torch.body import Body, Operation
from netdsl.backends.torch.differences import Difference, Place, expression, outline, reads, unchained
from netdsl.backends.torch.tree import Apply, Ghost, Node, Num, Read, Shape, Switch, transform, walk
from netdsl.backends.torch.unify import Misfit

MOST_CHOICES_TOLD = 4
"""How many choices a class has in all."""

MEMBER = re.compile(r"self\.([A-Za-z_]\w*)")

Bodies = Sequence[Body]


def merged(parts: Sequence[Bodies]) -> list[Body]:
    """The bodies of several lists in one form. Raises Misfit where a reader is better served by several classes.

    The bodies of each list differ only in numbers and submodules. The form is that of the longest, with a choice
    wherever another one lacks something or has something else.
    """
    forms = [list(map(unchained, part)) for part in parts]
    base, *others = sorted(forms, key=lambda form: -len(form[0].operations))
    return _Merge(base, others).bodies()


class _Choice(Struct, frozen=True, eq=False):
    """A value of the base, which its operations `arm` compute, or another where they are left out.

    `target` stands for one of the two; `otherwise` is the other, as the form `first` has it.
    """

    value: int
    target: int
    name: str
    arm: tuple[int, ...]
    otherwise: Node
    first: int


class _Merge:
    """Several forms of a block in one, that of the base."""

    def __init__(self, base: Bodies, others: Sequence[Bodies]) -> None:
        self.base = base[0]
        self.forms = [base, *others]
        self.differences = [Difference(self.base, other[0]) for other in others]
        self.fresh = len(self.base.names)
        self.choices: dict[int, _Choice] = {}
        self.through: dict[Place, int] = {}
        """The choice that stands where the base reads a value."""
        for number, difference in enumerate(self.differences, start=1):
            self._add(number, difference)
        self._share_names()
        self.inside = {i: choice for choice in self.choices.values() for i in choice.arm}
        self.order = self._order()

    def _add(self, number: int, difference: Difference) -> None:
        """Take over the choices of one more form. Raises Misfit where they cut through those of another."""
        for a, b in difference.choices.items():
            arm, known = tuple(difference.arms[a]), self.choices.get(a)
            otherwise = expression(difference.other, difference.theirs[a], b, difference.known)
            if known is not None:
                if (
                    known.arm != arm
                    or outline(known.otherwise) != outline(otherwise)
                    or _read(known.otherwise) != _read(otherwise)
                ):
                    raise Misfit
                continue
            if any(set(arm) & set(c.arm) for c in self.choices.values()):
                raise Misfit
            name = self._name(difference, a, arm)
            self.choices[a] = _Choice(a, a if arm else self.fresh, name, arm, otherwise, number)
            self.fresh += not arm
        if len(self.choices) > MOST_CHOICES_TOLD:
            raise Misfit
        for place, a in difference.places.items():
            if self.through.setdefault(place, a) != a:
                raise Misfit

    def _share_names(self) -> None:
        """Give choices that the same forms make one name: they have one condition."""
        names: dict[tuple[bool, ...], str] = {}
        for a, choice in self.choices.items():
            made = tuple(self._is_on(choice, number) for number in range(len(self.forms)))
            self.choices[a] = replace(choice, name=names.setdefault(made, choice.name))

    def _name(self, difference: Difference, a: int, arm: tuple[int, ...]) -> str:
        """A name for a condition that the author gave none."""
        calls, others = _called(self.base, arm), _called(difference.other, difference.theirs[a])
        members = [self._stem(found[1]) for call in calls if (found := MEMBER.match(call))]
        plain = [name for call in calls if call not in others and (name := call.rpartition(".")[2]).isidentifier()]
        name = "residual" if not members and "+" in calls else f"has_{[*members, *plain, 'first'][0]}"
        names = {c.name for c in self.choices.values()}
        return next(n for n in chain((name,), (f"{name}{i}" for i in count(2))) if n not in names)

    def _stem(self, member: str) -> str:
        """A member's name without its number, where some form has no other member of that name."""
        stem = member.rstrip("0123456789")
        lacking = (all(n.rstrip("0123456789") != stem for n, _ in form[0].members) for form in self.forms)
        return stem if any(lacking) else member

    def _order(self) -> list[_Choice | int]:
        """The operations of the base that are in no arm, each after the choices that it reads."""
        found: dict[_Choice | int, None] = {}
        for i in range(len(self.base.operations)):
            if i not in self.inside:
                self._before(i, found)
                found[i] = None
        self._before(len(self.base.operations), found)
        return list(found)

    def _before(self, i: int, found: dict[_Choice | int, None]) -> None:
        """Put the choices that an operation reads in their place, those first that others read."""
        values = reads(self.base.operations[i]) if i < len(self.base.operations) else [v for v, _ in self.base.returns]
        for at, value in enumerate(values):
            choice = self.choices.get(self.through.get((i, at), value))
            if choice is None or choice in found or i in choice.arm:
                continue
            for inner in choice.arm:
                self._before(inner, found)
            for value in _read(choice.otherwise):
                if value in self.choices and self.choices[value] not in found and value != choice.value:
                    raise Misfit
            found[choice] = None

    def bodies(self) -> list[Body]:
        members = self._members()
        return [self._body(body, number, members) for number, form in enumerate(self.forms) for body in form]

    def _is_on(self, choice: _Choice, number: int) -> bool:
        """Whether a form computes what the base does."""
        return number == 0 or choice.value not in self.differences[number - 1].choices

    def _body(self, body: Body, number: int, members: Mapping[str, _Choice | None]) -> Body:
        """One body in the common form."""
        made = tuple((name, self._member(name, choice, body, number)) for name, choice in members.items())
        operations = tuple(self._operation(step, body, number) for step in self.order)
        end = len(self.base.operations)
        returns = tuple((self._value((end, at), v), t) for at, (v, t) in enumerate(self.base.returns))
        names = (*self.base.names, *(f"x{i}" for i in range(len(self.base.names), self.fresh)))
        return Body(body.definition, made, operations, returns, names, self._shapes(body, number))

    def _value(self, place: Place, value: int) -> int:
        return self.choices[self.through[place]].target if place in self.through else value

    def _lifted(self, i: int, body: Body, number: int) -> Operation:
        """An operation of the base as a body has it, or the base's own where it has none."""
        own = self.base.operations[i]
        given = iter([self._value((i, at), v) for at, v in enumerate(reads(own))])
        matched = {i: i} if number == 0 else self.differences[number - 1].matched
        op = body.operations[matched[i]] if i in matched else own

        def renumbered(node: Node) -> Node:
            if isinstance(node, Read):
                return Read(next(given))
            return Shape(next(given), node.axis) if isinstance(node, Shape) else node

        return replace(op, targets=own.targets, node=transform(op.node, renumbered))

    def _operation(self, step: _Choice | int, body: Body, number: int) -> Operation:
        if isinstance(step, int):
            return self._lifted(step, body, number)
        on = self._is_on(step, number)
        mine, theirs = self._mine(step, body, number), self._theirs(step, body, number)
        value = mine if on or isinstance(mine, Read) else Ghost(mine)
        otherwise = theirs if not on or isinstance(theirs, Read) else Ghost(theirs)
        tree = Apply("if", (value, Switch(step.name, on), otherwise))
        return Operation((step.target,), tree, "light")

    def _mine(self, step: _Choice, body: Body, number: int) -> Node:
        """The base's side of a choice, as one tree of a body's."""
        arm = {t: op for i in step.arm if (op := self._lifted(i, body, number)) for t in op.targets}

        def inside(node: Node) -> Node:
            return transform(arm[node.index].node, inside) if isinstance(node, Read) and node.index in arm else node

        return inside(Read(step.value))

    def _theirs(self, step: _Choice, body: Body, number: int) -> Node:
        """The other side of a choice: as a body has it, or as the first that has it."""
        if self._is_on(step, number):
            return step.otherwise
        difference = self.differences[number - 1]
        return expression(body, difference.theirs[step.value], difference.choices[step.value], difference.known)

    def _shapes(self, body: Body, number: int) -> tuple[str, ...]:
        """The shapes of the values that all forms have."""
        shared = set(range(len(self.base.names)))
        for difference in self.differences:
            shared &= set(difference.known.values())
        known = {i: i for i in shared} if number == 0 else self.differences[number - 1].known
        back = {a: b for b, a in known.items()}
        return tuple(body.shapes[back[v]] if v in shared else "" for v in range(self.fresh))

    def _members(self) -> dict[str, _Choice | None]:
        """The names of all forms, in an order that keeps that of each, each with the choice on which it depends."""
        names: list[str] = []
        for form in self.forms:
            names = _in_order(names, [name for name, _ in form[0].members])
        return {name: self._home(name) for name in names}

    def _home(self, name: str) -> _Choice | None:
        """The choice on which it depends whether there is a member. Raises Misfit where it is not one choice."""
        there = [any(name == n for n, _ in form[0].members) for form in self.forms]
        if all(there):
            return None
        for choice in self.choices.values():
            on = [self._is_on(choice, number) for number in range(len(self.forms))]
            if there == on or there == [not o for o in on]:
                return choice
        raise Misfit

    def _member(self, name: str, choice: _Choice | None, body: Body, number: int) -> Node:
        """The tree that the constructor sets under a name: a body that lacks it takes that of another."""
        own = dict(body.members)
        if choice is None:
            return own[name]
        tree = own.get(name)
        if tree is None:
            others = (dict(form[0].members) for form in self.forms)
            tree = Ghost(next(other[name] for other in others if name in other))
        on = self._is_on(choice, number)
        if (name in own) == on:
            return Apply("if", (tree, Switch(choice.name, on), Num(None)))
        return Apply("if", (Num(None), Switch(choice.name, on), tree))


def _in_order(left: list[str], right: list[str]) -> list[str]:
    """The names of both lists in an order that keeps that of each. Raises Misfit where there is none."""
    if [n for n in left if n in right] != [n for n in right if n in left]:
        raise Misfit
    found: list[str] = []
    rest = list(right)
    for name in left:
        if name in rest:
            at = rest.index(name)
            found += rest[:at]
            rest = rest[at + 1 :]
        found.append(name)
    return found + rest


def _called(body: Body, operations: Iterable[int]) -> list[str]:
    """The functions that some operations of a body call."""
    nodes = [body.operations[i].node for i in sorted(operations)]
    return [n.function for n in nodes if isinstance(n, Apply) and isinstance(n.function, str)]


def _read(tree: Node) -> list[int]:
    return [n.index for n in walk(tree) if isinstance(n, Read | Shape)]
