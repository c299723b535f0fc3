"""`rearrange`, `reduce` and `einsum` in specs: against einops and torch, with sizes left open, and as arguments."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from torch.nn import functional as F

from netdsl.pipeline import Net, Spec
from netdsl.source import Source


def net(body: str, head: str = "input image [3, H, W]") -> Net:
    return Spec(Source(f"net N {{\n  {head}\n  {body}\n}}\n", "a.net"), lambda name, importer: None).net("N")


def test_attention_by_names_is_attention() -> None:
    found = net(
        'q, k, v = linear(24, bias=false) -> rearrange("l (k h d) -> k h l d", k=3, h=2) -> chunk(3)\n'
        '  scores = einsum("k h l d, k h m d -> h l m", q, k) * 0.5 -> softmax(axis=-1)\n'
        '  einsum("h l m, k h m d -> l h d", scores, v) -> rearrange("l h d -> l (h d)")',
        "input rows [L, 8]",
    )
    module = found.module(seed=0)
    x = torch.randn(2, 5, 8)
    q, k, v = rearrange(F.linear(x, module.linear.weight), "n l (k h d) -> k n h l d", k=3, h=2)
    wanted = rearrange(F.scaled_dot_product_attention(q, k, v), "n h l d -> n l (h d)")
    torch.testing.assert_close(module(x), wanted)


def test_named_sizes_become_constraints() -> None:
    found = net('rearrange("c (h p) (w q) -> (c p q) h w", p=2, q=4)')
    assert [str(c) for c in found.checked.constraints] == ["H % 2 == 0", "W % 4 == 0"]
    assert str(found.checked.main.outputs[0].value.type) == "[24, H//2, W//4]"


def test_sizes_are_given_a_few_at_a_time() -> None:
    found = net(
        'cut = [rearrange("c (h p) (w q) -> (c p q) h w", p=2)]\n  cut[0](q=3)', "input image [1, 4, 6]"
    ).checked.main
    assert str(found.outputs[0].value.type) == "[6, 2, 2]"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('rearrange("l d -> d l", d=4, d=4)', "`d` is given twice"),
        ('rearrange("l (d e) -> d l e", d=0)', "a size is at least 1, found 0"),
        ('rearrange("l d -> d l", d=1.5)', "`d` must be whole numbers, found the number `1.5`"),
        ('rearrange("l (d -> d l")', 'a bracket is never closed in "l (d -> d l"'),
        ('rearrange("l d")', 'a pattern has one `->`, found "l d"'),
        ('rearrange("l d, m -> l")', "`rearrange` takes one value"),
        ('rearrange("l d -> l d e")', '`e` stands on the right of "l d -> l d e" alone'),
        ('rearrange("l (4 d) -> l d")', '`4` has no meaning in "l (4 d) -> l d"'),
        ('reduce("l d -> l")', "the layer `reduce` needs `reduction`"),
        ('reduce("l d -> l", median)', "`reduction` of `reduce` is one of `max`, `mean`, `min`, `sum`; found `median`"),
        ('einsum("l d, d -> l", it)', '"l d, d -> l" refers to 2 values, found 1'),
        ('einsum("l d, m d -> l m", it, take(0))', '"m d" names 2 axes, found [8]'),
    ],
)
def test_what_does_not_fit_is_refused(body: str, message: str) -> None:
    found = net(body, "input rows [5, 8]").diagnostics
    assert [d.message for d in found] == [message]
