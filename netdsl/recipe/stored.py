"""Recipes as JSON that other versions of netdsl have written into run directories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

OLD_TAG = "word"
"""The key under which 0.1.0 and 0.2.0 wrote the name of a component; it is `component` now."""

DEFAULTS = {"standardize_targets": False}
"""Fields that a recipe of an older version does not have, and what was done then."""


def current(written: Any) -> Any:
    """A value of an older recipe, with the keys of today. Raises nothing: what is malformed stays so."""
    if isinstance(written, list):
        return [current(v) for v in written]
    if not isinstance(written, dict):
        return written
    named = isinstance(written.get(OLD_TAG), str)  # an output of a net may have this name too: its weight is a number
    return {"component" if named and k == OLD_TAG else k: current(v) for k, v in written.items()}


def current_recipe(written: dict[str, Any]) -> dict[str, Any]:
    """A whole recipe of an older version, with the keys and fields of today."""
    return DEFAULTS | {k: current(v) for k, v in written.items()}


def unknown(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """The fields of a stored recipe, as paths, that are not in what was read of it: a newer version has added them."""
    if isinstance(written, dict) and isinstance(read, dict):
        for name, value in written.items():
            if name in read:
                yield from unknown(value, read[name], f"{path}{name}.")
            else:
                yield f"{path}{name}"
    elif isinstance(written, list) and isinstance(read, list | tuple):
        for one, other in zip(written, read, strict=False):
            yield from unknown(one, other, path)
