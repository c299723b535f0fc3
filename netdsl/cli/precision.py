"""`netdsl compile --precision`: a smaller ONNX file, and what it loses on data."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from netdsl.cli.failure import Failure
from netdsl.cli.numbers import whole

if TYPE_CHECKING:
    from netdsl.precision.shrink import Smaller, Wanted

KINDS = ("fp16", "int8")
BELONGS = {
    "calibrate": (None, KINDS), "max_drop": ("0.5%", KINDS), "samples": (128, ("int8",)), "keep": ("auto", ("int8",)),
    "full_range": (False, ("int8",)),
}  # fmt: skip
"""The default of each option, and for which precisions it means something."""


def add_precision(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a smaller ONNX file")
    group.add_argument("--precision", choices=KINDS, help="write model.fp16.onnx or model.int8.onnx for model.onnx")
    group.add_argument(
        "--calibrate", metavar="DATA", help="samples for int8, as in a recipe (a run: its own training split)"
    )
    group.add_argument(
        "--samples",
        type=whole(1),
        default=BELONGS["samples"][0],
        metavar="N",
        help="how many of them give the ranges (128)",
    )
    group.add_argument(
        "--max-drop",
        default=BELONGS["max_drop"][0],
        metavar="X",
        help="the largest loss of accuracy on test data (0.5%%)",
    )
    group.add_argument(
        "--keep",
        default=BELONGS["keep"][0],
        metavar="LAYERS",
        help="layers that stay in float: auto, none, or names with commas",
    )
    group.add_argument(
        "--full-range", action="store_true", help="weights of 8 bits, not 7: for CPUs with VNNI, and ARM"
    )


def wanted_of(args: argparse.Namespace) -> Wanted | None:
    """The smaller file that a command asks for. Raises Failure."""
    for option, (default, kinds) in BELONGS.items():
        if getattr(args, option) != default and args.precision not in kinds:
            raise Failure(f"`--{option.replace('_', '-')}` belongs to `--precision {kinds[-1]}`")
    if args.precision is None:
        return None
    names = tuple(n.strip() for n in args.keep.split(",") if n.strip())
    keep, most = {"auto": None, "none": ()}.get(args.keep, names), _share(args.max_drop)
    from netdsl.precision.shrink import Wanted

    return Wanted(args.precision, most, keep, args.full_range)


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise Failure(f"`--max-drop {text}` is not a share", "for example `--max-drop 0.5%`")
    return value


def remark(found: Smaller) -> str:
    """The remark on a smaller file in the list of written files."""
    from netdsl.recipe.metrics import said, title

    loss = found.loss
    if loss is None:
        return f"{found.kind}, largest difference {found.difference:.1e} on random inputs"
    parts = [f"{title(loss.metric)} {said(loss.metric, loss.before)} -> {said(loss.metric, loss.after)}"]
    parts += [f"{loss.agreement:.2%} agree"] if loss.agreement is not None else []
    parts.append(f"largest difference {loss.difference:.1e}")
    return f"{found.kind}, {', '.join(parts)}"


def lines(found: Smaller) -> list[str]:
    """The lines below the list of written files: layers in float, and what each of them loses alone."""
    if not found.kept:
        return []
    alone = dict(found.sensitive)
    shown = [f"{name} ({alone[name]:.1e})" if name in alone else name for name in found.kept[:8]]
    more = f" and {len(found.kept) - 8} more" if len(found.kept) > 8 else ""
    return [f"in float: {', '.join(shown)}{more}" + ("; in brackets what 8 bits there alone change" if alone else "")]
