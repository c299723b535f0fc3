"""A profile as text: the phases of a step, and the slowest lines of the spec."""

from __future__ import annotations

from netdsl.render.numbers import scaled
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import Cell, columns
from netdsl.training.profiling import LayerTime, Profile

SHOWN = 12
"""Lines of the spec that are shown; the others are counted."""


def profile_text(found: Profile, lines: dict[int, str], paint: Paint = PLAIN) -> str:
    """The whole profile; `lines`: the text of the spec by line."""
    on = f"{found.device}, {found.threads} thread{'s' * (found.threads != 1)}"
    head = f"{found.net} on {found.data}, batch {found.batch}, {on}"
    speed = f"{_time(found.step)} a step, {found.samples / found.step:,.0f} samples/s (mean of {found.steps} steps)"
    parts = [paint(head, "bold") + f"\n{speed}", _phases(found, paint)]
    if found.layers:
        parts.append(_layers(found, lines, paint))
    parts += [f"hint: {hint}" for hint in found.hints]
    return "\n\n".join(parts)


def _phases(found: Profile, paint: Paint) -> str:
    rows: list[tuple[str | Cell, ...]] = [_row(name, seconds, found.step) for name, seconds in found.phases.items()]
    if found.waiting:
        rows.insert(1, _row("  of it waiting for images", found.waiting, found.step))
    if found.copies is not None:
        rows.insert(1, _row("  copies to the device, overlapped", found.copies, found.step))
    rows.append(_row("other", found.other, found.step))
    rows.append((Cell("step", "bold"), _time(found.step), "100%"))
    whole = found.evaluation + found.every * found.step
    said = f"every {found.every:,} steps: {found.evaluation / whole:.0%} of the time"
    return columns(rows, "<>>", paint) + f"\n  an evaluation takes {_time(found.evaluation)}, {said}"


def _row(name: str, seconds: float, step: float) -> tuple[str, str, str]:
    return name, _time(seconds), f"{seconds / step:.0%}"


def _layers(found: Profile, lines: dict[int, str], paint: Paint) -> str:
    names = ("line", "forward", "backward", "of both", "MACs", "FLOP/s", "")
    header = tuple(Cell(name, "dim") for name in names)
    whole = sum(layer.forward + layer.backward for layer in found.layers)
    rows = [_layer(layer, lines, whole) for layer in found.layers[:SHOWN]]
    text = columns([header, *rows], ">>>>>><", paint)
    more = len(found.layers) - SHOWN
    note = "MACs of a sample's forward pass; FLOP/s over both passes, 2 for each MAC, the backward pass counted twice"
    return f"{text}\n{f'  and {more} lines more' + chr(10) if more > 0 else ''}  {paint(note, 'dim')}"


def _layer(layer: LayerTime, lines: dict[int, str], whole: float) -> tuple[str, ...]:
    share = (layer.forward + layer.backward) / whole if whole else 0.0
    macs, flops = (scaled(n) if n else "" for n in (layer.macs, round(layer.flops)))
    times = _time(layer.forward), _time(layer.backward)
    said = lines.get(layer.line, "").strip()[:60] if layer.line else "between the layers"
    return str(layer.line or ""), *times, f"{share:.0%}", macs, flops, said


def _time(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{1000 * seconds:,.2f} ms"
