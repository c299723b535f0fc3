"""Shared blocks and layers that each use gives further tensors, held against modules written by hand in torch."""

from __future__ import annotations

import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from netdsl.pipeline import Spec
from netdsl.source import Source


def spec(text: str) -> Spec:
    return Spec(Source(text, "a.net"), lambda name, importer: None)


DECODER = """
block Decode(memory, heads=2, keys=none) {
  residual { layernorm -> attention(heads) }
  residual { layernorm -> cross_attention(heads, context=memory, mask=keys) }
  residual { layernorm -> linear(24) -> gelu -> linear(8) }
}

net Tied(depth=3) {
  input memory [M, 8]
  input target [T, 8]
  input keys [M] bool
  share layer = Decode(heads=4)
  target
  repeat depth { layer(memory=memory, keys=keys) }
}
"""


class Decode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(3))
        self.own = nn.MultiheadAttention(8, 4, batch_first=True)
        self.cross = nn.MultiheadAttention(8, 4, batch_first=True)
        self.up, self.down = nn.Linear(8, 24), nn.Linear(24, 8)

    def forward(self, x: Tensor, memory: Tensor, keys: Tensor) -> Tensor:
        y = self.norms[0](x)
        x = x + self.own(y, y, y)[0]
        x = x + self.cross(self.norms[1](x), memory, memory, key_padding_mask=~keys)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norms[2](x))))


def filled(twin: Decode, own: dict[str, Tensor], prefix: str) -> Decode:
    """The twin with the weights of a net, key by key."""
    own = {k.removeprefix(prefix): v for k, v in own.items()}
    state = {f"own.{k}": own[f"attention.{k}"] for k in twin.own.state_dict()}
    for part in ("weight", "bias"):
        cross = [own[f"cross_attention.{n}_proj.{part}"] for n in "qkv"]
        state[f"cross.in_proj_{part}"] = torch.cat(cross)
        state[f"cross.out_proj.{part}"] = own[f"cross_attention.out_proj.{part}"]
        state |= {f"norms.{i}.{part}": own[f"layernorm{i + 1}.{part}"] for i in range(3)}
        state |= {f"{n}.{part}": own[f"linear{i}.{part}"] for i, n in enumerate(("up", "down"), 1)}
    twin.load_state_dict(state)
    return twin.eval()


def test_a_tied_decoder_reads_its_memory_at_each_use() -> None:
    net = spec(DECODER).net("Tied")
    module = net.module(seed=0).eval()
    torch.manual_seed(0)
    for tensor in module.state_dict().values():
        tensor.copy_(torch.randn_like(tensor) * 0.5)
    memory, target = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    keys = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [False] + [True] * 4])
    twin, wanted = filled(Decode(), module.state_dict(), "layer."), target
    for _ in range(3):
        wanted = twin(wanted, memory, keys)
    torch.testing.assert_close(module(memory, target, keys), wanted)
    state = module.state_dict()
    assert len(state) == 22  # each weight once
    model = net.onnx({k: v.numpy() for k, v in state.items()})
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"memory": memory.numpy(), "target": target.numpy(), "keys": keys.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-5, atol=1e-5)


PERCEIVER = """
block Read(data) = residual { cross_attention(2, context=(data -> linear(8))) -> tanh }

net Perceiver {
  input data [M, 3]
  latents = param((4, 8), init=normal)
  share read = Read
  latents -> read(data=data) -> read(data=data)
}
"""


def test_latents_that_are_the_same_for_every_sample_read_through_the_block_that_samples_do() -> None:
    module = spec(PERCEIVER).net("Perceiver").module(seed=0).eval()
    cross, linear = module.read.cross_attention, module.read.linear
    data = torch.randn(3, 5, 3)
    x = module.latents.expand(3, -1, -1)
    for _ in range(2):
        given = linear(data)
        q, k, v = cross.q_proj(x), cross.k_proj(given), cross.v_proj(given)
        heads = [torch.softmax(q[..., s] @ k[..., s].mT / 2, -1) @ v[..., s] for s in (slice(4), slice(4, 8))]
        x = x + torch.tanh(cross.out_proj(torch.cat(heads, -1)))
    torch.testing.assert_close(module(data), x)


def test_one_tensor_that_is_given_twice_is_two_inputs() -> None:
    body = "share f = Mix\n  x -> f(a=y, b=y) -> f(a=it, b=x)"
    net = spec(f"block Mix(a, b) = it * a + (b -> linear(4))\nnet N {{\n  input x [4]\n  input y [4]\n  {body}\n}}")
    module = net.net("N").module(seed=0)
    x, y = torch.randn(2, 3, 4)
    linear = module.f.linear
    first = x * y + linear(y)
    torch.testing.assert_close(module(x, y), first * first + linear(x))


def test_a_shared_op_takes_its_operands() -> None:
    text = "net N {\n  input x [T, 4]\n  input y [S, 4]\n"
    text += "  share f = cross_attention(2)\n  x -> f(context=y) -> f(context=x)\n}"
    net = spec(text).net("N")
    module = net.module(seed=0)
    x, y = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(module(x, y), module.f(module.f(x, y), x))
    assert len(module.state_dict()) == 8


BODY = """block Add(a, f=tanh) = it * 2 + (a -> f)
block Wide(n, a=none) {{ linear(n) }}
net A {{
  input x [4]
  input y [4]
  share mix = Add
  share wide = Wide
  share inner = linear(4)
  {body}
}}
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x -> mix", "the block `Add` needs `a` to be shared"),
        ("x -> mix(b=y)", "the block `Add` takes no value `b`"),
        ("x -> mix(y)", "a shared layer has its arguments already, found a tensor"),
        ("x -> mix(a=linear(4))", "`a` of a shared block must be a tensor, found the layer `linear`"),
        ("x -> mix(a=3)", "a shared layer has its arguments already, found the number `3`"),
        ("x -> wide", "the block `Wide` needs `n` to be shared"),
        ("share f = Wide(4)\n  x -> f(a=y) -> f", "`f` was first used with `a`, and is used without it here"),
        ("share f = Wide(4)\n  x -> f -> f(a=y)", "`f` was first used without `a`, and is given it here"),
        ("share f = Wide(4)\n  x -> f(n=y)", "`n` is given where `f` is declared"),
        ("share f = Add(a=y)\n  x -> f", "a shared layer cannot depend on a tensor"),
        ("share f = Add(a=inner)\n  x -> f", "`f` cannot hold `inner`, which is shared beside it"),
        ("share f = cross_attention(2)\n  x -> f", "the layer `cross_attention` needs `context`"),
    ],
)
def test_what_does_not_fit_is_refused(body: str, message: str) -> None:
    found = spec(BODY.format(body=body)).net("A").diagnostics
    assert message in [d.message for d in found]
    assert all(d.at is not None for d in found)
