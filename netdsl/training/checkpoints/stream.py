"""Writes safetensors files tensor by tensor: a header, then every tensor's bytes from where they lie in memory, and a
checksum of them all in the header.

The library's own writer needs all tensors as bytes first, several times what the weights take.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
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
CHECKSUM = "checksum"
"""The note that holds the CRC-32 of the file, taken with this note as zeros."""
ZEROS = "00000000"
PIECE = 1 << 20
SENT = 1 << 24
"""After so many bytes the system is told to send them to the disk and to keep no copy: memory of its own for a whole
large file costs three times the processor time, and takes the place of data that will be read again."""
MOST = 1 << 27
"""Bytes of a header; the format allows no more."""


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors by name, with texts in the header. Holds a copy of one tensor at a time, where it isn't contiguous
    on the host already."""
    # As in the library's own files: wide types first, so that every tensor is aligned.
    order = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n))
    header: dict[str, object] = {"__metadata__": {**notes, CHECKSUM: _quoted(ZEROS)}}
    at = 0
    for name in order:
        tensor = tensors[name]
        end = at + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % ALIGNED)
    size = len(text).to_bytes(8, "little")
    file.write(size)
    file.write(text)
    found = zlib.crc32(text, zlib.crc32(size))
    waiting = 0
    for name in order:
        data = _bytes(tensors[name])
        for begin in range(0, len(data), SENT):
            piece = data[begin : begin + SENT]
            file.write(piece)
            found = zlib.crc32(piece, found)
            waiting += len(piece)
            if waiting >= SENT:
                waiting = _send(file)
    file.seek(len(size) + text.index(_marked(ZEROS)))
    file.write(_marked(f"{found:08x}"))


def _send(file: BinaryIO) -> int:
    """Have what was written so far sent to the disk and then forgotten, where the system can; returns 0 bytes."""
    if hasattr(os, "posix_fadvise"):
        file.flush()
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return 0


def is_damaged(file: BinaryIO) -> bool:
    """Whether a file's bytes are others than those that were written. A file without a checksum is taken as it is."""
    size = file.read(8)
    length = int.from_bytes(size, "little")
    if len(size) < 8 or length > MOST:
        return True
    text = file.read(length)
    at = text.find(_marked(ZEROS)[: -len(ZEROS) - 3])
    if at < 0:
        return False
    mark = text[at : at + len(_marked(ZEROS))]
    text = text.replace(mark, _marked(ZEROS), 1)
    found = zlib.crc32(text, zlib.crc32(size))
    while piece := file.read(PIECE):
        found = zlib.crc32(piece, found)
    return mark != _marked(f"{found:08x}")


def _quoted(checksum: str) -> str:
    """A note is JSON."""
    return f'"{checksum}"'


def _marked(checksum: str) -> bytes:
    """The note as it stands in the header."""
    return msgspec.json.encode({CHECKSUM: _quoted(checksum)})[1:-1]


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's elements in order, as they lie in the host's memory."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
