"""The plan of a training run: steps, rates, groups and cost, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from msgspec import Struct

from netdsl.analysis.count import Parameter as Counted
from netdsl.analysis.count import parameters, totals
from netdsl.analysis.memory import kept_bytes, training_flops
from netdsl.analysis.stages import layer_numbers
from netdsl.ir.flatten import flatten
from netdsl.planning.demands import refuse
from netdsl.planning.groups import Parameter, ParameterGroup, frozen, group
from netdsl.planning.net import PlannedNet, open_sizes
from netdsl.planning.rates import depth_rates, time_rate
from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.recipe.annotations import arguments
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.losses import Bce
from netdsl.recipe.progressive import grown
from netdsl.recipe.regularizers import ByProduct, Ema
from netdsl.recipe.schedules import Plateau
from netdsl.recipe.schema import STRUCTURE, Recipe, default_schedule, updates_per_epoch
from netdsl.recipe.text import shown

POINTS = 2000
"""Points of a curve at most."""
NORMS_WITH_STATE = ("bn",)


class Span(Struct, frozen=True):
    """A phase of the schedule: its steps from `start` up to `end` (counted from 0), and lr at both."""

    phase: str
    start: int
    end: int
    first: float
    last: float


class Memory(Struct, frozen=True):
    """Bytes: `fixed` for weights, gradients, the optimizer's state and averages; `sample` what the forward pass keeps
    for each sample that is computed at once."""

    fixed: int
    sample: int


class Plan(Struct, frozen=True, kw_only=True):
    """A recipe's consequences for a net.

    `written`, `defaults`: fields by name, as they could be written. `members`: elements trained in each group. `lr`,
    `dropout`: at evenly spaced steps. `drop_path`: of every residual link. `flops`: of the whole training, `cost` of
    one sample. `memory`: bytes with the recipe's micro-batch. `open_sizes`: named sizes that are not given, on which
    these depend. `notes`: warnings about recipe and net together.
    """

    net: str
    recipe: str
    samples: int | None
    steps: int | None
    per_epoch: int | None
    batch: int
    short: int
    peak_lr: float
    lr: tuple[float, ...]
    spans: tuple[Span, ...]
    dropout: tuple[float, ...]
    groups: tuple[ParameterGroup, ...]
    roles: tuple[tuple[str, ...], ...]
    members: tuple[int, ...]
    frozen: tuple[str, ...]
    drop_path: tuple[float, ...]
    stages: tuple[dict[str, float], ...]
    cost: int | None
    flops: int | None
    memory: int | None
    parts: Memory | None
    open_sizes: tuple[str, ...]
    targets: str
    written: dict[str, str]
    defaults: dict[str, str]
    notes: tuple[str, ...]


def plan(net: PlannedNet, recipe: Recipe, samples: int | None) -> Plan:
    """Plan what a recipe will do with a net. `samples`: those that are trained on. Raises Fault for what the net cannot
    have: a selector that selects nothing, links or branches that are not there, unknown outputs."""
    refuse(net, recipe)
    per_epoch = updates_per_epoch(samples, recipe.batch, recipe.drop_last) if samples else None
    steps = recipe.steps or (recipe.total_steps(per_epoch) if per_epoch else None)
    links = totals(net.checked.main).residual_links
    written, defaults = _fields(recipe)
    return Plan(
        net=net.name, recipe=recipe.name, samples=samples, steps=steps, per_epoch=per_epoch, batch=recipe.batch,
        short=0 if recipe.drop_last or not samples else samples % recipe.batch, peak_lr=peak_lr(recipe),
        **_curves(recipe, steps, per_epoch), **_groups(net, recipe), **_costs(net, recipe, steps),
        drop_path=tuple(depth_rates(recipe.drop_path, links)) if recipe.drop_path else (),
        stages=tuple(grown(recipe, i) for i in range(recipe.progressive.stages)) if recipe.progressive else (),
        open_sizes=open_sizes(net.checked), targets=_targets(recipe), written=written, defaults=defaults,
        notes=tuple(_notes(net, recipe, samples, steps)),
    )  # fmt: skip


def _groups(net: PlannedNet, recipe: Recipe) -> dict[str, Any]:
    """The parameter groups with their roles and numbers of parameters, and what is frozen."""
    found = net.parameters.parameters
    decay = recipe.layer_decay
    layers = layer_numbers(net.checked, decay.blocks, decay.layers) if decay else None
    groups = group(recipe, found, layers)
    by_path = {p.path: p for p in found}
    members = [[by_path[path] for path in g.paths] for g in groups]
    return {
        "groups": groups,
        "roles": tuple(tuple(dict.fromkeys(p.role for p in each)) for each in members),
        "members": tuple(sum(prod(p.shape) for p in each) for each in members),
        "frozen": tuple(sorted(frozen(recipe, found))),
    }


def _costs(net: PlannedNet, recipe: Recipe, steps: int | None) -> dict[str, Any]:
    """FLOPs of a sample and of the run, and bytes of memory; None where they depend on sizes that are open."""
    parts = _memory(net, recipe, parameters(net.checked.main))
    flops = training_flops(net.checked)
    cost = flops if isinstance(flops, int) else None
    return {
        "cost": cost,
        "flops": cost * recipe.batch * steps if steps and cost is not None else None,
        "parts": parts,
        "memory": parts.fixed + parts.sample * (recipe.micro_batch or recipe.batch) if parts else None,
    }


def _curves(recipe: Recipe, steps: int | None, per_epoch: int | None) -> dict[str, Any]:
    """The curves over time: lr, its phases, the rate of dropout."""
    if not steps:
        return {"lr": (), "spans": (), "dropout": ()}
    times = range(0, steps, max(1, steps // POINTS))
    schedule = Schedule(recipe.schedule, peak_lr(recipe), steps, per_epoch or steps, recipe.schedule_unit)
    spans = []
    for phase, stretch in zip(recipe.schedule, schedule.stretches, strict=False):
        end = min(stretch.end, steps)
        if stretch.start < end:
            spans.append(Span(shown(phase), stretch.start, end, schedule(stretch.start), schedule(end - 1)))
    rates = (time_rate(recipe.dropout, s, steps, per_epoch or steps) for s in times) if recipe.dropout else ()
    return {"lr": tuple(schedule(s) for s in times), "spans": tuple(spans), "dropout": tuple(rates)}


def _memory(net: PlannedNet, recipe: Recipe, counted: Sequence[Counted]) -> Memory | None:
    kept = kept_bytes(net.checked)
    if not isinstance(kept, int):
        return None
    still = frozen(recipe, [Parameter(p.path, p.role, p.shape) for p in counted])
    everything = sum(prod(p.shape) for p in counted)
    trained = sum(prod(p.shape) for p in counted if p.path not in still)
    if any(isinstance(p, ByProduct) for p in recipe.penalty):
        trained += sum(prod(p.shape) for p in counted if p.role in ("conv", "linear") and p.path not in still)
    averages = sum(field is not None for field in (recipe.ema, recipe.swa, recipe.lookahead))
    half = recipe.precision in ("bf16", "fp16")
    numbers = everything * (1 + averages) + trained * (1 + recipe.optimizer.state_per_parameter)
    return Memory(numbers * 4 + everything * 2 * half, kept // 2 if half else kept)


def _targets(recipe: Recipe) -> str:
    """Who makes the targets of the loss, and from what."""
    loss = recipe.loss
    smoothing = loss.smoothing
    if recipe.data.task in ("mask", "tokens"):
        return f"labels as they are{f', smoothed by {smoothing:g} inside the loss' if smoothing else ''}"
    parts = [f"smoothed by {smoothing:g}, once"] if smoothing else ["classes as they are"]
    if loss.task == "numbers":
        parts = ["numbers as they are"]
    if recipe.mix:
        parts.append("then mixed by " + " or ".join(component_name(m) for m in recipe.mix))
    if isinstance(loss, Bce) and loss.threshold is not None:
        parts.append(f"then 1 above {loss.threshold:g} and 0 below")
    if smoothing or recipe.mix:
        parts.append("before they reach the loss, which adds nothing")
    return ", ".join(parts)


def _notes(net: PlannedNet, recipe: Recipe, samples: int | None, steps: int | None) -> Iterator[str]:
    """Warnings about a recipe and a net together."""
    if samples and samples < recipe.batch:
        yield f"a batch of {recipe.batch:,} is more than all {samples:,} samples: one update an epoch"
    if recipe.layer_decay is not None and not totals(net.checked.main).residual_links:
        yield "this net has no residual blocks: `layer_decay` counts every layer with weights as one"
    if recipe.dropout is not None and not _has_dropout(net):
        yield "`dropout` sets the rate of dropout layers, and this net has none"
    if recipe.ema is not None and not recipe.ema.scaled:
        yield from _ema_notes(recipe.ema, net, steps)
    if any(isinstance(p, Plateau) for p in recipe.schedule):
        yield "when lr falls at a plateau is not known before: the curve shows lr without falls"
    if any(isinstance(p, ByProduct) for p in recipe.penalty):
        yield "`l1_by_product` splits the weights of convolutions and linears in two factors, without weight decay"


def _ema_notes(ema: Ema, net: PlannedNet, steps: int | None) -> Iterator[str]:
    """Warnings about an average that is older than the run, or meets the statistics of other weights."""
    memory = ema.every / (1 - ema.decay)
    if steps and memory > steps / 2 and not ema.warmup:
        yield f"the average goes back about {memory:,.0f} steps, more than half of the run: use a smaller decay"
    kinds = {p.op for p in parameters(net.checked.main)}
    if ema.decay > 0.999 and ema.buffers == "copy" and kinds & set(NORMS_WITH_STATE):
        yield "averaged weights meet batch-norm statistics of the raw ones: `buffers=average` averages them too"


def _has_dropout(net: PlannedNet) -> bool:
    return any(node.op.has_dropout for node in flatten(net.checked, training=True))


def _fields(recipe: Recipe) -> tuple[dict[str, str], dict[str, str]]:
    """Fields that the recipe writes, and those that have their default."""
    plain = Recipe(schedule=default_schedule(recipe.epochs, recipe.steps))
    names = [n for n in arguments(Recipe) if n not in STRUCTURE]
    same = {n for n in names if getattr(recipe, n) == getattr(plain, n)}
    sign = {"mix": " | "}
    texts = {n: shown(getattr(recipe, n), sign.get(n, " -> ")) for n in names}
    defaults = {n: texts[n] for n in names if n in same}
    for name in names:
        value = getattr(recipe, name)
        if name not in same and isinstance(value, Component):
            defaults |= {f"{name}.{a}": text for a, text in _default_arguments(value)}
    return {n: t for n, t in texts.items() if n not in same}, defaults


def _default_arguments(component: Component) -> Iterator[tuple[str, str]]:
    for argument in arguments(type(component)).values():
        value = getattr(component, argument.name)
        if not argument.required and value == argument.default and value is not None:
            yield argument.name, shown(value, quoted=argument.kind.is_text)
