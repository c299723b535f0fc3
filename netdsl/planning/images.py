"""Checks of a recipe's samples against a net's inputs: images, their channels, sizes and augmentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.ir.model import Program
from netdsl.planning.graphs import graph_mistakes
from netdsl.planning.net import PlannedNet
from netdsl.planning.resolution import sizing, trained_size, unfit_sizes
from netdsl.recipe.augmentations import ColorJitter, Crop, Cutmix, Cutout, Grayscale, Translate, size_of
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.places import Places
from netdsl.recipe.progressive import staged
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Images, Text
from netdsl.recipe.standardization import Fixed, Image
from netdsl.sizes.dims import Dim
from netdsl.source import Place


def image_mistakes(net: PlannedNet, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Report augmentation whose images the net's inputs do not take."""
    yield from _standardized(net.checked, recipe, places)
    yield from _without_effect(net.checked, recipe, places)
    unfit = list(_augmented(net.checked, recipe, places))
    yield from unfit
    shape = net.checked.main.inputs[0].type.shape
    if not unfit and len(shape) == 3:
        yield from list(unfit_sizes(net, recipe, places)) or _crops(shape, recipe, places)


def input_mistakes(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """As many inputs as the data gives, and of the kind and shape that it gives."""
    inputs, data = program.main.inputs, component_name(recipe.data)
    given, at = recipe.data.input_count(), places.at("data")
    if given is not None and len(inputs) != given:
        hint = None
        if recipe.data.gives == "anything":
            names = ", ".join(f'"{v.name}"' for v in inputs)
            hint = f'an array for each: `data = npz("...", inputs=[{names}])`'
        message = f"the net has {len(inputs)} input{'s' * (len(inputs) != 1)}, and `{data}` gives {given}"
        yield diagnostic("unfit-input", message, at, hint)
        return
    if recipe.data.gives == "graphs":
        yield from graph_mistakes(program, places)
        return
    if recipe.data.gives == "columns":
        yield from _vectors(program, at)
        return
    takes = f"`{inputs[0].name}` takes {inputs[0].type}"
    reason = _unfit(recipe, inputs[0].type.shape)
    if reason is not None:
        yield diagnostic("unfit-input", f"{takes}, and {reason}", at, _declared(program, reason))


def _declared(program: Program, reason: str) -> str | None:
    """A hint with the input as it would be declared for images of so many channels."""
    value, channels = program.main.inputs[0], re.search(r"have (\d+) channels", reason)
    if channels is None or value.type.rank != 3:
        return None
    return f"declare `input {value.name} {value.type.with_shape(int(channels[1]), *value.type.shape[1:])}`"


def _vectors(program: Program, at: Place | None) -> Iterator[Diagnostic]:
    """A table gives one vector of numbers, and categories as integers behind it."""
    inputs = program.main.inputs
    several = [v for v in inputs if not v.type.dtype.startswith("int")]
    matrix = next((v for v in inputs if v.type.rank != 1), None)
    if matrix is not None:
        message = f"`{matrix.name}` takes {matrix.type}, and a row of a table is a vector, `[columns]`"
        hint = (
            'windows of a series are cut in Python and read as `npz("series.npz", ordered=true)`, of `x` [N, length, 1]'
        )
        yield diagnostic("unfit-input", message, at, hint)
    elif len(several) > 1:
        names = " and ".join(f"`{v.name}`" for v in several[:2])
        hint = "one input takes all numbers, those of integers take categories"
        yield diagnostic("unfit-input", f"{names} both take numbers, and a table gives one vector", at, hint)
    elif several and inputs[0] is not several[0]:
        hint = f"declare `{several[0].name}` first: the net standardises its first input"
        yield diagnostic("unfit-input", f"`{inputs[0].name}` takes integers, and stands before the numbers", at, hint)


def _unfit(recipe: Recipe, shape: tuple[Dim, ...]) -> str | None:
    """Why samples of the data are not of a shape; None where they are, can be made so, or only the data know."""
    if isinstance(recipe.data, Text):
        length = recipe.data.length
        same = len(shape) == 1 and (not isinstance(shape[0], int) or shape[0] == length)
        return None if same else f"`text` gives {length} tokens, [{length}]"
    if recipe.data.gives != "images":
        return None
    name, known = component_name(recipe.data), recipe.data.image_shape()
    if len(shape) == 1:
        differs = known is not None and isinstance(shape[0], int) and shape[0] != prod(known)
        return f"an image of `{name}` has {prod(known)} values, {list(known)}" if known and differs else None
    if len(shape) != 3:
        return f"`{name}` gives images, [channels, height, width]"
    return _unfit_channels(name, known, shape[0])


def _unfit_channels(name: str, known: tuple[int, int, int] | None, channels: Dim) -> str | None:
    """Why images do not have so many channels; grey ones are repeated on all of them."""
    if not isinstance(channels, int):
        return None
    if known is None:
        return None if channels in (1, 3) else f"images of `{name}` have 1 or 3 channels"
    return None if known[0] in (1, channels) else f"images of `{name}` have {known[0]} channels"


def _standardized(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """As many means and deviations as the net's image has channels, and one mean over numbers of one unit."""
    chosen, type_ = recipe.standardize, program.main.inputs[0].type
    channels = type_.shape[0] if type_.rank == 3 else None
    if isinstance(chosen, Image) and type_.rank == 1 and recipe.data.gives in ("columns", "anything"):
        yield _by_row(program.main.inputs[0].name, recipe, places)
    if not isinstance(chosen, Fixed) or not isinstance(channels, int):
        return
    for name in ("mean", "std"):
        if (count := len(getattr(chosen, name))) != channels:
            message = f"`fixed.{name}` has {count} value{'s' * (count != 1)}, the net's image {channels} channels"
            yield diagnostic("wrong-count", message, places.at(f"standardize.{name}", "standardize"))


def _without_effect(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Colours of images that have one channel, and windows of an image's own size."""
    shape = program.main.inputs[0].type.shape
    for component, reason in (*_grey(shape, recipe), *_whole(shape, recipe)):
        name = component_name(component)
        message = f"`{name}` changes nothing: {reason}"
        yield diagnostic("idle-option", message, places.at(f"augment.{name}"), severity="warning")


def _grey(shape: tuple[Dim, ...], recipe: Recipe) -> Iterator[tuple[Component, str]]:
    own = recipe.data.image_shape()
    if len(shape) == 3 and 1 in (shape[0], own[0] if own is not None else None):
        yield from ((c, "images of one channel have no colour") for c in recipe.augment if _of_colours(c))


def _whole(shape: tuple[Dim, ...], recipe: Recipe) -> Iterator[tuple[Component, str]]:
    """Behind other augmentations, images may have another size; windows of files are cut from the whole."""
    first = recipe.augment[0] if recipe.augment and not isinstance(recipe.data, Images) else None
    if isinstance(first, Crop) and not first.padding and shape[1:] == (first.size, first.size):
        yield first, f"the images have {first.size} x {first.size} pixels already"


def _of_colours(component: Component) -> bool:
    """Whether an augmentation changes nothing but colours."""
    if not isinstance(component, ColorJitter):
        return isinstance(component, Grayscale)
    return not (component.idle or component.brightness or component.contrast)


def _by_row(name: str, recipe: Recipe, places: Places) -> Diagnostic:
    """`standardize = image` for vectors: a mistake where they are columns, in doubt where they may be pixels."""
    columns = recipe.data.gives == "columns"
    what = "whose columns have units of their own" if columns else "such as the columns of a table"
    message = f"`image` takes one mean over all numbers of a sample, and `{name}` is a vector, {what}"
    hint = "`standardize = channel` takes the mean of each over the training split"
    return diagnostic(
        "not-an-image", message, places.at("standardize"), hint, severity="error" if columns else "warning"
    )


def _augmented(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Augmentations are for images, and for nets with one input."""
    first, given = program.main.inputs[0], len(program.main.inputs)
    for_images: list[tuple[str, Component]] = [(f"augment.{component_name(a)}", a) for a in recipe.augment]
    for_images += [("tta", recipe.tta)] if recipe.tta is not None else []
    for_images += [(f"mix.{component_name(m)}", m) for m in recipe.mix if isinstance(m, Cutmix)]
    if not for_images or recipe.data.gives == "tokens":
        return
    path, name = for_images[0][0], component_name(for_images[0][1])
    if first.type.rank != 3:
        hint = "to augment images, let the net take them, `input image [1, 28, 28]`, and flatten them itself"
        kind = "a vector" if first.type.rank == 1 else f"{first.type}"
        message = f"`{name}` is for images, and the input `{first.name}` is {kind}"
        yield diagnostic("not-an-image", message, places.at(path), hint)
    elif given > 1:
        message = f"`{name}` is for nets with one input, and this one has {given}"
        yield diagnostic("not-an-image", message, places.at(path))


def _crops(shape: tuple[Dim, ...], recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Windows that fit into their images, and test images of the size that the net is declared for."""
    sides = {s for s in shape[1:] if isinstance(s, int)}
    declared = sides.pop() if len(sides) == 1 and all(isinstance(s, int) for s in shape[1:]) else None
    if declared is not None:
        yield from _test_size(declared, recipe, places)
    data = recipe.data
    side = (data.resize or data.crop or declared) if isinstance(data, Images) else declared
    found = list(_windows(side, recipe, places))
    yield from found
    if declared is not None and not found:
        yield from _larger(declared, recipe, places)


def _test_size(declared: int, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Test images are cut to the size that the net takes."""
    data = recipe.data
    cut = data.crop if isinstance(data, Images) else 0
    if isinstance(data, Images) and data.resize and not cut and data.resize < declared:
        message = f"`resize={data.resize}` is smaller than what the net takes, {declared} x {declared}"
        yield diagnostic("unfit-size", message, places.at("data.resize"), f"`resize={declared}`, or more")
    if cut and cut != declared:
        message = f"`crop={cut}` cuts images of {cut} x {cut}, and the net takes {declared} x {declared}"
        hint = f"leave out `crop`, write `crop={declared}`, or declare the net at {cut} x {cut}"
        yield diagnostic("unfit-size", message, places.at("data.crop"), hint)


def _windows(side: int | None, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """The first window that is larger than the image it is cut from."""
    for component in recipe.augment:
        if side is not None and (reason := _too_large(component, side)) is not None:
            message = f"{reason} than images of {side} x {side}"
            at = places.at(f"augment.{component_name(component)}")
            yield diagnostic("unfit-size", message, at, f"at most {side}, or images that are larger")
            return
        side = size_of(component) or side


def _too_large(component: Component, side: int) -> str | None:
    """How a window, or a mirrored border, is larger than the image that it is taken from."""
    if isinstance(component, Crop) and component.size > side + 2 * component.padding:
        return f"`crop({component.size})` is larger"
    if isinstance(component, Cutout) and component.size + component.inside > side:
        return f"`cutout({component.size})` is {'larger' if component.size > side else 'no smaller'}"
    if not isinstance(component, Crop | Translate) or component.mode != "reflect":
        return None
    border = component.padding if isinstance(component, Crop) else component.pixels
    name = component_name(component)
    return f"`{name}` mirrors {border} pixels at the border, which is more" if border >= side else None


def _larger(declared: int, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Training images that are larger than those that the net is tested on."""
    trained = max((s for r in staged(recipe) if (s := trained_size(r.augment)) is not None), default=declared)
    if trained > declared:
        own, large = (f"{s} x {s}" for s in (declared, trained))
        message = f"the net is declared at {own}: it trains on images of {large} and is tested on {own}"
        yield diagnostic("unfit-size", message, places.at(sizing(recipe)), severity="warning")
