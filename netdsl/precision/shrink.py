"""From a float file to a smaller one that is good enough, or to the reason why there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from netdsl.backends.onnx.file import load
from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import UserError, did_you_mean
from netdsl.precision.convert import Int8, half, write
from netdsl.precision.measure import Comparison, Loss
from netdsl.recipe.metrics import said, title

SENSITIVE = 16
"""Samples by which layers are ranked."""


class Wanted(Struct, frozen=True):
    """The request for a smaller file. `kind`: fp16 or int8; `most`: the largest loss that is accepted; `keep`: layers
    (or prefixes of them) that stay in float, None to choose those that lose most; `full_range`: see Int8."""

    kind: str
    most: float = 0.005
    keep: tuple[str, ...] | None = None
    full_range: bool = False


class Smaller(Struct, frozen=True):
    """The result for a file. `loss`: None where there were no data to measure it on; `difference`: of the outputs on
    random inputs then; `kept`: layers in float; `sensitive`: layers and the difference that 8 bits in each of them
    alone make, largest first."""

    kind: str
    layers: int
    loss: Loss | None
    difference: float
    kept: tuple[str, ...] = ()
    sensitive: tuple[tuple[str, float], ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """What the metadata of the file say, and `--json`."""
        found: dict[str, Any] = {"kind": self.kind, "layers": self.layers, "kept": [*self.kept]}
        if self.loss is None:
            return found | {"largest_difference": self.difference}
        measured = msgspec.to_builtins(self.loss)
        return found | {"largest_difference": measured.pop("difference"), "drop": self.loss.drop, **measured}


def smaller(
    source: Path, target: Path, wanted: Wanted, samples: Sequence[Mapping[str, Any]], compare: Comparison | None
) -> Smaller:
    """Write the smaller form of a float file. `samples`: arrays by the name of an input, to calibrate on (int8), or to
    compare the outputs on where there is nothing to measure with.

    Raises UserError, and writes nothing, where more is lost than is accepted.
    """
    with tempfile.TemporaryDirectory() as folder:
        if wanted.kind == "fp16":
            found, file = _half(source, Path(folder) / "fp16.onnx", samples, compare)
        else:
            found, file = _int8(Int8(source, Path(folder), samples, wanted.full_range), wanted, compare)
        _check(found, wanted)
        about = dict(Session(source).metadata)
        write(load(file), target, about | {"precision": msgspec.json.encode(found.record, order="sorted").decode()})
    return found


def _half(
    source: Path, file: Path, samples: Sequence[Mapping[str, Any]], compare: Comparison | None
) -> tuple[Smaller, Path]:
    write(half(source), file, {})
    session = Session(file)
    difference = _difference(Session(source), session, samples[:SENSITIVE])
    layers = sum(bool(n.input) for n in load(file).graph.node)
    return Smaller("fp16", layers, compare(session) if compare else None, difference), file


def _int8(net: Int8, wanted: Wanted, compare: Comparison | None) -> tuple[Smaller, Path]:
    """The file with all layers in 8 bits; where that loses too much, with the layers in float that lose most: one, two,
    four ... of them, up to half."""
    assert compare is not None
    count = len(net.layers)
    kept = _named(net.layers, wanted.keep or ())
    file = net.without(kept)
    loss = compare(Session(file))
    if loss.drop <= wanted.most or wanted.keep is not None:
        return Smaller("int8", count - len(kept), loss, loss.difference, _shown(kept)), file
    ranked = _ranked(net)
    most = (count + 1) // 2
    for number in sorted({min(2**i, most) for i in range(most.bit_length() + 1)}):
        kept = tuple(name for name, _ in ranked[:number])
        file = net.without(kept)
        loss = compare(Session(file))
        if loss.drop <= wanted.most:
            break
    shown = tuple(zip(_shown([n for n, _ in ranked]), (d for _, d in ranked), strict=True))
    return Smaller("int8", count - len(kept), loss, loss.difference, _shown(kept), shown[:8]), file


def _ranked(net: Int8) -> list[tuple[str, float]]:
    """Every layer with the difference that 8 bits in it alone make at the output, largest first."""
    plain, found = Session(net.source), []
    for layer in net.layers:
        others = [name for name in net.layers if name != layer]
        found.append((layer, _difference(plain, Session(net.without(others)), net.samples[:SENSITIVE])))
    return sorted(found, key=lambda item: -item[1])


def _named(layers: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The nodes of some layers. Raises UserError for a name that no layer has."""
    found: dict[str, None] = {}
    for name in names:
        path = "/" + name.replace(".", "/")
        below = [n for n in layers if n == path or n.startswith(f"{path}/")]
        if not below:
            known = _shown(layers)
            hint = did_you_mean(name, list(known)) or f"layers with weights: {', '.join(known[:8])}"
            raise UserError("unknown-layer", f"there is no layer `{name}` with weights to keep in float", hint)
        found |= dict.fromkeys(below)
    return tuple(found)


def _shown(nodes: Sequence[str]) -> tuple[str, ...]:
    """Nodes as the layers that they are."""
    return tuple(n.removeprefix("/").replace("/", ".") for n in nodes)


def _difference(one: Session, two: Session, samples: Sequence[Mapping[str, Any]]) -> float:
    """The largest difference of the outputs on some samples, relative to the largest output; NaN where one is not
    finite."""
    worst = 0.0
    for sample in samples:
        for a, b in zip(one.run(sample).values(), two.run(sample).values(), strict=True):
            difference = float(np.abs(a.astype(np.float64) - b).max(initial=0))
            worst = float(np.maximum(worst, difference / max(float(np.abs(a).max(initial=0)), 1e-12)))
    return worst


def _check(found: Smaller, wanted: Wanted) -> None:
    """Raise UserError where more is lost than is accepted."""
    loss = found.loss
    if loss is None:
        if not np.isfinite(found.difference):
            hint = "numbers above 65,504 do not fit into 16 bits: int8, or weights of a smaller scale"
            raise UserError("precision-loss", f"{found.kind} gives values that are not finite", hint)
        return
    if loss.drop <= wanted.most:
        return
    change = f"{title(loss.metric)} {said(loss.metric, loss.before)} -> {said(loss.metric, loss.after)}"
    message = f"{found.kind} loses {loss.drop:.2%}, and {wanted.most:.2%} is accepted: {change}"
    worst = ", ".join(name for name, _ in found.sensitive[:4])
    layers = f"; most is lost in {worst}" if worst else ""
    raise UserError("precision-loss", message, f"`--max-drop {100 * loss.drop:.2g}%` accepts it{layers}")
