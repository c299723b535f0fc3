"""The experiment of a spec by its name, free of mistakes."""

from __future__ import annotations

from collections.abc import Mapping

from netdsl.checks.experiments import ExperimentCheck
from netdsl.checks.lint.allow import unsilenced
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.experiment.planned import Setting
from netdsl.pipeline import Spec
from netdsl.planning.experiment_entries import find_experiment, read_experiment


def opened(
    spec: Spec, name: str | None, settings: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[Setting, tuple[Diagnostic, ...]]:
    """An experiment with what is changed from outside, and the warnings about it. Raises Fault for the first mistake
    in the file's syntax or in the experiment."""
    for mistake in spec.mistakes:
        if mistake.severity == "error":
            raise Fault(mistake)
    node = find_experiment(spec.module, name)
    found = tuple(ExperimentCheck(spec.module, spec.elaborator).run(node))
    for mistake in found:
        if mistake.severity == "error":
            raise Fault(mistake)
    read = read_experiment(spec.module, node, spec.elaborator.evaluator)
    assert read.experiment is not None
    return Setting(spec, read.experiment, dict(settings), dict(sizes)), unsilenced(found, (spec.module,))
