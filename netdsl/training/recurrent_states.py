"""States of recurrent layers that are carried from one window of a text to the next.

A text is read as streams side by side. A layer begins each window of a stream with the state in which the one before
ended, without its gradient (truncated backpropagation through time: Werbos 1990), and each stream with zeros. The
states are a part of a checkpoint, by stream, so that a resumed run continues with the same bits on any number of
processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn

from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Text
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.sampler import first_rows
from netdsl.training.distributed.process_group import ProcessGroup

Places = tuple[int, int]
"""The first stream of a window, and the one behind its last."""


class Window(Struct, frozen=True, eq=False):
    """A batch of an evaluation: `rows` of a split, which are the next windows of the streams at `places`;
    `fresh`: their first ones."""

    rows: Tensor
    places: Places
    fresh: bool


class Carried:
    """The states of a module's recurrent layers, [layers, streams, H] each, by layer. Outside of `window` the layers
    begin with zeros, as without."""

    def __init__(self, module: nn.Module) -> None:
        self.states: dict[str, Tensor] = {}
        self.streams = 0
        self.now: tuple[int, int, bool] | None = None
        for name, layer in module.named_modules():
            if isinstance(layer, nn.RNNBase):
                layer.forward = partial(self._forward, name, layer, layer.forward)

    def _forward(self, name: str, layer: Any, own: Any, x: Tensor, *given: Tensor, **named: Tensor) -> Any:
        """A layer's forward pass from the state of its streams; one whose states the spec gives is left alone."""
        if self.now is None or given or named:
            return own(x, *given, **named)
        kind = next(c for c in (nn.LSTM, nn.GRU, nn.RNN) if isinstance(layer, c))
        names = (f"{name}.h", f"{name}.c") if kind is nn.LSTM else (f"{name}.h",)
        before = self._before(names)
        packed: Any = None if before is None else before if kind is nn.LSTM else before[0]
        y, last = kind.forward(layer, x, packed)
        after = last if isinstance(last, tuple) else (last,)
        self._keep(names, after)
        returned = type(layer).__name__.endswith("States")  # the spec takes the last states too
        return (y, *(state.transpose(0, 1) for state in after)) if returned else y

    def _before(self, names: tuple[str, ...]) -> tuple[Tensor, ...] | None:
        assert self.now is not None
        first, last, fresh = self.now
        if fresh or names[0] not in self.states:
            return None
        return tuple(self.states[n][:, first:last].clone() for n in names)

    def _keep(self, names: tuple[str, ...], states: tuple[Tensor, ...]) -> None:
        assert self.now is not None
        first, last, _ = self.now
        for name, state in zip(names, states, strict=True):
            if name not in self.states:
                layers, _, size = state.shape
                self.states[name] = torch.zeros(layers, self.streams, size, dtype=state.dtype, device=state.device)
            self.states[name][:, first:last] = state.detach()

    @contextmanager
    def window(self, places: Places, fresh: bool, streams: int) -> Iterator[None]:
        """Around the forward pass of some of `streams` streams; `fresh`: they begin."""
        self.streams, self.now = streams, (*places, fresh)
        try:
            yield
        finally:
            self.now = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """States of their own for a while: an evaluation leaves those of training as they are."""
        kept, self.states = self.states, {}
        try:
            yield
        finally:
            self.states = kept

    def join(self, ranks: ProcessGroup, count: int) -> None:
        """Give every process the states of all streams after a step on `count` of them: the last step of an epoch has
        fewer, which are shared out in another way."""
        if ranks.world == 1:
            return
        first, last = ranks.share(count)
        for state in self.states.values():
            state[:, :first] = 0
            state[:, last:] = 0
        ranks.sum(self.states)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint keeps."""
        return self.states

    def load(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self.states = {n: t.to(device) for n, t in tensors.items()}


def as_streams(data: DataSet, recipe: Recipe) -> DataSet:
    """A text as the streams of a batch, where the recipe carries states; other data as they are."""
    if not isinstance(recipe.data, Text) or not recipe.data.carry or data.task != "tokens":
        return data
    train, test = (replace(s, streams=min(recipe.batch, len(s))) for s in (data.train, data.test))
    return replace(data, train=train, test=test)


def carried_of(module: nn.Module, split: Split) -> Carried | None:
    """The carried states of a net that reads a split; None where none are carried."""
    return Carried(module) if split.streams else None


def windows(split: Split, share: Places, most: int) -> list[Window]:
    """The windows of a share of a split's streams, at most `most` streams at once, from the first of each on."""
    full, longer = divmod(len(split), split.streams)
    found = []
    for first in range(*share, most):
        for step in range(full + (first < longer)):
            last = min(first + most, share[1], split.streams if step < full else longer)
            streams = torch.arange(first, last)
            rows = first_rows(streams, full, longer) + step
            found.append(Window(rows.to(split.target.device), (first, last), step == 0))
    return found
