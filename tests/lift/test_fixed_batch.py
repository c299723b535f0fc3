"""Files that were made for one number of samples: shapes in them are numbers, the batch among them."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netdsl


class Relative(nn.Module):
    """Attention in heads that `view` cuts, its bias expanded to the batch; values are `wide` times as wide."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 2 * (2 + wide) * 4), nn.Linear(8 * wide, 8)
        self.bias = nn.Parameter(torch.randn(2, 5, 5))
        self.sizes = [4, 4, 4 * wide]

    def forward(self, x: Tensor) -> Tensor:
        samples, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(samples, length, 2, -1).transpose(1, 2).split(self.sizes, -1)
        bias = self.bias[None].expand(samples, -1, -1, -1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return x + self.proj(mixed.transpose(1, 2).reshape(samples, length, -1))


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("wide", [1, 4])
def test_the_batch_is_found_among_numbers(wide: int, samples: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    module = nn.Sequential(Relative(wide), nn.LayerNorm(8), Relative(wide)).eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.randn(samples, 5, 8),), file, dynamo=False, opset_version=17)
    path = tmp_path_factory.mktemp("fixed") / "net.onnx"
    path.write_bytes(file.getvalue())
    found = netdsl.from_onnx(str(path))
    lifted = netdsl.load(netdsl.Source(found.text)).module()
    lifted.load_state_dict({k: torch.tensor(a) for k, a in found.state.items()})
    x = torch.randn(samples + 1, 5, 8)
    with torch.no_grad():
        np.testing.assert_allclose(lifted.eval()(x), module(x), atol=1e-5)
    assert len(found.text) < 700
