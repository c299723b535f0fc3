"""The bytes of a model in pieces, so that its weights are not copied once more to make one string of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from onnx import GraphProto, ModelProto, TensorProto

GRAPH = ModelProto.DESCRIPTOR.fields_by_name["graph"].number
INITIALIZER = GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
RAW_DATA = TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number


def pieces(model: ModelProto) -> Iterator[bytes]:
    """The bytes that `SerializeToString(deterministic=True)` gives, in order."""
    yield _serialised(model, lambda number: number < GRAPH)
    yield from _field(GRAPH, list(_graph(model.graph)))
    yield _serialised(model, lambda number: number > GRAPH)


def part(message: Any, keep: Callable[[int], bool]) -> Any:
    """A message of the same type with those of its fields whose numbers are kept. Others are not looked at: to read the
    field of a weight's numbers copies them."""
    copied = type(message)()
    for field in message.DESCRIPTOR.fields:
        name = field.name
        if not keep(field.number):
            continue
        if field.is_repeated:
            getattr(copied, name).extend(getattr(message, name))
        elif not message.HasField(name):
            continue
        elif field.message_type:
            getattr(copied, name).CopyFrom(getattr(message, name))
        else:
            setattr(copied, name, getattr(message, name))
    return copied


def _graph(graph: GraphProto) -> Iterator[bytes]:
    yield _serialised(graph, lambda number: number < INITIALIZER)
    for tensor in graph.initializer:
        yield from _field(INITIALIZER, list(_tensor(tensor)))
    yield _serialised(graph, lambda number: number > INITIALIZER)


def _tensor(tensor: TensorProto) -> Iterator[bytes]:
    yield _serialised(tensor, lambda number: number < RAW_DATA)
    if tensor.HasField("raw_data"):
        yield from _field(RAW_DATA, [tensor.raw_data])
    yield _serialised(tensor, lambda number: number > RAW_DATA)


def _serialised(message: Any, keep: Callable[[int], bool]) -> bytes:
    return bytes(part(message, keep).SerializeToString(deterministic=True))


def _field(number: int, content: list[bytes]) -> Iterator[bytes]:
    """A field of the wire format that holds bytes: its number and kind, its length, what it holds."""
    yield _varint(number << 3 | 2) + _varint(sum(map(len, content)))
    yield from content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
