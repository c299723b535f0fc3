"""A softmax, or a sigmoid, in front of a loss that applies it itself."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import delete_last_stage, warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.component import component_name
from netdsl.recipe.losses import Bce, CrossEntropy, DiceCe

SOFTMAX = ("softmax", "log_softmax")
SIGMOID = ("sigmoid", "logsigmoid")


def check(trained: Trained) -> Iterator[Diagnostic]:
    loss = trained.recipe.loss
    applied = SOFTMAX if isinstance(loss, CrossEntropy | DiceCe) else SIGMOID if isinstance(loss, Bce) else ()
    for step in trained.flow.givers(trained.program.main):
        if step is not None and kind_of(step) in applied:
            name, kind = component_name(loss), kind_of(step)
            message = f"`{name}` applies {'softmax' if applied is SOFTMAX else 'sigmoid'} itself: behind `{kind}` "
            message += "its gradients are small and its outputs can't be certain"
            yield warning("softmax-before-loss", message, trained.at(step.place, "loss"), delete_last_stage(step.place))
