"""Taps: the values of a net's labels as its results, `c4, c5 = taps(ResNet50, "stages.2", "stages.3")`.

The net runs up to the statement that holds the last of them. What lies behind it is not built, but keeps the names of
its unnamed layers, so that the state-dict keys are those of the whole net.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netdsl.diagnostics.diagnostic import Fault, did_you_mean, fault
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.scope import Scope, StepBuilder, Wire
from netdsl.elaborate.untaken import Untaken, reserve
from netdsl.elaborate.values import BROKEN, BlockArrow, Tensor
from netdsl.syntax import ast


class Taps:
    """The labels asked of a net, and the values of its labels found so far: a loop's label has one for each round."""

    def __init__(self, arrow: BlockArrow, untaken: Untaken) -> None:
        self.arrow = arrow
        self.untaken = untaken
        self.body = arrow.block.declaration.body
        self.wanted = {name.partition(".")[0] for name in arrow.taps}
        self.found: dict[str, list[Any]] = {}
        self._check()

    def _check(self) -> None:
        """Raise Fault for a name that is no label of the net's own body."""
        known = list(dict.fromkeys(labels(self.body)))
        for name in self.arrow.taps:
            label = name.partition(".")[0]
            if label not in known:
                listed = f"its labels: {', '.join(known)}" if known else "it has no labels of its own"
                hint = did_you_mean(label, known) or listed
                message = f"`{self.arrow.block.name}` has no label `{label}`"
                raise fault("unknown-name", message, self.arrow.at, hint)

    def record(self, label: str, result: Any) -> None:
        """Remember the value of a label, or that of a further round."""
        if label in self.wanted:
            self.found.setdefault(label, []).append(result)

    def ends(self, statements: tuple[ast.Statement, ...], index: int, env: Env, scope: Scope) -> bool:
        """Whether nothing behind this statement of the net's body is asked for; names there are kept."""
        if not isinstance(self.body, ast.Body) or statements is not self.body.statements:
            return False
        if self.found.keys() != self.wanted:
            return False
        at = env.place(statements[index])
        for rest in statements[index + 1 :]:
            reserve(scope, self.untaken.kinds(rest, env), at)
            for statement in self._run(rest, env):
                _read(statement, env, scope)
        return True

    def _run(self, statement: ast.Statement | ast.Body, env: Env) -> Iterator[ast.Statement]:
        """The statements that would be run of one: the branch of an `if` that is taken."""
        if isinstance(statement, ast.Body):
            for inner in statement.statements:
                yield from self._run(inner, env)
        elif isinstance(statement, ast.If):
            branch = statement.body if self._holds(statement.condition, env) else statement.otherwise
            yield from self._run(branch, env) if branch is not None else ()
        else:
            yield statement

    def _holds(self, condition: ast.Expr, env: Env) -> bool:
        """Whether a condition holds; one that is a mistake, or reads what is not there yet, does not."""
        try:
            return self.untaken.truth(condition, env)
        except (Fault, Silent):
            return False

    def results(self) -> list[Wire] | None:
        """The values in the order in which they were asked for; None where one is broken. Raises Fault for a round that
        there is not, and for a label that was not met."""
        wires: list[Any] = []
        for name in self.arrow.taps:
            label, _, number = name.partition(".")
            values = self.found.get(label, [])
            if not values or (number and int(number) >= len(values)):
                message = f"`{label}` of `{self.arrow.block.name}` has {len(values)} values, found `{name}`"
                hint = "they are counted from 0" if values else "it was not met with these arguments"
                raise fault("bad-index", message, self.arrow.at, hint)
            wires += [values[int(number)]] if number else values
        if any(w is BROKEN for w in wires):
            return None
        if not all(isinstance(w, Wire) for w in wires):
            raise fault("several-values", "a label that is tapped must give one value", self.arrow.at)
        return wires


def _read(statement: ast.Statement, env: Env, scope: Scope) -> None:
    """Give out what a statement that is not run would read of labelled parts: how their layers are named depends on
    it."""
    for name in ast.names(statement):
        value = env.locals.get(name)
        if isinstance(value, Tensor):
            scope.bring(value.wire)


def labels(node: ast.Node) -> list[str]:
    """The labels of a body, those of branches and of loops without a label included."""
    match node:
        case ast.Body():
            return [name for statement in node.statements for name in labels(statement)]
        case ast.Label():
            return [node.name.id]
        case ast.If():
            return labels(node.body) + (labels(node.otherwise) if node.otherwise else [])
        case ast.For() | ast.Repeat():
            return labels(node.body)
        case ast.ExprStatement(value=ast.Body()):
            return labels(node.value)
    return []


def prune(drafts: list[StepBuilder], results: list[Wire]) -> None:
    """Take out the steps on which no result depends; the names of their layers are kept."""
    needed = set(results)
    for draft in reversed(drafts):
        if needed.isdisjoint(draft.outs):
            draft.callee, draft.inputs, draft.outs = None, [], []
        needed.update(draft.inputs)
