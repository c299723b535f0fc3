"""Tables fit into the terminal: text continues in the next line, and columns without room stand below."""

from __future__ import annotations

import pytest

from netdsl.render.paint import PLAIN, Paint, width
from netdsl.render.table import Cells, columns

ROWS: list[Cells | None] = [
    ("layer", "output", "test accuracy %", "parameters"),
    None,
    ("stem", "[128, 32, 32], [128, 16, 16], [256, 8, 8]", "82.75 ± 0.25", "1,000,000"),
    ("  up.0", "[128, 32, 32]", "9.75 ± 0.25", "20"),
]


def shown(most: int, keys: int = 1) -> list[str]:
    return columns(ROWS, "<<>>", Paint(False, most), keys=keys).split("\n")


@pytest.mark.parametrize("most", [44, 50, 60, 79, 81])
def test_a_table_is_as_wide_as_the_terminal(most: int) -> None:
    lines = shown(most)
    assert max(map(width, lines)) <= most
    words = " ".join(lines).split()
    assert {"82.75", "[128,", "1,000,000", "parameters", "accuracy"} <= set(words)


def test_what_fits_stays_as_it_is() -> None:
    assert shown(200) == columns(ROWS, "<<>>", PLAIN).split("\n")


def test_shapes_and_numbers_are_not_broken_and_texts_keep_their_place() -> None:
    text = "\n".join(shown(62))
    for whole in ("[128, 32, 32]", "[128, 16, 16]", "[256, 8, 8]", "82.75 ± 0.25", "\n    up.0  "):
        assert whole in text


def test_columns_without_room_stand_below_with_what_names_the_rows() -> None:
    above, below = "\n".join(shown(40)).split("\n\n")
    assert above.split()[0] == below.split()[0] == "layer"
    assert "parameters" in below
    assert "parameters" not in above
