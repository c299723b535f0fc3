"""Definitions of one block that differ only in whether something says where the features are: they are one."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.ir.model import Definition, Step, Value
from netdsl.ops.base import feature_axis
from netdsl.tensors import TensorType


class Variants:
    """The definitions made so far, by block, arguments and types without the place of features."""

    def __init__(self) -> None:
        self._made: dict[object, list[Definition]] = {}

    def one_of(
        self, key: tuple[object, ...], types: tuple[TensorType, ...], made: Definition | None
    ) -> Definition | None:
        """A definition that computes the same on the same types and gives features in the same places, or this one.

        `key`: what it was made of, with the types in it.
        """
        if made is None:
            return None
        rest = tuple(part for part in key if part is not types)
        known = self._made.setdefault((rest, tuple(t.with_features(None) for t in types)), [])
        for other in known:
            if _is_same(other, made):
                return other
        known.append(made)
        return made


def _is_same(a: Definition, b: Definition) -> bool:
    outs = ([o.value.type for o in d.outputs] for d in (a, b))
    return next(outs) == next(outs) and _spelled(a) == _spelled(b)


def _spelled(definition: Definition) -> object:
    """All that decides what it computes."""
    layers = tuple((x.name, x.callee, _types(x.inputs), x.former) for x in definition.layers)
    outputs = tuple((o.name, o.value.name, o.training) for o in definition.outputs)
    return (
        definition.name,
        _values(definition.inputs),
        layers,
        tuple(map(_step, definition.steps)),
        outputs,
        definition.sizes,
    )


def _step(step: Step) -> object:
    return _values(step.outs), step.callee, _values(step.inputs), step.layer, step.training, step.residual


def _values(values: Iterable[Value]) -> object:
    return tuple((v.name, *_types([v.type])) for v in values)


def _types(types: Iterable[TensorType]) -> tuple[object, ...]:
    return tuple((t.with_features(None), feature_axis(t)) for t in types)
