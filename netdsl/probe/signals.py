"""The signals by name, and which of them are looked at where none is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netdsl.diagnostics.diagnostic import Fault
from netdsl.probe.curvature import curvature
from netdsl.probe.dead import dead
from netdsl.probe.field import field
from netdsl.probe.model import Finding, Probed
from netdsl.probe.paths import paths
from netdsl.probe.shatter import shatter
from netdsl.probe.shifts import shifts
from netdsl.probe.signal import signal
from netdsl.probe.spectrum import spectrum
from netdsl.probe.steps import learning_rates, updates
from netdsl.probe.subject import Subject

SIGNALS: dict[str, Callable[[Subject], Finding]] = {
    "signal": lambda subject: signal(subject, ()),
    "dead": dead,
    "shatter": shatter,
    "field": field,
    "spectrum": spectrum,
    "paths": paths,
    "shifts": shifts,
    "lr": learning_rates,
    "updates": updates,
    "curvature": curvature,
}

USUAL = ("signal", "field", "spectrum")
"""What is looked at without being asked for, as far as the net has it: what needs no data and takes little time."""


def probe(subject: Subject, wanted: Sequence[str], inits: Sequence[tuple[str, Any]] = ()) -> Probed:
    """Look at a net. Raises Fault for a signal that was asked for and that the net has no place for."""
    notes = [_weights(subject, bool(inits))]
    findings = []
    for name in wanted or USUAL:
        try:
            findings.append(signal(subject, inits) if name == "signal" else SIGNALS[name](subject))
        except Fault as mistake:
            if wanted:
                raise
            notes.append(f"no `{name}`: {mistake.diagnostic.message}")
    return Probed(subject.net.name, tuple(notes), tuple(findings))


def _weights(subject: Subject, compared: bool) -> str:
    """With which weights the net is looked at; `compared`: with several initialisations."""
    if compared and subject.trained is None:
        return f"with fresh weights (seed {subject.seed})"
    if subject.trained is not None:
        return "with the weights of the run"
    words = " -> ".join(type(w).__name__.lower() for w in subject.recipe.init) or "PyTorch's own"
    return f"with fresh weights (init: {words}, seed {subject.seed})"
