"""A trained net, from a run folder or an ONNX file: measured on data, run on images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn

from netdsl.backends.onnx.session import Session
from netdsl.backends.torch.module import load_state
from netdsl.diagnostics.diagnostic import Diagnostic, UserError
from netdsl.elaborate.builder import Options
from netdsl.elaborate.expressions import Evaluator as Constants
from netdsl.pipeline import Net
from netdsl.planning.recipes import parse_override
from netdsl.recipe.annotations import arguments
from netdsl.recipe.bind import Binder
from netdsl.recipe.columns import Columns
from netdsl.recipe.losses import Bce
from netdsl.recipe.metrics import METRICS
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Images
from netdsl.sizes.stated import broken
from netdsl.tensors import TensorType
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.format import load_tensors
from netdsl.training.data.columns import Column, Input
from netdsl.training.data.dataset import DataError
from netdsl.training.data.fit import fit
from netdsl.training.data.labels import as_labels
from netdsl.training.data.units import is_regression
from netdsl.training.data.validation import check_sound
from netdsl.training.entry import reopened
from netdsl.training.errors import CheckpointError
from netdsl.training.evaluate import first_output
from netdsl.training.export import forward_of
from netdsl.training.readers import read
from netdsl.training.readers.columns import Known, read_columns
from netdsl.training.readers.images import View, open_image
from netdsl.training.readers.taken import inputs_of, taken
from netdsl.training.regularization import drop_paths, dropouts
from netdsl.training.setup import evaluator_of
from netdsl.version import LANGUAGE

Size = int | None


class Trained(Struct, frozen=True, eq=False):
    """A net that can be run. `shape`: its first input (None: any size); `module`: where it is torch's; `recipe`: the
    run's; `inputs`: what data depend on; `columns`: of a table. `constraints`: what must hold of the sizes that are
    called `names`."""

    forward: Callable[..., Any]
    shape: tuple[Size, ...]
    outputs: int
    kept: tuple[str, ...]
    classes: tuple[str, ...]
    recipe: Recipe
    base: Path
    module: nn.Module | None = None
    units: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    names: tuple[str | None, ...] = ()
    constraints: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    columns: tuple[Column, ...] = ()


def open_trained(path: Path, onnx: bool = False) -> Trained:
    """The net of a run folder or an ONNX file. Raises CheckpointError for what is neither."""
    if path.is_dir() and onnx:
        about, recipe = files.read_about(path)
        found = _from_onnx(path / files.ONNX)
        return replace(found, recipe=recipe, base=Path(about.base), classes=about.classes, units=about.units)
    return _from_run(path) if path.is_dir() else _from_onnx(path)


def _from_run(folder: Path) -> Trained:
    net, recipe, about = reopened(folder)
    numbers = [tuple(v) if isinstance(v, list) else v for v in (about.mean, about.std) if v is not None]
    standard = (numbers[0], numbers[1]) if numbers else None
    options = Options(links=recipe.drop_path is not None, standard=standard, per=about.per, units=about.units)
    net = net.spec.net(net.name, net.arguments, net.sizes, options)
    module = _loaded(folder, net, about)
    main = net.checked.main
    inputs = inputs_of(net.checked)
    shape = tuple(s if isinstance(s, int) else None for s in main.inputs[0].type.shape)
    kept = tuple(o.name for o in main.outputs if not o.training)
    size = next(o for o in main.outputs if not o.training).value.type.shape[0]
    outputs = size if isinstance(size, int) else 0
    names = axis_names(main.inputs[0].type)
    constraints = tuple(map(str, net.checked.constraints))
    base = Path(about.base)
    return Trained(
        module,
        shape,
        outputs,
        kept,
        about.classes,
        recipe,
        base,
        module,
        about.units,
        names,
        constraints,
        inputs,
        about.columns,
    )


def _loaded(folder: Path, net: Net, about: files.About) -> nn.Module:
    """The module of a run's net with its weights. Raises CheckpointError where its spec gives another net today."""
    if net.diagnostics:
        raise CheckpointError("outdated-run", _changed(folder, about.language, net.diagnostics))
    module = net.module(seed=0).eval()
    if not (folder / files.WEIGHTS).exists():
        raise CheckpointError(
            "unfinished-run",
            f"{folder} has no {files.WEIGHTS}: the run has not ended; `netdsl train --resume {folder}`",
        )
    tensors, _ = load_tensors(folder / files.WEIGHTS)
    try:
        load_state(module, net.current(tensors))
    except UserError as error:
        if about.language < LANGUAGE:
            raise CheckpointError("outdated-run", _changed(folder, about.language, net.moved, str(error))) from None
        raise
    return module


def _changed(folder: Path, language: int, found: tuple[Diagnostic, ...], reason: str = "") -> str:
    """Why the spec of a run is no longer what was trained, with the lines that say something else today."""
    lines = [f"{files.SPEC}:{d.at.line}: `{d.at.text}`: {d.message}" for d in found if d.at is not None]
    older = (
        f" It was made by version {language} of the language, this is version {LANGUAGE}."
        if language < LANGUAGE
        else ""
    )
    said = f": {reason}" if reason else ""
    return "\n  ".join([f"the spec of {folder} does not give the net that was trained{said}.{older}", *lines])


def axis_names(x: TensorType) -> tuple[str | None, ...]:
    """What the sizes of an input are called that may vary."""
    return tuple(None if isinstance(s, int) else str(s) for s in x.shape)


def _from_onnx(path: Path) -> Trained:
    if not path.is_file():
        raise CheckpointError("no-such-file", f"there is no file {path}")
    try:
        session = Session(path, threads=torch.get_num_threads())
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        raise CheckpointError("unreadable-model", f"onnxruntime refuses {path}: {str(error).splitlines()[0]}") from None
    shape = next(iter(session.inputs.values()))[0][1:]
    names = _decoded(session.metadata.get("class_names", "[]"), tuple[str, ...])
    axes = next(iter(session.names.values()))[1:]
    forward, kept = forward_of(session), session.outputs
    return Trained(
        forward, shape, len(names), kept, names, Recipe(), Path(), names=axes, constraints=session.constraints,
        columns=_decoded(session.metadata.get("columns", "[]"), tuple[Column, ...]),
        inputs=tuple(_input(name, sizes, dtype) for name, (sizes, dtype) in session.inputs.items()),
    )  # fmt: skip


def _input(name: str, sizes: tuple[Size, ...], dtype: str) -> Input:
    return Input(name, dtype.startswith("int"), sizes[1] if len(sizes) == 2 else None)


def _decoded(text: str, kind: Any) -> Any:
    """What the file says of itself as JSON; nothing where it is something else."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return ()


def measure(trained: Trained, data: str | None, metrics: tuple[str, ...]) -> dict[str, Any]:
    """Metrics on the test split of the run's data, or of other data written as in a recipe. Raises DataError."""
    component, base = trained.recipe.data, trained.base
    if data is not None:
        kind = arguments(Recipe)["data"].kind
        component, base = Binder({}).bind(kind, parse_override("data", data, Constants()), "data"), Path()
    known = arguments(Recipe)["metrics"].kind.annotation
    try:
        wanted = msgspec.convert(metrics, known)
    except msgspec.ValidationError:
        raise DataError(
            "unfit-metric",
            f"there is no metric in `{', '.join(metrics)}`",
            f"metrics: {', '.join(METRICS)}",
        ) from None
    shape = tuple(s or 0 for s in trained.shape)
    if isinstance(component, Columns) and trained.columns:
        found = read_columns(component, base, Known(trained.columns, trained.classes))
        check_sound(found)
    else:
        found = read(component, base, shape, trained.outputs or 1, is_regression(trained.recipe))
    found = taken(found, trained.inputs)
    found = as_labels(found, trained.recipe, trained.outputs)
    found = fit(found, tuple(s or "any" for s in trained.shape), trained.outputs or None)
    recipe = replace(trained.recipe, metrics=wanted)
    return evaluator_of(recipe, replace(found, units=trained.units), trained.kept)(trained.forward, found.test)


def predict(trained: Trained, path: Path, top: int, passes: int = 0, invert: bool = False) -> dict[str, Any]:
    """The likeliest classes of an image, with the deviation over Monte Carlo passes. Raises DataError."""
    pixels = _pixels(trained, path)
    pixels = 1 - pixels if invert else pixels
    chances = monte_carlo(trained, pixels, passes) if passes else _chances(trained, trained.forward(pixels))[None]
    mean, deviation = chances.mean(0), chances.std(0, correction=0)
    guesses = []
    for i in mean.topk(min(top, len(mean))).indices.tolist():
        guess = {"class": trained.classes[i] if i < len(trained.classes) else str(i), "probability": float(mean[i])}
        guesses.append(guess | ({"deviation": float(deviation[i])} if passes else {}))
    return {"image": str(path), "guesses": guesses}


def _pixels(trained: Trained, path: Path) -> Tensor:
    """The image as [1, C, H, W] from 0 to 1."""
    if len(trained.shape) != 3 or trained.shape[0] not in (1, 3):
        raise DataError("unfit-input", f"the net takes {list(trained.shape)}, not images of 1 or 3 channels")
    if not path.is_file():
        raise DataError("no-such-file", f"there is no file {path}")
    shape = tuple(s or size for s, size in zip(trained.shape, (3, 224, 224), strict=True))
    pixels = _view(trained.recipe.data, shape)(open_image(path, shape[0]))
    check_sizes(trained, tuple(pixels.shape))
    return pixels[None].to(torch.float32) / 255


def _view(data: Any, shape: tuple[int, ...]) -> View:
    """How an image is seen: resized and cut as the run's own test images, where they lie in files."""
    if not isinstance(data, Images):
        return View(shape)
    return View.of(data, (shape[0], data.crop, data.crop) if data.crop else shape)


def check_sizes(trained: Trained, shape: tuple[int, ...]) -> None:
    """Raise DataError for an input whose sizes break the net's constraints: onnxruntime wouldn't say so."""
    sizes = {name: size for name, size in zip(trained.names, shape, strict=False) if name}
    if wrong := broken(trained.constraints, sizes):
        given = ", ".join(f"{n} = {s}" for n, s in sizes.items())
        raise DataError(
            "unfit-size", f"the net needs {' and '.join(wrong)}, found {given}", "export it with `--size` that fits"
        )


@torch.no_grad()
def _chances(trained: Trained, result: Any) -> Tensor:
    """What the net was trained to give: classes that add up to 1, or with `bce` each on its own."""
    output = first_output(result)[0]
    if output.ndim != 1:
        raise DataError("unfit-net", "the net does not give one number for each class", "`predict` is for classifiers")
    return output.float().sigmoid() if isinstance(trained.recipe.loss, Bce) else output.float().softmax(0)


@torch.no_grad()
def monte_carlo(trained: Trained, pixels: Tensor, passes: int) -> Tensor:
    """Class probabilities of several passes with dropout on, [passes, classes]; normalisation stays as at inference."""
    assert trained.module is not None
    noisy = [*dropouts(trained.module), *drop_paths(trained.module)]
    if not noisy:
        raise DataError("unfit-net", "this net has no dropout to draw from")
    torch.manual_seed(trained.recipe.seed)
    try:
        for layer in noisy:
            layer.train()
        return torch.stack([_chances(trained, trained.module(pixels)) for _ in range(passes)])
    finally:
        trained.module.eval()
