"""Weights of hand-written modules in the naming of other libraries: the mapped net computes the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from llama_twins import HF, LLAMA, META, NEOX, Llama
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from weight_twins import (
    GPT2,
    GPT2LM,
    BertModel,
    HFViT,
    KeyFirstAttention,
    Registered,
    TimmViT,
    TorchvisionResNet18,
    randomised,
)

import netdsl
from netdsl.backends.torch.module import load_state
from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.weights.load import Rules, matched
from netdsl.weights.read import read_file

RESNET18 = """
block CB(c, k, stride) = conv(c, k, stride=stride, bias=false) -> bn
block Basic(c, stride): [cin, H, W] -> [c, _, _] {
  x = it
  s = CB(c, 1, stride) if stride != 1 or cin != c else x
  y = x -> CB(c, 3, stride) -> relu -> CB(c, 3, 1)
  s + y -> relu
}
net ResNet18(widths=[8, 12, 16], classes=5) {
  input image [3, 64, 64]
  conv(widths[0], 7, stride=2, bias=false) -> bn -> relu -> maxpool(3, stride=2, padding=1)
  for i, c in enumerate(widths) {
    Basic(c, 2 if i > 0 else 1) -> Basic(c, 1)
  }
  gap -> linear(classes)
}
"""

BERT = """
net Bert(vocabulary=50, dim=32, depth=3, heads=4, length=12) {
  input tokens [length] int64
  embeddings: {
    words = embed(vocabulary, dim)
    positions = param((length, dim), init=normal, role=position)
    types = param((2, dim), init=normal)
    words + positions + (types -> take(0)) -> layernorm(eps=1e-12)
  }
  encoder: repeat depth {
    residual { attention(heads) }
    layernorm(eps=1e-12)
    residual { linear(4 * dim) -> gelu -> linear(dim) }
    layernorm(eps=1e-12)
  }
  pooler: take(0) -> linear(dim) -> tanh
}
"""

GPT = """
net GPT(vocabulary=50, dim=32, depth=3, heads=4, length=12) {
  input tokens [length] int64
  text: {
    positions = param((length, dim), init=normal, role=position)
    embed(vocabulary, dim) -> it + positions
  }
  layers: repeat depth {
    residual { layernorm -> attention(heads, causal=true) }
    residual { layernorm -> linear(4 * dim) -> gelu(approximate=tanh) -> linear(dim) }
  }
  layernorm
}
"""

ENCODER = """
net Encoder(dim=16, heads=2, depth=2, hidden=24) {{
  input x [7, dim]
  layers: repeat depth {{ {body} }}
}}
"""
PRE = """
    residual { layernorm -> attention(heads) }
    residual { layernorm -> linear(hidden) -> relu -> linear(dim) }"""
POST = """
    residual { attention(heads) }
    layernorm
    residual { linear(hidden) -> relu -> linear(dim) }
    layernorm"""

PARTS = """
net Attention(dim=16) {
  input x [7, dim]
  q = linear(dim)
  k = linear(dim)
  v = linear(dim)
  sdpa(q, k, v) -> linear(dim)
}
"""

AUTOENCODER = """
net Autoencoder {
  input x [16]
  encoder: linear(16) -> relu -> linear(16)
  relu
  decoder: linear(16) -> relu -> linear(16)
}
"""

PLAIN = """
net Mlp {
  input x [16]
  linear(16) -> relu -> linear(16) -> relu -> linear(16)
}
"""

KINDS = """
net Kinds {
  input x [6, 9, 9]
  conv(6, 3) -> relu -> upconv(6, 3, stride=1, padding=1)
}
"""


DECODER = """
net Decoder(dim=16, heads=2, depth=2, hidden=24) {
  input x [7, dim]
  input memory [5, dim]
  x
  layers: repeat depth {
    residual { attention(heads) }
    layernorm
    residual { cross_attention(heads, context=memory) }
    layernorm
    residual { linear(hidden) -> relu -> linear(dim) }
    layernorm
  }
}
"""

GATED = """
net Gated {
  input x [16]
  g = linear(32, bias=false) -> silu
  u = linear(32, bias=false)
  g * u -> linear(16, bias=false)
}
"""


class TorchDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 24, batch_first=True), 2)

    def forward(self, both: tuple[Tensor, Tensor]) -> Tensor:
        return self.decoder(*both)


class LlamaMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up_proj = nn.Linear(16, 32, bias=False)
        self.gate_proj = nn.Linear(16, 32, bias=False)
        self.down_proj = nn.Linear(32, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def torch_encoder(norm_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def autoencoder() -> nn.Module:
    halves = {name: nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)) for name in ("decoder", "encoder")}
    return Registered(halves, ["encoder", "decoder"])


def image(size: int) -> Tensor:
    return torch.randn(2, 3, size, size)


TEXT = {"dim": 32, "depth": 3, "heads": 4, "vocabulary": 50, "context": 12}
VIT = {"dim": 32, "depth": 3, "heads": 4, "patch": 8, "size": 32, "classes": 5}

TWINS: dict[str, tuple[Any, str, dict[str, Any], Any]] = {
    "a shortcut that is written first": (lambda: TorchvisionResNet18([8, 12, 16], 5), RESNET18, {}, image(64)),
    "timm's ViT": (lambda: TimmViT(32, 3, 4, 8, 32, 5), "vit:ViT", VIT, image(32)),
    "Hugging Face's ViT": (lambda: HFViT(32, 3, 4, 8, 32, 5), "vit:ViT", VIT, image(32)),
    "BERT": (lambda: BertModel(50, 12, 32, 3, 4), BERT, {}, torch.randint(0, 50, (2, 12))),
    "GPT-2": (lambda: GPT2(50, 12, 32, 3, 4), GPT, {}, torch.randint(0, 50, (2, 12))),
    "GPT-2 with its tied head": (lambda: GPT2LM(50, 12, 32, 3, 4), "gpt2:GPT2", TEXT, torch.randint(0, 50, (2, 9))),
    "torch's encoder, norm first": (
        lambda: torch_encoder(True),
        ENCODER.format(body=PRE),
        {},
        torch.randn(2, 7, 16),
    ),
    "torch's encoder, norm last": (
        lambda: torch_encoder(False),
        ENCODER.format(body=POST),
        {},
        torch.randn(2, 7, 16),
    ),
    "Llama in Hugging Face's names": (lambda: Llama(HF), LLAMA, {}, torch.randint(0, 50, (2, 9))),
    "Llama in Meta's names": (lambda: Llama(META), LLAMA, {}, torch.randint(0, 50, (2, 9))),
    "Llama in names of GPT-NeoX": (lambda: Llama(NEOX), LLAMA, {}, torch.randint(0, 50, (2, 9))),
    "torch's decoder": (TorchDecoder, DECODER, {}, (torch.randn(2, 7, 16), torch.randn(2, 5, 16))),
    "a gate": (LlamaMLP, GATED, {}, torch.randn(2, 16)),
    "a key that is registered first": (lambda: KeyFirstAttention(16), PARTS, {}, torch.randn(2, 7, 16)),
    "a decoder that is registered first": (autoencoder, AUTOENCODER, {}, torch.randn(2, 16)),
    "letters out of order": (
        lambda: Registered({n: nn.Linear(16, 16) for n in "acb"}, ["a", "b", "c"]),
        PLAIN,
        {},
        torch.randn(2, 16),
    ),
    "a transposed convolution of the same shape": (
        lambda: Registered({"up": nn.ConvTranspose2d(6, 6, 3, 1, 1), "conv": nn.Conv2d(6, 6, 3, 1, 1)}, ["conv", "up"]),
        KINDS,
        {},
        torch.randn(2, 6, 9, 9),
    ),
}


def target(spec: str, tmp_path: Path) -> str:
    if ":" in spec and "\n" not in spec:
        file, net = spec.split(":")
        return f"specs/{file}.net:{net}"
    (tmp_path / "own.net").write_text(spec)
    return str(tmp_path / "own.net")


def saved(state: dict[str, Tensor], path: Path, seed: int) -> str:
    """A file of these tensors: in the module's order as `.pth`, in any order as safetensors."""
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        keys = list(state)
        random.Random(seed).shuffle(keys)
        save_file({k: state[k].contiguous().clone() for k in keys}, path)
    return str(path)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("name", TWINS)
def test_the_mapped_net_computes_the_same(name: str, ending: str, tmp_path: Path) -> None:
    make, spec, arguments, x = TWINS[name]
    twin = randomised(make())
    file = saved(twin.state_dict(), tmp_path / f"foreign.{ending}", 1)
    out = tmp_path / "own.safetensors"
    given = [w for k, v in arguments.items() for w in ("-p", f"{k}={v}")]
    assert main(["weights", target(spec, tmp_path), file, "-o", str(out), *given]) == 0
    path, _, net = target(spec, tmp_path).partition(":")
    module = netdsl.load(path, net=net or None, **arguments).module().eval()
    load_state(module, load_file(out))
    with torch.no_grad():
        expected = twin(x)
        found = module(*x) if isinstance(x, tuple) else module(x)
        assert (found - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max())


@pytest.mark.parametrize(
    "name",
    [
        "timm's ViT",
        "Hugging Face's ViT",
        "GPT-2",
        "GPT-2 with its tied head",
        "a key that is registered first",
        "a shortcut that is written first",
    ],
)
def test_weights_go_back(name: str, tmp_path: Path) -> None:
    """`--reverse`: what was mapped comes back bit by bit, and what was trained here works there."""
    make, spec, arguments, _ = TWINS[name]
    first, second = randomised(make(), 1), randomised(make(), 2)
    there = saved(first.state_dict(), tmp_path / "there.safetensors", 1)
    other = saved(second.state_dict(), tmp_path / "other.safetensors", 2)
    given = [w for k, v in arguments.items() for w in ("-p", f"{k}={v}")]
    own, back = str(tmp_path / "own.safetensors"), str(tmp_path / "back.safetensors")
    assert main(["weights", target(spec, tmp_path), other, "-o", own, *given]) == 0
    assert main(["weights", target(spec, tmp_path), there, "--reverse", own, "-o", back, *given]) == 0
    expected = second.state_dict()
    found = load_file(back)
    assert set(found) == set(expected)
    assert all(torch.equal(torch.from_numpy(found[k]), expected[k]) for k in expected)


class LetteredBlock(nn.Module):
    """Layers that are counted by letters, the last ones registered first."""

    def __init__(self, given: int, c: int, stride: int) -> None:
        super().__init__()
        self.proj_norm = nn.BatchNorm2d(c)
        self.proj = nn.Conv2d(given, c, 1, stride, bias=False)
        self.norm_b, self.norm_a = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
        self.conv_b = nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.conv_a = nn.Conv2d(given, c, 3, stride, 1, bias=False)


def test_letters_count(tmp_path: Path) -> None:
    groups = nn.ModuleList([LetteredBlock(8, 8, 1), LetteredBlock(8, 16, 2)])
    file = saved(nn.ModuleDict({"groups": groups}).state_dict(), tmp_path / "f.safetensors", 1)
    text = """
        net N { input x [8, 8, 8]
          for i, c in enumerate([8, 16]) {
            residual(shortcut=conv(c, 1, stride=1 + i, bias=false) -> bn) {
              conv(c, 3, stride=1 + i, bias=false) -> bn -> relu -> conv(c, 3, bias=false) -> bn
            }
          }
        }"""
    net = Spec(Source(text, "n.net"), read_import).net("N")
    found = matched(net.checked, read_file(file), Rules())
    assert found.complete
    order = [m.foreign.key.removeprefix("groups.").rpartition(".")[0] for m in found.matches if m.own.key.endswith("t")]
    used = ("proj", "proj_norm", "conv_a", "norm_a", "conv_b", "norm_b")
    assert set(order) == {f"{i}.{name}" for i in (0, 1) for name in used}
    kept = [name for name in order if name.partition(".")[2] in used[2:]]
    assert kept == [f"{i}.{name}" for i in (0, 1) for name in used[2:]]
