"""The input of a lint of recipes: a recipe with its net."""

from __future__ import annotations

from msgspec import Struct

from netdsl.checks.lint.flow import Flow
from netdsl.ir.model import Program
from netdsl.recipe.places import Places
from netdsl.recipe.schema import Recipe
from netdsl.source import Place


class Trained(Struct, frozen=True, eq=False):
    """A recipe with the net it trains and that net's flow. `open_data`: it may be used with other data than it has."""

    recipe: Recipe
    places: Places
    program: Program
    flow: Flow
    open_data: bool = False

    def at(self, place: Place, *fields: str) -> Place | None:
        """A place of the net where it stands in the file of the recipe, else that of a field."""
        own = self.places.name
        return place if own is not None and place.source is own.source else self.places.at(*fields)
