"""The definition under construction: wires, layers and steps, before they have names.

A block's body is a scope of its own. A label, or an iteration of a labelled loop, is a scope inside it; tensors may be
named in one scope and used in another, and each crossing adds an input or an output to the scopes between.
"""

from __future__ import annotations

from functools import cache

from netdsl.ir.model import Definition
from netdsl.ir.reserved import bare
from netdsl.ops.base import Op
from netdsl.sizes.dims import Dim
from netdsl.source import Place
from netdsl.tensors import TensorType


class Wire:
    """A value of a scope. `name` is the author's, where there is one."""

    __slots__ = ("name", "place", "scope", "training", "type")

    def __init__(self, scope: Scope, type: TensorType, place: Place, training: bool = False) -> None:
        self.scope = scope
        self.type = type
        self.place = place
        self.training = training
        self.name = ""


class LayerBuilder:
    """A layer before it has its final name.

    `base` is the author's label where `labelled`, else the kind; a `member` is one iteration of a labelled loop.
    `former` is what the base was in the previous release, `inside` the path of a layer that was inside of it then.
    """

    __slots__ = ("base", "callee", "former", "inputs", "inside", "labelled", "member", "scope")

    def __init__(
        self,
        scope: Scope,
        base: str,
        callee: Op | Definition | Scope | None = None,
        labelled: bool = False,
        member: bool = False,
    ) -> None:
        self.scope = scope
        self.base = self.former = base
        self.inside = ""
        self.callee = callee
        self.labelled = labelled
        self.member = member
        self.inputs: tuple[TensorType, ...] = ()


class StepBuilder:
    """A step before its values have names. One without a callee only keeps the name of its layer (see `untaken`).

    `place` is where it is used, `written` where its callee stands in the block that it takes the place of.
    """

    __slots__ = ("callee", "inputs", "layer", "outs", "place", "residual", "training", "written")

    def __init__(
        self,
        callee: Op | Definition | Scope | None,
        inputs: list[Wire],
        outs: list[Wire],
        place: Place,
        layer: LayerBuilder | None = None,
        training: bool = False,
    ) -> None:
        self.callee = callee
        self.inputs = inputs
        self.outs = outs
        self.place = place
        self.layer = layer
        self.training = training
        self.residual = False
        self.written: Place | None = None


class Scope:
    """A body under construction. `parent` is None for a block; `inline` scopes are spliced into their parent."""

    def __init__(self, name: str, place: Place, parent: Scope | None = None, inline: bool = False) -> None:
        self.name = name
        self.place = place
        self.parent = parent
        self.inline = inline
        self.is_block = parent is None
        self.inputs: list[Wire] = []
        self.drafts: list[StepBuilder] = []
        self.outputs: list[tuple[str, Wire, bool]] = []
        self._output_names: set[str] = set()
        self._output_stems: dict[str, int] = {}
        self.exports: dict[Wire, Wire] = {}
        self.imports: dict[Wire, Wire] = {}
        self.call: StepBuilder | None = None
        self.arguments: tuple[tuple[str, object], ...] = ()
        self.sizes: tuple[tuple[str, Dim], ...] = ()
        self.doc = ""
        self.fed = False
        self.loops = 0
        self.rounds = 0
        """How many loops without a label are being run."""
        self.passes = False
        """Whether its input leaves it as it came, which release 0.2 counted among its outputs."""
        self.varies = False
        """Whether it had one, or a condition that left something out: other arguments would give other steps."""

    def add_input(self, type: TensorType, place: Place) -> Wire:
        wire = Wire(self, type, place)
        self.inputs.append(wire)
        return wire

    def output_names(self) -> set[str]:
        """The names of the outputs so far."""
        for name, _, _ in self.outputs[len(self._output_names) :]:
            stem = name.rstrip("0123456789")
            self._output_names.add(name)
            self._output_stems[stem] = self._output_stems.get(stem, 0) + 1
        return self._output_names

    def outputs_called(self, stem: str) -> int:
        """How many outputs have a name or, behind it, a number."""
        self.output_names()
        return self._output_stems.get(stem, 0)

    def bring(self, wire: Wire) -> Wire:
        """The wire as it is known in this scope, wherever it was made."""
        while wire.scope is not self and not self._is_inside(wire.scope):
            wire = wire.scope._export(wire)
        return wire if wire.scope is self else self._import(wire)

    def give(self, wire: Wire) -> Wire:
        """The result of a nested scope, as the scope around it knows it; it comes before other outputs."""
        outer = self._export(wire)
        assert self.call is not None
        self.exports = {wire: outer, **self.exports}
        self.call.outs = list(self.exports.values())
        return outer

    def _is_inside(self, other: Scope) -> bool:
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope.parent
        return scope is other

    def _import(self, wire: Wire) -> Wire:
        assert self.parent is not None
        assert self.call is not None
        outer = self.parent.bring(wire)
        if outer not in self.imports:
            inner = self.add_input(wire.type, wire.place)
            inner.name, inner.training = wire.name, wire.training
            self.imports[outer] = inner
            self.call.inputs.append(outer)
        return self.imports[outer]

    def _export(self, wire: Wire) -> Wire:
        assert self.parent is not None
        assert self.call is not None
        if wire not in self.exports:
            outer = Wire(self.parent, wire.type, wire.place, wire.training)
            outer.name = wire.name
            self.exports[wire] = outer
            self.call.outs.append(outer)
        return self.exports[wire]

    def use(self, layer: LayerBuilder) -> None:
        """Use a layer that may belong to an outer scope: the scopes between are spliced into that one."""
        scope: Scope | None = self
        while scope is not None and scope is not layer.scope:
            scope.inline = True
            scope = scope.parent


@cache
def snake(name: str) -> str:
    """`conv_bn` for `ConvBN`."""
    name = bare(name, "block")
    out = ""
    for i, c in enumerate(name):
        new_word = c.isupper() and i and (not name[i - 1].isupper() or (i + 1 < len(name) and name[i + 1].islower()))
        out += "_" + c if new_word and not out.endswith("_") else c
    return out.lower()
