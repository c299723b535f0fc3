"""Combinations of a recipe's data and augmentations that train without an error and not as meant."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.recipe.augmentations import Affine, RandomErasing, RandomResizedCrop, ScaleJitter
from netdsl.recipe.columns import Columns
from netdsl.recipe.component import component_name
from netdsl.recipe.places import Places
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Hub, ImageFolder, Images, MaskFolder, Npz, Parquet, Shards, Text

RANDOM = (RandomResizedCrop, ScaleJitter, Affine, RandomErasing)
RANGES = ("scale", "ratio")
"""Arguments of these augmentations that are the two ends of what is drawn; what they are in others is not known."""


def _ranges(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Report ranges of random numbers whose smaller end does not come first."""
    for component in (a for a in recipe.augment if isinstance(a, RANDOM)):
        for name in RANGES:
            low, high = getattr(component, name, (0, 0))
            if low > high:
                at = places.at(f"augment.{component_name(component)}.{name}")
                message = f"`{name}` is drawn from {low:g} to {high:g}, which is less"
                yield diagnostic("bad-value", message, at, f"`{name}=[{high:g}, {low:g}]`")


def _columns(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A table has something to predict, which is not left out."""
    data = recipe.data
    if not isinstance(data, Columns):
        return
    if not data.targets:
        yield diagnostic("bad-value", "`data.target` names no column", places.at("data.target"))
    for i, name in enumerate(data.targets):
        if name in data.targets[:i]:
            yield diagnostic("bad-value", f"`data.target` names `{name}` twice", places.at("data.target"))
        if name in data.ignore:
            message = f"`{name}` is to be predicted, and `ignore` leaves it out"
            yield diagnostic("conflicting-fields", message, places.at("data.ignore"))
        if name in data.categories and recipe.loss.task == "numbers":
            message = f"`{name}` is a category, and `{component_name(recipe.loss)}` predicts numbers"
            yield diagnostic("conflicting-fields", message, places.at("data.categories"), "use `loss = cross_entropy`")


def _order(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Samples are divided by their group or in time."""
    data = recipe.data
    if isinstance(data, Columns | Npz) and data.group and data.ordered:
        message = "`group` and `ordered` both say how samples are divided"
        yield diagnostic("conflicting-fields", message, places.at("data.ordered"), "leave out one of them")
    if isinstance(data, Columns) and data.group in data.targets:
        message = f"`{data.group}` is to be predicted, and `group` divides the rows by it"
        yield diagnostic("conflicting-fields", message, places.at("data.group"))


def _images(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Images are resized before they are cut; a pattern of their names says once what they belong to."""
    data = recipe.data
    if isinstance(data, ImageFolder | MaskFolder) and data.group and data.group.count("{}") != 1:
        message = f'`group="{data.group}"` says nothing of what an image belongs to: `{{}}` stands for it, once'
        yield diagnostic("bad-value", message, places.at("data.group"), '`group="{}_*"`, or `"{}/*"` for folders')
    if isinstance(data, Images) and data.resize and data.crop > data.resize:
        message = f"`crop={data.crop}` is larger than `resize={data.resize}`: images are resized, then cut"
        yield diagnostic("unfit-size", message, places.at("data.crop"))


def _masks(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    if recipe.data.task != "mask":
        return
    if isinstance(recipe.data, MaskFolder):
        yield from _colors(recipe.data, places)
    for component in recipe.augment:
        if component.masks == "refused":
            message = f"`{component_name(component)}` would move the image and not its mask"
            yield diagnostic(
                "not-supported",
                message,
                places.at(f"augment.{component_name(component)}"),
                "use `hflip`, `crop`, `rotate` or `affine`",
            )


def _colors(data: MaskFolder, places: Places) -> Iterator[Diagnostic]:
    """A colour for each class, and each once."""
    at, colors = places.at("data.colors"), [c.lower() for c in (*data.colors, data.ignore_color or "")]
    if data.colors and data.classes and len(data.colors) != len(data.classes):
        message = f"`colors` has {len(data.colors)} values, `classes` names {len(data.classes)}"
        yield diagnostic("wrong-count", message, at)
    named = next((c for i, c in enumerate(data.classes) if c in data.classes[:i]), None)
    if named is not None:
        yield diagnostic("bad-value", f"two classes are called `{named}`", places.at("data.classes"))
    twice = next((c for i, c in enumerate(colors) if c in colors[:i]), None)
    if twice is not None:
        yield diagnostic("bad-value", f"`{twice}` is the colour of two classes", at)
    yield from _ignored(data, places)


def _ignored(data: MaskFolder, places: Places) -> Iterator[Diagnostic]:
    """Report `ignore_color` without `colors`, and `ignore` with them."""
    if data.ignore_color and not data.colors:
        yield diagnostic("idle-option", "`ignore_color` acts only with `colors`", places.at("data.ignore_color"))
    if data.ignore is not None and data.colors:
        message = "with `colors`, what has no class is said by `ignore_color`"
        yield diagnostic("conflicting-fields", message, places.at("data.ignore"))


def _texts(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """States are carried through a text from its beginning to its end."""
    data = recipe.data
    if not isinstance(data, Text):
        return
    if data.tokenizer and data.tokens == "bytes":
        message = "`tokens` and `tokenizer` both say what a token is"
        yield diagnostic("conflicting-fields", message, places.at("data.tokens"), "leave out one of them")
    if not data.carry:
        return
    jumps = {
        "validation": bool(recipe.validation), "folds": recipe.folds is not None, "repeat": recipe.repeat > 1,
        "shard": recipe.shard is not None, "compile": recipe.compile == "on",
    }  # fmt: skip
    reasons = {
        "shard": "a layer in parts keeps no states", "compile": "compiled code keeps no states",
    }  # fmt: skip
    for field in (name for name, said in jumps.items() if said):
        reason = reasons.get(field, "it reads a text from its beginning to its end")
        message = f"`{field}` does not go with `carry`: {reason}"
        yield diagnostic("conflicting-fields", message, places.at(field, "data"))


def _same_splits(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A test split has other samples than the training split."""
    data = recipe.data
    match data:
        case Columns():
            train = data.file
        case Parquet() | Shards():
            train = data.files
        case Hub():
            train = data.train
        case _:
            return
    if train == data.test:
        message = f"`{component_name(data)}` is tested on what it is trained on"
        hint = "another file, or leave `test` out: a part is held out"
        yield diagnostic("tested-on-training", message, places.at("data.test", "data"), hint, severity="warning")


DATA_RULES = (_same_splits, _columns, _order, _images, _masks, _ranges, _texts)
"""The rules of where samples come from and how they are changed."""
