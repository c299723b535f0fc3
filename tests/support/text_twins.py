"""Nets that read text beside something else, in plain torch: CLIP in the naming of Hugging Face, and a translator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from weight_twins import heads


class CLIPAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.count = dim // 64
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        q, k, v = (heads(f(x), self.count) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2))


class CLIPMLP(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class CLIPLayer(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.self_attn = CLIPAttention(dim)
        self.layer_norm1 = nn.LayerNorm(dim)
        self.mlp = CLIPMLP(dim)
        self.layer_norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), causal)
        return x + self.mlp(self.layer_norm2(x))


class CLIPEncoder(nn.Module):
    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([CLIPLayer(dim) for _ in range(depth)])

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        for layer in self.layers:
            x = layer(x, causal)
        return x


class CLIPVisionEmbeddings(nn.Module):
    def __init__(self, dim: int, patch: int, size: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(dim))
        self.patch_embedding = nn.Conv2d(3, dim, patch, patch, bias=False)
        self.position_embedding = nn.Embedding(1 + (size // patch) ** 2, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embedding(x).flatten(2).transpose(1, 2)
        return torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.position_embedding.weight


class CLIPVision(nn.Module):
    def __init__(self, dim: int, depth: int, patch: int, size: int) -> None:
        super().__init__()
        self.embeddings = CLIPVisionEmbeddings(dim, patch, size)
        self.pre_layrnorm = nn.LayerNorm(dim)
        self.encoder = CLIPEncoder(dim, depth)
        self.post_layernorm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(self.pre_layrnorm(self.embeddings(x)), causal=False)
        return self.post_layernorm(x[:, 0])


class CLIPTextEmbeddings(nn.Module):
    def __init__(self, words: int, context: int, dim: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, dim)
        self.position_embedding = nn.Embedding(context, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]


class CLIPText(nn.Module):
    def __init__(self, words: int, context: int, dim: int, depth: int) -> None:
        super().__init__()
        self.embeddings = CLIPTextEmbeddings(words, context, dim)
        self.encoder = CLIPEncoder(dim, depth)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.final_layer_norm(self.encoder(self.embeddings(tokens), causal=True))
        return x[torch.arange(len(x)), tokens.argmax(-1)]


class CLIPModel(nn.Module):
    """Its two embeddings, of which that of the image is scaled."""

    def __init__(
        self, dim: int = 768, depth: int = 12, patch: int = 32, size: int = 224, text_dim: int = 512,
        text_depth: int = 12, out: int = 512, words: int = 49408, context: int = 77,
    ) -> None:  # fmt: skip
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))
        self.text_model = CLIPText(words, context, text_dim, text_depth)
        self.vision_model = CLIPVision(dim, depth, patch, size)
        self.visual_projection = nn.Linear(dim, out, bias=False)
        self.text_projection = nn.Linear(text_dim, out, bias=False)

    def forward(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        image = F.normalize(self.visual_projection(self.vision_model(x)), dim=-1)
        text = F.normalize(self.text_projection(self.text_model(tokens)), dim=-1)
        return image * self.logit_scale.exp(), text


class Encoder(nn.Module):
    def __init__(self, words: int, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, depth, batch_first=True)


class Decoder(nn.Module):
    """Its states go in and out with the layers first, as torch has them."""

    def __init__(self, words: int, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, depth, batch_first=True)
        self.attn = nn.Linear(width, width, bias=False)
        self.concat = nn.Linear(2 * width, width, bias=False)
        self.out = nn.Linear(width, words)

    def forward(self, target: Tensor, memory: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        y, (h, c) = self.lstm(self.embedding(target), states)
        weights = (self.attn(y) @ memory.transpose(1, 2)).softmax(-1)
        return self.out(self.concat(torch.cat([weights @ memory, y], -1)).tanh()), h, c


class Translator(nn.Module):
    def __init__(self, words: int = 10000, width: int = 512, depth: int = 2) -> None:
        super().__init__()
        self.encoder = Encoder(words, width, depth)
        self.decoder = Decoder(words, width, depth)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, states = self.encoder.lstm(self.encoder.embedding(source))
        return self.decoder(target, memory, states)[0]


class Reader(Translator):
    """The half that reads alone: what it gives of each word, and its states with the batch first."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        del self.decoder

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        y, states = self.encoder.lstm(self.encoder.embedding(source))
        return y, *(s.transpose(0, 1) for s in states)


class Writer(Translator):
    """The half that writes alone, its states with the batch first."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        del self.encoder

    def forward(self, target: Tensor, memory: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        given = (h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous())
        y, *states = self.decoder(target, memory, given)
        return y, *(s.transpose(0, 1) for s in states)
