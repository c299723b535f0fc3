"""Names that an `if` does not move: the branches that are not taken count in the numbers of unnamed layers.

`if wide { conv(64, 1) }` before another `conv` calls that one `conv2`, whether the branch is taken or not; the branches
of one `if` share their numbers. So uses of a block that differ by a condition have the same names for the same lines.
Loops without a label count their own rounds, and what they leave out moves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netdsl.diagnostics.diagnostic import Fault
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.scope import LayerBuilder, Scope, StepBuilder, snake
from netdsl.elaborate.values import (
    ArithArrow,
    BlockArrow,
    BodyArrow,
    OpArrow,
    PipeArrow,
    ResidualArrow,
)
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op
from netdsl.source import Place, Span
from netdsl.syntax import ast

Count = Counter[str]
"""How many unnamed layers of each kind there are."""
DEEP = 60
"""Constants are followed this far."""
LINKS = ("scale", "drop_path")
"""The arguments of `residual` that are layers."""


def reserve(scope: Scope, kinds: Count, at: Place, index: int | None = None) -> None:
    """Keep names for layers that are not there, from step number `index` on."""
    drafts = [
        StepBuilder(None, [], [], at, LayerBuilder(scope, kind)) for kind, n in sorted(kinds.items()) for _ in range(n)
    ]
    index = len(scope.drafts) if index is None else index
    scope.drafts[index:index] = drafts


def taken(scope: Scope, start: int) -> Count:
    """The unnamed layers of a scope from step number `start` on."""
    layers = dict.fromkeys(d.layer for d in scope.drafts[start:] if d.layer is not None)
    return Counter(layer.base for layer in layers if not layer.labelled and layer.scope is scope)


Waiting = list[tuple[int, Count]]
"""Where in the text of a statement names are kept, and for which layers."""


class Untaken:
    """The branches that conditionals inside the expressions of statements do not take."""

    def __init__(self, truth: Callable[[ast.Node, Env], bool]) -> None:
        self.truth = truth
        self._choices: dict[int, tuple[tuple[ast.Conditional, int], ...]] = {}

    def before(self, node: ast.Node, env: Env, scope: Scope) -> Waiting:
        """The layers that the conditionals of a statement, or of a block's body that is an expression, are about to
        leave out."""
        found = self._choices.get(id(node))
        if found is None:
            found = self._choices[id(node)] = tuple(_choices(node))
        if not found or scope.rounds:
            return []
        waiting = []
        for choice, at in found:
            arms, chosen = self._arms(choice, env)
            scope.varies = scope.varies or any(_does_something(arm) for arm in arms)
            waiting.append((at, most(arms, env) - (kinds(chosen, env) if chosen else Counter())))
        return [(at, spare) for at, spare in waiting if spare]

    def keep(self, waiting: Waiting, node: ast.Node, scope: Scope, start: int) -> None:
        """Keep the names of what was left out, among the steps that the statement added from number `start` on."""
        for at, kinds in waiting:
            place = Place(scope.place.source, Span(at, at))
            later = (i for i in range(start, len(scope.drafts)) if _is_after(scope.drafts[i].place, place, node))
            reserve(scope, kinds, place, next(later, None))

    def _arms(self, node: ast.Conditional, env: Env) -> tuple[list[ast.Node], ast.Node | None]:
        """The branches that are not taken, and the one that is; neither where the condition is a mistake."""
        arms: list[ast.Node] = []
        rest: ast.Node = node
        try:
            while isinstance(rest, ast.Conditional):
                if self.truth(rest.condition, env):
                    return [*arms, rest.otherwise], rest.then
                arms.append(rest.then)
                rest = rest.otherwise
        except (Fault, Silent, ArithmeticError):
            return [], None  # it is reported where it is evaluated
        return arms, rest


def _does_something(arm: ast.Node) -> bool:
    """Whether a branch is more than a name of a value that is there."""
    return not isinstance(arm, ast.Name) or arm.id in REGISTRY


def _is_after(place: Place, at: Place, node: ast.Node) -> bool:
    return place.source is at.source and at.span.start < place.span.start < node.at.end


def _choices(node: ast.Node) -> Iterator[tuple[ast.Conditional, int]]:
    """The conditionals through which the value of a statement may flow, each with where it stands in the order of use:
    a shortcut comes after the branch."""
    stack: list[tuple[Any, int | None]] = [(node, None)]
    while stack:
        inner, after = stack.pop()
        if isinstance(inner, ast.Conditional):
            yield inner, after or inner.at.start
        elif isinstance(inner, ast.Residual):
            stack += [(value, inner.at.end - 1) for value in _shortcut(inner)]
        else:
            stack += [(child, after) for child in _flowing(inner)]


def _flowing(node: ast.Node) -> Iterable[ast.Node]:
    """The expressions through which a value flows on its way through one, but for bodies."""
    match node:
        case ast.ExprStatement() | ast.Assign() | ast.Labelled() | ast.Output():
            return () if node.value is None or isinstance(node.value, ast.Body) else (node.value,)
        case ast.Pipeline():
            return node.stages
        case ast.Binary():
            return (node.first, *node.rest)
        case ast.Call() if _takes_values(node):
            return [a.value for a in node.arguments]
    return ()


def _takes_values(call: ast.Call) -> bool:
    """Whether it calls an op whose arguments are values."""
    op = REGISTRY.get(call.function.id) if isinstance(call.function, ast.Name) else None
    return op is not None and (op.variadic or bool(op.operands))


def most(arms: Iterable[ast.Node], env: Env, depth: int = 0) -> Count:
    """The unnamed layers for which branches of one condition need names: they share them."""
    found: Count = Counter()
    for arm in arms:
        found |= kinds(arm, env, depth)
    return found


def kinds(node: ast.Node, env: Env, depth: int = 0) -> Count:
    """The unnamed layers that a piece of a spec would add to the scope it stands in, as far as its text shows."""
    if depth > DEEP:
        return Counter()
    if isinstance(node, ast.Name):
        return _named(node.id, env, depth)
    if isinstance(node, ast.Conditional):
        return most((node.then, node.otherwise), env, depth + 1)
    if isinstance(node, ast.If):
        return most((node.body, node.otherwise) if node.otherwise else (node.body,), env, depth + 1)
    found: Count = Counter()
    if isinstance(node, ast.Residual):
        found.update(a.name.id for a in node.arguments if a.name and a.name.id in LINKS)
    for inner in _inside(node):
        found += kinds(inner, env, depth + 1)
    return found


def _inside(node: ast.Node) -> Iterable[ast.Node]:
    """The pieces of a piece that add layers to the same scope: none of what has a label."""
    match node:
        case ast.Call() if not _takes_values(node):
            return (node.function,)
        case ast.Call():
            return [a.value for a in node.arguments if not isinstance(a.value, ast.Labelled)]
        case ast.Residual():
            return [*_shortcut(node), node.body]
        case ast.Body():
            return node.statements
        case ast.For() | ast.Repeat():
            return (node.body,)
        case ast.ExprStatement() | ast.Assign() | ast.Output():
            return (node.value,) if node.value is not None else ()
    return () if isinstance(node, ast.Labelled) else _flowing(node)


def _shortcut(node: ast.Residual) -> list[ast.Node]:
    return [a.value for a in node.arguments if a.name and a.name.id == "shortcut"]


def _named(name: str, env: Env, depth: int) -> Count:
    """The layers that a name adds: a block or an op itself, a constant those of its value."""
    if name in env.locals:
        return _of(env.locals[name], env, depth + 1)
    module, found = env.module.find(name) or (env.module, None)
    if isinstance(found, ast.Block):
        return Counter([snake(found.name.id)])
    if isinstance(found, ast.Constant | ast.Variant):
        return kinds(found.value, Env(module, {}), depth + 1)
    return _of_op(REGISTRY[name]) if name in REGISTRY else Counter()


def _of(value: Any, env: Env, depth: int) -> Count:
    """The layers that an arrow of a known value adds."""

    def every(values: Iterable[Any]) -> Count:
        return sum((_of(v, env, depth + 1) for v in values), Counter[str]())

    match value:
        case _ if depth > DEEP:
            return Counter()
        case OpArrow():
            return _of_op(value.op) + every(v for _, v in value.operands)
        case BlockArrow():
            return Counter([snake(value.block.name)])
        case PipeArrow():
            return every(value.stages)
        case ArithArrow():
            return every(value.values)
        case ResidualArrow():
            return every((value.body, value.shortcut))
        case BodyArrow():
            return kinds(value.body, Env(value.module, dict(value.captured)), depth + 1)
    return Counter()


def _of_op(op: type[Op]) -> Count:
    return Counter(op.layer_names or (op.kind,)) if op.is_layer else Counter()
