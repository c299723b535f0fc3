"""Names that an `if` does not move: the branches that are not taken count in the numbers of unnamed layers.

`if wide { conv(64, 1) }` before another `conv` calls that one `conv2`, whether the branch is taken or not; the branches
of one `if` share their numbers. So uses of a block that differ by a condition have the same names for the same lines.
Loops without a label count their own rounds, and what they leave out moves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from netdsl.budget import spend
from netdsl.diagnostics.diagnostic import Fault
from netdsl.elaborate.modules import Module
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

if TYPE_CHECKING:
    from netdsl.elaborate.expressions import Evaluator

Count = Counter[str]
"""How many unnamed layers of each kind there are."""
LINKS = ("scale", "drop_path")
"""The arguments of `residual` that are layers."""


def reserve(scope: Scope, kinds: Count, at: Place, index: int | None = None) -> None:
    """Keep names for layers that are not there, from step number `index` on."""
    spend(kinds.total())
    drafts = [StepBuilder(None, [], [], at, LayerBuilder(scope, kind)) for kind in kinds.elements()]
    index = len(scope.drafts) if index is None else index
    scope.drafts[index:index] = drafts


def taken(scope: Scope, start: int) -> Count:
    """The unnamed layers of a scope from step number `start` on."""
    layers = dict.fromkeys(d.layer for d in scope.drafts[start:] if d.layer is not None)
    return Counter(layer.base for layer in layers if not layer.labelled and layer.scope is scope)


Waiting = list[tuple[int, Count]]
"""Where in the text of a statement names are kept, and for which layers."""
Shortcuts = list[tuple[Span, int]]
"""Where shortcuts stand in the text, outer ones first, each with the end of its residual link."""


class Untaken:
    """The branches that conditionals do not take, and the unnamed layers that they would add."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.truth = evaluator.truth
        self._evaluate = evaluator.evaluate
        self._constants: dict[tuple[Module, str], Count] = {}
        self._choices: dict[int, tuple[ast.Conditional, ...]] = {}

    def before(self, node: ast.Node, env: Env, scope: Scope) -> Waiting:
        """The layers that the conditionals of a statement, or of a block's body that is an expression, are about to
        leave out."""
        if scope.rounds:
            return []
        waiting = []
        found = [*self._within(node)]
        for choice in found:
            arms, chosen = self._arms(choice, env)
            scope.varies = scope.varies or any(_does_something(arm) for arm in arms)
            spare = self.most(arms, env)
            if chosen is not None:
                spare -= self.kinds(chosen, env)
                found += self._within(chosen)
            waiting.append((choice.at.start, spare))
        return [(at, spare) for at, spare in waiting if spare]

    def _within(self, node: ast.Node) -> tuple[ast.Conditional, ...]:
        """The conditionals through which the value of a piece may flow, but for those in their branches."""
        if id(node) not in self._choices:
            self._choices[id(node)] = tuple(_choices(node))
        return self._choices[id(node)]

    def keep(self, waiting: Waiting, node: ast.Node, scope: Scope, start: int) -> None:
        """Keep the names of what was left out, among the steps that the statement added from number `start` on."""
        late = _shortcuts(node) if waiting else []
        for at, kinds in waiting:
            place = Place(scope.place.source, Span(at, at))
            later = (i for i in range(start, len(scope.drafts)) if _is_after(scope.drafts[i].place, place, node, late))
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

    def most(self, arms: Iterable[ast.Node], env: Env) -> Count:
        """The unnamed layers for which branches of one condition need names: they share them."""
        found: Count = Counter()
        for arm in arms:
            found |= self.kinds(arm, env)
        return found

    def kinds(self, node: ast.Node, env: Env) -> Count:
        """The unnamed layers that a piece of a spec would add to the scope it stands in, as far as its text shows."""
        spend(2)
        if isinstance(node, ast.Name):
            return self._named(node.id, env)
        if isinstance(node, ast.Index):
            return self._item(node, env)
        if isinstance(node, ast.Conditional):
            return self.most((node.then, node.otherwise), env)
        if isinstance(node, ast.If):
            return self.most((node.body, node.otherwise) if node.otherwise else (node.body,), env)
        found: Count = Counter()
        if isinstance(node, ast.Residual):
            found.update(a.name.id for a in node.arguments if a.name and a.name.id in LINKS)
        for inner in _inside(node):
            found += self.kinds(inner, env)
        return found

    def _named(self, name: str, env: Env) -> Count:
        """The layers that a name adds: a block or an op itself, a constant those of its value."""
        if name in env.locals:
            return self._of(env.locals[name])
        module, found = env.module.find(name) or (env.module, None)
        if isinstance(found, ast.Block):
            return Counter([snake(found.name.id)])
        if isinstance(found, ast.Constant | ast.Variant):
            return self._of_constant(module, found)
        return _of_op(REGISTRY[name]) if name in REGISTRY else Counter()

    def _item(self, node: ast.Index, env: Env) -> Count:
        """The layers of an item of a list that has a name: evaluating another list might add steps."""
        base: ast.Node = node
        while isinstance(base, ast.Index):
            base = base.value
        try:
            return self._of(self._evaluate(node, env)) if isinstance(base, ast.Name) else Counter()
        except (Fault, Silent, ArithmeticError):
            return Counter()  # the branch is not taken: its mistakes are not told

    def _of_constant(self, module: Module, declared: ast.Constant | ast.Variant) -> Count:
        """The layers that the value of a constant adds, found once; one that is defined by itself adds none."""
        key = (module, declared.name.id)
        if key not in self._constants:
            self._constants[key] = Counter()
            self._constants[key] = self.kinds(declared.value, Env(module, {}))
        return self._constants[key]

    def _of(self, value: Any) -> Count:
        """The layers that an arrow of a known value adds."""
        found: Count = Counter()
        waiting = [value]
        while waiting:
            spend(2)
            match waiting.pop():
                case list() | tuple() as items:
                    waiting += items
                case OpArrow() as arrow:
                    found += _of_op(arrow.op)
                    waiting += [v for _, v in arrow.operands]
                case BlockArrow() as arrow:
                    found[snake(arrow.block.name)] += 1
                case PipeArrow() as arrow:
                    waiting += arrow.stages
                case ArithArrow() as arrow:
                    waiting += arrow.values
                case ResidualArrow() as arrow:
                    found.update(link for link in LINKS if getattr(arrow, link) is not None)
                    waiting += [arrow.body, arrow.shortcut]
                case BodyArrow() as arrow:
                    found += self.kinds(arrow.body, Env(arrow.module, dict(arrow.captured)))
        return found


def _does_something(arm: ast.Node) -> bool:
    """Whether a branch is more than a name of a value that is there."""
    return not isinstance(arm, ast.Name) or arm.id in REGISTRY


def _is_after(place: Place, at: Place, node: ast.Node, late: Shortcuts) -> bool:
    """Whether what stands at `place` in a statement is used after what stands at `at`."""
    inside = place.source is at.source and node.at.start <= place.span.start < node.at.end
    return inside and _order(place.span.start, late) > _order(at.span.start, late)


def _order(offset: int, late: Shortcuts) -> tuple[int, ...]:
    """Where a place of a statement comes in the order of use: a shortcut comes after its branch."""
    return (*(end for span, end in late if span.start <= offset < span.end), offset)


def _shortcuts(node: ast.Node) -> Shortcuts:
    """The shortcuts in a statement, but for those in braces: what stands there is a statement of its own."""
    found: Shortcuts = []
    stack: list[ast.Node] = [node]
    while stack:
        inner = stack.pop()
        if isinstance(inner, ast.Residual):
            found += [(value.at, inner.at.end) for value in _shortcut(inner)]
            stack += _shortcut(inner)
        else:
            stack += (inner.then, inner.otherwise) if isinstance(inner, ast.Conditional) else _flowing(inner)
    return found


def _choices(node: ast.Node) -> Iterator[ast.Conditional]:
    """The conditionals through which the value of a piece may flow."""
    stack = [node]
    while stack:
        inner = stack.pop()
        if isinstance(inner, ast.Conditional):
            yield inner
        else:
            stack += _shortcut(inner) if isinstance(inner, ast.Residual) else _flowing(inner)


def _flowing(node: ast.Node) -> Iterable[ast.Node]:
    """The expressions through which a value flows on its way through one, but for bodies."""
    match node:
        case ast.ExprStatement() | ast.Assign() | ast.Labelled() | ast.Output():
            return () if node.value is None else (node.value,)
        case ast.Pipeline():
            return node.stages
        case ast.Binary():
            return (node.first, *node.rest)
        case ast.Call() if _takes_values(node):
            return [value for a in node.arguments for value in _values(a.value)]
    return ()


def _takes_values(call: ast.Call) -> bool:
    """Whether it calls an op whose arguments are values, or adds up a list of them."""
    name = call.function.id if isinstance(call.function, ast.Name) else ""
    op = REGISTRY.get(name)
    return name == "sum" or (op is not None and (op.variadic or bool(op.operands)))


def _values(argument: ast.Node) -> Iterable[ast.Node]:
    """The values that an argument is: itself, or the items of a list."""
    if isinstance(argument, ast.Splat):
        return _values(argument.value)
    if isinstance(argument, ast.ListExpr | ast.TupleExpr):
        return [value for item in argument.items for value in _values(item)]
    return (argument,)


def _inside(node: ast.Node) -> Iterable[ast.Node]:
    """The pieces of a piece that add layers to the same scope: none of what has a label."""
    match node:
        case ast.Call() if not _takes_values(node):
            return (node.function,)
        case ast.Call():
            return [value for value in _flowing(node) if not isinstance(value, ast.Labelled)]
        case ast.Residual():
            return [*_shortcut(node), node.body]
        case ast.Body():
            return node.statements
        case ast.For() | ast.Repeat():
            return (node.body,)
        case ast.ListExpr() | ast.TupleExpr():
            return _values(node)
    return () if isinstance(node, ast.Labelled) else _flowing(node)


def _shortcut(node: ast.Residual) -> list[ast.Node]:
    return [a.value for a in node.arguments if a.name and a.name.id == "shortcut"]


def _of_op(op: type[Op]) -> Count:
    return Counter(op.layer_names or (op.kind,)) if op.is_layer else Counter()
