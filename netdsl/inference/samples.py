"""New samples for a trained net: images, folders of images, arrays and tables, as the net was trained to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from netdsl.inference.arrays import beyond, load_array, load_arrays
from netdsl.inference.columns import Input, encoded, for_inputs, replaced
from netdsl.inference.errors import DataError
from netdsl.inference.graphs import load_graphs
from netdsl.inference.images import Frame, ImageView, Least, filled, images_below, open_image, whole_size
from netdsl.inference.tables import load_columns
from netdsl.inference.trained import Trained, longest, vocabulary
from netdsl.recipe.columns import Columns, ParquetTable
from netdsl.recipe.sources import Images
from netdsl.sizes.stated import broken

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".tsv", ".parquet")
OPEN = 224
"""The side of an image for a net that takes any and looks at the whole."""


class Sample(Struct, frozen=True, eq=False):
    """One sample: what it is called, and one array [1, ...] for each input of the net. `frame`: where in its image it
    lies."""

    name: str
    inputs: tuple[np.ndarray, ...]
    frame: Frame | None = None


def samples(
    trained: Trained, paths: Iterable[Path], invert: bool = False, tell: Callable[[str], object] = str
) -> Iterator[Sample]:
    """The samples in some files, in order: an image each, a row each of arrays and tables. `tell` hears of values that
    are taken for others. Raises DataError."""
    for path in paths:
        if takes_graphs(trained):
            yield from _graphs(trained, path)
        elif path.is_dir():
            found = images_below(path)
            if not found:
                raise DataError("no-samples", f"{path} has no images")
            yield from (_image(trained, Path(name), invert) for name in found)
        elif not path.is_file():
            raise DataError("no-such-file", f"there is no file {path}")
        elif path.suffix in ARRAYS:
            yield from _rows(path, _arrays(trained, path))
        elif trained.task == "tokens":
            yield _text(trained, path)
        elif path.suffix in TABLES:
            yield from _rows(path, _table(trained, path, tell))
        else:
            yield _image(trained, path, invert)


def takes_graphs(trained: Trained) -> bool:
    """Whether a net takes graphs by their edges, numbers of nodes: a batch of them is one graph, [1, ...]."""
    return len(trained.shape) == 2 and any(i.name == "edges" and i.integer for i in trained.inputs[1:])


def _graphs(trained: Trained, path: Path) -> Iterator[Sample]:
    """Each graph of a file or folder. Raises DataError."""
    if not path.exists():
        raise DataError("no-such-file", f"there is no file {path}")
    found = load_graphs(path, single=True)
    names = ("nodes", *(i.name for i in trained.inputs[1:]))
    for at in range(len(found)):
        arrays = found.one(at)
        _check_there(names, arrays, path)
        _check_shape(trained, arrays["nodes"].shape[1:], path)
        yield Sample(f"{path}:{at + 1}", tuple(arrays[n] for n in names))


def _text(trained: Trained, path: Path) -> Sample:
    """The end of a text, as much of it as the net reads at once."""
    try:
        tokens = vocabulary(trained).encode(path.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise DataError("unreadable-data", f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    most = longest(trained)
    if not tokens or len(tokens) < (trained.shape[0] or 1):
        raise DataError("no-samples", f"{path} has {len(tokens)} tokens, and the net reads {trained.shape[0] or 1}")
    return Sample(str(path), (np.array([tokens[-most:]]),))


def _rows(path: Path, inputs: tuple[np.ndarray, ...]) -> Iterator[Sample]:
    for i in range(len(inputs[0])):
        yield Sample(f"{path}:{i + 1}", tuple(x[i : i + 1] for x in inputs))


def _image(trained: Trained, path: Path, invert: bool) -> Sample:
    """An image from 0 to 1, resized and cut as the run's own test images."""
    if len(trained.shape) != 3 or trained.shape[0] not in (1, 3):
        raise DataError("unfit-input", f"the net takes {list(trained.shape)}, not images of 1 or 3 channels")
    image = open_image(path, trained.shape[0], least=_least(trained))
    if trained.task == "mask":
        shape = filled(tuple(s or 0 for s in trained.shape), image)
    else:
        shape = tuple(s or size for s, size in zip(trained.shape, (3, OPEN, OPEN), strict=True))
    view = _view(trained.view, shape)
    pixels = view.pixels(image)
    check_sizes(trained, pixels.shape)
    found = as_floats(pixels[None])
    return Sample(str(path), (1 - found if invert else found,), view.frame(*whole_size(image)))


def _least(trained: Trained) -> Least | None:
    """The size that needs to be decoded of an image; all of it where the net takes any size."""
    if not all(trained.shape) and not trained.view.crop:
        return None
    return _view(trained.view, tuple(s or 0 for s in trained.shape)).least


def _view(own: Images, shape: tuple[int, ...]) -> ImageView:
    """How an image is seen: resized and cut as the run's own test images."""
    return ImageView.of(own, (shape[0], own.crop, own.crop) if own.crop else shape)


def check_sizes(trained: Trained, shape: tuple[int, ...]) -> None:
    """Raise DataError for an input whose sizes break the net's constraints: onnxruntime wouldn't say so."""
    sizes = {name: size for name, size in zip(trained.names, shape, strict=False) if name}
    if wrong := broken(trained.constraints, sizes):
        given = ", ".join(f"{n} = {s}" for n, s in sizes.items())
        raise DataError(
            "unfit-size", f"the net needs {' and '.join(wrong)}, found {given}", "export it with `--size` that fits"
        )


def _arrays(trained: Trained, path: Path) -> tuple[np.ndarray, ...]:
    """Arrays [N, ...] of each input: one in an npy file, in an npz file by the names of the inputs (or `x`)."""
    arrays = {"x": load_array(path)} if path.suffix == ".npy" else load_arrays(path)
    names = [i.name for i in trained.inputs]
    if len(names) == 1 and names[0] not in arrays and "x" in arrays:
        arrays[names[0]] = arrays["x"]
    if path.suffix == ".npy" and len(names) > 1:
        hint = "an `.npz` file has arrays by name: `np.savez(file, a=..., b=...)`"
        raise DataError("unfit-input", f"{path} is one array, and the net takes {', '.join(names)}", hint)
    _check_there(names, arrays, path)
    found = tuple(_numbers(arrays[i.name], i, path) for i in trained.inputs)
    if found[0].ndim == len(trained.shape):
        found = _with_axis(found, trained)
    _check_shape(trained, tuple(found[0].shape[1:]), path)
    _check_rows(found, trained.inputs, path)
    _check_limits(trained, found, path)
    return found


def _check_limits(trained: Trained, found: tuple[np.ndarray, ...], path: Path) -> None:
    """Raise DataError for a whole number that the net has no vector for: onnxruntime counts negative ones from the
    end."""
    for x, given in zip(found, trained.inputs, strict=True):
        limit = trained.limits.get(given.name)
        if limit is None or not len(wrong := np.argwhere((x < 0) | (x >= limit))):
            continue
        at = tuple(wrong[0].tolist())
        raise DataError("data-value", *beyond(given.name, int(x[at]), limit, f"sample {at[0] + 1} of {path}"))


def _check_rows(found: tuple[np.ndarray, ...], inputs: Sequence[Input], path: Path) -> None:
    """Raise DataError where the inputs have no samples, or not as many of each, or vectors of another size."""
    count = len(found[0])
    if not count:
        raise DataError("no-samples", f"{path} has no samples")
    for x, given in zip(found, inputs, strict=True):
        if len(x) != count:
            message = f"{path} has {count:,} samples of `{inputs[0].name}` and {len(x):,} of `{given.name}`"
            raise DataError("wrong-count", message)
        if given.size is not None and x.shape[1:] != (given.size,):
            message = f"`{given.name}` takes [{given.size}], and a sample of {path} is {list(x.shape[1:])}"
            raise DataError("unfit-input", message)


def _check_there(names: Iterable[str], arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Raise DataError for an input that no array is called like."""
    missing = next((n for n in names if n not in arrays), None)
    if missing is not None:
        raise DataError("missing-column", f"{path} has no array `{missing}`", f"it has {', '.join(arrays)}")


def _with_axis(found: tuple[np.ndarray, ...], trained: Trained) -> tuple[np.ndarray, ...]:
    """One sample without the axis of samples, or grey images without that of their channel."""
    first = found[0]
    if trained.shape[0] == 1 and first.ndim == 3 and len(first) != 1:
        return (first[:, None], *found[1:])
    return tuple(x[None] for x in found)


def _check_shape(trained: Trained, have: tuple[int, ...], path: Path) -> None:
    if len(have) != len(trained.shape) or any(s not in (None, h) for s, h in zip(trained.shape, have, strict=True)):
        takes = ", ".join("any" if s is None else str(s) for s in trained.shape)
        raise DataError("unfit-input", f"the net takes [{takes}], and a sample of {path} is {list(have)}")
    check_sizes(trained, have)


def _numbers(array: np.ndarray, given: Input, path: Path) -> np.ndarray:
    """An array as an input takes it: whole numbers, or float32, where those of uint8 are pixels."""
    kind = array.dtype.kind
    if kind not in "biuf":
        raise DataError("data-type", f"{path}: `{given.name}` is not an array of numbers")
    if given.integer and kind == "f":
        message = f"{path}: `{given.name}` takes whole numbers, found {array.dtype}"
        raise DataError("data-type", message, f"`{given.name}.astype(int)`")
    if given.integer:
        return array.astype(np.int64)
    if array.dtype == np.uint8:
        return as_floats(array)
    with np.errstate(over="ignore"):
        found = array.astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError("not-finite-data", f"{path}: `{given.name}` has values that are not finite")
    return found


def as_floats(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1 as float32, in memory in the order of their axes."""
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255)


def _table(trained: Trained, path: Path, tell: Callable[[str], object]) -> tuple[np.ndarray, ...]:
    """The rows of a table, by the columns that the net was trained on."""
    if not trained.columns:
        raise DataError("unfit-input", f"{path} is a table, and the net was not trained on one")
    component: Columns = ParquetTable(file=str(path), target="") if path.suffix == ".parquet" else trained.written
    categories = {c.name for c in trained.columns if c.is_category}
    raw = load_columns(path, component, categories)
    table = encoded(raw, trained.columns, str(path))
    for note in replaced(trained.columns, raw):
        tell(f"{path}: {note}")
    return for_inputs(table, trained.inputs, str(path))


def batches(found: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    """Samples of equal sizes together, at most `size` of them, in order."""
    batch: list[Sample] = []
    for sample in found:
        same = batch and all(a.shape == b.shape for a, b in zip(sample.inputs, batch[0].inputs, strict=True))
        if batch and (not same or len(batch) == size):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
