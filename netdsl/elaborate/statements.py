"""Statements: what each one does to the value that flows and to the names around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from netdsl.budget import Exhausted, spend
from netdsl.diagnostics.diagnostic import Fault, fault
from netdsl.elaborate.builder import Builder, Context
from netdsl.elaborate.calls import is_complete, unpacked
from netdsl.elaborate.hints import not_a_layer
from netdsl.elaborate.names import Env, Silent, is_undeclared, refused_layer_name
from netdsl.elaborate.requirements import Requirements
from netdsl.elaborate.scope import LayerBuilder, Scope, Wire
from netdsl.elaborate.shared import waiting_for_numbers
from netdsl.elaborate.signature import check_elements, input_type, mark_features, match
from netdsl.elaborate.trace import Passed
from netdsl.elaborate.untaken import Untaken, reserve, taken
from netdsl.elaborate.values import BROKEN, BodyArrow, Several, Shared, Tensor, describe, is_arrow
from netdsl.elaborate.weight import CONSTRUCTS
from netdsl.sizes.constraints import IMPOSSIBLE
from netdsl.source import Place
from netdsl.syntax import ast
from netdsl.tensors import TensorType


class Runner:
    """Runs statements: each takes the value that flows in and gives the one that flows out."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.evaluator = builder.evaluator
        self.untaken = Untaken(self.evaluator)
        self.computed: list[Place] = []
        self._rules: dict[type, Callable[[Any, Env, Any, Context], Any]] = {
            ast.ExprStatement: self._expression,
            ast.Assign: self._assign,
            ast.Share: self._share,
            ast.Label: self._label,
            ast.For: self._for,
            ast.Repeat: self._repeat,
            ast.If: self._if,
            ast.Require: self._require,
            ast.Input: self._input,
            ast.Output: self._output,
        }

    def run(self, statements: tuple[ast.Statement, ...], env: Env, flow: Any, context: Context) -> Any:
        """Run statements in order. A mistake is recorded, and what follows from it stays silent."""
        env = self.inside(env, context)
        for index, statement in enumerate(statements):
            try:
                spend(2)
                before = len(context.scope.drafts)
                waiting = self.untaken.before(statement, env, context.scope)
                flow = self._rules[type(statement)](statement, env, flow, context)
                self.trace(statement, env, flow, context, before)
                self.untaken.keep(waiting, statement, context.scope, before)
            except Exhausted as end:
                end.blame(CONSTRUCTS[type(statement)], env.place(statement))
                raise
            except (Fault, Silent, RecursionError) as mistake:
                self.builder.record(mistake)
                flow = self._after_mistake(statement, mistake, env, flow)
            if context.taps is not None and context.taps.ends(statements, index, env, context.scope):
                break
        return flow

    def trace(self, node: ast.Node, env: Env, flow: Any, context: Context, before: int) -> None:
        """Tell what passed through a statement; `before`: how many steps there were."""
        if self.builder.trace is not None:
            named = node.targets[0] if isinstance(node, ast.Assign) else None
            result = flow if named is None else env.locals.get(named.id)
            drafts = tuple(d for d in context.scope.drafts[before:] if d.callee is not None)
            self.builder.trace(Passed(node, env.module, context.root, result, drafts))

    def inside(self, env: Env, context: Context) -> Env:
        """The same names, with closed arrows computed where `context` is."""
        return Env(env.module, env.locals, partial(self._compute, context))

    def _compute(self, context: Context, arrow: Any, at: Place) -> Any:
        """The tensors of a closed arrow, as values. Those with weights of their own are remembered in `computed`."""
        drafts = context.scope.drafts
        before = len(drafts)
        result = self.builder.apply(arrow, None, context)
        if any(draft.layer is not None and draft.callee is not None for draft in drafts[before:]):
            self.computed.append(at)
        if isinstance(result, tuple):
            return tuple(Tensor(self.builder.one(wire, at)) for wire in result)
        return Tensor(self.builder.one(result, at))

    def _after_mistake(self, statement: ast.Statement, mistake: Exception, env: Env, flow: Any) -> Any:
        """The flow behind a mistake; the names that the statement was to give are known to be wrong."""
        if isinstance(statement, ast.Assign):
            env.locals.update({target.id: BROKEN for target in statement.targets})
            return BROKEN if flow is None else flow  # what would have begun the flow is unknown
        if isinstance(statement, ast.Share):
            env.locals[statement.name.id] = BROKEN
            return flow
        if isinstance(statement, ast.Label) and _of_number(statement) is not None:
            env.locals[statement.name.id] = BROKEN
            return flow
        named = statement.name if isinstance(statement, ast.ExprStatement | ast.Input) else None
        named = named or _named_last(statement, mistake)
        if named is not None:
            env.locals[named.id] = BROKEN
        return flow if isinstance(statement, ast.Output) else BROKEN

    def _expression(self, node: ast.ExprStatement, env: Env, flow: Any, context: Context) -> Any:
        if isinstance(node.value, ast.Body):
            result = self.run(node.value.statements, env, flow, context)
        else:
            result = self.builder.apply(self.evaluator.arrow(node.value, env), flow, context)
        if node.name is not None:
            wire = self.builder.one(result, env.place(node))
            self._name_parameter(wire, node.name, env)
            env.locals[node.name.id] = self._named(wire, node.name.id)
        return result

    def _assign(self, node: ast.Assign, env: Env, flow: Any, context: Context) -> Any:
        value = self.evaluator.evaluate(node.value, env)
        value = unpacked(value) if len(node.targets) > 1 else value
        if is_arrow(value) and is_complete(value):
            result = self.builder.apply(value, flow, context)
            value = self._tensors(result, node, env)
        elif isinstance(value, tuple) and len(value) == len(node.targets):
            for target, item in zip(node.targets, value, strict=True):
                if isinstance(item, Tensor):
                    self._named(item.wire, target.id)
        self.evaluator.assign(node.targets, value, env, env.place(node))
        return flow

    def _tensors(self, result: Any, node: ast.Assign, env: Env) -> Any:
        """The named tensors of a result: the author's names, where each stands for one."""
        if isinstance(result, tuple):
            names = [t.id for t in node.targets] if len(node.targets) == len(result) else [""] * len(result)
            return tuple(self._named(w, n) for w, n in zip(result, names, strict=True))
        wire = self.builder.one(result, env.place(node))
        self._name_parameter(wire, node.targets[0], env)
        return self._named(wire, node.targets[0].id)

    def _name_parameter(self, wire: Wire, name: ast.Name, env: Env) -> None:
        """`gain = param((c,))` is a parameter of that name in the state dict too."""
        draft = wire.scope.drafts[-1] if wire.scope.drafts else None
        if draft is not None and draft.layer is not None and draft.outs == [wire] and draft.layer.base == "param":
            self._check_layer_name(name, env)
            draft.layer.base = draft.layer.former = name.id

    def _check_layer_name(self, name: ast.Name, env: Env) -> None:
        refused = refused_layer_name(name, env)
        if refused is not None:
            self.builder.record(refused)

    @staticmethod
    def _named(wire: Wire, name: str) -> Tensor:
        wire.name = wire.name or name
        return Tensor(wire)

    def _share(self, node: ast.Share, env: Env, flow: Any, context: Context) -> Any:
        arrow = self.evaluator.arrow(node.value, env)
        waiting = waiting_for_numbers(arrow)
        if waiting:
            names = ", ".join(f"`{n}`" for n in waiting)
            raise fault("missing-argument", f"{describe(arrow)} needs {names} to be shared", env.place(node.value))
        self._check_layer_name(node.name, env)
        layer = LayerBuilder(context.scope, node.name.id, labelled=True)
        self.builder.share(layer, arrow)
        env.locals[node.name.id] = Shared(layer, env.place(node))
        return flow

    def _label(self, node: ast.Label, env: Env, flow: Any, context: Context) -> Any:
        self._check_layer_name(node.name, env)
        inner, number = node.statement, _of_number(node)
        if number is not None:
            raise not_a_layer(self.evaluator.evaluate(number, env), env.place(number))
        if isinstance(inner, ast.For):
            return self._for(inner, env, flow, context, node.name.id)
        if isinstance(inner, ast.Repeat):
            return self._repeat(inner, env, flow, context, node.name.id)
        if isinstance(inner, ast.Assign):
            self._in_scope(node.name.id, (inner,), env, flow, context)
            self._bring(inner, env, context)
            return flow
        return self._in_scope(node.name.id, (inner,), env, flow, context)

    @staticmethod
    def _bring(node: ast.Assign, env: Env, context: Context) -> None:
        """Give the tensors named under a label to the scope around it, in their order."""
        for target in node.targets:
            value = env.locals.get(target.id)
            if isinstance(value, Tensor):
                env.locals[target.id] = Tensor(context.scope.bring(value.wire))

    def _in_scope(
        self,
        label: str,
        statements: tuple[ast.Statement, ...],
        env: Env,
        flow: Any,
        context: Context,
        member: bool = False,
    ) -> Any:
        at = env.place(statements[0])
        run = partial(self.run, statements, env)
        result = self.builder.labelled(label, at, flow, context, run, member)
        if context.taps is not None:
            context.taps.record(label, result)
        return result

    def _iteration(self, body: ast.Body, env: Env, flow: Any, context: Context, label: str | None) -> Any:
        spend(1)
        if not body.statements:
            return flow
        context.root.loops += 1
        try:
            if label is None:
                return self._round(body, env, flow, context)
            return self._in_scope(label, body.statements, env, flow, context, member=True)
        finally:
            context.root.loops -= 1

    def _round(self, body: ast.Body, env: Env, flow: Any, context: Context) -> Any:
        """One round of a loop without a label, whose layers stand beside those of the others."""
        scope = context.scope
        scope.varies = True
        scope.rounds += 1
        try:
            return self.run(body.statements, env, flow, context)
        finally:
            scope.rounds -= 1

    def _for(self, node: ast.For, env: Env, flow: Any, context: Context, label: str | None = None) -> Any:
        for item, at in self.evaluator.items(node.iterable, env):
            self.evaluator.assign(node.targets, item, env, at if isinstance(item, tuple) else env.place(node.iterable))
            flow = self._iteration(node.body, env, flow, context, label)
            if flow is BROKEN:
                break
        return flow

    def _repeat(self, node: ast.Repeat, env: Env, flow: Any, context: Context, label: str | None = None) -> Any:
        for _ in range(self.evaluator.count(node.count, env)):
            flow = self._iteration(node.body, env, flow, context, label)
            if flow is BROKEN:
                break
        return flow

    def _if(self, node: ast.If, env: Env, flow: Any, context: Context) -> Any:
        case: ast.If | ast.Body | None = node
        chosen: ast.Body | None = None
        others: list[ast.Node] = []
        while isinstance(case, ast.If):
            spend(1)
            if self.evaluator.truth(case.condition, env):
                chosen = case.body
                others += [case.otherwise] if case.otherwise else []
                break
            others.append(case.body)
            case = case.otherwise
        chosen = chosen or case  # type: ignore[assignment]
        scope, before = context.scope, len(context.scope.drafts)
        scope.varies = scope.varies or any(not isinstance(o, ast.Body) or o.statements for o in others)
        spare = Counter() if scope.rounds else self.untaken.most(others, env)
        flow = self.run(chosen.statements, env, flow, context) if chosen else flow
        reserve(scope, spare - taken(scope, before), env.place(node))
        return flow

    def _require(self, node: ast.Require, env: Env, flow: Any, context: Context) -> Any:
        said = self.evaluator.evaluate(node.message, env) if node.message else ""
        message = said if isinstance(said, str) else describe(said)
        requirements = Requirements(self.evaluator, self.builder.assume, env, message)
        if requirements.meet(node.condition) == IMPOSSIBLE:
            at = env.place(node.condition)
            raise fault("requirement", message or "this does not hold", at, f"it requires `{at.text}`")
        return flow

    def _input(self, node: ast.Input, env: Env, flow: Any, context: Context) -> Any:
        scope = context.root
        at = env.place(node)
        if context.scope is not scope and context.scope.parent is not None:
            raise fault("misplaced", "an input belongs at the start of a net", at)
        wire = self._given_input(node, env, flow, context)
        if wire is None:
            wire = scope.add_input(self._declared(node, env, is_first=not scope.inputs), at)
            wire.name = node.name.id
            scope.fed = True
        else:
            match(self.builder, node.shape, wire.type, env, at, wire.place, part=True)
            mark_features(wire, node.features, at)
            check_elements(node, wire.type, env, wire.place)
        env.locals[node.name.id] = Tensor(wire)
        if isinstance(flow, Several):
            return Several((*flow.names, node.name.id))
        if isinstance(flow, Wire) and flow is not wire:
            first = [n for n, v in env.locals.items() if isinstance(v, Tensor) and v.wire is flow]
            return Several((*first[:1], node.name.id))
        return wire

    def _given_input(self, node: ast.Input, env: Env, flow: Any, context: Context) -> Wire | None:
        """The value that the caller of a net gives for this input; None where the input is one of the program."""
        scope, given = context.root, env.locals.get(node.name.id)
        if given is not None and is_arrow(given):
            return self.builder.one(self.builder.apply(given, flow, context), env.place(node))
        if isinstance(flow, Wire) and scope.inputs and flow is scope.inputs[0] and not scope.fed:
            scope.fed = True
            return flow
        return None

    def _declared(self, node: ast.Input, env: Env, is_first: bool) -> TensorType:
        """The declared type of an input, with the sizes that are asked for in the place of its own."""
        kind, side = input_type(self.builder, node, env), self.builder.options.image
        if side and is_first and kind.rank == 3 and not kind.features:
            kind = replace(kind, shape=(kind.shape[0], side, side))
        return self._resized(kind, node.name.id)

    def _resized(self, kind: TensorType, name: str) -> TensorType:
        other = {axis: size for of, axis, size in self.builder.options.sizes if of == name}
        return replace(kind, shape=tuple(other.get(i, s) for i, s in enumerate(kind.shape))) if other else kind

    def _output(self, node: ast.Output, env: Env, flow: Any, context: Context) -> Any:
        name, at = node.name.id, env.place(node)
        root = context.root
        if root.loops:  # `output heat` in a loop gives heat0, heat1, ...
            name += str(root.outputs_called(name))
        if name in root.output_names():
            raise fault("duplicate-name", f"there are two outputs `{name}`", env.place(node.name))
        if any(wire.name == name for wire in root.inputs):
            hint = "an ONNX file tells inputs and outputs apart by their names"
            raise fault("duplicate-name", f"the output `{name}` has the name of an input", env.place(node.name), hint)
        _check_meant(node, env, flow, context.scope)
        inner = Context(context.scope, root, context.training or node.training, context.taps)
        result = flow if node.value is None else self._applied(node.value, self.inside(env, inner), flow, inner)
        wire = self.builder.one(result, at)
        root.outputs.append((name, root.bring(wire), node.training))
        return flow

    def _applied(self, node: ast.Expr, env: Env, flow: Any, context: Context) -> Any:
        if isinstance(node, ast.Body):
            arrow: Any = BodyArrow(node, env.module, tuple(env.locals.items()), env.place(node))
        else:
            arrow = self.evaluator.arrow(node, env)
        return self.builder.apply(arrow, flow, context)


def _of_number(node: ast.Label) -> ast.Node | None:
    """The number or the text that is written behind a label, which was to be its name: `width: 32`."""
    value = node.statement.value if isinstance(node.statement, ast.ExprStatement) else None
    return value if isinstance(value, ast.Number | ast.String) else None


def _named_last(statement: ast.Statement, mistake: Exception) -> ast.Name | None:
    """The unknown name at the end of a pipeline that is like no other: `conv(8, 3) -> skip` was to name the value."""
    pipeline = statement.value if isinstance(statement, ast.ExprStatement) else None
    last = pipeline.stages[-1] if isinstance(pipeline, ast.Pipeline) else None
    at = mistake.diagnostic.at if isinstance(mistake, Fault) and is_undeclared(mistake.diagnostic) else None
    return last if isinstance(last, ast.Name) and at is not None and at.span == last.at else None


def _check_meant(node: ast.Output, env: Env, flow: Any, scope: Scope) -> None:
    """Raise Fault for `output y` where `y` is a value that is named already, and another one flows."""
    named = env.locals.get(node.name.id)
    if node.value is not None or not isinstance(named, Tensor):
        return
    if not isinstance(flow, Wire) or scope.bring(named.wire) is not scope.bring(flow):
        name, rest = node.name.id, " when training" if node.training else ""
        message = f"`output {name}` gives the value that flows here, and `{name}` is another one"
        raise fault("duplicate-name", message, env.place(node), f"write `output {name} = {name}{rest}`")
