"""Several nets beside each other: one finding for each signal, with the nets' curves in the same plots."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.probe.model import Finding, Plot, Probed


def beside(found: Sequence[Probed], names: Sequence[str]) -> Probed:
    """Join the findings of several nets; `names`: what each is called. What is the same for all of them, such as white
    noise, is shown once."""
    if len(found) == 1:
        return found[0]
    names = _distinct(names)
    notes = [f"{n}: {note}" for n, one in zip(names, found, strict=True) for note in one.notes]
    findings = []
    for signal in dict.fromkeys(f.signal for one in found for f in one.findings):
        of_each = {n: f for n, one in zip(names, found, strict=True) for f in one.findings if f.signal == signal}
        findings.append(_finding(signal, of_each))
    return Probed(", ".join(names), tuple(notes), tuple(findings))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names as they are, numbered where they stand several times."""
    return [f"{n} {names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]


def _finding(signal: str, of_each: dict[str, Finding]) -> Finding:
    rows = [(name, *row) for name, f in of_each.items() for row in f.rows]
    columns = next((f.columns for f in of_each.values() if f.columns), ())
    plots: dict[str, dict[str, Plot]] = {}
    for name, f in of_each.items():
        for plot in f.plots:
            plots.setdefault(plot.title, {})[name] = plot
    return Finding(signal, tuple(_said(of_each)), ("net", *columns), tuple(rows), tuple(map(_plot, plots.values())))


def _said(of_each: dict[str, Finding]) -> list[str]:
    """The sentences of each net, and those that are the same for all."""
    first, *others = of_each.values()
    shared = [line for line in first.said if others and all(line in f.said for f in others)]
    return [f"{name}: {line}" for name, f in of_each.items() for line in f.said if line not in shared] + shared


def _plot(of_each: dict[str, Plot]) -> Plot:
    """One plot of the same kind for each net: the first curve of each has the net's name."""
    first = next(iter(of_each.values()))
    series: dict[str, Sequence[tuple[float, float]]] = {}
    shared: dict[str, Sequence[tuple[float, float]]] = {}
    for name, plot in of_each.items():
        for number, (curve, points) in enumerate(plot.series.items()):
            if all(other.series.get(curve) == points for other in of_each.values()) and len(of_each) > 1:
                shared[curve] = points
            else:
                series[_curve(name, curve, number, len(plot.series))] = points
    return Plot(first.title, first.across, first.up, series | shared, first.logarithmic)


def _curve(net: str, curve: str, number: int, count: int) -> str:
    if (number == 0 and curve in ("measured", "the net")) or count == 1:
        return net
    return f"{net}, {curve}"
