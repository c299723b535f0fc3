"""Arrays in numpy's files."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from netdsl.diagnostics.memory import available, said
from netdsl.inference.errors import DataError


def load_array(path: Path) -> np.ndarray:
    """The array of an npy file. Raises DataError."""
    try:
        with open(path, "rb") as stream:
            shape, dtype = _header(stream)
            _check_size(path, "the array", shape, dtype, path.stat().st_size)
        found: np.ndarray = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError("unreadable-data", f"{path} is not an array of numpy: {error}") from None
    return found


def load_arrays(file: Path) -> dict[str, Any]:
    """The arrays of an npz file by name; refuses pickled objects. Raises DataError."""
    if not file.is_file():
        raise DataError("missing-data", f"there is no file {file}", "say where it is: `--data 'npz(\"...\")'`")
    try:
        with np.load(file, allow_pickle=False) as found:
            for name in found.files:
                _in_archive(found.zip, name, file)
            return {n: found[n] for n in found.files}
    except (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError("unreadable-data", f"{file} is not an npz file of plain arrays: {error}") from None


def _in_archive(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    member = next(n for n in (f"{name}.npy", name) if n in archive.namelist())
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
    _check_size(file, f"`{name}`", shape, dtype, archive.getinfo(member).file_size)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the type of an array in numpy's format. Raises ValueError."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    return shape, dtype


def _check_size(file: Path, what: str, shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    """Raise DataError for an array whose header declares more than the `held` bytes of its file, or than fits into
    memory."""
    needed, there = math.prod(shape) * dtype.itemsize, available()
    if dtype.hasobject or (needed <= held and (there is None or needed <= there)):
        return
    declared = f"{file}: {what} declares {' x '.join(f'{n:,}' for n in shape)} numbers, {said(needed)}"
    if needed > held:
        raise DataError("unreadable-data", f"{declared}, and the file holds {said(held)} of it")
    raise DataError(
        "out-of-memory",
        f"{declared}, and {said(there or 0)} of memory are free",
        "images in files are read while training",
    )


def beyond(name: str, value: int, limit: int, where: str) -> tuple[str, str | None]:
    """The message, and a hint, for a whole number of an input that no vector of `limit` is for."""
    message = f"{where} has {value:,} for `{name}`, and the net has vectors for 0 to {limit - 1:,}"
    return message, "numbers are counted from 0; padding needs one of its own, such as 0" if value < 0 else None
