"""Nets as other libraries write them, in plain torch and with their names: what foreign weights are tested against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """All weights and statistics initialized: initial values hide a swapped tensor. Tables stay."""
    tables = {key for key, _ in module.named_buffers() if "running_" not in key}
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if "running_var" in key:
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.is_floating_point() and key not in tables:
                value.normal_(std=0.5 if value.ndim < 2 else value[0].numel() ** -0.5, generator=generator)
    return module.eval()


class TorchvisionBasicBlock(nn.Module):
    """The block of torchvision's resnet18."""

    def __init__(self, width: int, c: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, c, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        project = stride != 1 or width != c
        self.downsample = (
            nn.Sequential(nn.Conv2d(width, c, 1, stride, bias=False), nn.BatchNorm2d(c)) if project else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchvisionNet(nn.Module):
    """A residual net as torchvision writes it, of these stages; `width`: of the stem and of what the last one gives."""

    def __init__(self, stages: Sequence[Sequence[nn.Module]], width: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width[0])
        for i, blocks in enumerate(stages, 1):
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.stages = len(stages)
        self.fc = nn.Linear(width[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


class TorchvisionResNet18(TorchvisionNet):
    def __init__(self, widths: list[int], classes: int) -> None:
        pairs = zip([widths[0], *widths], widths, strict=False)
        stages = [
            [TorchvisionBasicBlock(width, c, 1 + (i > 0)), TorchvisionBasicBlock(c, c, 1)]
            for i, (width, c) in enumerate(pairs)
        ]
        super().__init__(stages, (widths[0], widths[-1]), classes)


def heads(x: Tensor, count: int) -> Tensor:
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


class HFSelfAttention(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (heads(f(x), self.count) for f in (self.query, self.key, self.value))
        return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)


class HFOutput(nn.Module):
    """A linear layer under the name `dense`, before a norm where there is one."""

    def __init__(self, given: int, dim: int, norm: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(given, dim)
        if norm:
            self.LayerNorm = nn.LayerNorm(dim, eps=1e-12)


class HFAttention(nn.Module):
    """`attention.attention.query` and `attention.output.dense` of ViT; `attention.self.query` of BERT."""

    def __init__(self, dim: int, count: int, name: str, norm: bool) -> None:
        super().__init__()
        setattr(self, name, HFSelfAttention(dim, count))
        self.output = HFOutput(dim, dim, norm)
        self.name = name

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.output.dense(getattr(self, self.name)(x, mask))


class HFViTLayer(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.attention = HFAttention(dim, count, "attention", norm=False)
        self.intermediate = HFOutput(dim, 4 * dim, norm=False)
        self.output = HFOutput(4 * dim, dim, norm=False)
        self.layernorm_before = nn.LayerNorm(dim, eps=1e-6)
        self.layernorm_after = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layernorm_before(x))
        return x + self.output.dense(F.gelu(self.intermediate.dense(self.layernorm_after(x))))


class HFPatches(nn.Module):
    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, dim, patch, patch)


class HFViTEmbeddings(nn.Module):
    def __init__(self, dim: int, patch: int, size: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, dim))
        self.patch_embeddings = HFPatches(dim, patch)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch_embeddings.projection(x).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), y], 1) + self.position_embeddings


class HFEncoder(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class HFViTModel(nn.Module):
    def __init__(self, dim: int, depth: int, count: int, patch: int, size: int) -> None:
        super().__init__()
        self.embeddings = HFViTEmbeddings(dim, patch, size)
        self.encoder = HFEncoder([HFViTLayer(dim, count) for _ in range(depth)])
        self.layernorm = nn.LayerNorm(dim, eps=1e-6)


class HFViT(nn.Module):
    """ViTForImageClassification: separate query, key and value."""

    def __init__(self, dim: int, depth: int, count: int, patch: int, size: int, classes: int) -> None:
        super().__init__()
        self.vit = HFViTModel(dim, depth, count, patch, size)
        self.classifier = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.vit.embeddings(x)
        for layer in self.vit.encoder.layer:
            x = layer(x)
        return self.classifier(self.vit.layernorm(x)[:, 0])


class TimmAttention(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads(y, self.count) for y in self.qkv(x).chunk(3, -1))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class TimmMlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class TimmBlock(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = TimmAttention(dim, count)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = TimmMlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TimmPatchEmbed(nn.Module):
    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)


class TimmViT(nn.Module):
    def __init__(self, dim: int, depth: int, count: int, patch: int, size: int, classes: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, dim))
        self.patch_embed = TimmPatchEmbed(dim, patch)
        self.blocks = nn.Sequential(*[TimmBlock(dim, count) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.cls_token.expand(len(x), -1, -1), y], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(y))[:, 0])


class BertEmbeddings(nn.Module):
    def __init__(self, vocabulary: int, length: int, dim: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, dim)
        self.position_embeddings = nn.Embedding(length, dim)
        self.token_type_embeddings = nn.Embedding(2, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=1e-12)
        self.register_buffer("position_ids", torch.arange(length)[None])


class BertLayer(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.attention = HFAttention(dim, count, "self", norm=True)
        self.intermediate = HFOutput(dim, 4 * dim, norm=False)
        self.output = HFOutput(4 * dim, dim, norm=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.attention.output.LayerNorm(x + self.attention(x, mask))
        return self.output.LayerNorm(x + self.output.dense(F.gelu(self.intermediate.dense(x))))


class BertPooler(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, dim)


class BertModel(nn.Module):
    """Hugging Face's BERT: what its pooler makes of the first token."""

    def __init__(self, vocabulary: int, length: int, dim: int, depth: int, count: int) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(vocabulary, length, dim)
        self.encoder = HFEncoder([BertLayer(dim, count) for _ in range(depth)])
        self.pooler = BertPooler(dim)

    def read(self, tokens: Tensor, segments: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`keep`: what is not padding."""
        e = self.embeddings
        positions = e.position_embeddings.weight[: tokens.shape[1]]
        x = e.LayerNorm(e.word_embeddings(tokens) + positions + e.token_type_embeddings(segments))
        mask = None if keep is None else torch.where(keep, 0.0, -torch.inf)[:, None, None]
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler.dense(x[:, 0]))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.read(tokens, torch.zeros_like(tokens))[1]


class Conv1D(nn.Module):
    """GPT-2's linear layer: the weight is [in, out]."""

    def __init__(self, given: int, wanted: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(given, wanted))
        self.bias = nn.Parameter(torch.zeros(wanted))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class GPT2Attention(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.c_attn = Conv1D(dim, 3 * dim)
        self.c_proj = Conv1D(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads(y, self.count) for y in self.c_attn(x).chunk(3, -1))
        return self.c_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class GPT2MLP(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.c_fc = Conv1D(dim, 4 * dim)
        self.c_proj = Conv1D(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class GPT2Block(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = GPT2Attention(dim, count)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = GPT2MLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """Hugging Face's GPT-2 without the (tied) head: hidden states."""

    def __init__(self, vocabulary: int, length: int, dim: int, depth: int, count: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, dim)
        self.wpe = nn.Embedding(length, dim)
        self.h = nn.ModuleList([GPT2Block(dim, count) for _ in range(depth)])
        self.ln_f = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class GPT2LM(nn.Module):
    """Hugging Face's GPT-2 with its head, whose weight is the table of words."""

    def __init__(self, vocabulary: int, length: int, dim: int, depth: int, count: int) -> None:
        super().__init__()
        self.transformer = GPT2(vocabulary, length, dim, depth, count)
        self.lm_head = nn.Linear(dim, vocabulary, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lm_head(self.transformer(tokens))


class MaskedBert(BertModel):
    """The same with segments and padding: the hidden states too."""

    def forward(self, tokens: Tensor, segments: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(tokens, segments, keep)


class KeyFirstAttention(nn.Module):
    """minGPT's order: the key is registered before the query."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.key = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x)))


class Registered(nn.Module):
    """Layers registered in one order and used in another."""

    def __init__(self, layers: dict[str, nn.Module], used: list[str]) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.used = used

    def forward(self, x: Tensor) -> Tensor:
        for i, name in enumerate(self.used):
            x = getattr(self, name)(F.relu(x) if i else x)
        return x
