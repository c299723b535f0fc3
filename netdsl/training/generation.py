"""Texts that a trained language model continues: the next token, again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct
from torch import Tensor

from netdsl.inference.trained import longest
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.ops.elementwise import Elementwise
from netdsl.ops.recurrent import Recurrent
from netdsl.training.errors import DataError
from netdsl.training.evaluate import first_output
from netdsl.training.opened import Opened
from netdsl.training.recurrent_states import Carried
from netdsl.training.rng import KeyedRng, key

POINTWISE = frozenset(
    ("embed", "one_hot", "linear", "dropout", "layernorm", "rmsnorm", "identity", "add", "sub", "mul")
)
"""Ops that look at one place of a sequence [L, D] at a time, beside the functions of each number."""


class Sampling(Struct, frozen=True):
    """How a token is chosen. `temperature` divides the scores (0: always the likeliest token); then `top_k` of them are
    left (0: all), then the fewest whose probabilities add up to `top_p` (Holtzman et al. 2020)."""

    temperature: Annotated[float, Meta(ge=0)] = 1.0
    top_k: Annotated[int, Meta(ge=0)] = 0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    seed: int = 0

    def choose(self, scores: Tensor, place: int) -> int:
        """The token at a place of the text, from the scores [C] of all: a function of these, the seed and the place."""
        if not self.temperature:
            return int(scores.argmax())
        chances, order = (scores.double() / self.temperature).softmax(0).sort(descending=True, stable=True)
        kept = torch.arange(len(chances)) < (self.top_k or len(chances))
        chances = chances * kept / (chances * kept).sum()
        chances = chances[kept & (chances.cumsum(0) - chances < self.top_p)]
        upto = chances.cumsum(0)
        drawn = KeyedRng(key(self.seed, "generate"), torch.tensor([place])).uniform("token").double() * upto[-1]
        return int(order[min(int(torch.searchsorted(upto, drawn, right=True)), len(upto) - 1)])


def check_task(trained: Opened) -> None:
    """Raise DataError for a net that cannot continue a text."""
    if trained.task != "tokens" or trained.module is None:
        raise DataError("unfit-net", "only a net that was trained on a text continues one", "`data = text(...)`")


def generate(trained: Opened, program: Program, prompt: Sequence[int], sampling: Sampling, count: int) -> Iterator[int]:
    """`count` tokens that follow a prompt, one after the other.

    A net whose only memory is recurrent reads each token once and keeps its states; another reads the text again for
    each token, as much of it as it was trained on at once. Raises DataError.
    """
    check_task(trained)
    if not prompt:
        raise DataError("no-samples", "the prompt is empty: there is nothing to continue")
    scores = _steps(trained) if reads_once(program) else _contexts(trained)
    text = list(prompt)
    for _ in range(count):
        text.append(sampling.choose(scores(text), len(text)))
        yield text[-1]


def reads_once(program: Program) -> bool:
    """Whether what a net says at a place depends on the places before through its recurrent layers alone."""
    for node in flatten(program):
        alone = isinstance(node.op, Recurrent) and not node.op.bidirectional and len(node.inputs) == 1
        if not alone and node.op.kind not in POINTWISE and not isinstance(node.op, Elementwise):
            return False
    return not isinstance(program.main.inputs[0].type.shape[0], int)


def _steps(trained: Opened) -> Any:
    """The scores of the next token from the states after the text so far, of which only what is new is read."""
    carried, read = Carried(trained.module), 0  # type: ignore[arg-type]

    @torch.no_grad()
    def scores(text: list[int]) -> Tensor:
        nonlocal read
        with carried.window((0, 1), read == 0, 1):
            found = first_output(trained.forward(torch.tensor([text[read:]])))[0, -1]
        read = len(text)
        return found.float()

    return scores


def _contexts(trained: Opened) -> Any:
    """The scores of the next token from the last tokens of the text."""
    most, fixed = longest(trained), trained.shape[0]

    @torch.no_grad()
    def scores(text: list[int]) -> Tensor:
        seen = text[-most:]
        filled = seen + [0] * ((fixed or 0) - len(seen))  # what follows is not looked at
        found: Tensor = first_output(trained.forward(torch.tensor([filled])))[0, len(seen) - 1]
        return found.float()

    return scores
