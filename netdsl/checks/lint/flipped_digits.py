"""Mirrored images of digits, which are other signs or none."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.augmentations import Hflip, Vflip
from netdsl.recipe.component import component_name
from netdsl.recipe.sources import Digits, Mnist


def check(trained: Trained) -> Iterator[Diagnostic]:
    if trained.open_data or not isinstance(trained.recipe.data, Digits | Mnist):
        return
    for augment in trained.recipe.augment:
        if isinstance(augment, Hflip | Vflip):
            name = component_name(augment)
            message = f"`{name}` mirrors digits: a mirrored 2 is no digit, and what tells 6 from 9 may be lost"
            yield warning("flipped-digits", message, trained.places.at(f"augment.{name}"), f"leave out `{name}`")
    if trained.recipe.tta is not None:
        message = "`tta` averages over mirrored digits, which are other signs or none"
        yield warning("flipped-digits", message, trained.places.at("tta"), "leave out `tta`")
