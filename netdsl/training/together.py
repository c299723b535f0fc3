"""Runs that differ in their seed alone, trained as one batched model: whether that is possible and faster, and the
loop. Each run leaves in its folder what it leaves alone, with numbers that are equal up to rounding."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from typing import Any

import torch
from msgspec.structs import replace

from netdsl.diagnostics.memory import available
from netdsl.planning.batching import obstacle
from netdsl.training.begun import Begun, Request, Show, begun, prepared_for
from netdsl.training.data.dataset import Split
from netdsl.training.diagnose import Diverged
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.setup import Prepared, interruptible, start
from netdsl.training.stack import Stack
from netdsl.training.trainer import Trainer

ROUNDS = 9
"""Steps that are measured, alternately as one and one by one."""
SECONDS = 0.5
"""Time after which nothing more is measured."""
TOLERANCE = 1e-3
"""Difference of two ways to compute a loss, of the loss, from which they are not the same."""
SHARE = 0.25
"""The part of the free memory that the samples of all runs may take."""


class Member:
    """A run among others: its row, and what became of it (an exit code, or why it failed)."""

    def __init__(self, row: int, request: Request, first: Prepared | None = None) -> None:
        self.row, self.request = row, request
        self.code: int | Diverged | None = None
        prepared = prepared_for(request)
        if first is not None:
            train, held, test = (
                _shared(a, b)
                for a, b in (
                    (prepared.train, first.train),
                    (prepared.held, first.held),
                    (prepared.data.test, first.data.test),
                )
            )
            data = replace(prepared.data, test=test)
            prepared = replace(prepared, train=train, held=held, data=data)
        self.prepared = prepared


def members_of(requests: Sequence[tuple[int, Request]]) -> list[Member]:
    """The runs with their rows, prepared; samples that are the same are there once."""
    found: list[Member] = []
    for row, request in requests:
        found.append(Member(row, request, found[0].prepared if found else None))
    return found


def _shared(split: Split, other: Split) -> Split:
    """A split, as the other one where both hold the same samples."""
    same = split.read is None and split.graphs is None and len(split.inputs) == len(other.inputs)
    pairs = ((split.target, other.target), *zip(split.inputs, other.inputs, strict=False))
    return other if same and all(torch.equal(a, b) for a, b in pairs) else split


def alike(members: Sequence[Member], decided: bool = False) -> bool:
    """Whether runs differ in nothing but their random numbers, and are such as a batched model knows. Whether their
    samples fit in memory is asked until it is `decided`."""
    first = members[0].prepared
    kind, rest = _kind(first), {id(m.prepared.train): m.prepared.train.held for m in members}
    split, room = first.train, available()
    stored = split.read is None and not split.cut and not split.streams and not split.shards and split.graphs is None
    return (
        stored
        and all(_kind(m.prepared) == kind for m in members)
        and (decided or room is None or sum(rest.values()) <= SHARE * room)
        and obstacle(first.net.checked, first.recipe) is None
    )


def _kind(prepared: Prepared) -> tuple[Any, ...]:
    """Facts that must be the same in all runs: the recipe that their data have completed, the units, the samples."""
    return replace(prepared.recipe, seed=0), prepared.net.options.units, len(prepared.train)


def speedup(prepared: Prepared, rows: int) -> float:
    """How many times faster the first steps of `rows` runs are as one batched model than one by one; 0 where they
    give something else."""
    try:
        return _speedup(prepared, rows)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):  # an op that vmap has no rule for
        return 0.0


def _speedup(prepared: Prepared, rows: int) -> float:
    losses: dict[str, float] = {}

    def loop(name: str) -> Trainer:
        def watch(what: str, numbers: dict[str, Any]) -> None:
            losses[name] = float(numbers["loss"])

        return start(replace(prepared, module=deepcopy(prepared.module)), None, ProcessGroup(), watch)

    alone, *others = (loop(f"{row}") for row in range(rows + 1))
    stack = Stack(others)
    times: list[tuple[float, float]] = []
    since = time.perf_counter()
    for step in range(1 + ROUNDS):
        times.append((_timed(alone, lambda: alone.update(step)), _timed(alone, lambda: stack.update(step))))  # noqa: B023
        if any(abs(losses["0"] - loss) > TOLERANCE * max(1.0, abs(loss)) for loss in losses.values()):
            return 0.0
        if step and time.perf_counter() - since > SECONDS:
            break
    one, all_ = (statistics.median(kind) for kind in zip(*times[1:], strict=True))  # the first step sets up
    return float(rows * one / max(1e-9, all_))


def _timed(loop: Trainer, work: Callable[[], object]) -> float:
    """Seconds that some work takes: of the processor's time, which what else runs here leaves as it is, or a GPU's."""
    clock = time.process_time if loop.device.type == "cpu" else time.perf_counter
    began = clock()
    work()
    if loop.device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


class Together:
    """Runs that are trained as one, `rows` in all: those that have ended leave their row empty.

    `interrupted`, set from outside, leaves a checkpoint of each and ends them.
    """

    def __init__(self, members: Sequence[Member], rows: int) -> None:
        self.members, self.rows = members, rows
        self.interrupted = False
        self.runs: dict[int, Begun] = {}

    def train(self, show: Show) -> None:
        """Train all to their end, and measure them: `code` of each member says how it ended. Raises UserError for what
        ends all of them."""
        with ExitStack() as contexts:
            for member in self.members:
                run = contexts.enter_context(begun(member.request, show, member.prepared))
                run.clock.among = len(self.members)
                self.runs[member.row] = run
            with interruptible(self):
                self._train()
            for member in self.members:
                run = self.runs[member.row]
                run.close()
                if member.code is None:
                    member.code = run.end()

    def _train(self) -> None:
        """Make all steps. Runs that stand behind the others, after the process was killed while checkpoints were
        written, catch up first: each number stays that of its row and step."""
        while waiting := {row: run.loop for row, run in self.runs.items() if self._is_open(row)}:
            steps = sorted({loop.state.step for loop in waiting.values()})
            stack = Stack([self._at(waiting.get(row), steps[0]) for row in range(self.rows)])
            until = steps[1] if len(steps) > 1 else self.runs[next(iter(waiting))].loop.total
            for step in range(steps[0], until):
                if not self._step(stack, step):
                    break
            for row in range(self.rows):
                stack.leave(row)

    def _is_open(self, row: int) -> bool:
        loop = self.runs[row].loop
        return self._member(row).code is None and not loop.is_over() and not loop.interrupted

    def _member(self, row: int) -> Member:
        return next(m for m in self.members if m.row == row)

    @staticmethod
    def _at(loop: Trainer | None, step: int) -> Trainer | None:
        return loop if loop is not None and loop.state.step == step else None

    def _step(self, stack: Stack, step: int) -> bool:
        """One step of all runs in a stack; whether any is left in it."""
        for row, fault in stack.update(step):
            self._fail(row, fault)
        if self.interrupted:
            for run in self.runs.values():
                run.loop.interrupted = True
        members = list(stack.members())
        if any(_is_due(loop) for _, loop in members):
            stack.hand_over()
        for row, loop in members:
            try:
                loop.advance()
            except Diverged as fault:
                self._fail(row, fault)
            if not self._is_open(row):
                stack.leave(row)
        return any(stack.members())

    def _fail(self, row: int, fault: Diverged) -> None:
        self.runs[row].advise(fault)
        self._member(row).code = fault


def _is_due(loop: Trainer) -> bool:
    """Whether the step that was made may end in an evaluation or a checkpoint."""
    step = loop.state.step + 1
    return loop.interrupted or step >= loop.total or any(step % every == 0 for every in loop.intervals)
