"""Tables with a column of images and one of classes: parquet files, and data sets of the Hugging Face Hub.

Read through `datasets`, which keeps them as files in memory maps; code of a data set is never run.
"""

from __future__ import annotations

import logging
from glob import glob
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.diagnostics.packages import needed_by
from netdsl.inference.images import Least, filled, open_image
from netdsl.recipe.sources import Hub, Parquet, Table
from netdsl.training.data.dataset import DataError, DataSet, numbered
from netdsl.training.data.division import check_grouped, group_numbers
from netdsl.training.readers.images import Images, View
from netdsl.training.readers.registry import READERS


@READERS.of(Parquet)
def read_parquet(source: Parquet, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    files = {"train": _files(base, source.files)} | ({"test": _files(base, source.test)} if source.test else {})
    found = _loaded(source.files, "parquet", data_files=files)
    return _data(source, source.files, found["train"], found.get("test"), shape)


@READERS.of(Hub)
def read_hub(source: Hub, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    folder = base / source.name
    local = folder.is_dir()
    if local and any((folder / n).is_file() for n in ("dataset_dict.json", "state.json")):
        found = _saved(source, folder)
    else:
        found = _loaded(
            source.name, str(folder) if local else source.name, source.config or None, revision=source.revision or None
        )
    train, test = (_part(source, found, n) if n else None for n in (source.train, source.test))
    return _data(source, source.name, train, test, shape)


def _library() -> Any:
    """The package `datasets`, without its bars and warnings."""
    with needed_by("reading `parquet(...)` and `hf(...)`"):
        import datasets
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return datasets


def _files(base: Path, pattern: str) -> list[str]:
    found = sorted(glob(str(base / pattern), recursive=True))
    if not found:
        raise DataError("missing-data", f"there is no file {base / pattern}", "paths are relative to the spec")
    return found


def _loaded(name: str, *arguments: Any, **more: Any) -> Any:
    """A data set by its splits. Raises DataError for whatever `datasets` raises."""
    library = _library()
    try:
        return library.load_dataset(*arguments, **more)
    except library.exceptions.DatasetNotFoundError:
        hint = "is it written `user/name`? a private one needs a login (`hf auth login`)"
        raise DataError(
            "missing-data", f"there is no data set `{name}`: no such folder, nor on the Hub", hint
        ) from None
    except ConnectionError:
        hint = "load it once where there is a network, or name a folder that has it"
        raise DataError(
            "hub-unreachable", f"the Hub cannot be reached, and `{name}` is not in its cache", hint
        ) from None
    except Exception as error:  # each reader of `datasets` raises types of its own
        first = str(error.__cause__ or error).strip().split("\n")[0] or type(error).__name__
        raise DataError("unreadable-data", f"`{name}` cannot be read: {first}", _advice(str(error))) from None


def _advice(text: str) -> str | None:
    if "scripts are no longer supported" in text:
        return 'code of a data set is never run; many have a copy: `revision="refs/convert/parquet"`'
    return 'choose one of them: `config="..."`' if "Config name is missing" in text or "BuilderConfig" in text else None


def _saved(source: Hub, folder: Path) -> Any:
    """A data set that `save_to_disk` wrote, by its splits."""
    library = _library()
    try:
        found = library.load_from_disk(str(folder))
    except Exception as error:  # as above
        raise DataError("unreadable-data", f"`{source.name}` cannot be read: {error}") from None
    return found if isinstance(found, library.DatasetDict) else {source.train: found}


def _part(source: Hub, found: Any, name: str) -> Any:
    if name not in found:
        listed = ", ".join(f"`{n}`" for n in found)
        hint = did_you_mean(name, list(found)) or 'for example `test="validation"`, or `test=""` to hold out a part'
        raise DataError("missing-column", f"`{source.name}` has no split `{name}`; it has {listed}", hint)
    return found[name]


def _data(source: Table, name: str, train: Any, test: Any, shape: tuple[int, ...]) -> DataSet:
    tables = [t for t in (train, test) if t is not None]
    for table in tables:
        _check_columns(source, name, table)
    labels = [_labels(source, name, t) for t in tables]
    classes, numbers = _classes(name, train.features[source.label], labels)
    rows = [Rows(t, source.image, name, shape[0]) for t in tables]
    if 0 in shape[1:3] and not source.crop and len(train):
        shape = filled(shape, rows[0](0))
    view = View.of(source, shape)
    splits = [Images(r, view).split(n) for r, n in zip(rows, numbers, strict=True)]
    splits[0] = replace(splits[0], groups=_groups(source.group, name, train))
    if test is None:
        splits = list(splits[0].parted(max(1, round(source.hold_out * len(splits[0])))))
    if not all(map(len, splits)):
        raise DataError("no-samples", f"`{name}` has {len(splits[0])} rows to train on and {len(splits[1])} to test on")
    return DataSet(name, splits[0], splits[1], classes=classes)


def _groups(column: str, name: str, table: Any) -> Tensor | None:
    if not column:
        return None
    if column not in table.features:
        hint = did_you_mean(column, list(table.features))
        raise DataError("missing-column", f"`{name}` has no column `{column}`", hint)
    groups = table.select_columns([column]).to_dict()[column]
    check_grouped(groups, column, f"`{name}`")
    return group_numbers(groups)


def _check_columns(source: Table, name: str, table: Any) -> None:
    kinds = {"Image": "images", "ClassLabel": "classes"}
    listed = ", ".join(f"`{n}` ({kinds.get(_kind(f), _kind(f))})" for n, f in table.features.items())
    for role, column, kind in (("image", source.image, "Image"), ("label", source.label, "ClassLabel")):
        if column in table.features:
            continue
        like = next((n for n, f in table.features.items() if _kind(f) == kind), None)
        hint = f'write `{role}="{like}"`' if like else did_you_mean(column, list(table.features))
        raise DataError(
            "missing-column", f"`{name}` has no column `{column}`; it has {listed}", hint or f'write `{role}="..."`'
        )
    if _kind(table.features[source.image]) not in ("Image", "binary", "string", "dict"):
        raise DataError("data-type", f"column `{source.image}` of `{name}` does not hold images; it has {listed}")


def _kind(feature: Any) -> str:
    """The kind of a column: `Image`, `ClassLabel`, or its plain type."""
    return str(getattr(feature, "dtype", "")) if type(feature).__name__ == "Value" else type(feature).__name__


def _labels(source: Table, name: str, table: Any) -> list[Any]:
    found: list[Any] = table.select_columns([source.label]).to_dict()[source.label]
    for i, value in enumerate(found):
        if not isinstance(value, int | str):
            is_what = "no class" if value is None else f"{value!r} and not a class"
            raise DataError("data-type", f"row {i} of `{name}` has {is_what} in column `{source.label}`")
        if isinstance(value, int) and value < 0:
            hint = "hidden labels are written -1: choose a split that has them"
            raise DataError(
                "data-value", f"row {i} of `{name}` has {value} as its class in column `{source.label}`", hint
            )
    return found


def _classes(name: str, feature: Any, labels: list[list[Any]]) -> tuple[tuple[str, ...], list[Tensor]]:
    """The names of the classes, and the labels of every split as their numbers."""
    texts = [isinstance(v, str) for part in labels for v in part]
    if all(texts):
        return _named_classes(name, labels)
    if any(texts):
        raise DataError("uneven-samples", f"the classes of `{name}` are names in one split and numbers in the other")
    count = 1 + max(int(v) for part in labels for v in part)
    names = tuple(getattr(feature, "names", None) or numbered(count))
    return names, [torch.tensor([int(v) for v in part], dtype=torch.int64) for part in labels]


def _named_classes(name: str, labels: list[list[str]]) -> tuple[tuple[str, ...], list[Tensor]]:
    """Classes in alphabetical order, those of the training split. Raises DataError for another one."""
    names = tuple(sorted(set(labels[0])))
    known = {n: i for i, n in enumerate(names)}
    for value in (v for part in labels[1:] for v in part):
        if value not in known:
            raise DataError(
                "unknown-class", f"class `{value}` of the test split of `{name}` is not in its training split"
            )
    return names, [torch.tensor([known[v] for v in part], dtype=torch.int64) for part in labels]


class Rows:
    """The images of a column by their row."""

    def __init__(self, table: Any, column: str, name: str, channels: int) -> None:
        self.table = table.select_columns([column]).cast_column(column, _library().Image(decode=False))
        self.column, self.name, self.channels = column, name, channels

    def __call__(self, i: int, least: Least | None = None) -> Any:
        cell = self.table[i][self.column]
        where = f"row {i} of `{self.name}`"
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise DataError("unpaired-samples", f"{where} has no image")
        file = BytesIO(cell["bytes"]) if cell["bytes"] is not None else Path(cell["path"])
        return open_image(file, self.channels, where, least)
