"""The tables of what layers and components are called elsewhere: what they say here exists."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import fields

from netdsl.fixes.habits import COMPONENTS, EXACT, HABITS
from netdsl.fixes.layers import layers
from netdsl.fixes.suggest import suggest
from netdsl.loader import read_import
from netdsl.ops import REGISTRY
from netdsl.pipeline import Spec
from netdsl.recipe.aliases import FIELDS, VALUES
from netdsl.recipe.annotations import arguments
from netdsl.recipe.registry import registered, registered_fields
from netdsl.recipe.schema import Recipe
from netdsl.source import Source


def test_what_is_said_whole_checks() -> None:
    for name, code in EXACT.items():
        mask = " -> greater(0)" if code == "logical_not" else ""
        text = f"net N {{\n  input x [4, 8, 8]\n  y = conv(4, 3){mask}\n  y -> {code}\n}}\n"
        assert [d.message for d in Spec(Source(text, "n.net"), read_import).diagnostics] == [], name
        assert next(layers(name, [])) == code


def test_habits_name_ops_and_their_arguments() -> None:
    for name, habit in HABITS.items():
        own = {f.name for f in fields(REGISTRY[habit.op])}
        renamed = {entry.rpartition(">")[2] for entry in habit.arguments.split() if ">" in entry}
        assert renamed <= own, name


def test_values_of_recipes_are_components_or_words() -> None:
    components = {name for field in registered_fields() for name in registered(field)}
    words = {word for info in arguments(Recipe).values() for word in info.kind.choices}
    metrics = set(re.findall(r"`(\w+)`", arguments(Recipe)["metrics"].kind.expected))
    for name, ways in VALUES.items():
        for way in ways:
            assert re.split(r"\W", way)[0] in components | words | metrics, (name, way)
    assert set(COMPONENTS.values()) <= components


def test_fields_that_are_called_otherwise_exist() -> None:
    for name, hint in FIELDS.items():
        called = re.match(r"it is called `(\w+)`", hint)
        assert called is None or called[1] in arguments(Recipe), name


@pytest.mark.parametrize(
    "typed", ["SwiGLU", "GluMlp", "ReGLU", "ScaledStdConv2d", "sparse_softmax", "hstack", "h_sigmoid"]
)
def test_a_part_of_a_name_is_no_safe_guess(typed: str) -> None:
    """`SwiGLU` is no `glu`: a fix that drops what a name says is not applied by itself."""
    source = Source(f"net N {{\n  input x [4, 8, 8]\n  conv(4, 3) -> {typed} -> relu\n}}\n", "n.net")
    found = suggest(source, Spec(source, read_import).diagnostics, lambda s: Spec(s, read_import).diagnostics)
    safe = [e.text for d in found for h in d.hints if h.safe for e in h.edits]
    assert safe in ([], ["hardsigmoid"])
