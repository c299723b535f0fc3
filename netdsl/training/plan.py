"""What a recipe will do, before it is done. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import fields as struct_fields

from netdsl.passes.count import Totals, parameters, totals
from netdsl.passes.structure import layer_numbers
from netdsl.recipe.losses import Bce, CrossEntropy
from netdsl.recipe.schema import STRUCTURE, Recipe
from netdsl.recipe.stages import grown
from netdsl.recipe.word import Word, word_name
from netdsl.training.depth import depth_rates
from netdsl.training.groups import Parameter, ParameterGroup, frozen, group
from netdsl.training.resolution import check_resolution
from netdsl.training.schedule import Schedule, peak_lr

if TYPE_CHECKING:
    from netdsl.pipeline import Net

BLOCKS = " ▁▂▃▄▅▆▇█"
STATE = {"sgd": 1, "lion": 1, "lars": 1, "muon": 1, "rmsprop": 1, "adagrad": 1}
"""Numbers that an optimizer keeps for each parameter; 2 for all others."""


class Plan(Struct, frozen=True, kw_only=True):
    """A recipe's consequences for a net. `members`: parameters of each group; `lr`: at every step; sizes in bytes."""

    net: str
    recipe: str
    samples: int | None
    steps: int | None
    per_epoch: int | None
    peak_lr: float
    lr: tuple[float, ...]
    groups: tuple[ParameterGroup, ...]
    members: tuple[int, ...]
    frozen: tuple[str, ...]
    drop_path: tuple[float, ...]
    stages: tuple[dict[str, float], ...]
    flops: int | None
    memory: int | None
    targets: str
    defaults: tuple[str, ...]


def plan(net: Net, recipe: Recipe, samples: int | None) -> Plan:
    """What a recipe will do with a net. Raises DataError for a selector that selects nothing."""
    main = net.checked.main
    check_resolution(net, recipe)
    found = tuple(Parameter(p.path, p.role, p.shape) for p in parameters(main))
    decay = recipe.layer_decay
    layers = layer_numbers(net.checked, decay.blocks, decay.layers) if decay else None
    groups = group(recipe, found, layers)
    sizes = {p.path: _elements(p.shape) for p in found}
    per_epoch = updates_per_epoch(recipe, samples) if samples else None
    steps = recipe.steps or (recipe.total_steps(per_epoch) if per_epoch else None)
    lr: tuple[float, ...] = ()
    if steps and (per_epoch or recipe.steps):
        schedule = Schedule(recipe.schedule, peak_lr(recipe), steps, per_epoch or steps, recipe.schedule_unit)
        lr = tuple(schedule(s) for s in range(0, steps, max(1, steps // 2000)))
    cost = totals(main)
    rates = depth_rates(recipe.drop_path, cost.residual_links) if recipe.drop_path else []
    flops = 6 * cost.training_macs * recipe.batch * steps if steps and isinstance(cost.training_macs, int) else None
    return Plan(
        net=net.name, recipe=recipe.name, samples=samples, steps=steps, per_epoch=per_epoch,
        peak_lr=peak_lr(recipe), lr=lr, groups=groups, members=tuple(sum(sizes[p] for p in g.paths) for g in groups),
        frozen=tuple(sorted(frozen(recipe, found))), drop_path=tuple(rates), stages=_stages(recipe), flops=flops,
        memory=_memory(recipe, cost),
        targets=_targets(recipe), defaults=_defaults(recipe),
    )  # fmt: skip


def _stages(recipe: Recipe) -> tuple[dict[str, float], ...]:
    """What grows, stage by stage."""
    return tuple(grown(recipe, i) for i in range(recipe.progressive.stages)) if recipe.progressive else ()


def updates_per_epoch(recipe: Recipe, samples: int) -> int:
    """Updates of an epoch; the last one is short unless it is left out."""
    return max(1, samples // recipe.batch if recipe.drop_last else -(-samples // recipe.batch))


def _elements(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _memory(recipe: Recipe, cost: Totals) -> int | None:
    """Weights, gradients, the optimizer's state, the average, and what the forward pass keeps, roughly."""
    if not isinstance(cost.activation_bytes, int):
        return None
    copies = 2 + STATE.get(word_name(type(recipe.optimizer)), 2) + (recipe.ema is not None)
    width = 2 if recipe.precision in ("bf16", "fp16") else 4
    return cost.params * 4 * copies + cost.activation_bytes * width // 4 * (recipe.micro_batch or recipe.batch)


def _targets(recipe: Recipe) -> str:
    loss = recipe.loss
    smoothing = loss.label_smoothing if isinstance(loss, CrossEntropy | Bce) else 0.0
    parts = [f"smoothed by {smoothing:g}, once"] if smoothing else ["classes as they are"]
    if recipe.mix:
        parts.append("then mixed by " + " or ".join(word_name(type(m)) for m in recipe.mix))
    return ", ".join(parts)


def _defaults(recipe: Recipe) -> tuple[str, ...]:
    """Fields that have their default value, as they could be written."""
    plain = Recipe()
    names = [f.name for f in struct_fields(Recipe) if f.name not in STRUCTURE]
    return tuple(f"{n} = {shown(getattr(recipe, n))}" for n in names if getattr(recipe, n) == getattr(plain, n))


def shown(value: Any) -> str:
    """A value as it could be written in a recipe."""
    if isinstance(value, Word):
        changed = [(f.name, getattr(value, f.name)) for f in struct_fields(type(value))]
        inside = ", ".join(f"{n}={shown(v)}" for n, v in changed if v is not None)
        return f"{word_name(type(value))}({inside})" if inside else word_name(type(value))
    if isinstance(value, tuple):
        return (
            " -> ".join(map(shown, value))
            if value and isinstance(value[0], Word)
            else f"[{', '.join(map(shown, value))}]"
        )
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def spark(values: Sequence[float], width: int = 64) -> str:
    """A curve as a line of blocks."""
    if not values:
        return ""
    count = min(width, len(values))
    picked = [values[i * (len(values) - 1) // max(1, count - 1)] for i in range(count)]
    low, high = min(picked), max(picked)
    return "".join(BLOCKS[round((v - low) / (high - low) * 8) if high > low else 4] for v in picked)


def lines(made: Plan, members: int = 6) -> list[str]:
    """A plan as lines of text."""
    found = [f"{made.net} by {made.recipe}"]
    if made.steps:
        epochs = f" ({made.per_epoch:,} in an epoch of {made.samples:,} samples)" if made.per_epoch else ""
        found.append(f"steps      {made.steps:,}{epochs}")
    else:
        found.append("steps      depend on the number of samples: give it with --samples")
    found.append(
        f"lr         peak {made.peak_lr:g}" + (f", first {made.lr[0]:.3g}, last {made.lr[-1]:.3g}" if made.lr else "")
    )
    found += [f"           {spark(made.lr)}"] if made.lr else []
    found.append(f"targets    {made.targets}")
    for g, size in zip(made.groups, made.members, strict=True):
        settings = "".join(f", {k} = {v}" for k, v in g.settings.items())
        layer = f"layer {g.layer}: " if g.layer is not None else ""
        found.append(f"group      {layer}lr x {g.scale:.4g}{settings}: {len(g.paths)} tensors, {size:,} numbers")
        more = f" ... and {len(g.paths) - members} more" if len(g.paths) > members else ""
        found.append("           " + ", ".join(g.paths[:members]) + more)
    if made.frozen:
        found.append(f"frozen     {', '.join(made.frozen)}")
    if made.drop_path:
        found.append(f"drop_path  {' '.join(f'{r:.3f}' for r in made.drop_path)}")
    for i, numbers in enumerate(made.stages):
        first = -(-i * made.steps // len(made.stages)) + 1 if made.steps else None
        since = f", from step {first:,}" if first else ""
        found.append(f"stage {i + 1}    " + ", ".join(f"{n} {v:.4g}" for n, v in numbers.items()) + since)
    if made.flops is not None:
        found.append(f"cost       about {made.flops:.2e} floating-point operations")
    if made.memory is not None:
        found.append(f"memory     about {made.memory / 2**20:,.0f} MiB")
    return [*found, f"defaults   {'; '.join(made.defaults)}"]
