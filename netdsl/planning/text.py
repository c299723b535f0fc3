"""A plan as lines of text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, prod
from textwrap import wrap

from netdsl.planning.groups import ParameterGroup
from netdsl.planning.plan import Plan, Span

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH, INDENT = 110, 12
MACHINES = (8, 24, 80)
"""GiB of memory for which a micro-batch is proposed."""
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
"""A place in a sequence of layers, within a path."""
SHOWN = ("data", "loss", "optimizer", "init")
"""Fields that are shown even where they have their default."""
SPEED = 100e12
"""Operations in a second that training time is given for."""


def lines(made: Plan, members: bool = False) -> list[str]:
    """A plan as lines of text; with `members`, every path of every group."""
    found = [f"{made.net} by {made.recipe}", ""]
    for part in (_length(made), _lr(made), _written(made), _groups(made, members), _rates(made), _cost(made)):
        found += part
    found += _defaults(made)
    for note in made.notes:
        found += _entry("note", note)
    return found


def _defaults(made: Plan) -> list[str]:
    """Defaults that say something, and what is left out altogether."""
    rest = {n: v for n, v in made.defaults.items() if n not in SHOWN}
    off = [n for n, v in rest.items() if v in ("none", "false")]
    said = _entry("defaults", "; ".join(f"{n} = {v}" for n, v in rest.items() if n not in off))
    return said + _entry("without", ", ".join(off))


def _entry(name: str, text: str) -> list[str]:
    """A name and its text, wrapped beside it."""
    return [f"{name if i == 0 else '':<{INDENT}}{line}" for i, line in enumerate(wrap(text, WIDTH - INDENT) or [""])]


def _length(made: Plan) -> list[str]:
    if not made.steps:
        return _entry("length", "depends on the number of training samples, which is not known here: --samples N")
    text = f"{made.steps:,} steps of {made.batch:,} samples"
    if made.per_epoch and made.samples:
        short = f", the last one of {made.short:,}" if made.short else ""
        epochs = made.steps / made.per_epoch
        text += f"; {epochs:.4g} epochs of {made.samples:,} samples, {made.per_epoch:,} steps each{short}"
    return _entry("length", text)


def _lr(made: Plan) -> list[str]:
    found = _entry("lr", f"peak {made.peak_lr:.6g}, changes at every {made.written.get('schedule_unit', 'step')}")
    width = max((len(s.phase) for s in made.spans), default=0)
    found += [" " * INDENT + _span(s, width, made.per_epoch) for s in made.spans]
    return found + ([" " * INDENT + spark(made.lr)] if made.lr else [])


def _span(span: Span, width: int, per_epoch: int | None) -> str:
    epochs = f" (epochs {span.start / per_epoch:.4g} to {span.end / per_epoch:.4g})" if per_epoch else ""
    ends = f"{span.first:.4g} to {span.last:.4g}"
    return f"{span.phase:<{width}}  {ends}, steps {span.start + 1:,} to {span.end:,}{epochs}"


def _written(made: Plan) -> list[str]:
    """The targets, and the fields that have no lines of their own."""
    told = {"epochs", "steps", "batch", "drop_last", "schedule", "schedule_unit", "drop_path", "dropout", "progressive"}
    texts = {n: f"{made.defaults[n]} (default)" for n in SHOWN if n in made.defaults} | made.written
    texts = {n: texts.pop(n) for n in SHOWN} | texts
    found = []
    for name, text in texts.items():
        found += _entry(name, text) if name not in told else []
        if name == "loss":
            found += _entry("targets", made.targets)
    return found


def _groups(made: Plan, members: bool) -> Iterator[str]:
    for number, (g, roles, size) in enumerate(zip(made.groups, made.roles, made.members, strict=True), 1):
        yield from _entry(
            f"group {number}",
            f"{_settings(g)}: {len(g.paths)} tensor{'s' * (len(g.paths) != 1)}, {size:,} numbers ({', '.join(roles)})",
        )
        listed = list(g.paths) if members else list(patterns(g.paths))
        yield from _entry("", ", ".join(listed))
    if made.frozen:
        yield from _entry("frozen", ", ".join(made.frozen if members else patterns(made.frozen)))


def _settings(g: ParameterGroup) -> str:
    layer = f"layer {g.layer}, " if g.layer is not None else ""
    layer += f"by {g.method}: " if g.method else ""
    scale = "lr" if g.lr_scale == 1 else f"lr x {g.lr_scale:.4g}"
    numbers = ((k, f"{v:.4g}" if isinstance(v, float) else str(v)) for k, v in g.settings.items())
    own = "".join(f", {k} {v}" for k, v in numbers)
    return layer + scale + (own or (" and weight_decay of the optimizer" if scale == "lr" else ""))


def patterns(paths: Iterable[str]) -> list[str]:
    """Paths that differ only in numbers, as one: `stages.2.{3-5}.conv.weight (3)`."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for path in paths:
        numbers = tuple(int(n) for n in NUMBER.findall(path))
        found.setdefault(NUMBER.sub("{}", path), []).append(numbers)
    return [_pattern(path, numbers) for path, numbers in found.items()]


def _pattern(path: str, numbers: list[tuple[int, ...]]) -> str:
    values = [sorted(set(column)) for column in zip(*numbers, strict=True)]
    whole = prod(map(len, values)) == len(numbers)
    texts = [_numbers(v, whole) for v in values]
    return path.format(*texts) + (f" ({len(numbers)})" if len(numbers) > 1 else "")


def _numbers(values: list[int], whole: bool) -> str:
    if len(values) == 1:
        return str(values[0])
    together = values[-1] - values[0] == len(values) - 1
    return f"{{{values[0]}-{values[-1]}}}" if whole and together else "*"


def _rates(made: Plan) -> Iterator[str]:
    if made.drop_path:
        yield from _entry("drop_path", f"{len(made.drop_path)} links: " + " ".join(f"{r:.3g}" for r in made.drop_path))
    if made.dropout:
        text = f"from {made.dropout[0]:.3g} to {made.dropout[-1]:.3g}"
        yield from _entry("dropout", f"{text}   {spark(made.dropout, 48)}" if len(set(made.dropout)) > 1 else text)
    for i, numbers in enumerate(made.stages):
        first = -(-i * made.steps // len(made.stages)) + 1 if made.steps else None
        since = f", from step {first:,}" if first else ""
        yield from _entry(f"stage {i + 1}", ", ".join(f"{n} {v:.4g}" for n, v in numbers.items()) + since)


def _cost(made: Plan) -> Iterator[str]:
    if made.cost is not None:
        text = f"{_count(made.cost)} operations for a sample, forward and backward"
        if made.flops is not None:
            text += f"; {made.flops:.3g} in all: {_time(made.flops / SPEED)} at 100 tera-operations in a second"
        yield from _entry("cost", text)
    elif made.open_sizes:
        sizes = " ".join(f"--size {name}=..." for name in made.open_sizes)
        yield from _entry("cost", f"operations and memory depend on {', '.join(made.open_sizes)}: {sizes}")
    if made.parts is None or made.memory is None:
        return
    fixed, sample = made.parts.fixed, made.parts.sample
    text = f"{_size(fixed)} for weights, gradients, optimizer and averages, {_size(sample)} for a sample: "
    yield from _entry("memory", text + f"{_size(made.memory)} for {(made.memory - fixed) // max(1, sample):,} at once")
    fits = [(m, (m * 2**30 - fixed) // max(1, sample)) for m in MACHINES]
    if made.memory > MACHINES[0] * 2**30:
        texts = [f"{m} GiB: micro_batch = {_round(n)}" for m, n in fits if 0 < n < made.batch]
        yield from _entry("", f"the same training in less, for example {'; '.join(texts)}" if texts else "")


def _round(count: int) -> int:
    """The largest power of two that is not more."""
    return 1 << (count.bit_length() - 1)


def _time(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.2g} seconds" if seconds >= 1 else "less than a second"


def _count(count: int) -> str:
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return str(count)


def _size(count: int) -> str:
    for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:,.3g} {name}" if count < 1000 * size else f"{count / size:,.0f} {name}"
    return f"{count} bytes"


def spark(values: Sequence[float], width: int = 64) -> str:
    """A curve as a line of blocks, from 0 to its largest value."""
    if not values:
        return ""
    count = min(width, len(values))
    picked = [values[i * (len(values) - 1) // max(1, count - 1)] for i in range(count)]
    high = max(picked) or 1.0
    return "".join(BLOCKS[ceil(max(0.0, v) / high * 8 - 1e-9)] for v in picked)
