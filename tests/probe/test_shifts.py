"""What a net says of moved images: against rolled ones, and nets of which the answer is known."""

from __future__ import annotations

import pytest
import torch
from msgspec.structs import replace
from probing import subject

from netdsl.diagnostics.diagnostic import Fault
from netdsl.probe.shifts import WAYS, moved, shifts

CNN = """
net N {
  input image [1, 16, 16]
  conv(4, 3) -> relu -> gap -> linear(10)
}
recipe R for N { data = digits(margin=4) }
"""


def test_a_moved_image_is_a_rolled_one_where_its_border_is_blank() -> None:
    torch.manual_seed(0)
    images = torch.nn.functional.pad(torch.rand(2, 3, 4, 5), (3, 3, 3, 3))
    for pixels in (1, 3):
        for (y, x), found in zip(WAYS, moved(images, pixels), strict=True):
            assert torch.equal(found, images.roll((pixels * y, pixels * x), (2, 3)))


def test_a_net_that_sees_no_places_stays_with_its_guess() -> None:
    """Padded convolutions and a mean over all places: a digit in a wide margin is the same anywhere."""
    found = shifts(replace(subject(CNN), samples=100))
    assert [row[0] for row in found.rows] == [0, 1, 2, 3, 4]
    assert [row[1] for row in found.rows] == [1.0] * 5
    assert len({row[2] for row in found.rows}) == 1


def test_a_net_of_one_pixel_does_not() -> None:
    text = CNN.replace("conv(4, 3) -> relu -> gap -> linear(10)", "flatten -> linear(10)")
    made = replace(subject(text), samples=100)
    module = made.module()
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
        (weight,) = (p for p in module.parameters() if p.ndim == 2)
        weight[1, 8 * 16 + 8] = 1.0  # class 1 where the pixel is above its mean, else 0
    data = made.prepared().data
    mean = data.train.take(torch.arange(len(data.train)))[0][0].mean()
    above = data.test.take(torch.arange(100) * len(data.test) // 100)[0][0][:, 0] > mean
    stays = torch.stack([above[:, 8 - y, 8 - x] == above[:, 8, 8] for y, x in WAYS]).float().mean().item()
    found = shifts(replace(made, trained=module))
    assert found.rows[0][1] == 1.0
    assert found.rows[1][1] == pytest.approx(stays)
    assert stays < 1
    assert "of the guesses stay when an image is moved by one pixel" in found.said[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net N { input x [64]\n linear(10) }", "no image as its only input"),
        ("net N { input image [1, 32, 32]\n conv(2, 3) }\nrecipe R for N { data = clutter }", "classes apart"),
    ],
)
def test_what_has_no_shifts_is_told(text: str, message: str) -> None:
    with pytest.raises(Fault) as refused:
        shifts(subject(text))
    assert message in refused.value.diagnostic.message
