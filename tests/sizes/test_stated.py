"""Constraints as text mean what they mean as values."""

from __future__ import annotations

import pytest

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.sizes.stated import broken
from netdsl.source import Source

BODIES = [
    "y = conv(4, 3, stride=2)\n z = conv(4, 1) -> maxpool(2)\n y + z",
    "conv(4, 9, padding=0) -> maxpool(3)",
    "y = maxpool(4) -> upsample(4)\n it + y",
    "y = maxpool(3, ceil_mode=true) -> upsample(3)\n it + y",
    "y = permute((0, 2, 1))\n it + y",
    "crop((7, W - 3)) -> maxpool(2)",
    "y = conv(3, 3, stride=2) -> upconv(3, 2, stride=2)\n concat(it, y)",
]


@pytest.mark.parametrize("body", BODIES)
def test_text_and_value_agree_at_every_size(body: str) -> None:
    program = Spec(Source(f"net A {{ input x [3, H, W]\n {body} }}", "a.net"), read_import).net("A").checked
    assert program.constraints
    for h in range(1, 30):
        for w in range(1, 30):
            sizes = {"H": h, "W": w}
            wrong = [str(c) for c in program.constraints if not c.holds(sizes)]
            assert broken(map(str, program.constraints), sizes) == wrong


@pytest.mark.parametrize(
    "text", ["__import__('os')", "H ** 9 == 1", "H %", "open(H)", "H.x == 1", "K == 3", "H % 0 == 1"]
)
def test_what_is_no_constraint_on_known_sizes_breaks_nothing(text: str) -> None:
    assert broken([text], {"H": 3}) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("H in (2, 4)", (2, 4)),
        ("-H >= -2", (1, 2)),
        ("H % 2 == 0 or H > 3", (2, 4, 5, 6)),
        ("H % 2 == 0 and H > 3", (4, 6)),
        ("max(H, 4) == min(H, 6)", (4, 5, 6)),
        ("H != 3", (1, 2, 4, 5, 6)),
        ("H * 2 - 1 <= 2 * 2 + H // 3", (1, 2, 3)),
        ("H + 1 < 3", (1,)),
    ],
)
def test_every_form_of_a_constraint(text: str, kept: tuple[int, ...]) -> None:
    assert tuple(h for h in range(1, 7) if not broken([text], {"H": h})) == kept
