"""Two ops of which the second alone reads what the first gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from netdsl.checks.lint.flow import At, key, kind_of
from netdsl.checks.lint.subject import File
from netdsl.ir.model import Step


def pairs(file: File, first: Collection[str], second: Collection[str]) -> Iterator[tuple[Step, Step]]:
    """Steps of these kinds, the second of which alone reads the first: once for each two places, the second in this
    file."""
    done: set[tuple[At, At]] = set()
    for link in file.flow.links:
        if kind_of(link.producer) in first:
            reader = link.consumer
            if reader is not None and kind_of(reader) in second and file.owns(reader.place):
                places = key(link.producer.place), key(reader.place)
                if places not in done:
                    done.add(places)
                    yield link.producer, reader
