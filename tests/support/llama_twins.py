"""A language model with rotary positions in the naming of Hugging Face, of Meta and of GPT-NeoX, and as a spec."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HF = {
    "embed": "model.embed_tokens", "layers": "model.layers", "norm": "model.norm", "head": "lm_head",
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
    "norm1": "input_layernorm", "norm2": "post_attention_layernorm",
}  # fmt: skip
META = {
    "embed": "tok_embeddings", "layers": "layers", "norm": "norm", "head": "output",
    "q": "attention.wq", "k": "attention.wk", "v": "attention.wv", "o": "attention.wo",
    "gate": "feed_forward.gate", "up": "feed_forward.up", "down": "feed_forward.down",
    "norm1": "attention_norm", "norm2": "ffn_norm",
}  # fmt: skip
NEOX = {
    **HF, "embed": "gpt_neox.embed_in", "layers": "gpt_neox.layers", "norm": "gpt_neox.final_layer_norm",
    "head": "embed_out",
}  # fmt: skip

LLAMA = """
block Layer(heads=4): [L, dim] -> [L, dim] {
  residual {
    rmsnorm(eps=1e-6)
    q = linear(dim, bias=false) -> rearrange("l (h d) -> h l d", h=heads) -> rotary
    k = linear(dim, bias=false) -> rearrange("l (h d) -> h l d", h=heads) -> rotary
    v = linear(dim, bias=false) -> rearrange("l (h d) -> h l d", h=heads)
    sdpa(query=q, key=k, value=v, causal=true) -> rearrange("h l d -> l (h d)") -> linear(dim, bias=false)
  }
  residual {
    rmsnorm(eps=1e-6) -> (linear(3 * dim, bias=false) -> silu) * linear(3 * dim, bias=false) -> linear(dim, bias=false)
  }
}
net Llama(vocabulary=50, dim=32, depth=3) {
  input tokens [L] int64
  embed(vocabulary, dim)
  repeat depth { Layer }
  rmsnorm(eps=1e-6) -> linear(vocabulary, bias=false)
}
"""


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def turned(x: Tensor, base: float = 10000.0) -> Tensor:
    """Queries or keys `[..., L, d]`, rotated by their positions."""
    length, dim = x.shape[-2:]
    frequencies = base ** (-torch.arange(0, dim, 2) / dim)
    angles = torch.arange(length)[:, None] * torch.cat([frequencies, frequencies])
    a, b = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


class Llama(nn.Module):
    """`names`: what its layers are called; those of one block are the same in all of them."""

    def __init__(self, names: dict[str, str], vocabulary: int = 50, dim: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.names, self.depth = names, depth
        self._add(names["embed"], nn.Embedding(vocabulary, dim))
        for i in range(depth):
            wide = {"gate": (dim, 3 * dim), "up": (dim, 3 * dim), "down": (3 * dim, dim)}
            for part in ("v", "k", "q", "o", "gate", "up", "down"):
                self._add(self._path(i, part), nn.Linear(*wide.get(part, (dim, dim)), bias=False))
            for part in ("norm2", "norm1"):
                self._add(self._path(i, part), RMSNorm(dim))
        self._add(names["norm"], RMSNorm(dim))
        self._add(names["head"], nn.Linear(dim, vocabulary, bias=False))

    def _path(self, i: int, part: str) -> str:
        return f"{self.names['layers']}.{i}.{self.names[part]}"

    def _add(self, path: str, layer: nn.Module) -> None:
        owner: nn.Module = self
        *parents, name = path.split(".")
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = getattr(owner, parent)
        owner.add_module(name, layer)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.get_submodule(self.names["embed"])(tokens)
        for i in range(self.depth):
            part = {n: self.get_submodule(self._path(i, n)) for n in ("q", "k", "v", "o", "gate", "up", "down")}
            y = self.get_submodule(self._path(i, "norm1"))(x)
            q, k, v = (part[n](y).unflatten(-1, (4, -1)).transpose(1, 2) for n in "qkv")
            y = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
            x = x + part["o"](y.transpose(1, 2).flatten(2))
            y = self.get_submodule(self._path(i, "norm2"))(x)
            x = x + part["down"](F.silu(part["gate"](y)) * part["up"](y))
        x = self.get_submodule(self.names["norm"])(x)
        logits: Tensor = self.get_submodule(self.names["head"])(x)
        return logits
