"""A run that has begun: what it needs is prepared, its folder is held and says what it is, its log is open."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace

from netdsl.analysis.count import totals
from netdsl.backends.onnx.weights import FORMLESS
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.given import Expression
from netdsl.elaborate.migrate import outdated
from netdsl.pipeline import Net
from netdsl.plugins.used import used
from netdsl.recipe.metrics import described
from netdsl.recipe.schema import Recipe
from netdsl.render.paint import visible
from netdsl.training.callbacks import Callbacks
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.clock import Clock
from netdsl.training.checkpoints.environment import environment
from netdsl.training.checkpoints.lock import going_on, owned
from netdsl.training.checkpoints.resume import advice, resume
from netdsl.training.checkpoints.run_dir import About, Log
from netdsl.training.data.dataset import DataSet
from netdsl.training.data.ragged import check_batches
from netdsl.training.devices import choose_device
from netdsl.training.diagnose import IN_DATA, IN_DATA_HINT, Diverged
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.ending import finish, plain
from netdsl.training.errors import CheckpointError, ReaderDied, WriteError
from netdsl.training.evaluate import at_once
from netdsl.training.export import forward_of, largest_difference, notes, origins
from netdsl.training.kernels.memory import resident
from netdsl.training.report.csv_log import write_csv_log
from netdsl.training.report.live import Live, notebook_display
from netdsl.training.report.page import write_report
from netdsl.training.report.progress import Progress, how_it_ended
from netdsl.training.setup import (
    Prepared,
    begin_folder,
    evaluator_of,
    interruptible,
    open_log,
    prepare,
    start,
    watching,
)
from netdsl.training.test_time import averaged
from netdsl.training.trainer import Trainer, Watch
from netdsl.training.user_functions import Own
from netdsl.verify.export import export_onnx
from netdsl.version import LANGUAGE, __version__

Show = Callable[[str], None]
INTERRUPTED = 130
SMALL = 500_000_000
"""Multiply-accumulates of a step's forward pass below which one thread is enough."""


Watcher = Callable[[Prepared, Trainer, Path], Watch]
"""Made for a run that begins: hears of its steps, evaluations and checkpoints."""


class Request(Struct, frozen=True, eq=False, kw_only=True):
    """The net and recipe to train, the run directory, and the outputs to leave out. `folder` None: the next free one
    under `runs`. `watchers`: what hears of every step, beside progress and log.

    `checkpoint`: one of the kept, where a run does not resume from the newest; `before`: the recipe that it had so far;
    `pause`: seconds between two checkpoints at least; `samples`: whether the report looks at single samples, for which
    it computes the test split once more.
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
    pause: float = 0.0
    samples: bool = True


class Begun(Struct, eq=False):
    """A run between its beginning and its end."""

    request: Request
    prepared: Prepared
    about: About
    loop: Trainer
    folder: Path
    say: Show
    clock: Clock
    progress: Progress | Live

    def train(self) -> None:
        """Train to the end, or until it is interrupted. Raises UserError, which says how the run continues."""
        try:
            with interruptible(self.loop):
                self.loop.run()
        except UserError as error:
            self.advise(error)
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Show no more progress: the steps are made, or one of them failed."""
        self.progress.close()
        if self.request.csv and self.loop.ranks.first:
            write_csv_log(self.folder)

    def advise(self, error: UserError) -> None:
        """Say how a run continues that an error has ended: with a lower lr, or once the data are whole."""
        if isinstance(error, Diverged):
            error.advise(IN_DATA_HINT if error.reason == IN_DATA else advice(self.loop))
        elif self.loop.store.saved and not isinstance(error, WriteError | ReaderDied):  # `going_on` says it of those
            error.advise(f"the run is kept: `netdsl train --resume {self.folder}` continues with it", more=True)

    def end(self) -> int:
        """Measure what was trained, and write the report; gives the exit code."""
        loop, say = self.loop, self.say
        if loop.interrupted:
            say(f"stopped at step {loop.state.step}; continue with: netdsl train --resume {self.folder}")
            return INTERRUPTED
        if loop.feed.ahead is not None:
            say(loop.feed.ahead.said())
        for line in how_it_ended(loop):
            say(line)
        result = finish(self.prepared, loop, self.folder)
        loop.release()
        if loop.ranks.first:
            result["seconds"] = self.clock.seconds()
            _deliver(self.request, plain(self.prepared, self.folder), self.about, self.folder, result, say)
        return 0


def prepared_for(request: Request) -> Prepared:
    """Everything that a run needs, on its device. Raises DataError."""
    device = choose_device(request.device)
    choose_threads(request)
    choose_arithmetic(request.recipe, device)
    before = _before(request)
    prepared = prepare(request.net, request.recipe, request.base, device, request.data, request.fold, before)
    return replace(prepared, own=request.own)


@contextmanager
def begun(request: Request, show: Show, prepared: Prepared | None = None) -> Iterator[Begun]:
    """A run that begins, or resumes; its folder is this process's as long as the context lasts. Raises UserError."""
    ranks = ProcessGroup.from_environment(choose_device(request.device))
    say = show if ranks.first else _silent
    since = time.perf_counter()
    prepared = prepared or prepared_for(request)
    folder = _folder(request, ranks)
    with owned(folder, ranks, request.resume), going_on(folder):
        clock = Clock(folder, since)
        device = next(prepared.module.parameters()).device
        about = _about(request, prepared, environment(device, ranks))
        loop = start(prepared, folder, ranks, lambda what, numbers: None)
        loop.store.pause = request.pause
        notes = [*loop.notes, *check_batches(loop), *loop.averages.doubts(loop.total)]
        if request.resume:
            _check_language(folder, prepared.net)
            about = resume(loop, request.before or request.recipe, request.checkpoint, about, say)
            clock.resume(loop.state.step)
            files.warn_of_edits(folder, about, prepared.net.source())
        elif ranks.first:
            begin_folder(folder, prepared, about)
        _introduce(prepared, loop, notes, _silent if request.quiet else say)
        progress = _watch(request, prepared, loop, clock, say)
        yield Begun(request, prepared, about, loop, folder, say, clock, progress)
    ranks.close()  # not after a mistake: the group would wait for processes that wait for this one


def _before(request: Request) -> About | None:
    """The run that continues from a checkpoint; None for one that begins."""
    if not request.resume or request.folder is None:
        return None
    there = request.checkpoint is not None or (request.folder / files.CHECKPOINT).exists()
    return files.read_about(request.folder)[0] if there else None


def _check_language(folder: Path, net: Net) -> None:
    """Raise CheckpointError for a run that began when its layers worked along other axes."""
    language = files.read_about(folder)[0].language
    if language < LANGUAGE and net.elaborated.followed:
        raise CheckpointError.of(outdated(folder, language, net.elaborated.followed))


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
        say(f"  {visible(note)}")
    if prepared.recipe.precision in ("bf16", "fp16") and loop.autocast is None:
        say(f"  {prepared.recipe.precision} is for GPUs: computed in fp32 here")
    into = loop.job.folder
    batch = min(prepared.recipe.batch, len(prepared.train))
    say(f"recipe {prepared.recipe.name}: {loop.total:,} steps of {batch}; into {into}")


def _watch(request: Request, prepared: Prepared, loop: Trainer, clock: Clock, say: Show) -> Progress | Live:
    """Let progress, log and everybody else hear of a loop."""
    first, folder = loop.ranks.first, clock.path.parent
    progress = _progress(request, loop)
    log = open_log(folder, loop.state.step) if first else None
    if log is not None:
        _say_losses(log, loop, say)
    boards: list[Watch] = []
    if first:
        boards = [clock.keep, *_boards(request, folder, loop.state.step)]
        boards += _watchers(request, prepared, loop, folder, say)

    def watch(what: str, numbers: dict[str, Any]) -> None:
        progress(what, numbers)
        for board in boards:
            board(what, numbers)
        if request.callbacks is not None:
            request.callbacks.tell(what, numbers, loop)

    loop.watch = watching(log, watch, max(1, loop.total // 200))
    return progress


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
    say(f"test: {described(result, about.task)}")
    wrong: UserError | None = None
    if request.onnx:
        try:
            result |= _onnx(prepared, about, folder, say)
        except UserError as error:
            wrong = error
    files.write_json(folder / files.ABOUT, replace(about, result=result))
    write_report(folder, prepared, result, about, request.samples)
    if wrong is not None:  # what was trained is kept, whatever came of the file
        if wrong.diagnostic.code not in FORMLESS:
            raise wrong
        say(f"no {files.ONNX}: {wrong.message}")
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
    apart = f"largest difference from torch {difference:.1e} of the largest output"
    say(f"onnxruntime: {described(theirs, data.task)}; {apart}")
    return {"onnx": theirs, "onnx_difference": difference}
