"""An activation behind the last layer of a classifier."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.activations import ACTIVATIONS
from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.softmax_before_loss import SIGMOID, SOFTMAX
from netdsl.checks.lint.subject import delete_last_stage, warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.component import component_name
from netdsl.recipe.losses import Bce, CrossEntropy

LAYERS = ("linear", "conv")


def check(trained: Trained) -> Iterator[Diagnostic]:
    """Softmax and sigmoid have a lint of their own, or are what another loss takes."""
    if not isinstance(trained.recipe.loss, CrossEntropy | Bce):
        return
    for step in trained.flow.givers(trained.program.main):
        if step is None or kind_of(step) not in ACTIVATIONS or kind_of(step) in (*SOFTMAX, *SIGMOID):
            continue
        if any(link.consumer is step and kind_of(link.producer) in LAYERS for link in trained.flow.links):
            name, kind = component_name(trained.recipe.loss), kind_of(step)
            message = f"`{kind}` limits the logits that `{name}` takes, which may be any numbers"
            yield warning(
                "activation-on-logits", message, trained.at(step.place, "loss"), delete_last_stage(step.place)
            )
