"""Initial weights: the components of the recipe's `init`, carried out one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn

from netdsl.analysis.residual_branches import head
from netdsl.ir.initial import Assignment
from netdsl.ir.model import Program
from netdsl.planning.initialization import ASSIGNMENTS, NetParameters
from netdsl.recipe import inits
from netdsl.training.data.dataset import DataError
from netdsl.training.pretrained import repository_of
from netdsl.training.rng import key
from netdsl.weights.load import Rules, load
from netdsl.weights.mapping import declared, read_mapping
from netdsl.weights.part import no_part, part
from netdsl.weights.read import read_file


class Start(Struct, frozen=True, eq=False):
    """A module to initialize, and what is known of its parameters. `base`: the folder that paths are relative to.

    `program`: the net, and `mapping`: the spec's mapping of foreign keys, both for weights from a file; `resumed`: a
    checkpoint follows, which has these weights: no file of them is looked for.
    """

    module: nn.Module
    parameters: NetParameters
    base: Path
    program: Program | None = None
    mapping: Any = None
    resumed: bool = False


def initialize(components: Sequence[inits.Init], start: Start, seed: int = 0) -> list[str]:
    """Set the weights of a module; returns notes for the user.

    The random values of component number n are a function of (seed, n).
    """
    notes: list[str] = []
    tensors = dict(start.module.named_parameters())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for number, component in enumerate(components):
            torch.default_generator.manual_seed(key(seed, "init", number) >> 1)
            assignments, note = ASSIGNMENTS[component](component, start.parameters)
            for assignment in assignments:
                _carry_out(assignment, tensors[assignment.path])
            if start.resumed:
                note = None
            elif isinstance(component, inits.Weights):
                note = _weights(component, start)
            elif isinstance(component, inits.Pretrained):
                note = _pretrained(component, start)
            notes += [note] if note else []
    return notes


def _carry_out(assignment: Assignment, tensor: Tensor) -> None:
    if assignment.function == "mul_":
        tensor.mul_(assignment.arguments[0][1])
        return
    target = tensor[: tensor.shape[1]] if assignment.square else tensor
    target = target[slice(*assignment.rows)] if assignment.rows else target
    getattr(nn.init, assignment.function)(target, **dict(assignment.arguments))


def _weights(component: inits.Weights, start: Start) -> str | None:
    path = start.base / component.path
    if not path.exists():
        hint = "say where they are: `--set 'init.weights.path=\"...\"'`; `--set init=none` starts without"
        raise DataError("no-such-file", f"there are no weights {path}", hint)
    rules = Rules(
        tuple(read_mapping(str(start.base / component.map))) if component.map else (),
        exclude=component.exclude, partial=not component.strict, channels=component.channels,
    )  # fmt: skip
    notes = _filled(start, path, component.into, rules, component.inside)
    return f"weights of {path.name}: {'; '.join(notes)}" if notes else None


def _pretrained(component: inits.Pretrained, start: Start) -> str | None:
    assert start.program is not None, "weights by name need the program of the net"
    last = None if component.into else head(start.program)
    layer = last.rpartition(".")[0] if last else ""
    without = (*component.exclude, *([layer] if component.head == "new" and layer else []))
    folder = repository_of(component, start.base).folder
    notes = _filled(start, folder, component.into, Rules(head=layer, exclude=without))
    return f"weights of {component.name}: {'; '.join(notes)}" if notes else None


def _filled(start: Start, path: Path, into: str, rules: Rules, inside: str = "") -> tuple[str, ...]:
    """Fill the module, or a part of it, from a file; gives what is not exactly the net's."""
    own, prefix = start.program, f"{into}." if into else ""
    assert own is not None
    if into:
        inner = part(own, into)
        if inner is None:
            raise DataError("unfit-weights", *no_part(into))
        own = inner
    rules = replace(rules, hints=() if into else tuple(declared(start.mapping)))
    loaded = load(own, read_file(str(path), inside or None), lambda: _arrays(start.module, prefix), rules)
    state = {f"{prefix}{n}": torch.as_tensor(a) for n, a in loaded.state.items()}
    start.module.load_state_dict(state, strict=False)
    return loaded.notes


def _arrays(module: nn.Module, prefix: str) -> dict[str, Any]:
    """The tensors of a module below a prefix, by their keys there."""
    tensors = module.state_dict().items()
    return {n.removeprefix(prefix): t.detach().cpu().numpy() for n, t in tensors if n.startswith(prefix)}
