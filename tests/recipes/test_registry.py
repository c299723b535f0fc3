"""Every component is registered under its fields, and everything else follows from the registry."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Annotated

import msgspec
import pytest

from netdsl.recipe.annotations import arguments, kind_of
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.reference import fields, reference, sections
from netdsl.recipe.registry import Executors, accepted, component, decoded, registered, registered_fields
from netdsl.recipe.regularizers import DropPath
from netdsl.recipe.schema import SECTIONS, STRUCTURE, Recipe


def _kind(field: str):
    name, _, argument = field.partition(".")
    if argument:
        cls = registered(name)[name]
        return arguments(cls)[argument].kind
    return arguments(Recipe)[name].kind


@pytest.mark.parametrize("field", registered_fields())
def test_a_field_accepts_what_is_registered_for_it(field: str) -> None:
    kind = _kind(field)
    assert (kind.item or kind).components == registered(field)


def test_no_component_of_a_field_is_left_out_of_the_registry() -> None:
    kinds = {n: a.kind.item or a.kind for n, a in arguments(Recipe).items()}
    assert {n for n, k in kinds.items() if k.components} == {f for f in registered_fields() if "." not in f}
    assert "rates" in arguments(DropPath)
    assert "drop_path.rates" in registered_fields()


def test_every_component_is_documented_and_has_one_class_for_its_name_in_a_field() -> None:
    for field in registered_fields():
        for name, cls in registered(field).items():
            assert component_name(cls) == name
            assert cls.__doc__ not in (None, "", Component.__doc__), cls


def test_a_second_component_of_the_same_name_is_refused() -> None:
    with pytest.raises(ValueError, match="two components called `adamw`"):

        @component("optimizer")
        class Other(Component, frozen=True, tag="adamw"):
            """Another."""


def test_a_new_component_is_accepted_and_decoded_without_a_list_kept_by_hand() -> None:
    @component("a_field_of_this_test")
    class First(Component, frozen=True, tag="first"):
        """The first."""

        x: float = 1.0

    @component("a_field_of_this_test")
    class Second(Component, frozen=True, tag="second"):
        """The second."""

        y: Annotated[int, msgspec.Meta(ge=1, description="how many")] = 2

    union = accepted("a_field_of_this_test")
    assert list(kind_of(union).components) == ["first", "second"]
    assert "`first(...)` or `second(...)`" in kind_of(union).expected
    assert msgspec.convert(msgspec.to_builtins(Second(y=3)), union, dec_hook=decoded) == Second(y=3)
    table: Executors = Executors("a_field_of_this_test", {First: lambda c: c.x})
    assert table[First(x=5.0)](First(x=5.0)) == 5.0
    assert table.missing() == ("second",)
    with pytest.raises(ValueError, match="`adamw` is not a component"):
        table.of(registered("optimizer")["adamw"])(len)


@pytest.mark.parametrize(
    "table",
    [
        "training.optim.optimizers:BUILDERS", "training.optim.gradients:PENALTIES", "training.optim.gradients:CLIPS",
        "training.losses.losses:LOSSES", "planning.initialization:ASSIGNMENTS", "training.augment.pipeline:APPLY",
        "training.readers.registry:READERS", "planning.schedule:CURVES", "planning.rates:TIME_RATES",
        "planning.rates:LINK_RATES", "training.test_time:VIEWS",
    ],
)  # fmt: skip
def test_every_component_has_an_executor(table: str) -> None:
    module, _, name = table.partition(":")
    if "readers" in module:
        import_module("netdsl.training.readers").load()
    found = getattr(import_module(f"netdsl.{module}"), name)
    assert isinstance(found, Executors)
    assert found.missing() == ()


def test_every_field_is_in_a_section_and_has_a_description() -> None:
    found = [name for group in sections().values() for name in group]
    assert sorted(found) == sorted(n for n in arguments(Recipe) if n not in STRUCTURE)
    assert found == list(fields()), "the fields of a section stand together in the schema"
    assert all(f.entry.doc for f in fields().values())
    text = "\n".join(reference())
    assert all(f"\n{title}\n---" in f"\n{text}" for title in SECTIONS.values())


def test_components_are_known_before_a_recipe_was_read() -> None:
    """A process that has only seen nets rewrites the components of the first recipe as any other does."""
    code = "from netdsl.recipe.names import component_names; print('adamw' in component_names())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"
