"""How weights start, by role: the components of the recipe's `init`, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdsl.analysis.residual_branches import Branch
from netdsl.ir.model import Program
from netdsl.planning.branch_scales import fixup_factors, multipliers
from netdsl.planning.groups import Parameter, selects
from netdsl.recipe import inits
from netdsl.recipe.component import component_name
from netdsl.recipe.registry import Executors
from netdsl.training.data.dataset import DataError
from netdsl.training.rng import key
from netdsl.weights.load import Rules, load
from netdsl.weights.mapping import declared
from netdsl.weights.part import part
from netdsl.weights.read import read_file

WEIGHTS = ("conv", "linear")
TABLES = ("embedding", "position")
UNDRAWN = ("norm", "bias", "scale", "gate")
"""What is drawn only where a selector names its role."""


class Start(Sequence[Parameter]):
    """Parameters of a module with their tensors, for the functions below; its residual branches, and the weight of the
    head where it is known; its program and the spec's mapping of foreign keys, for weights from a file."""

    def __init__(
        self,
        module: nn.Module,
        parameters: Sequence[Parameter],
        base: Path,
        branches: Sequence[Branch] = (),
        head: str | None = None,
        program: Program | None = None,
        mapping: Any = None,
    ) -> None:
        self.module = module
        self.program = program
        self.mapping = mapping
        self.parameters = tuple(parameters)
        self.tensors = dict(module.named_parameters())
        self.base = base
        self.branches = tuple(branches)
        linears = [p.path for p in self.parameters if p.role == "linear"]
        self.head = head or (linears[-1] if linears else None)

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
"""Sets the weights that a component is for; returns a note for the user, or None."""


def initialize(components: Sequence[Any], start: Start, seed: int = 0) -> list[str]:
    """Set the weights of a module; returns notes for the user.

    The random values of component number n are a function of (seed, n).
    """
    notes: list[str] = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for number, component in enumerate(components):
            torch.default_generator.manual_seed(key(seed, "init", number) >> 1)
            note = INITS[component](component, start)
            notes += [note] if note else []
    return notes


def _drawn(draw: Callable[[Any, Tensor], Any], roles: tuple[str, ...] = WEIGHTS, axes: int = 1) -> Apply:
    """Draws every weight of the roles; biases become 0. Tensors need so many axes."""

    def apply(component: Any, start: Start) -> None:
        drawn = start.drawn(component.only, roles)
        for parameter in drawn:
            if len(parameter.shape) < axes:
                raise DataError(
                    "not-supported", f"`{component_name(component)}` needs a matrix, `{parameter.path}` is a vector"
                )
            draw(component, start.tensors[parameter.path])
        for bias in start.biases(component.only):
            if bias not in drawn:
                start.tensors[bias.path].zero_()

    return apply


def _xavier(component: inits.Xavier, w: Tensor) -> None:
    draw = nn.init.xavier_uniform_ if component.distribution == "uniform" else nn.init.xavier_normal_
    draw(w, gain=component.gain)


def _kaiming(component: inits.Kaiming, w: Tensor) -> None:
    draw = nn.init.kaiming_uniform_ if component.distribution == "uniform" else nn.init.kaiming_normal_
    draw(w, mode=component.mode, nonlinearity=component.nonlinearity)


def _dirac(component: inits.Dirac, start: Start) -> None:
    for parameter in start.drawn(component.only, ("conv",)):
        tensor = start.tensors[parameter.path]
        if tensor.ndim > 2:
            nn.init.dirac_(tensor[: tensor.shape[1]])


def _biases(component: inits.Biases, start: Start) -> None:
    for bias in start.biases(component.only):
        start.tensors[bias.path].fill_(component.value)


def _zero_last_norm(component: inits.ZeroLastNorm, start: Start) -> str | None:
    norms = [b.norm for b in start.branches if b.norm is not None]
    for path in norms:
        start.tensors[path].zero_()
    return None if norms else "`zero_last_norm` found no norm at the end of a residual branch"


def _head_scale(component: inits.HeadScale, start: Start) -> None:
    if start.head is not None:
        owner = start.head.rpartition(".")[0]
        for name in (start.head, f"{owner}.bias"):
            if name in start.tensors:
                start.tensors[name].mul_(component.factor)


def _fixup(component: inits.Fixup, start: Start) -> str:
    """Scaled and zeroed branches. A weight that several branches share has one place in all of them."""
    factors = fixup_factors(start.branches)
    for parameter in start.parameters:
        tensor = start.tensors[parameter.path]
        if parameter.role == "bias" or parameter.path == start.head:
            tensor.zero_()
        elif parameter.role in WEIGHTS and tensor.ndim > 1:
            nn.init.kaiming_normal_(tensor, mode=component.mode, nonlinearity="relu")
            tensor.mul_(factors.get(parameter.path, 1.0))
    smallest = min((f for f in factors.values() if f), default=1.0)
    return f"fixup: {len(start.branches)} residual branches, their first layers times {smallest:.3g}, their last 0"


def _skipinit(component: inits.SkipInit, start: Start) -> None:
    for path in multipliers(start.branches):
        start.tensors[path].fill_(component.value)


def _weights(component: inits.Weights, start: Start) -> str | None:
    path = start.base / component.path
    if not path.exists():
        hint = "say where they are: `--set 'init.weights.path=\"...\"'`; `--set init=none` starts without"
        raise DataError("no-such-file", f"there are no weights {path}", hint)
    assert start.program is not None, "weights from a file need the program of the net"
    own, prefix = start.program, f"{component.into}." if component.into else ""
    if component.into:
        inner = part(own, component.into)
        if inner is None:
            hint = "it is a path of the state dict, such as the label of a backbone"
            raise DataError("unfit-weights", f"the net has no part `{component.into}`", hint)
        own = inner
    hints = () if component.into else tuple(declared(start.mapping))
    rules = Rules(hints=hints, partial=not component.strict)
    loaded = load(own, read_file(str(path)), lambda: _arrays(start.module, prefix), rules)
    state = {f"{prefix}{n}": torch.as_tensor(a) for n, a in loaded.state.items()}
    start.module.load_state_dict(state, strict=False)
    return f"weights of {path.name}: {'; '.join(loaded.notes)}" if loaded.notes else None


def _arrays(module: nn.Module, prefix: str) -> dict[str, Any]:
    """The tensors of a module below a prefix, by their keys there."""
    tensors = module.state_dict().items()
    return {n.removeprefix(prefix): t.detach().cpu().numpy() for n, t in tensors if n.startswith(prefix)}


INITS: Executors[Apply] = Executors(
    "init",
    {
        inits.Default: lambda component, start: None,
        inits.TruncNormal: _drawn(
            lambda component, w: nn.init.trunc_normal_(w, std=component.std), (*WEIGHTS, *TABLES)
        ),
        inits.Normal: _drawn(lambda component, w: nn.init.normal_(w, std=component.std)),
        inits.Uniform: _drawn(
            lambda component, w: nn.init.uniform_(w, -component.bound, component.bound),
            (*WEIGHTS, *TABLES, "recurrent", "bias"),
        ),
        inits.Xavier: _drawn(_xavier, axes=2),
        inits.Kaiming: _drawn(_kaiming, axes=2),
        inits.Orthogonal: _drawn(lambda component, w: nn.init.orthogonal_(w, gain=component.gain), axes=2),
        inits.Constant: _drawn(lambda component, w: w.fill_(component.value)),
        inits.Dirac: _dirac,
        inits.Biases: _biases,
        inits.ZeroLastNorm: _zero_last_norm,
        inits.HeadScale: _head_scale,
        inits.Weights: _weights,
        inits.Fixup: _fixup,
        inits.SkipInit: _skipinit,
    },
)
