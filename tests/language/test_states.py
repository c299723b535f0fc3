"""The states of recurrent layers: asked for by naming them, given by name, held against torch's own calls."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netdsl.pipeline import Spec
from netdsl.source import Source

BODY = """net A {{
  input x [L, 8]
  input h [2, 16]
  input c [2, 16]
  {body}
}}
"""


def spec(body: str) -> Spec:
    return Spec(Source(BODY.format(body=body)), lambda name, importer: None)


def told(body: str) -> list[str]:
    return [d.message for d in spec(body).net("A").diagnostics if d.code != "unused-name"]


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_states_in_and_out_are_torchs(kind: str) -> None:
    cell = kind == "lstm"
    given = "h0=h, c0=c" if cell else "h0=h"
    names = "y, hn, cn" if cell else "y, hn"
    outputs = "output o = y\n  output oh = hn" + ("\n  output oc = cn" if cell else "")
    own = spec(f"{names} = x -> {kind}(16, bidirectional=true, {given})\n  {outputs}").net("A").module(seed=0).eval()
    torch.manual_seed(1)
    x, h, c = torch.randn(3, 5, 8), torch.randn(3, 2, 16), torch.randn(3, 2, 16)
    reference = getattr(nn, kind.upper())(8, 16, bidirectional=True, batch_first=True)
    reference.load_state_dict({k.partition(".")[2]: v for k, v in own.state_dict().items()})
    h0, c0 = h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous()
    y, state = reference(x, (h0, c0) if cell else h0)
    wanted = [y, *(s.transpose(0, 1) for s in (state if cell else (state,)))]
    for found, want in zip(own(x, h, c), wanted, strict=True):
        torch.testing.assert_close(found, want)


def test_one_name_is_the_outputs() -> None:
    types = [o.value.type for o in spec("y = x -> lstm(16)\n  y").net("A").checked.main.outputs]
    assert [len(t.shape) for t in types] == [2]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x -> lstm(16, num_layers=2, c0=c)", "the layer `lstm` needs `h0`"),
        ("x -> lstm(16, h0=h)", "`h0` of one layer of 16 is [1, 16], found [2, 16]"),
        ("a, b, d = x -> gru(16)\n  a", "3 names for 2 values"),
        ("x -> lstm(16, states=true)", "3 tensors flow here, where one is needed"),
    ],
)
def test_what_does_not_fit_is_refused(body: str, message: str) -> None:
    assert message in told(body)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_shared_layer_goes_on_from_its_states(kind: str) -> None:
    """A sequence in two halves gives what the whole gives."""
    cell = kind == "lstm"
    states, given = ("hn, cn", "h0=hn, c0=cn") if cell else ("hn", "h0=hn")
    own = spec(
        f"share f = {kind}(16, states=true)\n  a, {states} = x -> f\n  b, {states} = x -> f({given})\n"
        "  output ab = concat(a, b)\n  output h1 = hn"
    )
    module = own.net("A").module(seed=0).eval()
    reference = getattr(nn, kind.upper())(8, 16, batch_first=True)
    reference.load_state_dict({k.partition(".")[2]: v for k, v in module.state_dict().items()})
    x, h = torch.randn(3, 5, 8), torch.randn(3, 2, 16)
    y, state = reference(torch.cat([x, x], 1))
    found, last = module(x, h, h)
    torch.testing.assert_close(found, y)
    torch.testing.assert_close(last, (state[0] if cell else state).transpose(0, 1))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("share f = lstm(8)\n  x -> f(h0=h)", "`f` is shared without its states"),
        ("share f = lstm(8, states=true)\n  x -> f(c0=c)", "the layer `lstm` needs `h0` beside `c0`"),
        ("share f = lstm(8, states=true)\n  x -> f(h=h)", "the layer `lstm` takes no value `h`"),
        ("share f = conv(8, 3)\n  x -> f(h0=h)", "the layer `conv` takes no value `h0`"),
        (
            "share f = lstm(8, states=true)\n  x -> f(3)",
            "a shared layer has its arguments already, found the number `3`",
        ),
        ("share f = lstm(8, states=true)\n  x -> f()", "a shared layer cannot be called"),
    ],
)
def test_what_a_shared_layer_does_not_take_is_refused(body: str, message: str) -> None:
    assert message in told(body)
