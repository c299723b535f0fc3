"""Weight decay on the gains and biases of a transformer."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.optimizers import AdamW

STRONG = 0.02
"""Decay from which the papers of transformers leave norms and biases out."""


def check(trained: Trained) -> Iterator[Diagnostic]:
    """Convolutional nets are often published with decay on everything, so only nets with layer normalisation count."""
    chosen = trained.recipe.optimizer
    if not isinstance(chosen, AdamW) or chosen.weight_decay < STRONG:
        return
    spared = {s for g in trained.recipe.groups if g.settings.get("weight_decay") == 0 for s in g.selectors}
    if "norm" not in spared and any(kind_of(s) in ("layernorm", "rmsnorm") for s in trained.flow.steps):
        message = f"a decay of {chosen.weight_decay:g} pulls the gains of the norms towards 0 too"
        hint = "`group norm, bias { weight_decay = 0 }` leaves them out"
        yield warning("decayed-norms", message, trained.places.at("optimizer.weight_decay", "optimizer"), hint)
