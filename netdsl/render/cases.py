"""Comparisons of torch and onnxruntime as a table and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from netdsl.render.numbers import plural
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import RULE, Cell, Cells, columns

if TYPE_CHECKING:
    from netdsl.verify.compare import Case


def render_cases(cases: Sequence[Case], paint: Paint = PLAIN) -> str:
    """A row for each comparison, with its largest relative difference."""
    names = list(dict.fromkeys(name for case in cases for name, _ in case.sizes))
    header = ("N", *names, "weights", "optimised", "largest difference", "")
    rows: list[Cells | None] = [tuple(Cell(h, "bold") for h in header), RULE]
    rows += [_row(case, names) for case in cases]
    return columns(rows, ">" * (1 + len(names)) + "<<><", paint)


def _row(case: Case, names: list[str]) -> Cells:
    sizes = dict(case.sizes)
    passed = f"ok, {case.accepted:.1e} accepted" if case.widened else "ok"
    passed += f", {plural(case.undecided, 'number')} left out" if case.undecided else ""
    verdict = Cell(passed, "hint") if case.ok else Cell(case.error.partition("\n")[0] or "too large", "error")
    difference = f"{case.difference:.1e}" if case.difference != float("inf") else "-"
    return (
        str(case.batch),
        *(str(sizes.get(n, "")) for n in names),
        case.weights,
        "all" if case.optimised else "off",
        difference,
        verdict,
    )


def verdict(cases: Sequence[Case], gate: float) -> str:
    """Sum up all comparisons: a gate that was widened is never said to have been met, numbers that were left out never
    to have been compared."""
    return "\n".join([_verdict(cases, gate), *_jumps(cases)])


def _jumps(cases: Sequence[Case]) -> Iterator[str]:
    """Sentences on outputs that jump where a value changes by as much as rounding."""
    if any(c.deciding for c in cases):
        yield "outputs hang on decisions (a threshold, the largest of some): the values that decide were compared too"
    left_out = [c.undecided for c in cases if c.undecided]
    if left_out:
        most, where = plural(max(left_out), "number"), plural(len(left_out), "case")
        yield f"up to {most} in {where} were not compared: a change as small as rounding decides over them"


def _verdict(cases: Sequence[Case], gate: float) -> str:
    worst = max((c.difference for c in cases), default=0.0)
    failed, total = sum(not c.ok for c in cases), plural(len(cases), "case")
    widened = [c for c in cases if c.widened]
    if failed:
        return f"{failed} of {total} failed: largest difference {worst:.1e}, gate {gate:.0e}"
    if not widened:
        return f"all {total} agree: largest difference {worst:.1e}, gate {gate:.0e}"
    accepted = max(c.accepted for c in widened)
    return (
        f"all {total} pass, {len(widened)} of them above the gate of {gate:.0e}: largest difference {worst:.1e}, and "
        f"up to {accepted:.1e} was accepted, because PyTorch's own rounding is larger than the gate there"
    )


def cases_data(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The comparisons as JSON data; `difference` is None where there is none, `accepted` what it was held to,
    `undecided` how many numbers were left out because rounding decides over them, `deciding` how many values were
    compared that decide over others."""
    return [
        {
            "batch": c.batch,
            "sizes": dict(c.sizes),
            "weights": c.weights,
            "optimised": c.optimised,
            "difference": c.difference if c.difference != float("inf") else None,
            "accepted": c.accepted,
            "undecided": c.undecided,
            "deciding": c.deciding,
            "ok": c.ok,
            "error": c.error or None,
        }
        for c in cases
    ]
