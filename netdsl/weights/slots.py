"""The tensors of a state dict, and the layers that they make up.

A `Slot` is a tensor: key and shape. A `Unit` is what a net calls a layer: the tensors that stand together under one
prefix, by their roles (`weight`, `bias`, `running_mean` ...). Both sides of a match are brought into one spelling: a
query, key and value that stand side by side count as one fused projection, a normalised weight as the weight it
computes, a pointwise convolution as a linear layer. How a tensor of the spelling is computed is a `Source`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Literal

from msgspec import Struct

from netdsl.analysis.count import tensors
from netdsl.ir.model import Definition
from netdsl.ops.base import Buffer, Op, Param

Shape = tuple[int, ...]
How = Literal["as it is", "transposed", "joined", "weight norm", "spectral norm", "zeros"]


class Slot(Struct, frozen=True):
    """A tensor of a state dict. `constant`: it is no weight but a counter, a table of indices, a statistic of the
    data."""

    key: str
    shape: Shape
    constant: bool = False


class Source(Struct, frozen=True):
    """How a tensor is computed from those of a file: the tensor `key` as it is, or `inputs` put together."""

    how: How
    shape: Shape
    key: str = ""
    inputs: tuple[Source, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All tensors of the file that it takes."""
        return (self.key,) if self.key else tuple(k for s in self.inputs for k in s.keys)

    def transposed(self) -> Source:
        """With its last two axes first, in the other order: the kernel of a convolution `[..., in, out]` too."""
        return Source("transposed", (*self.shape[:-3:-1], *self.shape[:-2]), inputs=(self,))


Signature = tuple[tuple[str, Shape], ...]


class Unit(Struct, frozen=True):
    """A layer: its dotted path, split, and the sources of its tensors by role."""

    path: tuple[str, ...]
    parts: tuple[tuple[str, Source], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(k for _, s in self.parts for k in s.keys)

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def signature(self) -> Signature:
        """Roles and shapes in one spelling: two layers with different signatures never match."""
        if len(self.parts) == 1:
            role, source = self.parts[0]
            return (("", spelled(role, source.shape)),)
        return tuple(sorted((role, spelled(role, source.shape)) for role, source in self.parts))

    def part(self, role: str) -> Source:
        return dict(self.parts)[role]


def spelled(role: str, shape: Shape) -> Shape:
    """A shape without axes that say nothing: those of a pointwise kernel, those of size 1 around a vector or table."""
    plain = tuple(n for n in shape if n != 1)
    if len(plain) <= 1 or not role.startswith("weight"):
        return plain
    return shape[:2] if prod(shape[2:]) == 1 else shape


CONSTANT = frozenset({"standardize", "constant"})
"""Ops whose buffers come from the data or the spec, not from training."""


def slots(definition: Definition) -> tuple[Slot, ...]:
    """Every tensor of a net's state dict, in order."""

    def own(op: Op, types: tuple[object, ...]) -> dict[str, Param | Buffer]:
        state = {n: b for n, b in op.buffers(*types).items() if b.persistent}  # type: ignore[arg-type]
        return {**op.params(*types), **state}  # type: ignore[arg-type]

    return tuple(
        Slot(path, tensor.shape, isinstance(tensor, Buffer) and (kind in CONSTANT or not _floating(tensor.dtype)))
        for path, tensor, kind in tensors(definition, own, {})
    )


def _floating(dtype: str) -> bool:
    return "float" in dtype


ROLES = {
    "weight": "weight", "kernel": "weight", "gamma": "weight", "w": "weight", "g": "weight", "scale": "weight",
    "bias": "bias", "beta": "bias", "b": "bias", "offset": "bias", "shift": "bias", "gain": "gain",
    "running_mean": "running_mean", "moving_mean": "running_mean",
    "running_var": "running_var", "moving_variance": "running_var",
}  # fmt: skip
"""What a tensor is to its layer, by the names of PyTorch, TensorFlow and Keras."""

KERNEL = re.compile(r"(|.*[./])kernel(|:0)")
"""What Keras and Flax call the weight of a linear layer or a convolution."""

RECURRENT = re.compile(r"^((?:weight|bias)_(?:ih|hh|hr))(?:_(l\d+))?(_reverse)?$")


def units(all_slots: Sequence[Slot]) -> list[Unit]:
    """The layers of a state dict, each with the sources of its tensors. Constants belong to none."""
    groups: dict[tuple[str, ...], list[tuple[str, str, Source]]] = {}
    for source_key, source in normalised(all_slots):
        path = tuple(re.split(r"[./]", source_key.removesuffix(":0")))  # "dense_1/kernel:0"
        place, role = _placed(path)
        groups.setdefault(place, []).append((role, path[-1], source))
    return [unit for place, members in groups.items() for unit in _units_at(place, members)]


def _units_at(place: tuple[str, ...], members: Sequence[tuple[str, str, Source]]) -> list[Unit]:
    """The tensors at a place as one layer, where each has a role of its own, or a layer each."""
    roles = [role for role, _, _ in members]
    if len(members) > 1 and len(set(roles)) == len(roles):
        return [Unit(place or ("",), tuple((role, source) for role, _, source in members))]
    found = []
    for role, name, source in members:
        is_whole = not role or (name in ("weight", "bias") and len(members) == 1)
        found.append(Unit((place if is_whole else (*place, name)) or ("",), ((role, source),)))
    return found


def _placed(path: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Where a tensor's layer is, and the tensor's role in it; a tensor without a role is a layer by itself."""
    *owner, name = path
    if match := RECURRENT.match(name):
        role, level, reverse = match.groups()
        return (*owner, *((level,) if level else ())), role + (reverse or "")
    if name.startswith("in_proj_"):
        return (*owner, "in_proj"), name.removeprefix("in_proj_")
    role = ROLES.get(name, "")
    return (tuple(owner), role) if role else (path, "")


def normalised(all_slots: Sequence[Slot]) -> list[tuple[str, Source]]:
    """Keys and sources of a state dict, a normalised weight as the weight it computes; constants left out."""
    known = {s.key: s for s in all_slots if not s.constant}
    found: list[tuple[str, Source]] = []
    used: set[str] = set()
    for key in known:
        computed = _computed(key, known)
        if computed is not None:
            found.append(computed)
            used.update(computed[1].keys)
            used.update(k for k in _estimates(computed[0]) if k in known)
    kernels = _kernels(known)
    for key, slot in known.items():
        if key not in used:
            found.append((key, plain(slot).transposed() if key in kernels else plain(slot)))
    place = {s.key: i for i, s in enumerate(all_slots)}
    return sorted(found, key=lambda pair: place[pair[1].keys[0]])


def _kernels(known: dict[str, Slot]) -> set[str]:
    """The tensors that are kernels of Keras or Flax, `[..., in, out]`, which their name says; none where a bias shows
    that the outputs of some come first."""
    found = {s.key: m for s in known.values() if len(s.shape) > 1 and (m := KERNEL.fullmatch(s.key))}
    biases = ((known.get(f"{m[1]}bias{m[2]}"), known[k].shape) for k, m in found.items())
    others = any(b is not None and b.shape == shape[:1] != shape[-1:] for b, shape in biases)
    return set() if others else set(found)


def plain(slot: Slot) -> Source:
    return Source("as it is", slot.shape, slot.key)


def _computed(key: str, known: dict[str, Slot]) -> tuple[str, Source] | None:
    """The weight that a parametrisation computes, where `key` is the tensor that gives it its shape."""
    pairs = (
        ("weight_v", "weight_g", "weight norm"),
        ("parametrizations.weight.original1", "parametrizations.weight.original0", "weight norm"),
        ("weight_orig", "weight_u", "spectral norm"),
        ("parametrizations.weight.original", "parametrizations.weight.0._u", "spectral norm"),
    )
    for direction, beside, how in pairs:
        owner = key.removesuffix(direction)
        if key.endswith(direction) and (owner == "" or owner.endswith(".")) and owner + beside in known:
            others = [known[owner + beside]]
            if how == "spectral norm":
                estimate = known.get(owner + beside.removesuffix("u") + "v")
                if estimate is None:
                    return None
                others.append(estimate)
            inputs = (plain(known[key]), *(plain(o) for o in others))
            return f"{owner}weight", Source(how, known[key].shape, inputs=inputs)  # type: ignore[arg-type]
    return None


def _estimates(key: str) -> list[str]:
    """Tensors beside a spectrally normalised weight that only training reads."""
    owner = key.removesuffix("weight")
    return [f"{owner}{n}" for n in ("weight_u", "weight_v", "parametrizations.weight.0._u")]
