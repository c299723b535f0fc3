"""Applying an arrow to the value that flows in: steps are added to the scope, and the value that flows out is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from netdsl.budget import spend
from netdsl.diagnostics.diagnostic import Fault, Label, fault
from netdsl.elaborate import calls
from netdsl.elaborate.builder import Builder, Context
from netdsl.elaborate.made import make
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.scope import LayerBuilder, StepBuilder, Wire, snake
from netdsl.elaborate.shared import SharedLayers
from netdsl.elaborate.tied import matrix_of
from netdsl.elaborate.values import (
    BROKEN,
    ArithArrow,
    BlockArrow,
    BodyArrow,
    CallPlace,
    It,
    LabelArrow,
    OpArrow,
    PipeArrow,
    ResidualArrow,
    Shared,
    SharedCall,
    Tensor,
    TiedArrow,
    describe,
    is_arrow,
    is_closed,
    leaves,
    place_of,
)
from netdsl.ir.model import Definition
from netdsl.ops import REGISTRY
from netdsl.ops.arithmetic import mend
from netdsl.ops.base import Op, OpError, feature_axis
from netdsl.ops.features import check_elements
from netdsl.ops.layout import check_layout, follows, placed
from netdsl.ops.linear import TiedLinear
from netdsl.sizes.constraints import IMPOSSIBLE
from netdsl.source import Place
from netdsl.tensors import MOST_AXES, TensorType, fits

STEP = 50
"""What a layer costs of the budget of work."""

OPERATORS = {"+": "add", "-": "sub", "*": "mul", "/": "div", "@": "matmul"}


class Applier:
    """Applies arrows. `shared`: the layers that `share` made."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.shared = SharedLayers(builder, self)
        self.followed: list[tuple[Place, int]] = []
        self._rules: dict[type, Callable[[Any, Any, Context], Any]] = {
            It: lambda arrow, flow, context: flow,
            Tensor: lambda arrow, flow, context: context.scope.bring(arrow.wire),
            Shared: self.shared.use,
            SharedCall: self.shared.use,
            TiedArrow: self._tied,
            OpArrow: self._op,
            BlockArrow: self._block,
            PipeArrow: self._pipe,
            ArithArrow: self._arithmetic,
            LabelArrow: self._label,
            BodyArrow: self._body,
            ResidualArrow: self._residual,
        }

    def apply(self, arrow: Any, flow: Any, context: Context) -> Any:
        """The value (or the tuple of values) an arrow gives. Raises Fault, or Silent where it needs a broken one."""
        if flow is BROKEN and not isinstance(arrow, BodyArrow | ResidualArrow) and not is_closed(arrow):
            raise Silent
        return self._rules[type(arrow)](arrow, flow, context)

    def one(self, arrow: Any, flow: Any, context: Context) -> Wire:
        return self.builder.one(self.apply(arrow, flow, context), place_of(arrow))

    def _pipe(self, arrow: PipeArrow, flow: Any, context: Context) -> Any:
        for stage in arrow.stages:
            flow = self.apply(stage, flow, context)
        return flow

    def _body(self, arrow: BodyArrow, flow: Any, context: Context) -> Any:
        env = Env(arrow.module, dict(arrow.captured))
        return self.builder.run(arrow.body.statements, env, flow, context)

    def _label(self, arrow: LabelArrow, flow: Any, context: Context) -> Any:
        return self.builder.labelled(
            arrow.name, arrow.at, flow, context, lambda start, inner: self.apply(arrow.value, start, inner)
        )

    def _block(self, arrow: BlockArrow, flow: Any, context: Context) -> Any:
        known = self.builder.again(arrow, flow) if type(flow) is Wire else None
        if known is not None:
            return self._placed(arrow, known, [flow], context)
        self._check_complete(arrow)
        given = None if flow is None else self._flowing(arrow, flow)
        spend(self.builder.evaluator.weights.of(arrow))
        if any(isinstance(leaf, Shared) for _, v in arrow.arguments for leaf in leaves(v)):
            return self.builder.inline(arrow, given, context)
        return self._placed(arrow, *self.builder.block(arrow, given, context), context)

    def _placed(self, arrow: BlockArrow, definition: Definition, inputs: list[Wire], context: Context) -> Any:
        """Add a step that calls the definition of a block, as a layer of its name. A block around a single layer is
        that layer."""
        layer = LayerBuilder(context.scope, snake(arrow.block.name), definition)
        result = self.call(definition, inputs, context, arrow.at, layer)
        if definition.wraps:
            layer.inside = definition.layers[0].former
            draft = context.scope.drafts[-1]
            layer.callee = draft.callee = definition.layers[0].callee
            draft.written = definition.steps[0].place
        return result

    def _flowing(self, arrow: BlockArrow, flow: Any) -> Wire | None:
        """The one tensor that flows into a block."""
        return flow if isinstance(flow, Wire) else self.builder.one(flow, arrow.at)

    def _check_complete(self, arrow: Any) -> None:
        waiting = calls.missing(arrow)
        if waiting:
            names = ", ".join(f"`{n}`" for n in waiting)
            hint = calls.explained(arrow, waiting) or calls.completed(arrow.at.text, waiting)
            raise fault("missing-argument", f"{describe(arrow)} needs {names}", arrow.at, hint)

    def call(
        self, callee: Op | Definition, inputs: list[Wire], context: Context, at: Place, layer: LayerBuilder | None
    ) -> Any:
        """Add a step that calls a definition; gives its outputs."""
        assert isinstance(callee, Definition)
        spend(STEP)
        training = context.training or any(w.training for w in inputs)
        outs = [Wire(context.scope, o.value.type, at, training) for o in callee.outputs]
        context.scope.drafts.append(StepBuilder(callee, inputs, outs, at, layer, training))
        results = tuple([w for w, o in zip(outs, callee.outputs, strict=True) if not o.training])
        return results[0] if len(results) == 1 else results

    def _op(self, arrow: OpArrow, flow: Any, context: Context) -> Any:
        self._check_complete(arrow)
        spend(self.builder.evaluator.weights.of(arrow))
        op = make(arrow)
        inputs = [self.builder.one(flow, arrow.at)] if op.takes_it else []
        names = [*op.operands, *op.optional_operands]
        given = dict(arrow.operands)
        order = list(given) if op.variadic else [n for n in names if n in given]
        inputs += [self.one(given[n], flow, context) for n in order]
        layer = LayerBuilder(context.scope, arrow.op.kind) if op.is_layer else None
        return self.step(op, inputs, context, arrow.at, layer)

    def step(self, op: Op, inputs: list[Wire], context: Context, at: Place, layer: LayerBuilder | None) -> Any:
        """Add a step that computes an op; gives its outputs. Raises Fault where the op refuses its inputs."""
        spend(STEP + sum(w.type.rank for w in inputs))
        op, types = self._infer(op, inputs, at)
        training = context.training or any(w.training for w in inputs)
        outs = [Wire(context.scope, t, at, training) for t in types]
        if layer is not None:
            layer.callee = layer.callee or op
            layer.inputs = layer.inputs or tuple(w.type for w in inputs)
            if not layer.labelled and (name := op.layer_name(*layer.inputs)) != op.kind:
                layer.base = name
        context.scope.drafts.append(StepBuilder(op, inputs, outs, at, layer, training))
        return outs[0] if len(outs) == 1 else tuple(outs)

    def _infer(self, op: Op, inputs: list[Wire], at: Place) -> tuple[Op, tuple[TensorType, ...]]:
        types = [w.type for w in inputs]
        try:
            check_layout(op, *types)
            op = op.resolve(*types)
            result = op.infer(self.builder.assume, *types)
            check_elements(op, *types)
        except OpError as error:
            raise _op_fault(error, inputs, at) from None
        results = result if isinstance(result, tuple) else (result,)
        if any(out.rank > MOST_AXES for out in results):
            message = f"`{op.kind}` would give a tensor of more than {MOST_AXES} axes, the most without the batch"
            raise fault("too-large", message, at)
        outs = placed(op, results, *types)
        if types and follows(op, types[0]):
            self.followed.append((at, feature_axis(types[0].with_features(None)) - types[0].rank))
        if not all(fits(size) for out in outs for size in out.shape):
            raise fault("too-large", f"`{op.kind}` would give a size beyond 2**63, the largest of a tensor", at)
        return op, outs

    def _arithmetic(self, arrow: ArithArrow, flow: Any, context: Context) -> Any:
        def side(value: Any) -> Any:
            return self.one(value, flow, context) if is_arrow(value) else value

        result = side(arrow.first)
        for operator, value, at in arrow.terms:
            result = self._operation(operator, result, side(value), context, at)
        return result

    def _operation(self, operator: str, left: Any, right: Any, context: Context, at: Place) -> Wire:
        """`left operator right` of two tensors, or of a tensor and a number."""
        inputs = [side for side in (left, right) if isinstance(side, Wire)]
        if len(inputs) == 2 and operator in OPERATORS:
            op = msgspec.convert({}, REGISTRY[OPERATORS[operator]])
        elif len(inputs) == 2 or operator == "@":
            sides = "two tensors" if len(inputs) == 2 else "a tensor and a number"
            raise fault("operator-types", f"`{operator}` is not defined for {sides}", at)
        else:
            reverse = inputs[0] is right
            fields = {"operator": operator, "value": left if reverse else right, "reverse": reverse}
            op = msgspec.convert(fields, REGISTRY["scalar"])
        return self.builder.one(self.step(op, inputs, context, at, None), at)

    def _residual(self, arrow: ResidualArrow, flow: Any, context: Context) -> Any:
        if flow is BROKEN:
            self.apply(arrow.body, flow, context)  # its statements may begin with sound values
            raise Silent
        x = self.builder.one(flow, arrow.at)
        branch = self.one(arrow.body, x, context)
        if not arrow.when:
            return branch
        shortcut = x if arrow.shortcut is None else self.one(arrow.shortcut, x, context)
        if arrow.scale is not None:
            branch = self._layer("scale", {"init": arrow.scale}, branch, context, arrow.at)
        if arrow.drop_path is not None or self.builder.options.links:
            branch = self._layer("drop_path", {"p": arrow.drop_path or 0.0}, branch, context, arrow.at)
        self._check_link(shortcut, branch, arrow)
        result = self.step(msgspec.convert({}, REGISTRY["add"]), [shortcut, branch], context, arrow.at, None)
        context.scope.drafts[-1].residual = True
        return result

    def _layer(self, kind: str, fields: dict[str, Any], x: Wire, context: Context, at: Place) -> Wire:
        op = msgspec.convert(fields, REGISTRY[kind])
        return self.builder.one(self.step(op, [x], context, at, LayerBuilder(context.scope, kind)), at)

    def _check_link(self, shortcut: Wire, branch: Wire, arrow: ResidualArrow) -> None:
        """Raise Fault where a branch does not have the shape of its shortcut, with the projection that fixes it."""
        a, b = shortcut.type, branch.type
        same = a.rank == b.rank and all(
            self.builder.assume.equal(m, n) != IMPOSSIBLE for m, n in zip(a.shape, b.shape, strict=True)
        )
        if same:
            return
        way = "the input" if arrow.shortcut is None else "the shortcut"
        raise fault(
            "shape-mismatch",
            f"a residual link adds {b} to {a}",
            arrow.at,
            mend(a, b),
            Label(f"{way}, {a}, comes from here", shortcut.place),
            Label(f"the branch, {b}, ends here", branch.place),
        )

    def _tied(self, arrow: TiedArrow, flow: Any, context: Context) -> Any:
        layer = arrow.shared.layer
        weight = matrix_of(layer, arrow.at)
        x = self.builder.one(flow, arrow.at)
        context.scope.use(layer)
        op = TiedLinear(out_features=weight.shape[0], axis=arrow.axis, weight=weight)
        return self.step(op, [x], context, arrow.at, layer)


def _op_fault(error: OpError, inputs: list[Wire], at: Place) -> Fault:
    """The diagnostic of an op's mistake: at the argument to blame, with where its inputs come from."""
    place = at.arguments.get(error.argument or "", at) if isinstance(at, CallPlace) else at
    blamed = inputs if error.operand is None or len(inputs) != 1 else [inputs[error.operand]]
    notes = [Label(f"{w.type} comes from here", w.place) for w in blamed]
    return fault(error.code, error.message, place, error.hint, *notes)
