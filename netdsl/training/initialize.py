"""How weights start, by role: the words of the recipe's `init`, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdsl.recipe import inits as words
from netdsl.training import checkpoint as files
from netdsl.training.data import DataError
from netdsl.training.groups import Parameter, selects

WEIGHTS = ("conv", "linear")
TABLES = ("embedding", "position")
UNDRAWN = ("norm", "bias", "scale", "gate")
"""What is drawn only where a selector names its role."""


class Start(Sequence[Parameter]):
    """Parameters of a module with their tensors, for the functions below."""

    def __init__(
        self, module: nn.Module, parameters: Sequence[Parameter], last_norms: Sequence[str], base: Path
    ) -> None:
        self.module = module
        self.parameters = tuple(parameters)
        self.tensors = dict(module.named_parameters())
        self.last_norms = tuple(last_norms)
        self.base = base

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, index: Any) -> Any:
        return self.parameters[index]

    def drawn(self, only: Sequence[str], roles: Sequence[str]) -> list[Parameter]:
        """What is drawn: all of the roles, or what the selectors mean (a label does not mean the norms below it)."""
        if not only:
            return [p for p in self.parameters if p.role in roles]
        return [p for p in self.parameters if _selected(p, only) and (p.role not in UNDRAWN or p.role in only)]

    def biases(self, only: Sequence[str]) -> list[Parameter]:
        """All biases, or those that the selectors mean, themselves or through the weight beside them."""
        owners = {_owner(p) for p in self.parameters if _selected(p, only)}
        return [p for p in self.parameters if p.role == "bias" and (not only or _owner(p) in owners)]


def _selected(parameter: Parameter, only: Sequence[str]) -> bool:
    return any(selects(s, parameter) for s in only)


def _owner(parameter: Parameter) -> str:
    return parameter.path.rpartition(".")[0]


Apply = Callable[[Any, Start], str | None]
"""Sets the weights that a word is for; says what there is to say about it."""


def initialize(recipe_words: Sequence[Any], start: Start) -> list[str]:
    """Set the weights of a module; returns what there is to say about it."""
    notes: list[str] = []
    with torch.no_grad():
        for word in recipe_words:
            note = INITS[type(word)](word, start)
            notes += [note] if note else []
    return notes


def _drawn(draw: Callable[[Any, Tensor], Any], roles: tuple[str, ...] = WEIGHTS, axes: int = 1) -> Apply:
    """Draws every weight of the roles; biases become 0. Tensors need so many axes."""

    def apply(word: Any, start: Start) -> None:
        drawn = start.drawn(word.only, roles)
        for parameter in drawn:
            if len(parameter.shape) < axes:
                raise DataError(f"`{word.__struct_config__.tag}` needs a matrix, `{parameter.path}` is a vector")
            draw(word, start.tensors[parameter.path])
        for bias in start.biases(word.only):
            if bias not in drawn:
                start.tensors[bias.path].zero_()

    return apply


def _xavier(word: words.Xavier, w: Tensor) -> None:
    draw = nn.init.xavier_uniform_ if word.distribution == "uniform" else nn.init.xavier_normal_
    draw(w, gain=word.gain)


def _kaiming(word: words.Kaiming, w: Tensor) -> None:
    draw = nn.init.kaiming_uniform_ if word.distribution == "uniform" else nn.init.kaiming_normal_
    draw(w, mode=word.mode, nonlinearity=word.nonlinearity)


def _biases(word: words.Biases, start: Start) -> None:
    for bias in start.biases(word.only):
        start.tensors[bias.path].fill_(word.value)


def _zero_last_norm(word: words.ZeroLastNorm, start: Start) -> str | None:
    for path in start.last_norms:
        start.tensors[path].zero_()
    return None if start.last_norms else "`zero_last_norm` found no norm at the end of a residual branch"


def _head_scale(word: words.HeadScale, start: Start) -> None:
    heads = [p.path for p in start.parameters if p.role == "linear"]
    if heads:
        owner = heads[-1].rpartition(".")[0]
        for name in (heads[-1], f"{owner}.bias"):
            if name in start.tensors:
                start.tensors[name].mul_(word.factor)


def _weights(word: words.Weights, start: Start) -> str | None:
    path = start.base / word.path
    path = path / "model.safetensors" if path.is_dir() else path
    tensors, _ = files.load_tensors(path)
    state = start.module.state_dict()
    fitting = {n: t for n, t in tensors.items() if n in state and state[n].shape == t.shape}
    left = sorted(n for n in state if n not in fitting)
    if left and word.strict:
        hint = "`weights(..., strict=false)` leaves what does not fit"
        raise DataError(f"{path} has no weights of the right shape for `{left[0]}` and {len(left) - 1} more", hint)
    start.module.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} tensors from {path.name}, {len(left)} left as they were" if left else None


INITS: dict[type, Apply] = {
    words.Default: lambda word, start: None,
    words.TruncNormal: _drawn(lambda word, w: nn.init.trunc_normal_(w, std=word.std), (*WEIGHTS, *TABLES)),
    words.Normal: _drawn(lambda word, w: nn.init.normal_(w, std=word.std)),
    words.Uniform: _drawn(
        lambda word, w: nn.init.uniform_(w, -word.bound, word.bound), (*WEIGHTS, *TABLES, "recurrent", "bias")
    ),
    words.Xavier: _drawn(_xavier, axes=2),
    words.Kaiming: _drawn(_kaiming, axes=2),
    words.Orthogonal: _drawn(lambda word, w: nn.init.orthogonal_(w, gain=word.gain), axes=2),
    words.Biases: _biases,
    words.ZeroLastNorm: _zero_last_norm,
    words.HeadScale: _head_scale,
    words.Weights: _weights,
}
