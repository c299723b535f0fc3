"""The calls of `torch.nn.init` that each component of a recipe's `init` makes, as values, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from netdsl.analysis import count
from netdsl.analysis.residual_branches import Branch, branches, head
from netdsl.diagnostics.diagnostic import fault
from netdsl.ir.initial import Assignment, Initialization
from netdsl.ir.model import Program
from netdsl.planning.branch_scales import fixup_factors, multipliers
from netdsl.planning.groups import Parameter, Selectors
from netdsl.recipe import inits
from netdsl.recipe.component import component_name
from netdsl.recipe.registry import Executors
from netdsl.recipe.text import shown

WEIGHTS = ("conv", "linear")
TABLES = ("embedding", "position")
READ = (inits.Weights, inits.Pretrained)
"""Components that take their numbers from files."""
EXPLICIT = ("norm", "bias", "scale", "gate")
"""Roles that are set only if a selector names them."""


class NetParameters(Struct, frozen=True, eq=False):
    """The parameters of a net in the order of the state dict, its residual branches, and the weight of its head."""

    parameters: tuple[Parameter, ...]
    branches: tuple[Branch, ...] = ()
    head: str | None = None

    @classmethod
    def of(cls, program: Program) -> NetParameters:
        """The net of a program. Without a layer that computes the output, the head is the last linear layer."""
        found = count.parameters(program.main)
        linears = [p.path for p in found if p.role == "linear"]
        last = head(program) or (linears[-1] if linears else None)
        return cls(tuple(Parameter(p.path, p.role, p.shape, p.path == last) for p in found), branches(program), last)

    def drawn(self, only: Sequence[str], roles: Sequence[str]) -> list[Parameter]:
        """The parameters of the roles, or those that the selectors mean (a label does not mean the norms below it)."""
        if not only:
            return [p for p in self.parameters if p.role in roles]
        return [p for p in self._selected(only) if p.role not in EXPLICIT or p.role in only]

    def biases(self, only: Sequence[str]) -> list[Parameter]:
        """All biases, or those that the selectors mean, themselves or through the weight beside them."""
        owners = {_owner(p) for p in self._selected(only)}
        return [p for p in self.parameters if p.role == "bias" and (not only or _owner(p) in owners)]

    def _selected(self, only: Sequence[str]) -> list[Parameter]:
        selectors = Selectors(only)
        return [p for p in self.parameters if selectors.meaning(p)]


def initializations(components: Iterable[inits.Init], program: Program) -> tuple[Initialization, ...]:
    """The components of an `init` that set weights, with the calls they stand for.

    Raises Fault where one does not fit the net, or reads a file of weights.
    """
    net, found = NetParameters.of(program), []
    for component in components:
        if isinstance(component, READ):
            message = f"`{shown(component)}` reads a file, which a module that imports only torch does not"
            hint = "set another `init`, for example `--set init=none`, and load the file into the module"
            raise fault("not-supported", message, None, hint)
        assignments, _ = ASSIGNMENTS[component](component, net)
        found.append(Initialization(shown(component), assignments))
    return tuple(i for i in found if i.assignments)


Assigned = tuple[tuple[Assignment, ...], str | None]
"""The calls of a component in order, and a note for the user."""
Assign = Callable[[Any, NetParameters], Assigned]


def _owner(parameter: Parameter) -> str:
    return parameter.path.rpartition(".")[0]


def _set(path: str, value: float) -> Assignment:
    if value in (0, 1):
        return Assignment(path, "zeros_" if value == 0 else "ones_")
    return Assignment(path, "constant_", (("val", value),))


def _drawn(
    call: Callable[[Any], tuple[str, dict[str, Any]]], roles: tuple[str, ...] = WEIGHTS, axes: int = 1
) -> Assign:
    """Sets every weight of the roles by a function with arguments; biases become 0. Weights need so many axes."""

    def assign(component: Any, net: NetParameters) -> Assigned:
        function, arguments = call(component)
        drawn = {p.path: p for p in net.drawn(component.only, roles)}
        biases = {p.path for p in net.biases(component.only)}
        for p in drawn.values():
            if len(p.shape) < axes:
                message = f"`{component_name(component)}` needs a matrix, `{p.path}` is a vector"
                raise fault("not-supported", message, None, "select weights with `only=[...]`")
        found = []
        for p in net.parameters:
            if p.path in drawn:
                found.append(Assignment(p.path, function, tuple(arguments.items())))
            elif p.path in biases:
                found.append(_set(p.path, 0))
        return tuple(found), None

    return assign


def _xavier(component: inits.Xavier) -> tuple[str, dict[str, Any]]:
    return f"xavier_{component.distribution}_", {"gain": component.gain} if component.gain != 1 else {}


def _kaiming(component: inits.Kaiming) -> tuple[str, dict[str, Any]]:
    mode = {"mode": component.mode} if component.mode != "fan_in" else {}
    return f"kaiming_{component.distribution}_", {**mode, "nonlinearity": component.nonlinearity}


def _dirac(component: inits.Dirac, net: NetParameters) -> Assigned:
    """The identity, in every convolution over at least one axis."""
    found = [p.path for p in net.drawn(component.only, ("conv",)) if len(p.shape) > 2]
    return tuple(Assignment(path, "dirac_", (), True) for path in found), None


def _biases(component: inits.Biases, net: NetParameters) -> Assigned:
    return tuple(_set(p.path, component.value) for p in net.biases(component.only)), None


def _gates(component: inits.Gates, net: NetParameters) -> Assigned:
    """The keeping gate is the second of PyTorch's in an LSTM (input, forget, cell, output) and in a GRU (reset, update,
    new). One of the two biases of a layer is set, the other one's rows become 0: the gate adds both."""
    states = {_twin(p.path, "bias_ih"): p.shape for p in net.parameters if _recurrent(p) and p.shape[0] > p.shape[1]}
    found: list[Assignment] = []
    for path in [p.path for p in net.parameters if p.path in states]:
        gates, width = states[path]
        if component.coupled and gates == 4 * width:
            found += _gate(path, (0, width), -component.bias)
        found += _gate(path, (width, 2 * width), component.bias)
    return tuple(found), None if found else "`gates` found no LSTM and no GRU with biases"


def _gate(path: str, rows: tuple[int, int], bias: float) -> list[Assignment]:
    return [
        Assignment(path, "constant_", (("val", bias),), rows=rows),
        Assignment(_twin(path, "bias_hh"), "zeros_", rows=rows),
    ]


def _recurrent(parameter: Parameter) -> bool:
    """Whether it is the weight, [gates * width, width], by which a recurrent layer reads its own state."""
    return parameter.role == "recurrent" and parameter.path.rpartition(".")[2].startswith("weight_hh")


def _twin(path: str, name: str) -> str:
    """The path of another tensor of the same layer and direction: `lstm.weight_hh_l0` and `bias_ih` give
    `lstm.bias_ih_l0`."""
    owner, dot, own = path.rpartition(".")
    return f"{owner}{dot}{name}_{own.split('_', 2)[2]}"


def _zero_last_norm(component: inits.ZeroLastNorm, net: NetParameters) -> Assigned:
    norms = dict.fromkeys(b.norm for b in net.branches if b.norm is not None)
    note = None if norms else "`zero_last_norm` found no norm at the end of a residual branch"
    return tuple(_set(path, 0) for path in norms), note


def _head_scale(component: inits.HeadScale, net: NetParameters) -> Assigned:
    owner = (net.head or "").rpartition(".")[0]
    found = [p.path for p in net.parameters if net.head and p.path in (net.head, f"{owner}.bias")]
    return tuple(Assignment(path, "mul_", (("", component.factor),)) for path in found), None


def _fixup(component: inits.Fixup, net: NetParameters) -> Assigned:
    """Scaled and zeroed branches. A weight that several branches share has one position in all of them."""
    factors = fixup_factors(net.branches)
    found: list[Assignment] = []
    for p in net.parameters:
        factor = 0.0 if p.role == "bias" or p.path == net.head else factors.get(p.path, 1.0)
        if factor == 0:
            found.append(_set(p.path, 0))
        elif p.role in WEIGHTS and len(p.shape) > 1:
            mode = (("mode", component.mode),) if component.mode != "fan_in" else ()
            found.append(Assignment(p.path, "kaiming_normal_", (*mode, ("nonlinearity", "relu"))))
            found += [Assignment(p.path, "mul_", (("", factor),))] if factor != 1 else []
    smallest = min((f for f in factors.values() if f), default=1.0)
    count = len(net.branches)
    return tuple(found), f"fixup: {count} residual branches, their first layers times {smallest:.3g}, their last 0"


def _skipinit(component: inits.SkipInit, net: NetParameters) -> Assigned:
    return tuple(_set(path, component.value) for path in dict.fromkeys(multipliers(net.branches))), None


ASSIGNMENTS: Executors[Assign] = Executors(
    "init",
    {
        inits.Default: lambda component, net: ((), None),
        **dict.fromkeys(READ, lambda component, net: ((), None)),  # the trainer reads the file
        inits.TruncNormal: _drawn(lambda c: ("trunc_normal_", {"std": c.std}), (*WEIGHTS, *TABLES)),
        inits.Normal: _drawn(lambda c: ("normal_", {"std": c.std})),
        inits.Uniform: _drawn(
            lambda c: ("uniform_", {"a": -c.bound, "b": c.bound}), (*WEIGHTS, *TABLES, "recurrent", "bias")
        ),
        inits.Xavier: _drawn(_xavier, axes=2),
        inits.Kaiming: _drawn(_kaiming, axes=2),
        inits.Orthogonal: _drawn(lambda c: ("orthogonal_", {"gain": c.gain} if c.gain != 1 else {}), axes=2),
        inits.Constant: _drawn(lambda c: ("constant_", {"val": c.value})),
        inits.Dirac: _dirac,
        inits.Biases: _biases,
        inits.Gates: _gates,
        inits.ZeroLastNorm: _zero_last_norm,
        inits.HeadScale: _head_scale,
        inits.Fixup: _fixup,
        inits.SkipInit: _skipinit,
    },
)
