"""One whole training, from what was asked to what is left in the run directory."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import UserError
from netdsl.loader import library
from netdsl.pipeline import Net
from netdsl.recipe.schema import Recipe
from netdsl.training.begun import Request as Request
from netdsl.training.begun import Show, begun, choose_arithmetic, choose_threads, written_arguments
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.data.prefetch import deaths_in_words
from netdsl.training.data.ragged import check_batches
from netdsl.training.devices import choose_device
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.errors import DataError
from netdsl.training.folds import about_folds, forget_unbegun, run_folds
from netdsl.training.profiling import Profile, profile
from netdsl.training.setup import prepare, start


def train(request: Request, show: Show) -> int:
    """Train, or run all folds of a cross-validation; returns the exit code."""
    if request.recipe.folds is None or request.fold is not None:
        return train_once(request, show)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise DataError("not-supported", "`folds` runs on one device", "leave out `--devices`")
    net, recipe = request.net, request.recipe
    folder = request.folder or files.new_folder(net.name)
    about = about_folds(net.name, written_arguments(net), dict(net.sizes), recipe, request.base)
    fresh = not (folder / files.ABOUT).exists()
    written: list[Path] = []
    if fresh:
        folder.mkdir(parents=True, exist_ok=True)
        written = files.write_spec(folder, net.spec.module, Path(library()))
        files.write_json(folder / files.ABOUT, about)
    files.write_json(folder / files.RECIPE, recipe)

    def one(number: int, path: Path, begun: bool) -> int:
        before = files.read_about(path)[1] if begun else None
        more = {"folder": path, "fold": number, "resume": begun, "before": before}
        return train_once(replace(request, **more), show)

    try:
        return run_folds(folder, about, recipe, one, show)
    except UserError:
        if fresh:
            forget_unbegun(folder, recipe.folds or 0, written)
        raise


@deaths_in_words()
def train_once(request: Request, show: Show) -> int:
    """Train one run. Everything it leaves is in its run directory."""
    with begun(request, show) as run:
        run.train()
        return run.end()


def profiled(net: Net, recipe: Recipe, base: Path, name: str | None, steps: int) -> Profile:
    """Where the time of a training step goes, of a net that is trained for a few steps. Raises DataError."""
    device = choose_device(name)
    recipe = replace(recipe, compile="off")  # the layers of a compiled net are no longer apart
    choose_threads(Request(net=net, recipe=recipe, base=base, folder=None))
    choose_arithmetic(recipe, device)
    prepared = prepare(net, recipe, base, device)
    loop = start(prepared, None, ProcessGroup(), lambda what, numbers: None)
    check_batches(loop)
    return profile(prepared, loop, steps)
