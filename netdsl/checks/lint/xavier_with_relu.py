"""An initialisation for symmetric activations in a net of ReLUs."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.inits import Xavier

NORMS = ("bn", "layernorm", "groupnorm", "instancenorm", "rmsnorm")


def check(trained: Trained) -> Iterator[Diagnostic]:
    """With norms the scale of the weights matters little, and a gain of its own says that it was thought of."""
    if any(isinstance(init, Xavier) and init.gain == 1 for init in trained.recipe.init):
        kinds = [kind_of(step) for step in trained.flow.steps]
        if "relu" in kinds and not any(kind in NORMS for kind in kinds):
            message = "`xavier` keeps the variance of linear layers: behind every `relu` half of it is lost"
            yield warning("xavier-with-relu", message, trained.places.at("init"), "use `kaiming`")
