"""Comparisons of nets and recipes: what was added, removed, moved or changed, and what it costs."""

from __future__ import annotations

from netdsl.diff.data import net_data, recipe_data
from netdsl.diff.model import NetDiff, RecipeDiff
from netdsl.diff.nets import compare_nets
from netdsl.diff.recipes import compare_recipes
from netdsl.diff.text import net_text, recipe_text

__all__ = [
    "NetDiff",
    "RecipeDiff",
    "compare_nets",
    "compare_recipes",
    "net_data",
    "net_text",
    "recipe_data",
    "recipe_text",
]
