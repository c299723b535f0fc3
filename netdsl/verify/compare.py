"""Verification: compares the outputs of an ONNX model in onnxruntime with those of the emitted module in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from msgspec import Struct
from torch import nn

from netdsl.backends.onnx.check import check_model, runnable
from netdsl.backends.onnx.file import Model
from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import UserError
from netdsl.ir.model import Program
from netdsl.verify.decisions import MOST_UNDECIDED, decisions, taps
from netdsl.verify.distance import GATE, accepted, distance
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.locate import apart, tapped
from netdsl.verify.reference import Reference
from netdsl.verify.sizes import At, at_once, choose
from netdsl.verify.stress import on_cpu, state_of, stress

Export = Callable[[Mapping[str, Any]], Model]
"""Makes a model from the weights of a state dict."""


Made = TypeVar("Made", bound=Model | str)
"""A model, or why there is none."""


class Case(Struct, frozen=True):
    """One comparison.

    `difference`: the largest over the outputs of `max|d| / max|y|`; `error`: why there is none. `accepted`: what it was
    held to: `gate`, the one that was asked for, or more where torch itself is further from the exact result.
    `undecided`: how many numbers were left out, because they jump where a value changes by as much as rounding;
    `deciding`: how many values that others hang on by jumps were compared too (see `decisions`).
    """

    batch: int
    sizes: tuple[tuple[str, int], ...]
    optimised: bool
    weights: str
    difference: float
    ok: bool
    error: str = ""
    accepted: float = GATE
    gate: float = GATE
    undecided: int = 0
    deciding: int = 0

    @property
    def widened(self) -> bool:
        """Whether more was accepted than the gate, because of torch's own rounding."""
        return self.accepted > self.gate


class VerificationError(UserError):
    """A model that does not compute what the net computes. `cases` holds every comparison; `foreign`: ops of the net
    that plug-ins provide."""

    def __init__(self, cases: Sequence[Case], foreign: Sequence[str] = ()) -> None:
        self.cases = tuple(cases)
        failed = [c for c in cases if not c.ok]
        worst = max(failed, key=lambda c: c.difference)
        why = worst.error or f"they differ by {worst.difference:.1e} where {worst.accepted:.0e} is accepted"
        at = ", ".join([f"N={worst.batch}", *(f"{k}={v}" for k, v in worst.sizes)])
        message = f"onnxruntime and torch disagree in {len(failed)} of {len(cases)} cases; at {at}: {why}"
        where = (
            f"look at `onnx` of {', '.join(f'`{n}`' for n in foreign)}, of a plug-in"
            if foreign
            else "please report this"
        )
        super().__init__("unverified", message, f"no ONNX file was written; {where}")


def verify(
    program: Program, module: nn.Module, export: Export, *, at: Sequence[At] | None = None, gate: float = GATE
) -> list[Case]:
    """Compare torch and onnxruntime on a stress copy, then on the module's own weights.

    `export` makes a model from weights. Each is run with graph optimisations off and all on, at the sizes `at` or at
    those that `verify.sizes.choose` finds.
    """
    return verified_model(program, module, partial(_made, export), at=at, gate=gate)[0]


def verified_model(
    program: Program, module: nn.Module, make: Callable[[Mapping[str, Any]], Made], *,
    at: Sequence[At] | None = None, gate: float = GATE,
) -> tuple[list[Case], Made]:  # fmt: skip
    """Verify, and return the cases with the model of the module's own weights. It is made when the stress copy and its
    model are gone: weights are held as few times as can be."""
    points = tuple(at or choose(program))
    module = on_cpu(module)
    cases = _stressed(program, module, make, points, gate)
    model = make(state_of(module))
    return [*cases, *compared(program, module, model, points[:2], "real", gate)], model


def _stressed(
    program: Program, module: nn.Module, make: Callable[[Mapping[str, Any]], Made], points: tuple[At, ...], gate: float
) -> list[Case]:
    sizes = points[0].named
    twin = stress(program, module, draw_inputs(program, min(2, at_once(program, sizes)), sizes, seed=99))
    return list(compared(program, twin, make(state_of(twin)), points, "stress", gate))


def record(cases: Sequence[Case]) -> dict[str, Any]:
    """The metadata of a model on its verification: no measured numbers, so that equal inputs give equal bytes.

    `widened`: more than the gate was accepted somewhere, because torch's own rounding is larger.
    """
    points = dict.fromkeys((c.batch, c.sizes) for c in cases)
    return {
        "against": f"torch {torch.__version__.split('+')[0]}",
        "gate": GATE,
        "passed": all(c.ok for c in cases),
        "widened": any(c.widened for c in cases),
        "at": [{"N": batch, **dict(sizes)} for batch, sizes in points],
        "weights": sorted({c.weights for c in cases}),
    }


def _made(export: Export, state: Mapping[str, Any]) -> Model | str:
    """The model, or why there is none."""
    try:
        return export(state)
    except Exception as error:  # whatever stops the exporter is a failed case, not a crash of the verifier
        return f"{type(error).__name__}: {error}"


def compared(
    program: Program, module: nn.Module, model: Model | str, points: Sequence[At], weights: str, gate: float
) -> Iterator[Case]:
    """One case for each point, with optimisations off and on; a stress copy must not give zeros."""
    was_training = module.training
    module.eval()
    hangs = decisions(program, module)
    references = [Reference(program, module, point, seed, hangs) for seed, point in enumerate(points)]
    wrong = model if isinstance(model, str) else check_model(model)
    usable = model if wrong is None else wrong
    found = {flag: _differences(usable, flag, references, weights, gate) for flag in (False, True)}
    deciding = _deciding(usable, references)
    for i, (point, reference) in enumerate(zip(points, references, strict=True)):
        for optimised, differences in found.items():
            difference, error, left_out = differences[i]
            difference = max(difference, deciding[i])
            limit = gate
            if not error and difference > gate >= GATE:  # a stricter gate is meant as it is said
                limit = accepted(gate, reference.rounding)
            ok = not error and difference <= limit
            values = sum(v.size for v in reference.deciding)
            yield Case(
                point.batch, point.sizes, optimised, weights, difference, ok, error, limit, gate, left_out, values
            )  # fmt: skip
    module.train(was_training)


Found = tuple[float, str, int]
"""How far outputs are from torch's, or infinity and why that cannot be said; how many numbers were left out."""


def _differences(
    model: Model | str, optimised: bool, references: Sequence[Reference], weights: str, gate: float
) -> list[Found]:
    """The difference from every reference. Only one session is open at a time: each holds the weights several times."""
    if isinstance(model, str):
        return [(float("inf"), model, 0)] * len(references)
    with runnable(model) as source:
        session = _session(source, optimised)
    return [_difference(session, reference, weights, gate) for reference in references]


def _deciding(model: Model | str, references: Sequence[Reference]) -> list[float]:
    """How far the values that decide are from torch's: those that a node of the model computes."""
    found = [0.0] * len(references)
    hangs = references[0].decisions
    if isinstance(model, str) or hangs is None:
        return found
    names = taps(model, hangs.paths)
    with tapped(model, list(names.values())) as shown, runnable(shown) as source:
        session = _session(source, False)
    if isinstance(session, str):
        return found
    for i, reference in enumerate(references):
        values = dict(zip(hangs.paths, reference.deciding, strict=True))
        given = session.run({n: x for n, x in reference.feed.items() if n in session.inputs})
        found[i] = max((apart(values[path], given[name]) for path, name in names.items()), default=0.0)
    return found


def sessions(model: Model | str) -> dict[bool, Session | str]:
    """A session without and one with optimisations, or what stands against them."""
    wrong = model if isinstance(model, str) else check_model(model)
    if isinstance(model, str) or wrong is not None:
        return dict.fromkeys((False, True), wrong or "")
    with runnable(model) as source:
        return {flag: _session(source, flag) for flag in (False, True)}


def _session(source: bytes | str, optimised: bool) -> Session | str:
    try:
        return Session(source, threads=torch.get_num_threads(), optimised=optimised)
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        return f"onnxruntime refuses the model: {error}"


def _difference(session: Session | str, reference: Reference, weights: str, gate: float) -> Found:
    if isinstance(session, str):
        return float("inf"), session, 0
    expected = reference.outputs
    if weights == "stress" and _vanishes(reference):
        return float("inf"), "torch gives nothing but zeros: nothing is verified", 0
    try:
        found = list(session.run({n: x for n, x in reference.feed.items() if n in session.inputs}).values())
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        return float("inf"), f"onnxruntime: {error}", 0
    shapes, ours = [list(y.shape) for y in expected], [list(y.shape) for y in found]
    if shapes != ours:
        return float("inf"), f"the outputs are {ours}, torch gives {shapes}", 0
    worst = distance(expected, found)
    if worst > GATE:
        worst = distance(expected, found, reference.sizes)
    if worst != worst:
        return float("inf"), "values that are not finite", 0
    return _without_jumps(worst, found, reference) if worst > gate else (worst, "", 0)


def _vanishes(reference: Reference) -> bool:
    """Whether an output is zero everywhere, which tells nothing. A mask or a class may be: what decides on it tells."""
    zeros = [y for y in reference.outputs if not np.any(y)]
    return any(y.dtype.kind == "f" or not any(np.any(v) for v in reference.deciding) for y in zeros)


def _without_jumps(worst: float, found: list[Any], reference: Reference) -> Found:
    """The difference without the numbers that jump where a value changes by as much as rounding."""
    left_out = sum(int(mask.sum()) for mask in reference.undecided)
    if not left_out:
        return worst, "", 0
    if any(mask.mean() > MOST_UNDECIDED for mask in reference.undecided):
        return float("inf"), "rounding decides over too much of an output: nothing is verified", left_out
    return distance(reference.outputs, reference.decided(found), reference.sizes), "", left_out
