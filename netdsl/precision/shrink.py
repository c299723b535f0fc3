"""From a float file to a smaller one that is good enough, or to the reason why there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from netdsl.backends.onnx.file import load, metadata
from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import UserError, did_you_mean
from netdsl.precision.convert import Int8, half, write
from netdsl.precision.measure import Comparison, Loss, largest, largest_difference
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
        """The facts that the metadata of the file and `--json` have."""
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
        about = metadata(load(source))
        write(load(file), target, about | {"precision": msgspec.json.encode(found.record, order="sorted").decode()})
    return found


def _half(
    source: Path, file: Path, samples: Sequence[Mapping[str, Any]], compare: Comparison | None
) -> tuple[Smaller, Path]:
    write(half(source), file, {})
    session = Session(file)
    layers = sum(bool(n.input) for n in load(file).graph.node)
    if compare is not None:
        loss = compare(session)
        return Smaller("fp16", layers, loss, loss.difference), file
    given = samples[:SENSITIVE]
    difference = _difference(_outputs(Session(source), given), _outputs(session, given))
    return Smaller("fp16", layers, None, difference), file


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
    ranked = _ranked(net, compare.source)
    most = (count + 1) // 2
    for number in sorted({min(2**i, most) for i in range(most.bit_length() + 1)}):
        kept = tuple(name for name, _ in ranked[:number])
        file = net.without(kept)
        loss = compare(Session(file))
        if loss.drop <= wanted.most:
            break
    shown = tuple(zip(_shown([n for n, _ in ranked]), (d for _, d in ranked), strict=True))
    return Smaller("int8", count - len(kept), loss, loss.difference, _shown(kept), shown[:8]), file


def _ranked(net: Int8, plain: Session) -> list[tuple[str, float]]:
    """Every layer with the difference that 8 bits in it alone make at the output, largest first."""
    samples, found = net.samples[:SENSITIVE], []
    expected = _outputs(plain, samples)
    for layer in net.layers:
        others = [name for name in net.layers if name != layer]
        found.append((layer, _difference(expected, _outputs(Session(net.without(others)), samples))))
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


def _outputs(session: Session, samples: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """All outputs for some samples, one after the other."""
    return [output for sample in samples for output in session.run(sample).values()]


def _difference(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """The largest difference of outputs, relative to the largest of each; infinite where only one is finite."""
    pairs = zip(expected, found, strict=True)
    return max((largest_difference(a, b) / max(largest(a), 1e-12) for a, b in pairs), default=0.0)


def _check(found: Smaller, wanted: Wanted) -> None:
    """Raise UserError where more is lost than is accepted."""
    loss = found.loss
    if not np.isfinite(found.difference):
        hint = "numbers above 65,504 do not fit into 16 bits: int8, or weights of a smaller scale"
        raise UserError("precision-loss", f"{found.kind} gives values that are not finite", hint)
    if loss is None or loss.drop <= wanted.most:
        return
    change = f"{title(loss.metric)} {said(loss.metric, loss.before)} -> {said(loss.metric, loss.after)}"
    message = f"{found.kind} loses {loss.drop:.2%}, and {wanted.most:.2%} is accepted: {change}"
    worst = ", ".join(name for name, _ in found.sensitive[:4])
    layers = f"; most is lost in {worst}" if worst else ""
    raise UserError("precision-loss", message, f"`--max-drop {bound(loss.drop)}` accepts it{layers}")


def bound(drop: float) -> str:
    """The least `--max-drop` of two digits that accepts a loss."""
    percent = Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(100 * drop)
    return f"{percent:f}%"
