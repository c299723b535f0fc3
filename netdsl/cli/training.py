"""Code shared by `train`, `eval`, `predict` and `recipe`: choosing the recipe, and reporting failures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import WRONG, Failure, Refused
from netdsl.cli.target import given_arguments, given_sizes, open_spec, split_target
from netdsl.cli.unused import refuse_unused
from netdsl.recipe.typed_paths import from_here

if TYPE_CHECKING:
    from netdsl.pipeline import Net
    from netdsl.recipe.schema import Recipe


def show(text: str = "") -> None:
    """Say something to the person who trains."""
    from netdsl.render.paint import visible

    print("\n".join(map(visible, text.split("\n"))), file=sys.stderr, flush=True)


def settings_of(args: argparse.Namespace) -> dict[str, str]:
    """`--set`, `--data` and `--seed` as fields of a recipe."""
    found: dict[str, str] = {}
    for text in args.settings:
        path, equals, value = text.partition("=")
        if not equals or not path.strip() or not value.strip():
            raise Failure(f"`--set {text}` should be FIELD=VALUE", "for example `--set epochs=3`")
        found[path.strip()] = value.strip()
    if getattr(args, "data", None):
        found["data"] = args.data
    if getattr(args, "seed", None) is not None:
        found["seed"] = str(args.seed)
    return found


def open_recipe(args: argparse.Namespace) -> tuple[Net, Recipe]:
    """The net and the recipe that a command means. Raises Refused with every mistake; warnings are printed."""
    from netdsl.selection import select

    path, name = split_target(args.spec)
    settings = settings_of(args)
    found = select(open_spec(path), name, args.recipe, settings, given_arguments(args), given_sizes(args))
    if found.several:
        show(f"recipe {found.several[0]}, the first of {', '.join(found.several)} (--recipe chooses)")
    _report(found.diagnostics, found.recipe is None)
    assert found.net is not None
    assert found.recipe is not None
    return found.net, from_here(found.recipe, settings)


def _report(mistakes: Any, fatal: bool) -> None:
    if fatal:
        raise Refused(tuple(mistakes))
    if mistakes:
        from netdsl.render.diagnostics import render_all

        show(render_all(mistakes, sys.stderr))


def open_request(args: argparse.Namespace) -> Any:
    """The request of `netdsl train`, from its arguments."""
    from netdsl.training.checkpoints.run_dir import check_free
    from netdsl.training.entry import Request

    logs = {"tensorboard": args.tensorboard, "csv": args.csv, "track": args.track}
    common: dict[str, Any] = {"device": args.device, "onnx": not args.no_onnx, "quiet": args.quiet, **logs}
    if args.probe:
        from netdsl.probe.during import during

        common["watchers"] = (during,)
    if args.resume:
        return _resumed(args, common)
    net, recipe = open_recipe(args)
    base = Path(split_target(args.spec)[0]).parent
    folder = Path(args.output) if args.output else None
    if folder is not None:
        check_free(folder, f"`netdsl train --resume {folder}`")
    return Request(net=net, recipe=recipe, base=base, folder=folder, resume=False, **common)


def _resumed(args: argparse.Namespace, common: dict[str, Any]) -> Any:
    """A run's folder, or one of its kept checkpoints, and what `--set` changes from there on."""
    from netdsl.planning.recipes import change_recipe
    from netdsl.recipe.resume import refusal
    from netdsl.training.checkpoints.manager import KEPT
    from netdsl.training.entry import Request
    from netdsl.training.opened import reopened

    refuse_unused(
        args, ("recipe", "data", "output", "seed", "arguments", "sizes"),
        "a run is resumed as it was begun: {} cannot change", "`--set` changes other fields",
    )  # fmt: skip
    path = Path(args.resume)
    kept = path if path.is_file() and path.parent.name == KEPT else None
    folder = path.parent.parent if kept else path
    net, before, about = reopened(folder)
    settings = settings_of(args)
    resolved = change_recipe(before, net.spec.elaborator.evaluator, settings)
    _report(resolved.diagnostics if settings else (), resolved.recipe is None)
    recipe = resolved.recipe
    assert recipe is not None
    if (reason := refusal(before, recipe)) is not None:
        raise Failure(reason, f'a new run can begin with its weights: `--set init=weights("{folder}")`')
    more: dict[str, Any] = {"resume": True, "checkpoint": kept, "before": before, "fold": about.fold}
    return Request(net=net, recipe=recipe, base=Path(about.base), folder=folder, **more, **common)


@contextmanager
def guarded() -> Iterator[None]:
    """Turn every mistake that a run meets into a refusal with its diagnostic."""
    from netdsl.diagnostics.diagnostic import Fault, diagnostic
    from netdsl.training.distributed.launch import LOST, lost_another
    from netdsl.training.errors import diagnosed
    from netdsl.weights.unwrap import WeightsError

    try:
        yield
    except WeightsError as mistake:  # the recipe names the file: it is the recipe that is wrong
        raise Refused((mistake.diagnostic,), WRONG) from None
    except Fault as mistake:
        raise Refused((mistake.diagnostic,)) from None
    except Exception as error:
        if (found := diagnosed(error, "`--set micro_batch=...`")) is not None:
            raise Refused((found,)) from None
        if not lost_another(error):
            raise
        how = next(iter(getattr(error, "__notes__", ())), None)
        ended = diagnostic("process-ended", "another process of this run has ended", None, how)
        raise Refused((ended,), LOST) from None
