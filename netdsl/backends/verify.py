"""Verification: what onnxruntime computes from an ONNX model is what torch computes from the emitted module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from netdsl.backends.onnx_check import check_model, runnable
from netdsl.backends.onnx_file import Model
from netdsl.backends.session import Session
from netdsl.backends.verify_sizes import At, choose
from netdsl.backends.verify_stress import draw_inputs, on_cpu, state_of, stress
from netdsl.ir.model import Program

GATE = 1e-5
"""The largest difference that is accepted, relative to the largest number of an output."""


Export = Callable[[Mapping[str, Any]], Model]
"""Makes a model from the weights of a state dict."""


class Case(Struct, frozen=True):
    """One comparison. `difference`: the largest over the outputs of `max|d| / max|y|`; `error`: why there is none."""

    batch: int
    sizes: tuple[tuple[str, int], ...]
    optimised: bool
    weights: str
    difference: float
    ok: bool
    error: str = ""


class VerificationError(Exception):
    """A model that does not compute what the net computes. `cases` holds every comparison."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = tuple(cases)
        failed = [c for c in cases if not c.ok]
        worst = max(failed, key=lambda c: c.difference)
        why = worst.error or f"they differ by {worst.difference:.1e} where {GATE:.0e} is accepted"
        at = ", ".join([f"N={worst.batch}", *(f"{k}={v}" for k, v in worst.sizes)])
        super().__init__(f"onnxruntime and torch disagree in {len(failed)} of {len(cases)} cases; at {at}: {why}")


def verify(
    program: Program,
    module: nn.Module,
    export: Export,
    *,
    model: Model | None = None,
    at: Sequence[At] | None = None,
    gate: float = GATE,
) -> list[Case]:
    """Compare torch and onnxruntime on a stress copy, then on the module's own weights.

    `export` makes a model from weights; `model` is the one for the module's own (made where it is not given). Each is
    run with graph optimisations off and all on, at the sizes `at` or at those that `verify_sizes.choose` finds.
    """
    points = tuple(at or choose(program))
    module = on_cpu(module)
    twin = stress(program, module, draw_inputs(program, 2, points[0].named, seed=99))
    cases = list(compared(program, twin, _made(export, state_of(twin)), points, "stress", gate))
    real = model if model is not None else _made(export, state_of(module))
    cases += compared(program, module, real, points[:2], "real", gate)
    return cases


def record(cases: Sequence[Case]) -> dict[str, Any]:
    """What a model's metadata says of its verification: no measured numbers, so that equal inputs give equal bytes."""
    points = dict.fromkeys((c.batch, c.sizes) for c in cases)
    return {
        "against": f"torch {torch.__version__.split('+')[0]}",
        "gate": GATE,
        "passed": all(c.ok for c in cases),
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
    opened = sessions(model)
    was_training = module.training
    module.eval()
    for seed, point in enumerate(points):
        inputs, expected = _reference(program, module, point, seed)
        for optimised, session in opened.items():
            difference, error = _difference(program, session, inputs, expected)
            if weights == "stress" and not all(np.any(y) for y in expected):
                error = error or "torch gives nothing but zeros: nothing is verified"
            ok = not error and difference <= gate
            yield Case(point.batch, point.sizes, optimised, weights, difference, ok, error)
    module.train(was_training)


def sessions(model: Model | str) -> dict[bool, Session | str]:
    """A session without and one with optimisations, or what stands against them."""
    if isinstance(model, str):
        return {False: model, True: model}
    wrong = check_model(model)
    if wrong is not None:
        return {False: wrong, True: wrong}
    with runnable(model) as source:
        return {flag: _session(source, flag) for flag in (False, True)}


def _session(source: bytes | str, optimised: bool) -> Session | str:
    try:
        return Session(source, threads=torch.get_num_threads(), optimised=optimised)
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        return f"onnxruntime refuses the model: {error}"


def _reference(program: Program, module: nn.Module, point: At, seed: int) -> tuple[list[Tensor], list[Any]]:
    """Inputs, and what torch makes of them; positive numbers where normal ones give no finite result."""
    for positive in (False, True):
        inputs = draw_inputs(program, point.batch, point.named, seed, positive)
        with torch.inference_mode():
            given = module(*inputs)
        expected = [y.detach().numpy() for y in _listed(given)]
        if all(np.isfinite(y).all() for y in expected):
            break
    return inputs, expected


def _listed(given: Any) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    return list(given.values()) if isinstance(given, Mapping) else list(given)


def _difference(
    program: Program, session: Session | str, inputs: Sequence[Tensor], expected: Sequence[Any]
) -> tuple[float, str]:
    """The largest relative difference, or infinity and the reason why there is none."""
    if isinstance(session, str):
        return float("inf"), session
    names = (v.name for v in program.main.inputs)
    fed = {n: x.numpy() for n, x in zip(names, inputs, strict=True) if n in session.inputs}
    try:
        found = list(session.run(fed).values())
    except Exception as error:  # as above
        return float("inf"), f"onnxruntime: {error}"
    if len(found) != len(expected):
        return float("inf"), f"{len(found)} outputs, where torch gives {len(expected)}"
    for y, ours in zip(expected, found, strict=True):
        if y.shape != ours.shape:
            return float("inf"), f"an output is {list(ours.shape)}, torch gives {list(y.shape)}"
    worst = float(np.max([relative(y, ours) for y, ours in zip(expected, found, strict=True)], initial=0))
    return (worst, "") if worst == worst else (float("inf"), "numbers that are not finite")


def relative(y: Any, ours: Any) -> float:
    """`max|ours - y| / max|y|`; NaN where a number is not finite, infinity where only `y` is all zeros."""
    largest = float(np.abs(y).max(initial=0))
    difference = float(np.abs(y.astype("float64") - ours).max(initial=0))
    if difference == 0:
        return 0.0 if np.isfinite(largest) else float("nan")
    return difference / largest if largest else float("inf")
