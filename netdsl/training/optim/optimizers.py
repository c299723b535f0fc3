"""Optimizers of a recipe: torch's own where it has them, with the fused kernel where there is one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.optim import Optimizer

from netdsl.planning.groups import ParameterGroup
from netdsl.planning.schedule import peak_lr
from netdsl.recipe import optimizers as components
from netdsl.recipe.registry import Executors
from netdsl.recipe.schema import Recipe
from netdsl.training.distributed.shards import in_parts
from netdsl.training.optim.large_batch import Lamb, Lars, Lion, RMSpropTF
from netdsl.training.optim.reparametrization import Factors, factor_names

Groups = list[dict[str, Any]]

ALMOST_NOTHING = 2.0**-24
"""What an lr of 0 counts as, of the peak, where the momentum holds the lr: the weights coast on, as by the formula, and
gradients are lost in rounding. At 0 itself a buffer of gradients could not hold the momentum."""


class Updater:
    """The optimizer (or two) of a run, with the lr of every group as a function of the scheduled lr."""

    def __init__(
        self,
        module: nn.Module,
        groups: Sequence[ParameterGroup],
        recipe: Recipe,
        updates: int,
        factors: Mapping[str, Factors] | None = None,
    ) -> None:
        self.component = recipe.optimizer
        tensors = dict(module.named_parameters())
        decay = decay_factor(recipe, updates)
        joined = bool(recipe.unfreeze)
        parts = _parted(groups, factors or {})
        described = [_described(g, tensors, self.component, decay, joined) for g in parts]
        self.optimizers = BUILDERS[self.component](self.component, described)
        self.lr = 0.0
        self.held = 0.0
        self.least = peak_lr(recipe) * ALMOST_NOTHING

    def tensors(self) -> list[Tensor]:
        """The state of the optimizers."""
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def set_lr(self, lr: float) -> None:
        """Set the scheduled lr; with `lr_in_buffer` the momentum keeps what earlier gradients were multiplied by.

        `held` is the lr that the buffer is to be multiplied by.
        """
        self.lr = used = lr
        if self.component.holds_lr:
            used = lr or min(self.held, self.least)
            if used and used != self.held:
                self._rescale_buffers(self.held / used)
        self.held = used
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = used * group["lr_scale"]

    def _rescale_buffers(self, factor: float) -> None:
        buffers = [
            s["momentum_buffer"]
            for o in self.optimizers
            for s in o.state.values()
            if s.get("momentum_buffer") is not None
        ]
        if buffers:
            torch._foreach_mul_(buffers, factor)

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def zero(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)


def decay_factor(recipe: Recipe, updates: int) -> float:
    """The factor of weight decay by which torch's lr * decay becomes the recipe's kind of decay.

    `schedule`: the multiplier of the schedule alone; `normalized`: that by the root of
    the steps of the run, as the authors' code has it.
    """
    kind = recipe.optimizer.decay_times
    if kind == "lr":
        return 1.0
    factor = 1 / peak_lr(recipe)
    return factor / max(1, updates) ** 0.5 if kind == "normalized" else factor


def _parted(groups: Sequence[ParameterGroup], factors: Mapping[str, Factors]) -> Iterator[ParameterGroup]:
    """The groups, with the factors of weights that are products apart: they have no weight decay."""
    for group in groups:
        whole = tuple(p for p in group.paths if p not in factors)
        if whole:
            yield replace(group, paths=whole)
        if len(whole) < len(group.paths):
            names = tuple(n for p in group.paths if p in factors for n in factor_names(p))
            yield replace(group, paths=names, settings={**group.settings, "weight_decay": 0.0})


def _described(
    group: ParameterGroup, tensors: Mapping[str, nn.Parameter], component: Any, decay: float, joined: bool = False
) -> dict[str, Any]:
    """A group as torch takes it, whose optimizer multiplies decay by the group's lr. `joined`: some of its parameters
    begin to train later than others."""
    settings = dict(group.settings)
    if component.decay_times != "lr" and group.lr_scale:  # the schedule's multiplier alone is that of every group
        decay /= group.lr_scale
    settings["weight_decay"] = settings.get("weight_decay", component.weight_decay) * decay
    own = {"lr_scale": group.lr_scale, "joined": joined, "method": group.method}
    return {"params": [tensors[p] for p in group.paths], **own, **settings}


def _fused(groups: Groups, in_shards: bool = False) -> bool:
    """Whether torch has a fused kernel for all parameters: floating, on a CPU or a CUDA device, and whole (some
    kernels: `in_shards`)."""
    if not in_shards and any(in_parts(p) for g in groups for p in g["params"]):
        return False
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for g in groups for p in g["params"])


def eager(kind: type[Optimizer]) -> Callable[..., Optimizer]:
    """A class of torch's optimizers that does not load torch's compiler, 1.5 s of CPU.

    Its methods load it when they are first called, so as to be left out of what it compiles; a run compiles its module
    alone.
    """
    plain: dict[str, Any] = {"step": torch.no_grad()(inspect.unwrap(kind.step))}
    for name, method in vars(Optimizer).items():
        if name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
            plain[name] = inspect.unwrap(method)
    return type(kind.__name__, (kind,), plain)


def _sgd(component: components.Sgd, groups: Groups) -> list[Optimizer]:
    return [
        eager(torch.optim.SGD)(
            groups,
            lr=component.lr,
            momentum=component.momentum,
            dampening=component.dampening,
            nesterov=component.nesterov,
            fused=_fused(groups) and not any(g.get("joined") for g in groups),  # it wants momentum of all, or of none
        )
    ]


def _adam(cls: type[Optimizer], **more: Any) -> Callable[[Any, Groups], list[Optimizer]]:
    def build(component: Any, groups: Groups) -> list[Optimizer]:
        fused = {"fused": _fused(groups, in_shards=True)} if cls in (torch.optim.Adam, torch.optim.AdamW) else {}
        options = {torch_name: getattr(component, name) for torch_name, name in more.items()}
        made = eager(cls)(groups, lr=component.lr, betas=component.betas, eps=component.eps, **fused, **options)
        return [made]

    return build


def _rmsprop(component: components.RmsProp, groups: Groups) -> list[Optimizer]:
    options: dict[str, Any] = {
        "alpha": component.alpha,
        "eps": component.eps,
        "momentum": component.momentum,
        "centered": component.centered,
    }
    return [eager(RMSpropTF if component.tensorflow else torch.optim.RMSprop)(groups, lr=component.lr, **options)]


def _adagrad(component: components.Adagrad, groups: Groups) -> list[Optimizer]:
    return [eager(torch.optim.Adagrad)(groups, lr=component.lr, eps=component.eps, fused=_fused(groups))]


class MatrixMuon(torch.optim.Muon):
    """torch's Muon on weights of any rank: a convolution's weight is updated as a matrix (out, in * kernel).

    The weights themselves are its parameters, so that whatever looks at gradients (a scaler, clipping) sees theirs;
    they are matrices only while a step is computed, copied where their memory is laid out otherwise (channels-last).
    """

    def __init__(self, groups: Groups, **options: Any) -> None:
        super().__init__([{**g, "params": [_matrix(p) for p in g["params"]]} for g in groups], **options)
        for own, given in zip(self.param_groups, groups, strict=True):
            own["params"] = list(given["params"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        weights = [group["params"] for group in self.param_groups]
        matrices = [[_matrix(w) for w in some] for some in weights]
        pairs = [pair for a, b in zip(weights, matrices, strict=True) for pair in zip(a, b, strict=True)]
        self._exchange(matrices, pairs)
        try:
            return super().step(closure)  # type: ignore[no-untyped-call]
        finally:
            self._exchange(weights, [(matrix, weight) for weight, matrix in pairs])
            for weight, matrix in pairs:
                if weight.data_ptr() != matrix.data_ptr():
                    weight.copy_(matrix.view(weight.shape))

    def _exchange(self, parameters: list[list[Tensor]], pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Let others be the parameters; the state of each moves along."""
        for group, some in zip(self.param_groups, parameters, strict=True):
            group["params"] = some
        for before, after in pairs:
            if before is not after and before in self.state:
                self.state[after] = self.state.pop(before)


def _matrix(weight: Tensor) -> Tensor:
    """A weight with its gradient as a matrix: itself where it is one, a view where its memory allows, else a copy."""
    if weight.ndim == 2:
        return weight
    matrix = nn.Parameter(weight.detach().reshape(len(weight), -1))
    if weight.grad is not None:
        matrix.grad = weight.grad.reshape(matrix.shape)
    return matrix


def _by_muon(parameter: Tensor, group: Mapping[str, Any]) -> bool:
    return parameter.ndim >= 2 and not group.get("method")


def _muon(component: components.Muon, groups: Groups) -> list[Optimizer]:
    """Muon for tensors of two axes or more, AdamW for the others and for groups that ask for it."""
    matrices, rest = (
        [{**g, "params": [p for p in g["params"] if _by_muon(p, g) is m]} for g in groups] for m in (True, False)
    )
    found: list[Optimizer] = []
    if matrices := [g for g in matrices if g["params"]]:
        options = {"momentum": component.momentum, "nesterov": component.nesterov, "adjust_lr_fn": component.adjust}
        found.append(eager(MatrixMuon)(matrices, lr=component.lr, **options))
    if rest := [g for g in rest if g["params"]]:
        ratio = component.adamw_lr / component.lr
        scaled = [{**g, "lr_scale": g["lr_scale"] * ratio} for g in rest]
        found.append(eager(torch.optim.AdamW)(scaled, lr=component.adamw_lr, fused=_fused(rest)))
    return found


BUILDERS: Executors[Callable[[Any, Groups], list[Optimizer]]] = Executors(
    "optimizer",
    {
        components.Sgd: _sgd,
        components.Adam: _adam(torch.optim.Adam),
        components.AdamW: _adam(torch.optim.AdamW),
        components.NAdam: _adam(torch.optim.NAdam, decoupled_weight_decay="decoupled"),
        components.RAdam: _adam(torch.optim.RAdam, decoupled_weight_decay="decoupled"),
        components.RmsProp: _rmsprop,
        components.Adagrad: _adagrad,
        components.Muon: _muon,
        components.Lion: lambda component, groups: [eager(Lion)(groups, lr=component.lr, betas=component.betas)],
        components.Lamb: _adam(Lamb, max_norm="max_norm"),
        components.Lars: lambda component, groups: [
            eager(Lars)(groups, lr=component.lr, momentum=component.momentum, trust=component.trust)
        ],
    },
)
