"""A trained net, from a run folder or an ONNX file: measured on data, run on images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.elaborate.expressions import Evaluator as Constants
from netdsl.planning.recipes import parse_override
from netdsl.recipe.annotations import arguments
from netdsl.recipe.bind import Binder
from netdsl.recipe.columns import Columns
from netdsl.recipe.losses import Bce
from netdsl.recipe.metrics import METRICS
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Images
from netdsl.sizes.stated import broken
from netdsl.training.data.dataset import DataError
from netdsl.training.data.fit import fit
from netdsl.training.data.labels import as_labels
from netdsl.training.data.units import is_regression
from netdsl.training.data.validation import check_sound
from netdsl.training.evaluate import first_output
from netdsl.training.opened import Trained
from netdsl.training.readers import read
from netdsl.training.readers.columns import Known, read_columns
from netdsl.training.readers.images import View, open_image
from netdsl.training.readers.taken import taken
from netdsl.training.regularization import drop_paths, dropouts
from netdsl.training.setup import evaluator_of


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
