"""Layers of a lifted net along the axis that its file says: written out where the language would follow the features
to another one, or refuse that they are elsewhere."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.model import Call, Lifted
from netdsl.ops.arithmetic import Binary
from netdsl.ops.base import OpError, feature_axis
from netdsl.ops.layout import check_layout, follows, placed
from netdsl.ops.reshaping import Reshape
from netdsl.tensors import TensorType


def laid_out(flat: Lifted) -> Lifted:
    """The same net, with `axis=` where it is not the features' own, and a `reshape` where another layout is meant."""
    layout = _Layout(flat)
    calls = tuple(made for call in flat.calls for made in layout.said(call))
    return replace(flat, calls=calls)


class _Layout:
    """Where the features of each value are."""

    def __init__(self, flat: Lifted) -> None:
        self.types: dict[str, TensorType] = {v.name: v.type for v in flat.inputs}

    def said(self, call: Call) -> list[Call]:
        """A call as it has to be written, behind those that say a layout."""
        types = [self._type(v) for v in call.inputs]
        before: list[Call] = []
        if _is_refused(call, types) or follows(call.op, types[0] if types else TensorType(())):
            if call.op.layout == "along":
                call = replace(call, op=_with_axis(call.op, types[0]))
            else:
                call, before = self._restated(call, types)
        inside = [self._type(v) for v in call.inputs]
        results = placed(call.op.resolve(*inside), tuple(o.type for o in call.outputs), *inside)
        self.types.update((o.name, t) for o, t in zip(call.outputs, results, strict=True))
        return [*before, call]

    def _restated(self, call: Call, types: list[TensorType]) -> tuple[Call, list[Call]]:
        """A call whose inputs have the layout that their rank says."""
        made: list[Call] = []
        inputs = list(call.inputs)
        for i, (value, kind) in enumerate(zip(inputs, types, strict=True)):
            if kind.features is not None and kind.rank > 1:
                inputs[i] = Value(f"{call.outputs[0].name}~laid{i}", value.type)
                made.append(Call(Reshape(value.type.shape), (value,), (inputs[i],), {}, call.node))
        return replace(call, inputs=tuple(inputs)), made

    def _type(self, value: Value) -> TensorType:
        return self.types.get(value.name, value.type)


def _is_refused(call: Call, types: list[TensorType]) -> bool:
    """Whether the language refuses it for where the features of its inputs are."""
    try:
        check_layout(call.op, *types)
    except OpError:
        return True
    ranks = {t.rank for t in types}
    big = max(types, key=lambda t: t.rank) if types else None
    return (
        isinstance(call.op, Binary)
        and len(ranks) > 1
        and big is not None
        and big.features is not None
        and (feature_axis(big.with_features(None)) != big.features)
    )


def _with_axis(op: Any, x: TensorType) -> Any:
    """The op along the axis that the rank says."""
    return replace(op, axis=-1 if feature_axis(x.with_features(None)) == x.rank - 1 else 0)
