"""Checks of a net's main output against the loss, the targets and the metrics of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from msgspec import Struct

from netdsl.analysis.receptive_field import receptive_field
from netdsl.diagnostics.diagnostic import Diagnostic, Label, diagnostic
from netdsl.ir.model import Definition, Program
from netdsl.recipe.columns import Columns
from netdsl.recipe.component import component_name
from netdsl.recipe.losses import L1, Bce, CrossEntropy, DiceCe, Huber, Mse
from netdsl.recipe.metrics import METRICS, MOST_PAIRED, NUMBERS, always_measured
from netdsl.recipe.places import Places
from netdsl.recipe.schedules import Plateau
from netdsl.recipe.schema import Recipe
from netdsl.source import Place
from netdsl.tensors import TensorType

OF_NODES = CrossEntropy | Bce | L1 | Mse | Huber
"""Losses that compare with targets of nodes: classes, labels or numbers."""
RANKS = {"classes": 1, "mask": 3, "tokens": 2, "nodes": 2}
ASKED = {
    "classes": "one class for a sample, `[classes]`", "mask": "a class for every pixel, `[classes, H, W]`",
    "tokens": "a class at every position, `[length, classes]`",
    "nodes": "a class, labels or numbers for every node, `[nodes, classes]`",
}  # fmt: skip
"""What the targets of each task ask of an output."""


class MainOutput(Struct, frozen=True):
    """The output that the loss looks at: its type, where the layer that gives it is written, and how many classes it
    distinguishes (None where that is open)."""

    type: TensorType
    place: Place
    classes: int | None


def main_output(program: Program) -> MainOutput:
    """The first output at inference. Classes are axis 0 of `[C]` and `[C, H, W]`, the last of `[L, C]`."""
    output = next(o for o in program.main.outputs if not o.training)
    shape = output.value.type.shape
    size = (shape[-1] if len(shape) == 2 else shape[0]) if shape else None
    place = _giving(program.main, output.value.name, program.main.place)
    return MainOutput(output.value.type, place, size if isinstance(size, int) else None)


def _giving(definition: Definition, value: str, place: Place) -> Place:
    """Where the layer that gives a value is written, as deep as the file of the net goes."""
    step = next((s for s in definition.steps if any(o.name == value for o in s.outs)), None)
    if step is None or step.place.source is not place.source:
        return place
    if isinstance(step.callee, Definition):
        index = [o.name for o in step.outs].index(value)
        inside = step.callee.outputs[index].value.name
        return _giving(step.callee, inside, step.place)
    return step.place


def class_argument(program: Program, classes: int) -> str | None:
    """The argument of the net that says how many classes it distinguishes, where it has one."""
    found = [n for n, value in program.main.arguments if type(value) is int and value == classes]
    wanted = [
        n for n in found if any(part in n.lower() for part in ("class", "label", "char", "token", "vocab", "out"))
    ]
    return wanted[0] if wanted else None


def output_mistakes(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Report outputs that the loss, the targets or the metrics ask for, and the net does not give."""
    main = main_output(program)
    if recipe.loss.task == "pairs":
        yield from _pairs(program, main, recipe, places)
        return
    unfit = list(_shape(main, recipe, places)) or list(_class_count(program, main, recipe, places))
    unfit += _targets(main, recipe, places)
    unfit += _places(program, main, recipe, places) if not unfit else ()
    yield from unfit
    if not unfit:
        yield from _class_weights(main, recipe, places)
        yield from _metrics(main, recipe, places)


def _pairs(program: Program, main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A contrastive loss compares vectors: of two augmented views, or of two outputs for two inputs."""
    name, kept = component_name(recipe.loss), [o for o in program.main.outputs if not o.training]
    inputs = len(program.main.inputs)
    if main.type.rank != 1:
        message = f"`{name}` compares vectors, and the net gives {main.type}"
        yield _mistake("unfit-loss", message, main, places.at("loss"), "its loss", "end with `gap` or `flatten`")
    elif inputs > 2 or (inputs == 2) != (len(kept) == 2) or len({o.value.type.shape for o in kept[:2]}) > 1:
        given = " and ".join(f"{n} {what}{'s' * (n != 1)}" for n, what in ((inputs, "input"), (len(kept), "output")))
        hint = "one input and one output, of which two views are compared; or two of each (`output b = ...`)"
        yield diagnostic("unfit-loss", f"`{name}` compares pairs, and the net has {given}", places.at("loss"), hint)
    elif inputs == 1 and not recipe.augment:
        message = f"`{name}` compares two augmented views of each sample, and without `augment` they are the same"
        yield diagnostic("unfit-loss", message, places.at("loss"), "`augment = random_resized_crop(28) -> hflip`")
    if recipe.outputs:
        message = f"`{name}` compares the two outputs that the net gives, and they have no weights of their own"
        yield diagnostic("conflicting-fields", message, places.at("outputs"), "leave out `outputs`")
    yield from _metrics_of_pairs(recipe, places)


def _metrics_of_pairs(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    for metric in recipe.metrics:
        if "pairs" not in METRICS[metric].tasks:
            message = f"`{metric}` cannot be measured: `{component_name(recipe.loss)}` compares pairs"
            yield diagnostic("unfit-metric", message, places.at(f"metrics.{metric}"))


def _blamed(main: MainOutput, place: Place | None, words: str, beside: str) -> tuple[Place, tuple[Label, ...], str]:
    """The place of a mistake between the output and a field: the layer where both are in one file, else the field."""
    if place is None:
        return main.place, (), words
    if place.source is main.place.source:
        return main.place, (Label(beside, place),), words
    return place, (Label(words, main.place),), beside


def _mistake(
    code: str, message: str, main: MainOutput, place: Place | None, beside: str, hint: str | None
) -> Diagnostic:
    at, labels, label = _blamed(main, place, f"this gives {_size(main)}", beside)
    found = diagnostic(code, message, at, hint, *labels)
    return Diagnostic(found.code, found.message, found.at, found.labels, found.hints, label=label)


def _size(main: MainOutput) -> str:
    shape = main.type.shape
    return f"{shape[0]} output{'s' * (shape[0] != 1)}" if len(shape) == 1 else str(main.type)


def _shape(main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """The output's rank is the one that the targets ask for, and a loss for classes has more than one of them."""
    loss, data, at = recipe.loss, recipe.data, places.at("loss", "data")
    name, wanted = component_name(loss), RANKS.get(data.task) if data.sure else None
    if loss.task == "classes" and not isinstance(loss, Bce) and main.classes == 1:
        hint = "give an output for each class, or use `loss = bce` for yes or no, `mse` for a quantity"
        yield _mistake("unfit-loss", f"`{name}` over one output is always 0", main, at, "its loss", hint)
    elif wanted is not None and main.type.rank != wanted:
        message = f"the net gives {main.type} for a sample, and `{component_name(data)}` asks for {ASKED[data.task]}"
        yield _mistake("unfit-loss", message, main, places.at("data"), "its targets", _reshape(main, wanted))
    elif wanted not in (None, 1) and not isinstance(loss, OF_NODES if data.task == "nodes" else CrossEntropy | DiceCe):
        message = f"`{name}` cannot compare with the targets of `{component_name(data)}`: {ASKED[data.task]}"
        yield diagnostic("unfit-loss", message, at, "use `loss = cross_entropy`")
    elif isinstance(loss, DiceCe) and main.type.rank != 3:
        message = f"`dice_ce` compares masks, and the net gives {main.type}"
        yield _mistake("unfit-loss", message, main, at, "its loss", "use `loss = cross_entropy`")


def _reshape(main: MainOutput, wanted: int) -> str | None:
    if (main.type.rank, wanted) == (3, 1):
        return "end with `gap -> linear(classes)`, or choose data with masks"
    if (main.type.rank, wanted) == (1, 3):
        return "leave out the pooling, and end with `conv(classes, 1)`"
    return None


def _places(program: Program, main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A class for every pixel of a mask, not for every other one."""
    if (recipe.data.sure and recipe.data.task == "mask") or isinstance(recipe.loss, DiceCe):
        reason = not_by_pixel(program)
        if reason is not None:
            yield _mistake("unfit-loss", reason[0], main, places.at("data"), "its masks", reason[1])


def not_by_pixel(program: Program) -> tuple[str, str | None] | None:
    """Why the main output [C, H, W] is no map of the pixels of the net's image, which masks are compared with, and a
    hint; None where it is, or is the middle of it, of which unpadded convolutions have cost the border."""
    image, main = program.main.inputs[0].type, main_output(program).type
    if image.rank != 3 or main.rank != 3 or image.shape[1:] == main.shape[1:]:
        return None
    strides = _strides(program, main)
    if strides == [1, 1] or (not strides and not _far(image, main)):
        return None
    hints = [f"end with `upsample({s})`, which gives each pixel its own" for s in strides if s in range(2, 65)]
    message = f"a mask has a class for every pixel of {image}, and the net gives {main}"
    return message, hints[0] if hints else None


def _strides(program: Program, main: TensorType) -> list[int | Fraction]:
    """How many pixels lie between neighbours of the main output, down and across; where that is one number."""
    found = (receptive_field(program, across) for across in (False, True))
    return [f.stride for f in found if f is not None and f.map == main and f.stride is not None]


def _far(image: TensorType, main: TensorType) -> bool:
    """Whether more than half of an image's pixels along an axis have no place in an output, or places no pixel."""
    known = [
        (a, b)
        for a, b in zip(image.shape[1:], main.shape[1:], strict=True)
        if isinstance(a, int) and isinstance(b, int)
    ]
    return any(2 * places <= pixels or places > pixels for pixels, places in known)


def _class_count(program: Program, main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """As many outputs as the data has classes, where that is known."""
    count, have = recipe.data.class_count(), main.classes
    one_of_two = isinstance(recipe.loss, Bce) and (count, have) == (2, 1)
    if count is None or have is None or have == count or one_of_two:
        return
    data = component_name(recipe.data)
    argument = class_argument(program, have)
    hint = (
        f"`-p {argument}={count}` gives the net {count} outputs"
        if argument
        else f"let the net end with {count} outputs"
    )
    message = f"`{data}` has {count} classes, the net tells {have} apart"
    yield _mistake("wrong-count", message, main, places.at("data"), f"{count} classes", hint)


def _targets(main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """As many outputs as a table has columns to predict, where these are several."""
    count = len(recipe.data.targets) if isinstance(recipe.data, Columns) else 0
    if count > 1 and main.classes not in (None, count):
        message = f"`target` names {count} columns, and the net gives {_size(main)}"
        yield _mistake("wrong-count", message, main, places.at("data.target"), f"{count} columns", None)


def _class_weights(main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    given = len(recipe.loss.class_weights)
    if given and main.classes is not None and given != main.classes:
        path = f"loss.{recipe.loss.balances}"
        message = f"`{path}` has {given} value{'s' * (given != 1)}, the net tells {main.classes} classes apart"
        yield diagnostic("wrong-count", message, places.at(path))


def _metrics(main: MainOutput, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Report metrics, asked for or deciding when to stop or to lower lr, that cannot be measured."""
    for metric in recipe.metrics:
        if (reason := _unmeasurable(metric, main, recipe)) is not None:
            yield diagnostic("unfit-metric", f"`{metric}` cannot be measured: {reason}", places.at(f"metrics.{metric}"))
    for path, deciding in _deciding(recipe):
        at = places.at(f"{path}.metric")
        if (reason := _unmeasurable(deciding, main, recipe)) is not None:
            yield diagnostic("unfit-metric", f"`{deciding}` cannot be measured: {reason}", at)
        elif deciding not in measured(recipe):
            hint = f"add it: `metrics = [{', '.join((*recipe.metrics, deciding))}]`"
            yield diagnostic("unfit-metric", f"`{deciding}` decides, and is not measured", at, hint)


def _deciding(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The metrics that decide, but for the loss, after the path of what they decide about."""
    if recipe.stop is not None and recipe.stop.metric != "loss":
        yield "stop", recipe.stop.metric
    for phase in recipe.schedule:
        if isinstance(phase, Plateau) and phase.metric != "loss":
            yield "schedule.plateau", phase.metric


def _always(recipe: Recipe) -> tuple[str, ...]:
    """The metrics that are measured unasked; where only the data know the task, those of any task."""
    return always_measured(recipe.data.task) if _has_classes(recipe) else ("top1", "rmse")


def measured(recipe: Recipe) -> tuple[str, ...]:
    """The metrics that a recipe measures besides the loss."""
    return (*recipe.metrics, *_always(recipe))


def _unmeasurable(metric: str, main: MainOutput, recipe: Recipe) -> str | None:
    """Why a metric has no meaning for what a net is trained to do; None where it has, or only the data know."""
    of_classes = _has_classes(recipe) or recipe.loss.task == "classes"
    kind = METRICS[metric]
    if set(kind.tasks) <= set(NUMBERS):
        return f"it is for regression targets, and {_trained_for(recipe)}" if of_classes else None
    if kind.tasks == ("tokens",):
        return "it is for tokens" if recipe.data.sure and recipe.data.task != "tokens" else None
    if not of_classes:
        return f"it is for classes, and `{component_name(recipe.loss)}` predicts numbers"
    if kind.scores and recipe.data.task in ("mask", "tokens"):
        return "it orders all samples by their scores, and every place of a sample would be one"
    return None if main.classes is None else _uncountable(metric, main.classes)


def _uncountable(metric: str, classes: int) -> str | None:
    """Why a metric of classes has no meaning for so few or so many of them."""
    if metric == "top5" and classes <= 5:
        return f"the net tells {classes} classes apart"
    if METRICS[metric].pairs and classes > MOST_PAIRED:
        return f"the net tells {classes:,} classes apart, and pairs of classes are counted for {MOST_PAIRED:,} at most"
    return None


def _has_classes(recipe: Recipe) -> bool:
    """Whether targets are classes or labels whatever the loss is: those of nodes may be numbers."""
    return recipe.data.sure and (recipe.data.task != "nodes" or recipe.loss.task == "classes")


def _trained_for(recipe: Recipe) -> str:
    if recipe.data.sure:
        return f"`{component_name(recipe.data)}` has classes"
    return f"`{component_name(recipe.loss)}` is a loss for classes"
