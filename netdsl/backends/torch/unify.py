"""Anti-unification: the one tree that several trees are instances of, and the columns of what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.torch.signatures import Signature
from netdsl.backends.torch.tree import (
    Apply,
    Field,
    Ghost,
    Group,
    Members,
    Node,
    Num,
    Recursive,
    Run,
    Slot,
    Switch,
    Text,
    children,
    head,
    literal,
    outline,
    rebuild,
    same,
    walk,
)

HOLES = 2
"""How many submodules a class may be given by its caller; blocks that differ in more are different classes."""
LIBRARY = ("nn.", "F.", "torch.")
OPERATOR = re.compile(r"[^\w.\[]+")
FIELD = "="
"""What stands before the hint of a number that is an argument of an op."""
SMALL = 4
"""How many calls a submodule may consist of to be given as an argument."""


class Misfit(Exception):  # noqa: N818 - an answer, not an error
    """The trees are not instances of one."""


class Column(Struct, frozen=True):
    """A difference at one position: a value per tree.

    `kind` is `number` (Python values), `function` (names of layers or functions) or `module` (trees). `hint` names the
    argument that it is there; `call` numbers the call around it, so that a padding finds its kernel.
    """

    kind: str
    hint: str
    values: tuple[Any, ...]
    call: int = 0
    rows: tuple[int, ...] | None = None
    """The trees that have this place, where others lack it."""
    field: bool = False
    """Whether it is an argument of an op."""
    member: str = ""
    """The member that is constructed with it."""

    def equals(self, values: Sequence[Any]) -> bool:
        return all(map(same, self.values, values)) if self.kind == "number" else self.values == tuple(values)


class Unifier:
    """Unifies trees; `columns` grows with each difference. `families`: the block that each printed class is of."""

    def __init__(self, signatures: Mapping[str, Signature], families: Mapping[str, Any]) -> None:
        self.signatures = signatures
        self.families = families
        self.columns: list[Column] = []
        self.calls: list[Node] = []
        """The unified calls by number."""
        self.member = ""
        """The member whose trees are unified."""
        self.rows: tuple[int, ...] | None = None
        """The trees that are unified, where others lack what is there."""
        self.known: Callable[[int, str], bool] | None = None
        """Whether a number that is the same everywhere is one of the author's arguments, by its value and its hint."""
        self.fields: Callable[[int, str], bool] | None = None
        """The same for numbers that are arguments of ops, in the forward method."""

    def unify(self, trees: Sequence[Node], hint: str = "", call: int = 0) -> Node:
        """The tree that all are instances of, with a `Slot` where they differ. Raises Misfit where there is none."""
        if any(isinstance(t, Ghost) for t in trees):
            return self._present(trees, hint, call)
        if isinstance(trees[0], Switch):
            return self._switch(trees)
        return self._unify(trees, hint, call)

    def _present(self, trees: Sequence[Node], hint: str, call: int) -> Node:
        """Unify trees of which some are absent."""
        rows, outer = self.rows or tuple(range(len(trees))), self.rows
        there = [(row, tree) for row, tree in zip(rows, trees, strict=True) if not isinstance(tree, Ghost)]
        self.rows = tuple(row for row, _ in there)
        found = self.unify([tree for _, tree in there], hint, call)
        self.rows = outer
        return found

    def _switch(self, trees: Sequence[Node]) -> Node:
        first = trees[0]
        if not all(isinstance(t, Switch) and isinstance(first, Switch) and t.name == first.name for t in trees):
            raise Misfit
        states = [t.on for t in trees if isinstance(t, Switch)]
        assert isinstance(first, Switch)
        return self._slot("number", first.name, states, 0) if len(set(states)) > 1 else Num(first.on)

    def _unify(self, trees: Sequence[Node], hint: str, call: int) -> Node:
        first = trees[0]
        if all(isinstance(t, Num) for t in trees):
            values = [literal(t) for t in trees]
            return first if self._is_constant(values, hint) else self._slot("number", hint, values, call)
        if any(isinstance(t, Recursive) for t in trees):
            return self._hole(trees, hint)
        heads = [head(t) for t in trees]
        if all(h == heads[0] for h in heads):
            return self._inside(trees, hint, call)
        if all(_is_literal(t) for t in trees):
            return self._slot("number", hint, [literal(t) for t in trees], call)
        if all(isinstance(t, Text) and t.code.startswith(LIBRARY) for t in trees):
            return self._slot("function", hint, list(trees), 0)
        calls = [t for t in trees if _is_plain_function(t)]
        if len(calls) == len(trees) and len({len(t.args) for t in calls}) == 1:
            return self._function(calls, hint)
        return self._hole(trees, hint)

    def _is_constant(self, values: list[Any], hint: str) -> bool:
        """Whether literals are the same, and none of the author's arguments."""
        if not all(same(values[0], v) for v in values):
            return False
        if hint.startswith(FIELD) and self.fields is not None:
            return self.rows is None and not self.fields(values[0], hint.removeprefix(FIELD))
        if type(values[0]) is not int or self.known is None:
            return True
        return self.rows is None and not self.known(values[0], hint)

    def _inside(self, trees: Sequence[Node], hint: str, call: int) -> Node:
        first = trees[0]
        is_call = isinstance(first, Apply) and not (
            isinstance(first.function, str) and OPERATOR.fullmatch(first.function)
        )
        if is_call:
            self.calls.append(first)
            call = len(self.calls) - 1
        hints = self._hints(first, hint)
        rows = zip(*map(children, trees), strict=True)
        unified = rebuild(first, [self.unify(row, h, call) for h, row in zip(hints, rows, strict=True)])
        if is_call:
            self.calls[call] = unified
        return unified

    def _hints(self, node: Node, hint: str) -> list[str]:
        """Names for the children of a node: the parameters of its call."""
        if isinstance(node, Members):
            return list(node.names)
        if isinstance(node, Field):
            return [f"{FIELD}{node.name}"]
        if isinstance(node, Apply):
            known = self.signatures.get(node.function) if isinstance(node.function, str) else None
            inherited = hint if node.function in ("nn.Sequential", "if", "+") else ""
            args = list(known.names) if known and not node.kwargs else [inherited] * len(node.args)
            return args + [name for name, _ in node.kwargs]
        return ["depth", hint] if isinstance(node, Run) else [hint] * len(children(node))

    def _function(self, trees: Sequence[Apply], hint: str) -> Node:
        """Calls of different functions with the same arguments: `nn.ReLU()` and `nn.SiLU()`."""
        slot = self._slot("function", hint or "act", [Text(t.function) for t in trees], 0)
        inner = self._inside([replace(t, function="") for t in trees], "", 0)
        assert isinstance(inner, Apply)
        return replace(inner, function=slot)

    def _hole(self, trees: Sequence[Node], hint: str) -> Node:
        modules = [t for t in trees if t != Num(None)]
        if not modules or not all(_is_module(t) for t in modules) or not self._are_kin(modules):
            raise Misfit
        slot = self._slot("module", hint, list(trees), 0)
        if sum(c.kind == "module" for c in self.columns) > HOLES:
            raise Misfit
        return slot

    def _are_kin(self, trees: Sequence[Node]) -> bool:
        """Whether submodules stand for one thing: classes of one block, or different layers of PyTorch, or nothing."""
        given = [t for t in trees if isinstance(t, Apply) and t != Apply("nn.Identity")]
        named = {t.function for t in given}
        blocks = {self.families[n] for n in named if n in self.families}
        if blocks:
            return len(blocks) == 1 and named <= self.families.keys()
        return len(named) == len({outline(t) for t in given})

    def _slot(self, kind: str, hint: str, values: list[Any], call: int) -> Slot:
        field = hint.startswith(FIELD)
        self.columns.append(Column(kind, hint.removeprefix(FIELD), tuple(values), call, self.rows, field, self.member))
        return Slot(len(self.columns) - 1)


def _is_literal(tree: Node) -> bool:
    return all(isinstance(n, Num | Group) for n in walk(tree))


def _is_plain_function(tree: Node) -> TypeGuard[Apply]:
    """Whether a call is of a layer or function of PyTorch, with nothing but values given to it."""
    if not isinstance(tree, Apply) or not isinstance(tree.function, str) or tree.kwargs:
        return False
    return tree.function.startswith(LIBRARY) and not any(isinstance(a, Num) for a in tree.args)


def _is_module(tree: Node) -> bool:
    """Whether a tree constructs a submodule that is small enough to be given as an argument."""
    if isinstance(tree, Recursive):
        return True
    if not isinstance(tree, Apply) or not isinstance(tree.function, str) or tree.function.startswith("self."):
        return False
    name = tree.function.rpartition(".")[2]
    inner = list(walk(tree))
    calls = sum(isinstance(n, Apply) for n in inner)
    return (
        name[:1].isupper() and name != "Parameter" and (calls <= SMALL or any(isinstance(n, Recursive) for n in inner))
    )
