"""Weights by name, before the data are read: where they lie, and how images are prepared for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.inference.run_folder import About
from netdsl.ir.model import Program
from netdsl.planning.preparation import prepared_as
from netdsl.recipe.inits import Pretrained
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet
from netdsl.weights.hub import find
from netdsl.weights.repository import Repository


class TakenOver(Struct, frozen=True, eq=False):
    """A recipe with what its weights by name say of images, and each revision as it was found. `notes`: for the user;
    `repositories`: in the order of the recipe."""

    recipe: Recipe
    repositories: tuple[Repository, ...] = ()
    notes: tuple[str, ...] = ()

    def named(self, data: DataSet) -> DataSet:
        """The data with the weights' names of classes, where theirs are numbers and the head is taken over; with a note
        where both have names, and they differ."""
        steps = [c for c in self.recipe.init if isinstance(c, Pretrained)]
        for step, repository in zip(steps, self.repositories, strict=True):
            other = repository.classes
            if (
                step.head == "new"
                or step.exclude
                or step.into
                or len(other) != len(data.classes)
                or other == data.classes
            ):
                continue
            if data.classes == tuple(map(str, range(len(other)))):
                return replace(data, classes=other, notes=(*data.notes, "classes are called as those of the weights"))
            pairs = enumerate(zip(data.classes, other, strict=True))
            number, ours, theirs = next((i, a, b) for i, (a, b) in pairs if a != b)
            note = f"warning: class {number} is `{ours}`, for the weights `{theirs}`: `head=new` leaves that head out"
            return replace(data, notes=(*data.notes, note))
        return data


def called(data: DataSet, recipe: Recipe, before: About) -> DataSet:
    """The data with the names of classes of a run that is resumed, where they were those of its weights by name."""
    numbered = data.classes == tuple(map(str, range(len(before.classes))))
    named = numbered and any(isinstance(c, Pretrained) for c in recipe.init)
    return replace(data, classes=before.classes) if named else data


def taken_over(recipe: Recipe, program: Program, base: Path) -> TakenOver:
    """Find the weights by name of a recipe; download what the cache lacks. Raises WeightsError."""
    init: list[Any] = []
    found: list[Repository] = []
    notes: list[str] = []
    for component in recipe.init:
        if isinstance(component, Pretrained):
            repository = repository_of(component, base)
            found.append(repository)
            notes += [f"weights of {line}" if i == 0 else line for i, line in enumerate(repository.about)]
            notes += repository.warnings
            component = replace(component, revision=repository.revision)
            if component.preprocessing and not component.into:
                recipe, said = prepared_as(recipe, repository.images, program)
                notes += said
        init.append(component)
    return TakenOver(replace(recipe, init=tuple(init)), tuple(found), tuple(notes))


def repository_of(component: Pretrained, base: Path) -> Repository:
    """Where a component's weights lie: in a folder beside the spec, or in the Hub's cache."""
    return find(component.name, component.revision or None, base)
