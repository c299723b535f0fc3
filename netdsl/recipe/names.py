"""The names of all components, whether or not a recipe was read before."""

from __future__ import annotations

from netdsl.recipe.registry import registered_names


def component_names() -> frozenset[str]:
    """The names of all components, those of plug-ins too."""
    import netdsl.recipe.schema  # noqa: F401 - it registers them, and takes its time

    return registered_names()
