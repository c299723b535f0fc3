"""A map added to its own average."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, key, kind_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic


def check(file: File) -> Iterator[Diagnostic]:
    done: set[At] = set()
    for link in file.flow.links:
        reader = link.consumer
        if reader is None or kind_of(link.producer) not in ("gap", "gmp") or kind_of(reader) != "add":
            continue
        pooled = link.producer.outs[0].type.rank
        is_wider = max(v.type.rank for v in reader.inputs) > pooled
        if is_wider and file.owns(reader.place) and key(reader.place) not in done:
            done.add(key(reader.place))
            message = f"this adds one number per channel, the result of `{kind_of(link.producer)}`, to every position"
            yield warning("pooled-sum", message, reader.place, "a gate multiplies: `it * (gap -> ... -> sigmoid)`")
