"""A summary as JSON data. Sizes are integers, or text where they are symbolic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from netdsl.analysis.count import join
from netdsl.analysis.receptive_field import Field
from netdsl.sizes.dims import Dim
from netdsl.summary.model import Port, Row, Summary
from netdsl.tensors import TensorType


def as_data(summary: Summary, depth: int | None = None) -> dict[str, Any]:
    """The summary as an object for JSON.

    The `params` and `macs` of a row are those of all its repeats together, so the rows add up to the totals (but for
    the `macs` of `training` rows). Its `children` describe one repeat.
    """
    t = summary.totals
    return {
        "net": summary.net,
        "doc": summary.doc,
        "params": t.params,
        "param_tensors": t.param_tensors,
        "buffers": t.buffers,
        "buffer_tensors": t.buffer_tensors,
        "macs": _size(t.macs),
        "training_macs": _size(t.training_macs),
        "activation_bytes": _size(t.activation_bytes),
        "inputs": [_port(p) for p in summary.inputs],
        "outputs": [_port(p) | {"training": p.training} for p in summary.outputs],
        "constraints": list(summary.constraints),
        "receptive_field": _field(summary.receptive_field),
        "residual_links": t.residual_links,
        "rows": [_row(row, "", depth) for row in summary.rows],
    }


def _size(size: Dim | Fraction | None) -> int | str | None:
    return size if size is None or isinstance(size, int) else str(size)


def _shape(type: TensorType) -> list[int | str | None]:
    return [_size(s) for s in type.shape]


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": _shape(port.type), "dtype": port.type.dtype}


def _field(field: Field | None) -> dict[str, Any] | None:
    """`size` is None where every position of the last map sees the whole image."""
    if field is None:
        return None
    return {"size": field.size, "stride": _size(field.stride), "padding": field.padding, "map": _shape(field.map)}


def _row(row: Row, prefix: str, depth: int | None) -> dict[str, Any]:
    path = join(prefix, row.name)
    inside = row.children if depth is None or depth > 1 else ()
    return {
        "path": path,
        "name": row.name,
        "kind": row.kind,
        "outputs": [_shape(t) for t in row.outputs],
        "params": row.params,
        "macs": _size(row.macs),
        "repeat": row.repeat,
        "shared": row.shared,
        "training": row.training,
        "children": [_row(child, path, depth - 1 if depth else None) for child in inside],
    }
