"""Subjects for probes: nets of a text, with the recipe of the text or words of its `init`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.probe.subject import Subject, of_known_sizes, with_init
from netdsl.recipe.schema import Recipe
from netdsl.selection import select
from netdsl.source import Source


def subject(text: str, name: str | None = None, init: str | None = None, **arguments: Any) -> Subject:
    """The net of a spec's text as a subject; one that does not fit its recipe's data has the defaults."""
    found = select(Spec(Source(text), read_import), name, None, {}, arguments)
    assert found.net is not None
    made = Subject(of_known_sizes(found.net), found.recipe or Recipe(), Path())
    return made if init is None else replace(made, recipe=replace(made.recipe, init=with_init(made, init)))
