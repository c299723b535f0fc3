"""Writes safetensors files tensor by tensor: a header, then every tensor's bytes from where they lie in memory.

The library's own writer needs all tensors as bytes first, several times what the weights take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import msgspec
import torch
from torch import Tensor

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""The format's names for types of elements."""
ALIGNED = 8
"""The header is padded with spaces to a multiple of so many bytes."""


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors by name, with texts in the header. Holds a copy of one tensor at a time, where it isn't contiguous
    on the host already."""
    # As in the library's own files: wide types first, so that every tensor is aligned.
    order = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n))
    header: dict[str, object] = {"__metadata__": dict(notes)} if notes else {}
    at = 0
    for name in order:
        tensor = tensors[name]
        end = at + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % ALIGNED)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for name in order:
        file.write(_bytes(tensors[name]))


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's elements in order, as they lie in the host's memory."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
