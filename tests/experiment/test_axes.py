"""Axes of charts: round numbers around what is shown, and none that it can't have."""

from __future__ import annotations

import pytest

from netdsl.render.axis import axis
from netdsl.render.figure import Chart, Mark, Series, draw


def labels(low: float, high: float) -> list[str]:
    return [text for _, text in axis(0, 1, [low, high], True, (), round_ends=True).ticks]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.11, 1.7, "0.1 0.2 0.5 1 2"),
        (0.09, 2.2, "0.05 0.1 0.2 0.5 1 2 5"),
        (1e-5, 0.07, "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹"),
        (3e-6, 1e-5, "2x10⁻⁶ 5x10⁻⁶ 10⁻⁵"),
        (5, 5, "5 10"),
        (4.7e-39, 1.1, "10⁻³⁵ 10⁻²⁸ 10⁻²¹ 10⁻¹⁴ 10⁻⁷ 1"),
        (1, 3e15, "1 10³ 10⁶ 10⁹ 10¹² 10¹⁵"),
    ],
)
def test_an_axis_of_ratios(low: float, high: float, shown: str) -> None:
    assert labels(low, high) == shown.replace("x", "\N{MULTIPLICATION SIGN}").split()


@pytest.mark.parametrize("low", [1e-30, 3e-7, 0.2, 1.0, 7.0, 9e4])
@pytest.mark.parametrize("times", [1.0, 1.5, 4.0, 30.0, 99.0, 101.0, 1e6, 1e40])
def test_an_axis_holds_what_it_is_of_and_has_few_marks(low: float, times: float) -> None:
    made = axis(0, 1, [low, low * times], True, (), round_ends=True)
    places = [made.at(v) for v, _ in made.ticks]
    assert -1e-9 <= made.at(low) <= made.at(low * times) <= 1 + 1e-9
    assert 2 <= len(places) <= 8
    assert places == sorted(places)
    assert places[0] >= -1e-9
    assert places[-1] <= 1 + 1e-9


def test_a_level_line_begins_at_0() -> None:
    level = Series("", (Mark(0, 100), Mark(1, 100)))
    text = draw(Chart(title="t", across="x", up="y", series=(level,), most=100))
    assert ">0<" in text
    assert ">120<" not in text


def test_a_file_of_its_own_is_dark_where_the_page_is() -> None:
    chart = Chart(title="t", across="x", up="y", series=(Series("", (Mark(0, 1), Mark(1, 2))),))
    assert "prefers-color-scheme:dark" in draw(chart, alone=True)
    assert "<style>" not in draw(chart)


def test_names_along_x_are_not_joined() -> None:
    def drawn(names: tuple[str, ...]) -> str:
        runs = (Series("a", (Mark(0, 1, 0.1), Mark(1, 2, 0.1))), Series("b", (Mark(0, 3, 0.1), Mark(1, 4, 0.1))))
        return draw(Chart(title="t", across="x", up="y", series=runs, names=names))

    assert drawn(()).count("<polyline") == 2
    assert drawn(("adam", "sgd")).count("<polyline") == 0
    assert drawn(("adam", "sgd")).count("<circle") == drawn(()).count("<circle")
