"""A run from a spec to its folder: data, net and loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn

from netdsl.analysis.count import totals
from netdsl.analysis.stages import layer_numbers
from netdsl.diagnostics.memory import check_room
from netdsl.elaborate.builder import Options
from netdsl.inference.vocabulary import TOKENIZER
from netdsl.loader import library
from netdsl.planning.demands import refuse
from netdsl.planning.graphs import not_by_graph, not_by_node
from netdsl.planning.groups import Parameter
from netdsl.planning.outputs import class_argument, main_output, not_by_pixel
from netdsl.recipe.metrics import NODES, NUMBERS, TARGETS
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Text
from netdsl.recipe.standardization import Pixel
from netdsl.tensors import TensorType
from netdsl.training.capacity import held_on
from netdsl.training.checkpoints import format as files
from netdsl.training.checkpoints.run_dir import ABOUT, LOG, RECIPE, SOURCE, About, Log, write_json, write_spec
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.data.doubts import doubts
from netdsl.training.data.fit import check_shape, fit, held_out, with_noise
from netdsl.training.data.folds import validated
from netdsl.training.data.imbalance import balanced
from netdsl.training.data.labels import as_distributions, as_labels, as_tags
from netdsl.training.data.pairs import as_pairs
from netdsl.training.data.preprocessing import keep, kept_statistics, pixel_statistics, preprocessing
from netdsl.training.data.targets import Targets
from netdsl.training.data.units import as_numbers, deviation_of, is_regression, of_floats, target_units
from netdsl.training.data.validation import absent_classes, check_recipe, check_sizes_given
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.signals import handling
from netdsl.training.evaluate import Evaluator
from netdsl.training.initialize import Start, initialize
from netdsl.training.losses.distillation import Distillation
from netdsl.training.pretrained import TakenOver, called, taken_over
from netdsl.training.readers import read
from netdsl.training.readers.mixing import read_mixing
from netdsl.training.readers.taken import check_vocabulary, inputs_of, taken
from netdsl.training.recurrent_states import as_streams, carried_of
from netdsl.training.rng import key
from netdsl.training.teacher import teacher_of
from netdsl.training.trainer import Job, Trainer, Watch
from netdsl.training.user_functions import Own
from netdsl.weights.former import current
from netdsl.weights.repository import Repository

if TYPE_CHECKING:
    from netdsl.ir.model import Program
    from netdsl.pipeline import Net


class Prepared(Struct, frozen=True, eq=False):
    """Everything before the first step. `net` has its preprocessing; `notes` are for the user; `mixing`: what
    `pixmix` mixes in; `pretrained`: where initial weights come from."""

    net: Net
    recipe: Recipe
    data: DataSet
    train: Split
    held: Split
    module: nn.Module
    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...]
    mixing: Tensor | None = None
    teacher: Distillation | None = None
    pretrained: tuple[Repository, ...] = ()
    own: Own | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The outputs while training."""
        return tuple(o.name for o in self.net.checked.main.outputs)

    @property
    def kept(self) -> tuple[str, ...]:
        """The outputs at inference."""
        return tuple(o.name for o in self.net.checked.main.outputs if not o.training)

    def targets(self) -> Targets:
        return Targets(self.recipe, self.data.task, max(1, len(self.data.classes)))


def prepare(
    net: Net,
    recipe: Recipe,
    base: Path,
    device: torch.device,
    given: DataSet | None = None,
    fold: int | None = None,
    before: About | None = None,
) -> Prepared:
    """Data read and fitted, the net with its preprocessing and initial weights. Raises DataError.

    `base`: the folder that the recipe's paths are relative to; `given`: data that are not to be read; `fold`: the part
    that is tested on; `before`: the run whose checkpoint follows, which has the weights by name and what they said.
    """
    refuse(net, recipe)
    if device.type == "cpu":
        check_room(f"the weights and gradients of `{net.name}`", 8 * totals(net.checked.main).params)
    over = taken_over(recipe, net.checked, base) if before is None else TakenOver(recipe)
    recipe = over.recipe
    data = load_data(net.checked, recipe, base, given, fold)
    data = over.named(data) if before is None else called(data, recipe, before)
    limit = recipe.resident * 2**20
    train, held = (split.kept(limit) for split in held_out(data, recipe.validation, recipe.seed))
    data = replace(data, test=data.test.kept(limit))
    if data.task == "classes":
        train = with_noise(train, recipe.label_noise, len(data.classes), key(recipe.seed, "noise"))
    recipe = balanced(recipe, train, data)
    standard, per = preprocessing(recipe, train, net.checked)
    data = replace(data, units=target_units(recipe, train, data.task, net.checked))
    choices = Options(links=recipe.drop_path is not None, standard=standard, per=per, units=data.units)
    net = net.spec.net(net.name, net.arguments, net.sizes, choices)
    module = net.module(key(recipe.seed, "init") >> 1)
    if isinstance(recipe.standardize, Pixel):
        keep(module, net.checked, pixel_statistics(train, recipe.standardize, recipe.workers))
    about = Start(module, net.parameters, base, net.checked, net.spec.constant("weights"), before is not None)
    said = initialize(recipe.init, about, recipe.seed)
    absent = absent_classes(data, {"train": train, "validate": held, "test": data.test})
    held = held_on(device, held if len(held) else data.test, data.name)
    mixing, more = read_mixing(recipe, base, tuple(train.example()[0].shape[1:]))
    mixing = mixing if mixing is None else mixing.to(device)
    notes = (*over.notes, *data.notes, *doubts(data), *absent, *more, *said)
    train, module = held_on(device, train, data.name), module.to(device)
    teacher = teacher_of(recipe, base, module, data, train)
    found = net.parameters.parameters
    return Prepared(net, recipe, data, train, held, module, found, notes, mixing, teacher, over.repositories)


def load_data(
    program: Program, recipe: Recipe, base: Path, given: DataSet | None = None, fold: int | None = None
) -> DataSet:
    """The recipe's data set, made to fit the net. Raises DataError."""
    shape = tuple(s if isinstance(s, int) else str(s) for s in program.main.inputs[0].type.shape)
    outputs = _classes(program, recipe)
    sizes = tuple(s if isinstance(s, int) else 0 for s in shape)
    regression = is_regression(recipe)
    if given is None:
        check_sizes_given(program, recipe)
        data = read(recipe.data, base, sizes, outputs or 1, regression)
    else:
        data = as_numbers(given, outputs) if regression else given
    data = taken(validated(data, recipe, fold), inputs_of(program))
    check_vocabulary(program, data)
    count = 1 if data.train.read else len(data.train.example())
    if len(program.main.inputs) != count:
        names = ", ".join(f'"{v.name}"' for v in program.main.inputs)
        hint = f"an array for each: `--data 'npz(\"...\", inputs=[{names}])'`; a graph: `--data 'graph(\"...\")'`"
        raise DataError(
            "unfit-input", f"the net has {len(program.main.inputs)} inputs, `{data.name}` gives {count}", hint
        )
    data = as_distributions(as_labels(data, recipe, outputs), recipe, outputs)
    data = as_pairs(as_tags(data, recipe, main_output(program).type.shape), recipe)
    check_kind(program, data)
    argument = class_argument(program, outputs) if outputs is not None else None
    data = fit(data, shape, outputs, argument)
    check_recipe(recipe, data)
    check_sizes(program, data)
    return as_streams(data, recipe)


def check_kind(program: Program, data: DataSet) -> None:
    """Raise DataError where the net gives something else than what the data ask for: one class, a map, a sequence."""
    main = next(o for o in program.main.outputs if not o.training).value.type
    check_places(program, data)
    main, wanted = _of_one(main, data)
    if data.task in (*NUMBERS, "labels") and main.shape != wanted:
        have = main.shape[0] if main.rank == len(wanted) == 1 else None
        argument = class_argument(program, have) if isinstance(have, int) else None
        hint = f"`-p {argument}={wanted[0]}`" if argument else of_floats(data)
        message = f"the net gives {main} for a sample, `{data.name}` asks for the {TARGETS[data.task]} {list(wanted)}"
        raise DataError("unfit-loss", message, hint)
    ranks = {"classes": 1, "distributions": 1, "mask": 3, "tokens": 2, "tags": 2, "nodes": 2, "node_labels": 2}
    if data.task in ranks and main.rank != ranks[data.task]:
        asked = {
            "classes": "one class",
            "distributions": "one class",
            "mask": "a mask",
            "tokens": "the next token at every place",
            "tags": "a class at every place",
            "nodes": "a class per node",
            "node_labels": "labels per node",
        }
        hint = "choose other data: `--data clutter` has masks, `--data digits` classes"
        raise DataError(
            "unfit-loss", f"the net gives {main} for a sample, `{data.name}` asks for {asked[data.task]}", hint
        )


def _of_one(main: TensorType, data: DataSet) -> tuple[TensorType, tuple[int, ...]]:
    """The output and the shape asked for of a sample; of a node, where nodes have numbers."""
    wanted = tuple(data.train.target.shape[1:])
    if data.task != "node_numbers" and (data.train.graphs is None or data.task in NODES):
        return main, wanted
    return TensorType(main.shape[1:], main.dtype), wanted[-1:]


def check_places(program: Program, data: DataSet) -> None:
    """Raise DataError where a net gives something else than what is asked for of each pixel, graph or node, or takes
    nodes of other features."""
    if data.task == "mask" and (reason := not_by_pixel(program)) is not None:
        raise DataError("unfit-loss", *reason)
    if data.train.graphs is None:
        return
    what, mistake = ("node", not_by_node(program)) if data.task in NODES else ("graph", not_by_graph(program))
    if mistake is not None:
        raise DataError("unfit-loss", f"{mistake[0]}, and `{data.name}` asks for the class of each {what}", mistake[1])
    takes, have = program.main.inputs[0].type.shape[-1], data.train.example()[0].shape[-1]
    if isinstance(takes, int) and takes != have:
        message = f"the net takes {takes} features of a node, and those of `{data.name}` have {have}"
        arguments = [n for n, value in program.main.arguments if type(value) is int and value == takes]
        raise DataError("unfit-input", message, f"`-p {arguments[0]}={have}`" if arguments else None)


def check_sizes(program: Program, data: DataSet) -> None:
    """Raise DataError where the data's sizes are not those of the net's inputs, or break what it demands of its named
    sizes."""
    sizes: dict[str, int] = {}
    for value, tensor in zip(program.main.inputs[1:], data.train.example()[1:], strict=True):
        check_shape(f"{data.name}` for `{value.name}", tuple(tensor.shape[1:]), value.type.shape)
    for value, tensor in zip(program.main.inputs, data.train.example(), strict=False):
        for size, length in zip(value.type.shape, tensor.shape[1:], strict=False):
            if not isinstance(size, int) and str(size).isidentifier():
                sizes[str(size)] = length
    broken = [str(c) for c in program.constraints if sizes and not c.holds(sizes)]
    if broken:
        have = ", ".join(f"{n} = {v}" for n, v in sizes.items())
        hint = "give the net's sizes, and images are resized: `--size H=32 --size W=32`"
        raise DataError("unfit-size", f"the net needs {', '.join(broken)}; `{data.name}` has {have}", hint)


def _classes(program: Program, recipe: Recipe) -> int | None:
    """How many classes the main output distinguishes: axis 0 of `[C]` and `[C, H, W]`, the last of `[L, C]`."""
    main = next(o for o in program.main.outputs if not o.training).value.type
    size = main.shape[-1] if main.rank == 2 else main.shape[0]
    return size if isinstance(size, int) and recipe.data.task != "numbers" else None


def start(prepared: Prepared, folder: Path | None, ranks: ProcessGroup, watch: Watch) -> Trainer:
    """The loop of a run, at its first step."""
    p, macs = prepared, totals(prepared.net.checked.main).training_macs
    standard = kept_statistics(p.module, p.net.checked) if p.net.options.standard else None
    feed = BatchLoader(p.train, p.recipe, p.targets(), mask=p.data.task == "mask", standard=standard, mixing=p.mixing)
    job = Job(
        module=p.module, recipe=p.recipe, feed=feed, held=p.held, parameters=p.parameters, names=p.names, kept=p.kept,
        task=p.data.task, classes=max(1, len(p.data.classes)), folder=folder, ranks=ranks, layers=layers_of(p),
        deviation=deviation_of(p.data), current=partial(current, p.net.checked.main),
        teacher=p.teacher, own=p.own, whole=ranks.world == 1 and not p.recipe.micro_batch,
        macs=macs if isinstance(macs, int) else None,
    )  # fmt: skip
    return Trainer(job, watch)


def layers_of(prepared: Prepared) -> dict[str, int] | None:
    """The layer of every parameter, where the recipe decays the lr by layer."""
    decay = prepared.recipe.layer_decay
    return layer_numbers(prepared.net.checked, decay.blocks, decay.layers) if decay is not None else None


def watching(log: Log | None, progress: Callable[[str, dict[str, Any]], None], every: int) -> Watch:
    """Tells the progress of everything, and the log of evaluations and of one step in `every`."""

    def watch(what: str, numbers: dict[str, Any]) -> None:
        progress(what, numbers)
        if log is not None and (what == "evaluation" or (what == "step" and numbers["step"] % every == 0)):
            plain = {k: v.item() if isinstance(v, Tensor) else v for k, v in numbers.items()}
            log.write(what, plain)

    return watch


class Interruptible(Protocol):
    """A training that Ctrl-C ends after its step."""

    interrupted: bool


@contextmanager
def interruptible(loop: Interruptible) -> Iterator[None]:
    """Ctrl-C ends training after the current step, with a checkpoint; a second one ends it at once.

    A launcher passes on what the terminal has told every process already: what follows within a second is the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    first: list[float] = []

    def handle(number: int, frame: Any) -> None:
        if first and time.monotonic() - first[0] > 1:
            raise KeyboardInterrupt
        first.append(time.monotonic())
        loop.interrupted = True

    with handling(handle):
        yield


def begin_folder(folder: Path, prepared: Prepared, about: About) -> None:
    """Write what a run is before it begins."""
    write_spec(folder, prepared.net.spec.module, Path(library()))
    if isinstance(data := prepared.recipe.data, Text) and data.tokenizer:
        files.write_atomic(folder / TOKENIZER, (Path(about.base) / data.tokenizer).read_bytes())
    write_json(folder / RECIPE, prepared.recipe)
    write_json(folder / ABOUT, about)
    files.write_atomic(folder / SOURCE, prepared.net.source().encode())


def evaluator_of(
    recipe: Recipe, data: DataSet, kept: tuple[str, ...], own: Own | None = None, module: nn.Module | None = None
) -> Evaluator:
    """Measures the inference form of a net. `module`: what carries its states, where a text is read with them."""
    given, classes = replace(recipe, outputs={}), max(1, len(data.classes))
    carried = None if module is None else carried_of(module, data.test)
    return Evaluator(given, kept, kept, data.task, classes, ProcessGroup(), None, deviation_of(data), own, carried)


def open_log(folder: Path, after: int) -> Log:
    return Log(folder / LOG, after)
