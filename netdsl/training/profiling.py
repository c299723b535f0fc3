"""A profile of a training: where the time of a step goes, by phase and by layer of the spec."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from msgspec import Struct
from torch import nn

from netdsl.ir.flatten import Node, flatten
from netdsl.ir.model import Program
from netdsl.recipe.component import component_name
from netdsl.training.data.prefetch import cores
from netdsl.training.phases import Phase
from netdsl.training.setup import Prepared
from netdsl.training.trainer import Trainer

STEP: tuple[Phase, ...] = ("data", "forward", "backward", "optimizer")
WARM = 3
"""Steps before those that are measured."""
MUCH = 0.2
"""The share of a step from which the data are said to limit it."""
MARK = "layer of the spec: "
EVALUATED = "autograd::engine::evaluate_function"
"""The names of the events of a module's forward pass, and of a function of the backward pass, in a trace."""
BACKWARD = 2
"""Multiply-accumulates of a backward pass for each of the forward pass: the gradients of inputs and of weights."""


Times = dict[str, float]
"""Seconds by the path of a module."""


class LayerTime(Struct, frozen=True):
    """The layers of a line of the spec: seconds of a step's forward and backward passes, multiply-accumulates of a
    sample's forward pass, and floating-point operations a second over both passes (2 for each multiply-accumulate).
    Line 0 is what is computed between the layers."""

    line: int
    layers: tuple[str, ...]
    forward: float
    backward: float
    macs: int
    flops: float


class Profile(Struct, frozen=True, kw_only=True):
    """Seconds of a training step by phase. `waiting`: of `data`, the part that waits for images to be decoded;
    `copies`: from the host to a GPU, which overlap with computing; `other`: of the step, in none of the phases.
    `evaluation`: one evaluation, every `every` steps. `layers`: by line of the spec, the slowest first; `hints`: what
    would help."""

    net: str
    recipe: str
    data: str
    device: str
    threads: int
    batch: int
    samples: float
    steps: int
    step: float
    phases: dict[str, float]
    other: float
    waiting: float
    copies: float | None
    evaluation: float
    every: int
    layers: tuple[LayerTime, ...]
    hints: tuple[str, ...]


class Clock:
    """Adds up the seconds of named parts; on a GPU, of its work too: it is waited for at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = self.now()
        yield
        self.seconds[name] += self.now() - began


def profile(prepared: Prepared, loop: Trainer, steps: int) -> Profile:
    """Train a few steps that nothing is kept of, and say where their time goes.

    First all phases are timed, then, in as many steps more, every layer: timing a layer costs time itself.
    """
    shares = [(s, *part) for s in range(WARM + 2 * steps) for part in loop.microbatches(s)]
    loop.feed.begin(shares)
    try:
        for step in range(WARM):
            loop.update(step)
        whole, clock, waiting = _phases(loop, steps)
        layers, copies = _layers(prepared, loop, range(WARM + steps, WARM + 2 * steps))
    finally:
        loop.feed.end()
    parts: dict[str, float] = {name: clock.seconds[name] / steps for name in STEP}
    evaluation, every = _evaluation(loop)
    recipe, samples = loop.recipe, _samples(loop, range(WARM, WARM + steps))
    return Profile(
        net=prepared.net.name, recipe=recipe.name, data=prepared.data.name, device=str(loop.device),
        threads=torch.get_num_threads(), batch=recipe.batch, samples=samples, steps=steps, step=whole,
        phases=parts,
        other=max(0.0, whole - sum(parts.values())), waiting=waiting, copies=copies, evaluation=evaluation,
        every=every, layers=layers, hints=_hints(loop, whole, parts, waiting, evaluation, every),
    )  # fmt: skip


def _samples(loop: Trainer, steps: range) -> float:
    """Samples of a step: fewer than the batch at the end of an epoch, or where the data has fewer."""
    return sum(map(loop.feed.count, steps)) / len(steps)


def _phases(loop: Trainer, steps: int) -> tuple[float, Clock, float]:
    """Seconds of a step, of its phases over all steps, and of a step's waiting for images."""
    clock, before = Clock(loop.device), loop.timed
    waited = loop.feed.ahead.waited if loop.feed.ahead is not None else 0.0
    loop.timed = clock.timed
    began = clock.now()
    for step in range(WARM, WARM + steps):
        loop.update(step)
    whole = (clock.now() - began) / steps
    loop.timed = before
    waiting = loop.feed.ahead.waited - waited if loop.feed.ahead is not None else 0.0
    return whole, clock, waiting / steps


def _evaluation(loop: Trainer) -> tuple[float, int]:
    """Seconds of an evaluation, measured on some of its samples, and the steps between two."""
    held, most = loop.job.held, loop.evaluator.most * 4
    some = held.subset(torch.arange(min(len(held), most), device=held.target.device))
    clock = Clock(loop.device)
    loop.module.eval()
    with clock.timed("evaluation"):
        loop.measured(loop.module, some)
    every = loop.recipe.evaluate.steps(loop.per_epoch) or 1
    return clock.seconds["evaluation"] * len(held) / max(1, len(some)), every


def copied(totals: Iterable[Any]) -> float:
    """Seconds that copies from the host to a GPU take, from the totals of a trace."""
    return float(sum(e.device_time_total for e in totals if "HtoD" in e.key)) / 1e6


def _layers(prepared: Prepared, loop: Trainer, steps: range) -> tuple[tuple[LayerTime, ...], float | None]:
    """The time of the layers, by line of the spec, the slowest first, and of a step's copies to a GPU."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as traced

    gpu = loop.device.type == "cuda"
    hooks = [h for name, module in loop.module.named_modules() for h in _marked(name, module)]
    try:
        with traced(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as found:
            for step in steps:
                loop.update(step)
    finally:
        for hook in hooks:
            hook.remove()
    forward, backward = attributed(found.events() or (), gpu)
    layers = by_line(prepared.net.checked, forward, backward, len(steps), _samples(loop, steps))
    return layers, copied(found.key_averages()) / len(steps) if gpu else None


def _marked(name: str, module: nn.Module) -> list[Any]:
    """Hooks that mark the forward pass of a module in a trace."""
    marks: list[Any] = []

    def begin(module: nn.Module, inputs: Any) -> None:
        marks.append(torch.profiler.record_function(f"{MARK}{name}"))
        marks[-1].__enter__()

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        marks.pop().__exit__(None, None, None)

    return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]


def attributed(events: Iterable[Any], gpu: bool) -> tuple[Times, Times]:
    """Seconds of the forward and the backward pass by module, from the events of a trace.

    An operation belongs to the innermost module that called it; one of the backward pass to the module whose operation
    it differentiates, which has the same sequence number.
    """
    forward: dict[str, float] = defaultdict(float)
    backward: dict[str, float] = defaultdict(float)
    owner: dict[int, str] = {}
    later = []
    for event in events:
        seconds = (event.device_time_total if gpu else event.cpu_time_total) / 1e6
        if event.name.startswith(MARK):
            forward[event.name.removeprefix(MARK)] += seconds
            outer = _module_of(event.cpu_parent)
            if outer is not None:
                forward[outer] -= seconds
        elif event.name.startswith(EVALUATED):
            later.append((event.sequence_nr, seconds))
        elif event.sequence_nr >= 0 and (name := _module_of(event)) is not None:
            owner[event.sequence_nr] = name  # those without a gradient have the number of the next one
    for number, seconds in later:
        if number in owner:
            backward[owner[number]] += seconds
    return forward, backward


def _module_of(event: Any) -> str | None:
    """The innermost module that an event is part of."""
    while event is not None:
        if event.name.startswith(MARK):
            return str(event.name.removeprefix(MARK))
        event = event.cpu_parent
    return None


def by_line(program: Program, forward: Times, backward: Times, steps: int, samples: float) -> tuple[LayerTime, ...]:
    """Seconds of modules by path as seconds of a step by line of the spec, the slowest first."""
    nodes: dict[int, list[Node]] = defaultdict(list)
    for node in flatten(program, training=True):
        if node.layer_path in forward.keys() | backward.keys():
            nodes[node.place.line].append(node)
    found = []
    for line, own in nodes.items():
        paths = tuple(dict.fromkeys(n.layer_path for n in own))
        ahead, back = (_seconds(way, paths) / steps for way in (forward, backward))
        macs = sum(map(_macs, own))
        flops = 2 * macs * samples * (1 + BACKWARD) / (ahead + back) if back > 0 else 0.0
        found.append(LayerTime(line, paths, ahead, back, macs, flops))
    known = [path for layer in found for path in layer.layers]
    ahead, back = (_seconds(way, way.keys() - set(known)) / steps for way in (forward, backward))
    found += [LayerTime(0, (), ahead, back, 0, 0.0)] if ahead + back else []
    return tuple(sorted(found, key=lambda layer: -(layer.forward + layer.backward)))


def _seconds(way: Times, paths: Iterable[str]) -> float:
    return sum(way.get(path, 0.0) for path in paths)


def _macs(node: Node) -> int:
    """Multiply-accumulates of a call; 0 where its sizes are open."""
    macs = node.op.macs(node.outputs[0].type, *node.types)
    return macs if isinstance(macs, int) else 0


def _hints(
    loop: Trainer, step: float, phases: dict[str, float], waiting: float, evaluation: float, every: int
) -> tuple[str, ...]:
    """Hints on what limits a step, where something does, and what to do."""
    found = []
    if waiting > MUCH * step:
        found.append(f"the loader is the limit: {waiting / step:.0%} of a step waits for images; {_faster(loop)}")
    elif phases["data"] > MUCH * step:
        share = f"{phases['data'] / step:.0%} of a step goes into making the batch"
        stages = " -> ".join(map(component_name, loop.recipe.augment))
        found.append(f"{share}: {f'the augmentation (`{stages}`)' if stages else 'the reader'} is what takes it")
    if evaluation > MUCH * step * every:
        rare = f"`--set evaluate='{max(2, round(2 * evaluation / step))} steps'`"
        found.append(f"evaluations take {evaluation / (evaluation + step * every):.0%} of the time: {rare}")
    return tuple(found)


def _faster(loop: Trainer) -> str:
    """A hint on what makes reading images faster."""
    workers = loop.feed.ahead.workers if loop.feed.ahead is not None else 0
    if workers < cores() - 1:
        return f"`--set workers={cores() - 1}` reads with every core"
    return "store the images at about the size that the net takes, or give `resident` more memory to keep them"
