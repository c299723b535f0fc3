"""One whole training, from what was asked to what is left in the run directory."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace

from netdsl.analysis.count import totals
from netdsl.backends.onnx.weights import ExportError
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.given import Expression
from netdsl.loader import library
from netdsl.pipeline import Net
from netdsl.plugins.used import used
from netdsl.recipe.metrics import said, title
from netdsl.recipe.schema import Recipe
from netdsl.training.callbacks import Callbacks
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.environment import environment
from netdsl.training.checkpoints.lock import going_on, owned
from netdsl.training.checkpoints.resume import advice, resume
from netdsl.training.checkpoints.run_dir import About, Log
from netdsl.training.data.dataset import DataSet
from netdsl.training.data.prefetch import deaths_in_words
from netdsl.training.data.ragged import check_batches
from netdsl.training.devices import choose_device
from netdsl.training.diagnose import Diverged
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.errors import DataError, ReaderDied, WriteError
from netdsl.training.evaluate import at_once
from netdsl.training.export import forward_of, largest_difference, notes, origins
from netdsl.training.folds import about_folds, forget_unbegun, run_folds
from netdsl.training.kernels.memory import resident
from netdsl.training.profiling import Profile, profile
from netdsl.training.report.csv_log import write_csv_log
from netdsl.training.report.live import Live, notebook_display
from netdsl.training.report.page import write_report
from netdsl.training.report.progress import Progress
from netdsl.training.setup import (
    Prepared,
    begin_folder,
    evaluator_of,
    finish,
    interruptible,
    open_log,
    plain,
    prepare,
    start,
    watching,
)
from netdsl.training.test_time import averaged
from netdsl.training.trainer import Trainer, Watch
from netdsl.training.user_functions import Own
from netdsl.verify.export import export_onnx

Show = Callable[[str], None]
INTERRUPTED = 130
SMALL = 500_000_000
"""Multiply-accumulates of a step's forward pass below which one thread is enough."""


Watcher = Callable[[Prepared, Trainer, Path], Watch]
"""Made for a run that begins: hears of its steps, evaluations and checkpoints."""


class Request(Struct, frozen=True, eq=False, kw_only=True):
    """The net and recipe to train, the run directory, and the outputs to leave out. `folder` None: the next free one
    under `runs`. `watchers`: what hears of every step, beside progress and log.

    `checkpoint`: one of the kept, where a run does not resume from the newest; `before`: the recipe that it had so far.
    """

    net: Net
    recipe: Recipe
    base: Path
    folder: Path | None
    resume: bool = False
    checkpoint: Path | None = None
    before: Recipe | None = None
    device: str | None = None
    onnx: bool = True
    quiet: bool = False
    tensorboard: bool = False
    csv: bool = False
    track: str = ""
    watchers: tuple[Watcher, ...] = ()
    callbacks: Callbacks | None = None
    data: DataSet | None = None
    own: Own | None = None
    fold: int | None = None


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
        files.write_json(folder / files.RECIPE, recipe)
        files.write_json(folder / files.ABOUT, about)

    def one(number: int, path: Path, begun: bool) -> int:
        before = files.read_about(path)[1] if begun else None
        again = recipe if before is None else before
        more = {"folder": path, "fold": number, "resume": begun, "before": before, "recipe": again}
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
    device = choose_device(request.device)
    ranks = ProcessGroup.from_environment(device)
    choose_threads(request)
    choose_arithmetic(request.recipe, device)
    say = show if ranks.first else _silent
    began = time.perf_counter()
    before = _before(request)
    prepared = prepare(request.net, request.recipe, request.base, device, request.data, request.fold, before)
    prepared = replace(prepared, own=request.own)
    folder = _folder(request, ranks)
    with owned(folder, ranks, request.resume), going_on(folder):
        code = _trained(request, prepared, folder, ranks, say, began)
    ranks.close()  # not after a mistake: the group would wait for processes that wait for this one
    return code


def _before(request: Request) -> About | None:
    """The run that continues from a checkpoint; None for one that begins."""
    if not request.resume or request.folder is None:
        return None
    there = request.checkpoint is not None or (request.folder / files.CHECKPOINT).exists()
    return files.read_about(request.folder)[0] if there else None


def _trained(request: Request, prepared: Prepared, folder: Path, ranks: ProcessGroup, say: Show, began: float) -> int:
    device = next(prepared.module.parameters()).device
    about = _about(request, prepared, environment(device, ranks))
    loop = start(prepared, folder, ranks, lambda what, numbers: None)
    notes = [*loop.notes, *check_batches(loop), *loop.averages.doubts(loop.total)]
    if request.resume:
        about = resume(loop, request.before or request.recipe, request.checkpoint, about, say)
    elif ranks.first:
        begin_folder(folder, prepared, about)
    _introduce(prepared, loop, notes, _silent if request.quiet else say)
    _run(request, prepared, loop, folder, say)
    if loop.interrupted:
        say(f"stopped at step {loop.state.step}; continue with: netdsl train --resume {folder}")
        return INTERRUPTED
    if loop.feed.ahead is not None:
        say(loop.feed.ahead.said())
    result = finish(prepared, loop, folder)
    loop.release()
    if ranks.first:
        result["seconds"] = time.perf_counter() - began
        _deliver(request, plain(prepared, folder), about, folder, result, say)
    return 0


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


def _silent(text: str) -> None: ...


def choose_threads(request: Request) -> None:
    """One thread where a step is small: sharing it costs more than it saves. `OMP_NUM_THREADS` has the last word.

    A rule and not a measurement, because sums over another number of threads round differently.
    """
    macs = totals(request.net.checked.main).training_macs
    batch = request.recipe.micro_batch or request.recipe.batch
    if "OMP_NUM_THREADS" not in os.environ and isinstance(macs, int) and macs * batch < SMALL:
        torch.set_num_threads(1)


def choose_arithmetic(recipe: Recipe, device: torch.device) -> None:
    """Choose the kernels of torch: tf32 or whole float32, as a CPU always has; deterministic or the fastest."""
    rounded = recipe.precision == "tf32" and device.type != "cpu"
    torch.set_float32_matmul_precision("high" if rounded else "highest")
    torch.backends.cudnn.allow_tf32 = rounded
    torch.backends.cudnn.benchmark = not recipe.deterministic
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if recipe.deterministic != torch.are_deterministic_algorithms_enabled():  # imports the compiler: two seconds
        torch.use_deterministic_algorithms(recipe.deterministic)


def _folder(request: Request, ranks: ProcessGroup) -> Path:
    if request.folder is None:
        return Path(ranks.tell(str(files.new_folder(request.net.name)) if ranks.first else None))
    files.make_folder(request.folder)
    return request.folder


def _introduce(prepared: Prepared, loop: Trainer, notes: list[str], say: Show) -> None:
    count = sum(math.prod(p.shape) for p in prepared.parameters)
    data = prepared.data
    sizes = f"{len(prepared.train):,} to train, {len(data.test):,} to test"
    say(f"{prepared.net.name}: {count:,} parameters; {data.name}: {sizes}")
    for note in (*prepared.notes, *notes):
        say(f"  {note}")
    if prepared.recipe.precision in ("bf16", "fp16") and loop.autocast is None:
        say(f"  {prepared.recipe.precision} is for GPUs: computed in fp32 here")
    into = loop.job.folder
    say(f"recipe {prepared.recipe.name}: {loop.total:,} steps of {prepared.recipe.batch}; into {into}")


def _run(request: Request, prepared: Prepared, loop: Trainer, folder: Path, say: Show) -> None:
    first = loop.ranks.first
    progress = _progress(request, loop)
    log = open_log(folder, loop.state.step) if first else None
    if log is not None:
        _say_losses(log, loop, say)
    boards = (
        [*_boards(request, folder, loop.state.step), *_watchers(request, prepared, loop, folder, say)] if first else []
    )

    def watch(what: str, numbers: dict[str, Any]) -> None:
        progress(what, numbers)
        for board in boards:
            board(what, numbers)
        if request.callbacks is not None:
            request.callbacks.tell(what, numbers, loop)

    loop.watch = watching(log, watch, max(1, loop.total // 200))
    try:
        with interruptible(loop):
            loop.run()
    except UserError as error:
        _advise(error, loop, folder)
        raise
    finally:
        progress.close()
        if request.csv and first:
            write_csv_log(folder)


def _watchers(request: Request, prepared: Prepared, loop: Trainer, folder: Path, say: Show) -> list[Watch]:
    """The watchers of a run whose weights are whole on its first device."""
    if request.watchers and loop.sharded:
        say("  no signals: each device holds a part of each weight")
        return []
    return [watcher(prepared, loop, folder) for watcher in request.watchers]


def _progress(request: Request, loop: Trainer) -> Progress | Live:
    """The progress of a training: curves in a notebook, else a bar or lines."""
    silent = request.quiet or not loop.ranks.first
    display = None if silent else notebook_display()
    if display is not None:
        return Live(request.net.name, loop.total, loop.state.step, display)
    return Progress(loop.total, loop.state.step, silent, used_on(loop.device))


def _say_losses(log: Log, loop: Trainer, say: Show) -> None:
    """Say what is left out of a log that is continued."""
    if log.damaged:
        say(f"  {files.LOG} was damaged: left out {_listed(log.damaged)}")
    if log.lost and loop.state.step * 100 >= loop.total:  # before, nothing need be logged
        say(f"  {files.LOG} has nothing of the first {loop.state.step:,} steps: curves begin at the next")


def _listed(lines: tuple[int, ...]) -> str:
    """Lines of a file by their numbers, the first three of many."""
    which = ", ".join(map(str, lines[:3])) + (", ..." if len(lines) > 3 else "")
    return f"1 line, number {which}" if len(lines) == 1 else f"{len(lines)} lines, numbers {which}"


def _advise(error: UserError, loop: Trainer, folder: Path) -> None:
    """Say how a run continues that an error has ended: with a lower lr, or once the data are whole."""
    if isinstance(error, Diverged):
        error.advise(advice(loop))
    elif loop.store.saved and not isinstance(error, WriteError | ReaderDied):  # `going_on` says it of those
        error.advise(f"the run is kept: `netdsl train --resume {folder}` continues with it", more=True)


def used_on(device: torch.device) -> Callable[[], int]:
    """Tells the bytes in use: on a GPU the most that tensors have taken, else those of the process."""
    return (lambda: torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else resident


def _boards(request: Request, folder: Path, after: int) -> list[Callable[[str, dict[str, Any]], None]]:
    """The writers of a log beside the run's own, where they are asked for."""
    found = []
    if request.tensorboard:
        from netdsl.training.report.tensorboard import tensorboard

        found.append(tensorboard(folder, after))
    if request.track:
        from netdsl.training.report.trackers import tracker

        found.append(tracker(request.track, folder, request.net.name, request.recipe))
    if request.csv:
        found.append(lambda what, numbers: write_csv_log(folder) if what == "saved" else None)
    return found


def written_arguments(net: Net) -> dict[str, str]:
    """The arguments of a net as they could be typed."""
    return {k: v.text if isinstance(v, Expression) else str(v) for k, v in net.arguments.items()}


def _about(request: Request, prepared: Prepared, environment: dict[str, Any]) -> About:
    from netdsl.version import LANGUAGE, __version__

    net = prepared.net
    arguments = written_arguments(net)
    mean, std = net.options.standard or (None, None)
    return About(
        net=net.name, arguments=arguments, sizes=dict(net.sizes), mean=mean, std=std, per=net.options.per,
        units=net.options.units, columns=prepared.data.columns, functions=request.own.names if request.own else (),
        plugins=used(net.checked, request.recipe), fold=request.fold,
        classes=prepared.data.classes, task=prepared.data.task, data=prepared.data.name,
        base=str(request.base.resolve()), environment=environment,
        samples=(len(prepared.train), len(prepared.held), len(prepared.data.test)),
        versions={"netdsl": __version__, "torch": str(torch.__version__)}, language=LANGUAGE,
        pretrained=tuple(r.notes for r in prepared.pretrained),
    )  # fmt: skip


def _deliver(
    request: Request, prepared: Prepared, about: About, folder: Path, result: dict[str, Any], say: Show
) -> None:
    say(f"test: {described(result)}")
    if request.onnx:
        try:
            result |= _onnx(prepared, about, folder, say)
        except ExportError as error:
            if error.diagnostic.code != "no-onnx-form":
                raise
            say(f"no {files.ONNX}: {error.message}")
    files.write_json(folder / files.ABOUT, replace(about, result=result))
    write_report(folder, prepared, result, about)
    say(f"{result['seconds']:.1f} s; everything is in {folder}")


def _onnx(prepared: Prepared, about: About, folder: Path, say: Show) -> dict[str, Any]:
    """Write model.onnx, verified, and run it on the test split."""
    from netdsl.backends.onnx.session import Session

    module = prepared.module.cpu()
    data, standardized = prepared.data, prepared.net.options.standard is not None
    said = notes(prepared.recipe, data.task, data.classes, data.columns, standardized)
    said |= origins(about.pretrained)
    if prepared.recipe.tta is not None:
        say("onnxruntime: `tta` is no part of the file: whoever runs it averages the views of each image")
    export_onnx(prepared.net, folder / files.ONNX, module, metadata=said)
    forward = forward_of(Session(folder / files.ONNX, threads=torch.get_num_threads()))
    test = prepared.data.test.to(torch.device("cpu"))
    theirs = evaluator_of(prepared.recipe, prepared.data, prepared.kept, prepared.own)(
        averaged(forward, prepared.recipe), test
    )
    difference = largest_difference(module, forward, test, at_once(prepared.recipe))
    if test.streams:
        say("onnxruntime: the file begins each window with states of 0, which are carried in the run")
    say(f"onnxruntime: {described(theirs)}; largest difference from torch {difference:.1e} of the largest output")
    return {"onnx": theirs, "onnx_difference": difference}


def described(result: dict[str, Any]) -> str:
    """Metrics in one line."""
    parts = []
    for name, value in result.items():
        if isinstance(value, float) and name not in ("seconds", "onnx_difference"):
            parts.append(f"{title(name)} {said(name, value)}")
    return ", ".join(parts) + f" on {result['n']:,} samples"
