"""Comparisons as JSON data: `netdsl diff --format json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netdsl.diff.model import Cost, Field, Item, NetDiff, Pair, RecipeDiff, Side
from netdsl.diff.nets import Found, walk
from netdsl.ir.model import Definition
from netdsl.ir.text import op_text
from netdsl.sizes.dims import Dim


def net_data(diff: NetDiff) -> dict[str, Any]:
    """Two nets, compared. `changes` holds every step that is not the same, also those that only follow in size."""
    changes = map(_entry, walk(diff.pair))
    return {
        "equal": diff.equal,
        "before": _side(diff.before),
        "after": _side(diff.after),
        "fields": [_field(f) for f in (*diff.fields, *diff.pair.fields)],
        "blocks": list(_blocks(diff.pair, "", "")),
        "changes": [c for c in changes if c is not None],
        "state_dict": [
            {"before": t.before, "after": t.after, "fits": t.fits and None not in (t.before, t.after)}
            for t in diff.tensors
        ],
    }


def recipe_data(diff: RecipeDiff) -> dict[str, Any]:
    """Two recipes, compared."""
    return {
        "equal": diff.equal,
        "before": diff.before,
        "after": diff.after,
        "fields": list(map(_field, diff.fields)),
        "follows": list(map(_field, diff.follows)),
    }


def _side(side: Side) -> dict[str, Any]:
    cost = side.cost
    return {
        "net": side.name,
        "params": cost.params,
        "macs": _size(cost.macs),
        "activation_bytes": _size(cost.bytes),
        "receptive_field": side.field or None,
    }


def _entry(found: Found) -> dict[str, Any] | None:
    entry, delta = found.entry, found.delta
    renamed = found.before + _name(entry.before) != found.after + _name(entry.after)
    if entry.kind == "same" and not entry.moved and not renamed and delta == Cost():
        return None
    return {
        "kind": "moved" if entry.moved and entry.kind in ("same", "resized") else entry.kind,
        "moved": bool(entry.moved),
        "reads": list(map(_field, entry.moved)),
        "before": _item(found.before, entry.before),
        "after": _item(found.after, entry.after),
        "fields": list(map(_field, entry.fields)),
        "params": delta.params,
        "macs": _size(delta.macs),
        "activation_bytes": _size(delta.bytes),
    }


def _blocks(pair: Pair, before: str, after: str) -> Iterator[dict[str, Any]]:
    """The blocks that were compared step by step, as far as they are called or connected otherwise themselves."""
    for entry in pair.entries:
        if entry.body is None or entry.before is None or entry.after is None:
            continue
        fields = (*entry.fields, *entry.arguments, *entry.body.fields)
        if fields:
            sides = {"before": _item(before, entry.before), "after": _item(after, entry.after)}
            yield {**sides, "fields": list(map(_field, fields))}
        yield from _blocks(entry.body, f"{before}{entry.before.name}.", f"{after}{entry.after.name}.")


def _name(item: Item | None) -> str:
    return item.name if item else ""


def _item(prefix: str, item: Item | None) -> dict[str, Any] | None:
    if item is None:
        return None
    callee = item.callee
    return {
        "layer": f"{prefix}{item.name}" if item.name else None,
        "in": prefix.rstrip("."),
        "calls": callee.name if isinstance(callee, Definition) else op_text(callee),
        "outputs": [str(v.type) for v in item.outs],
    }


def _field(field: Field) -> dict[str, Any]:
    return {"name": field.name, "before": field.before, "after": field.after}


def _size(size: Dim) -> int | str:
    return size if isinstance(size, int) else str(size)
