"""A map whose positions were put on one axis behind the channels, read as a sequence: its channels are the tokens."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.activations import ACTIVATIONS
from netdsl.checks.lint.flow import At, Flow, Link, key, kind_of, op_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic, Label
from netdsl.ir.model import Step

READERS = ("attention", "cross_attention", "lstm", "gru", "rnn")
"""Layers that mix the positions of a sequence, which is their first axis."""

MERGERS = ("flatten", "reshape", "rearrange")
"""Ops that put the sides of an image on one axis."""

PASSING = frozenset(
    (*ACTIVATIONS, "layernorm", "rmsnorm", "dropout", "drop_path", "add", "sub", "mul", "scale", "concat")
)
"""Ops that leave both axes of a sequence where they are."""


def check(file: File) -> Iterator[Diagnostic]:
    done: set[At] = set()
    for link in file.flow.links:
        if _merges(link.producer):
            for reader in _readers(file.flow, link, set()):
                if file.owns(reader.place) and key(reader.place) not in done:
                    done.add(key(reader.place))
                    yield _told(link.producer, reader)


def _merges(step: Step) -> bool:
    """Whether a step makes `[C, positions]` of a map of channels."""
    if kind_of(step) not in MERGERS or (kind_of(step) == "rearrange" and not _keeps_first(op_of(step).pattern)):
        return False
    given, made = step.inputs[0].type, step.outs[0].type
    is_map = given.rank > 2 and given.features == 0
    return is_map and made.rank == 2 and made.features is None and made.shape[0] == given.shape[0]


def _keeps_first(pattern: str) -> bool:
    """Whether the first axis of a pattern stays the first."""
    before, after = (side.split() for side in pattern.split("->"))
    return before[:1] == after[:1]


def _readers(flow: Flow, link: Link, seen: set[At]) -> Iterator[Step]:
    """The layers that read a value as a sequence, behind what leaves its axes where they are."""
    for use in link.uses:
        kind, place = kind_of(use.step), key(use.step.place)
        if kind in READERS and use.operand == 0:
            yield use.step
        elif kind in PASSING and place not in seen:
            seen.add(place)
            for behind in flow.from_place(use.step.place):
                if behind.producer is use.step:
                    yield from _readers(flow, behind, seen)


def _told(merger: Step, reader: Step) -> Diagnostic:
    channels, positions = merger.outs[0].type.shape
    kind = kind_of(reader)
    message = f"`{kind}` takes the {channels} channels for the positions of a sequence, each of {positions} numbers"
    hint = f"`permute((1, 0))` behind `{kind_of(merger)}` makes each position a token"
    label = Label(f"[{channels}, {positions}] comes from here", merger.place)
    return warning("channels-as-positions", message, reader.place, hint, label)
