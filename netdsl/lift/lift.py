"""The whole way: a file becomes a flat net, the net a spec, the spec is compiled, filled and compared with the file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from onnx import ModelProto

from netdsl.backends.onnx.file import load
from netdsl.elaborate.builder import Options
from netdsl.ir.flatten import flatten
from netdsl.lift.blocks import shared
from netdsl.lift.build import Builder
from netdsl.lift.compose import composed
from netdsl.lift.decompose import Decomposer, layers_of
from netdsl.lift.fill import weights
from netdsl.lift.idioms import idiomatic
from netdsl.lift.model import Lifted, LiftError
from netdsl.lift.proof import Comparison, compare, hiding, stirred
from netdsl.lift.read import File, file_of
from netdsl.lift.registers import registered
from netdsl.lift.rules import RULES
from netdsl.lift.spec import written
from netdsl.lift.term import forget, seq
from netdsl.lift.tied import tied
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.syntax.format import format_source


class Lift(Struct, frozen=True, eq=False):
    """A lifted net: its text, its weights by the keys of the spec, and the comparisons that were made."""

    text: str
    net: Net
    state: Mapping[str, Any]
    nodes: int
    proof: tuple[Comparison, ...]


def lift(path: str | os.PathLike[str], name: str = "Net") -> Lift:
    """Lift an ONNX file, or a program of torch.export (`.pt2`). Raises OSError, UserError for what is no model,
    LiftError."""
    if os.fspath(path).endswith(".pt2"):
        from netdsl.lift.exported import opened

        return lift_model(opened(path), name)
    return lift_model(load(path), name)


def lift_model(model: ModelProto, name: str = "Net") -> Lift:
    """Lift a model in memory. Raises LiftError."""
    file = file_of(model)
    flat = _flat(file)
    text = checked_text(flat, name)
    net = compiled(text)
    state = weights(flat, flatten(net.checked))
    proof = _held(compare(model, net.onnx(state), net.checked))
    if not any(c.tells for c in proof):
        proof = _held(_stirred(model, net))
    elif names := hiding(model):
        proof += _held(_seen(model, net, names, text, name))
    return Lift(text, net, state, len(file.nodes), proof)


def _stirred(model: ModelProto, net: Net) -> list[Comparison]:
    """The comparisons with other weights, where those of the file give nothing but zeros: layers that begin at zero."""
    other = stirred(model)
    found = _compared(other, _flat(file_of(other)), net)
    if not any(c.tells for c in found):
        raise LiftError("an output of the file is nothing but zeros, with its weights and with others: no proof")
    return found


def _seen(model: ModelProto, net: Net, names: frozenset[str], text: str, name: str) -> Sequence[Comparison]:
    """The comparisons with other weights in place of zeros that hide a part of the net. None where the zeros are
    part of the spec: the file with others is another net."""
    other = stirred(model, names)
    try:
        flat = _flat(file_of(other))
        same = checked_text(flat, name) == text
    except LiftError:
        same = False
    if not same:
        return ()
    return _compared(other, flat, net)


def _flat(file: File) -> Lifted:
    """The net of a file in single ops."""
    return tied(idiomatic(Builder(file).run(RULES)))


def _compared(model: ModelProto, flat: Lifted, net: Net) -> list[Comparison]:
    """A model compared with the lifted net, which has the model's weights."""
    return compare(model, net.onnx(weights(flat, flatten(net.checked))), net.checked)


def _held(proof: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons. Raises LiftError where one fails."""
    failed = [c for c in proof if not c.ok]
    if failed:
        worst = max(failed, key=lambda c: c.difference)
        raise LiftError(
            f"the lifted net computes something else: at {worst.at} they differ by {worst.difference:.1e}, "
            f"and {worst.accepted:.0e} is accepted",
            hint="nothing was written; this is a defect of lifting, please report it",
        )
    return tuple(proof)


def formatted(text: str) -> str:
    """The text in the standard style."""
    found, diagnostics = format_source(Source(text))
    if found is None:
        raise LiftError(f"its spec cannot be read again: {diagnostics[0].message}")
    return found


def compiled(text: str) -> Net:
    """The one net of a spec. Raises LiftError where it has mistakes, which is a defect of lifting."""
    spec = Spec(Source(text, "lifted.net"), read_import)
    mistakes = [d for d in spec.diagnostics if d.severity == "error"]
    if mistakes:
        raise LiftError(f"its spec is refused: {mistakes[0].message}", hint="this is a defect of lifting")
    return Net(spec, None, {}, {}, Options())


def checked_text(flat: Lifted, name: str) -> str:
    """The spec of a flat net, in the standard style."""
    sizes = frozenset[str]().union(*(v.type.names for v in flat.inputs))
    taken = {name, *sizes, *(v.name for v in flat.inputs), *(o.name for o in flat.outputs)}
    statements = composed(Decomposer(flat).body(), layers_of(flat), taken)
    body, blocks = shared(registered(seq(statements), taken), {name, *sizes})
    text = written(body, flat, name, blocks)
    forget()
    return formatted(text)
