"""The curves of a run's log as charts."""

from __future__ import annotations

from typing import Any

from netdsl.recipe.metrics import METRICS, title
from netdsl.training.report.svg import curves

Lines = list[dict[str, Any]]
"""The lines of a log: `kind` is `step` or `evaluation`, the rest are numbers by name."""


def charts(lines: Lines) -> str:
    """All curves of a log, as SVG."""
    return "".join(chart(lines, name) for name in charted())


def charted() -> tuple[str, ...]:
    """The names of the curves that a log can have, in the order in which they are shown."""
    return ("loss", *(name for name, kind in METRICS.items() if kind.number), "lr", "gradient")


def chart(lines: Lines, name: str) -> str:
    """One curve over the steps, while training and at the evaluations; empty where the log has none of this name."""
    steps = [x for x in lines if x["kind"] == "step"]
    held = [x for x in lines if x["kind"] == "evaluation"]
    if name == "loss":
        return curves("loss", {"training": [(x["step"], x["loss"]) for x in steps], **_held(held, "loss")})
    if name == "lr":
        return curves("learning rate", {"lr": [(x["step"], x["lr"]) for x in steps]}, noisy=False)
    if name == "gradient":
        points = [(x["step"], x["gradient"]) for x in steps if "gradient" in x]
        return curves("norm of the gradient", {"gradient": points})
    return curves(title(name), _held(held, name))


def _held(held: Lines, name: str) -> dict[str, list[tuple[float, float]]]:
    """A metric at the evaluations, of the average and the raw weights where there are both."""
    own = "held out, averaged weights" if any("raw" in x for x in held) else "held out"
    raw = [(x["step"], x["raw"][name]) for x in held if name in x.get("raw", {})]
    return {own: [(x["step"], x[name]) for x in held if name in x], "held out, raw weights": raw}
