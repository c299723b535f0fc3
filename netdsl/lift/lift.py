"""The whole way: a file becomes a flat net, the net a spec, the spec is compiled, filled and compared with the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from onnx import ModelProto

from netdsl.backends.onnx.file import load
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.builder import Options
from netdsl.ir.flatten import flatten
from netdsl.lift.blocks import shared
from netdsl.lift.build import Builder
from netdsl.lift.compose import composed
from netdsl.lift.counted import counted
from netdsl.lift.decompose import Decomposer, layers_of
from netdsl.lift.fill import weights
from netdsl.lift.idioms import idiomatic
from netdsl.lift.laid import laid_out
from netdsl.lift.model import Lifted, LiftError
from netdsl.lift.proof import Comparison, compare, hiding, stirred
from netdsl.lift.read import File, file_of
from netdsl.lift.registers import registered
from netdsl.lift.rules import RULES
from netdsl.lift.spec import written
from netdsl.lift.term import forget, seq
from netdsl.lift.tied import tied
from netdsl.lift.unnested import unnested
from netdsl.lift.zoo import candidates, filled
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.syntax.format import format_source

PLACE = "lifted.net"
"""What a spec is called that is for no file."""

State = Mapping[str, Any]
Fill = Callable[[Lifted, Net], State]
Same = Callable[[Lifted], bool]


class Lift(Struct, frozen=True, eq=False):
    """A lifted net: its text, its weights by the keys of the spec, and the comparisons that were made.

    `zoo`: the net of the installed zoo that it is, as `resnet:ResNet50`.
    """

    text: str
    net: Net
    state: Mapping[str, Any]
    nodes: int
    proof: tuple[Comparison, ...]
    zoo: str = ""


def lift(path: str | os.PathLike[str], name: str = "Net", library: bool = False, place: str = PLACE) -> Lift:
    """Lift an ONNX file, or a program of torch.export (`.pt2`), as `lift_model`. Raises OSError, UserError for what is
    no model, LiftError."""
    if os.fspath(path).endswith(".pt2"):
        from netdsl.lift.exported import opened

        return lift_model(opened(path), name, library, place)
    return lift_model(load(path), name, library, place)


def lift_model(model: ModelProto, name: str = "Net", library: bool = False, place: str = PLACE) -> Lift:
    """Lift a model in memory. `library`: a net of the installed zoo is an import of it; `place`: the file that the
    spec is for, beside which it would find other specs of the zoo's names. Raises LiftError."""
    file = file_of(model)
    flat = _flat(file)
    for which, text in candidates(flat, name) if library else ():
        with suppress(UserError):
            net = compiled(text, place)
            state, proof = _proven(model, flat, net, filled, lambda flat: True)
            return Lift(formatted(text), net, state, len(file.nodes), proof, which)
    text = checked_text(flat, name)
    net = compiled(text, place)
    state, proof = _proven(model, flat, net, _laid_over, lambda flat: checked_text(flat, name) == text)
    return Lift(text, net, state, len(file.nodes), proof)


def _proven(model: ModelProto, flat: Lifted, net: Net, fill: Fill, same: Same) -> tuple[State, tuple[Comparison, ...]]:
    """The weights of a model for a net, and the comparisons. Raises LiftError where they differ. `same`: whether the
    model with other weights is the same net."""
    state = fill(flat, net)
    proof = _held(compare(model, net.onnx(state), net.checked))
    if not any(c.tells for c in proof):
        proof = _held(_stirred(model, net, fill))
    elif names := hiding(model):
        proof += _held(_seen(model, net, names, fill, same))
    return state, proof


def _stirred(model: ModelProto, net: Net, fill: Fill) -> list[Comparison]:
    """The comparisons with other weights, where those of the file give nothing but zeros: layers that begin at zero."""
    other = stirred(model)
    found = _compared(other, _flat(file_of(other)), net, fill)
    if not any(c.tells for c in found):
        raise LiftError("an output of the file is nothing but zeros, with its weights and with others: no proof")
    return found


def _seen(model: ModelProto, net: Net, names: frozenset[str], fill: Fill, same: Same) -> Sequence[Comparison]:
    """The comparisons with other weights in place of zeros that hide a part of the net. None where the zeros are
    part of the spec: the file with others is another net."""
    other = stirred(model, names)
    try:
        flat = _flat(file_of(other))
        is_same = same(flat)
    except LiftError:
        is_same = False
    return _compared(other, flat, net, fill) if is_same else ()


def _flat(file: File) -> Lifted:
    """The net of a file in single ops."""
    return laid_out(counted(tied(idiomatic(Builder(file).run(RULES)))))


def _laid_over(flat: Lifted, net: Net) -> State:
    return weights(flat, flatten(net.checked))


def _compared(model: ModelProto, flat: Lifted, net: Net, fill: Fill) -> list[Comparison]:
    """A model compared with the lifted net, which has the model's weights."""
    return compare(model, net.onnx(fill(flat, net)), net.checked)


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


def compiled(text: str, place: str) -> Net:
    """The one net of a spec. Raises LiftError where it has mistakes, which is a defect of lifting."""
    spec = Spec(Source(text, place), read_import)
    mistakes = [d for d in spec.diagnostics if d.severity == "error"]
    if mistakes:
        raise LiftError(f"its spec is refused: {mistakes[0].message}", hint="this is a defect of lifting")
    return Net(spec, None, {}, {}, Options())


def checked_text(flat: Lifted, name: str) -> str:
    """The spec of a flat net, in the standard style."""
    sizes = frozenset[str]().union(*(v.type.names for v in flat.inputs))
    taken = {name, *sizes, *(v.name for v in flat.inputs), *(o.name for o in flat.outputs)}
    statements = composed(unnested(Decomposer(flat).body(), taken), layers_of(flat), taken)
    body, blocks = shared(registered(seq(statements), taken), {name, *sizes})
    text = written(body, flat, name, blocks)
    forget()
    return formatted(text)
