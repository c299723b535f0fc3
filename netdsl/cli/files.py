"""Files: the one place where the command line reads and writes.

Whatever is written appears whole or not at all: into a temporary file in the same folder first, then renamed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from netdsl.cli.failure import Failure, Refused, unreadable
from netdsl.diagnostics.diagnostic import diagnostic
from netdsl.diagnostics.regular import check_regular
from netdsl.loader import LoadError, decoded, load_source, specs_below
from netdsl.source import Source
from netdsl.syntax.limits import LARGEST


def read_spec(path: str) -> Source:
    """The text of a spec; `-` is the standard input. Raises Refused where it cannot be read or is not text."""
    try:
        return load_source(path) if path != "-" else decoded(sys.stdin.buffer.read(LARGEST + 1), "<stdin>")
    except LoadError as error:
        raise Refused((error.diagnostic,)) from None


def find_specs(paths: list[str]) -> list[str]:
    """The files that are meant: a folder stands for every `*.net` in it, at any depth, but for those of the runs below
    it. Raises Failure for none."""
    found: dict[str, None] = {}
    for path in paths:
        if not os.path.isdir(path):
            found[path] = None
            continue
        inside = sorted(specs_below(path))
        if not inside:
            raise Failure(f"there is no *.net file in {path}")
        found.update(dict.fromkeys(map(os.path.normpath, inside)))
    return list(found)


def read_weights(path: str) -> dict[str, Any]:
    """The tensors of a safetensors file, by name, as numpy arrays. Raises Failure."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        check_regular(path)
        with open(path, "rb") as file:
            return dict(load(file.read()))
    except OSError as error:
        raise unreadable(path, error) from None
    except (SafetensorError, KeyError) as error:
        hint = "weights are read from .safetensors files only: others can hold code"
        message = f"{path} is not a safetensors file of numbers: {error}"
        raise Refused((diagnostic("unreadable-weights", message, None, hint),)) from None


def write(path: str, content: str | bytes) -> int:
    """Write a file, whole or not at all; returns its size in bytes. In names of files that are not UTF-8, a `?` stands
    for what is none. Raises Failure."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)
    return len(data)


def check_ending(path: str | None, *endings: str) -> str:
    """The ending of a file to write, in small letters. Raises Failure for one that says something else: a spec, or an
    image, is not written over by a name in the wrong place."""
    ending = os.path.splitext(path)[1].lower() if path is not None else endings[0]
    if ending not in endings:
        *others, last = endings
        names = f"{', '.join(others)} or {last}" if others else last
        raise Failure(f"cannot tell what to write to {path}", f"name a file that ends in {names}")
    return ending


def check_apart(*paths: str | None) -> None:
    """Raise Failure where two of the files that a command reads and writes are the same one."""
    known: set[str] = set()
    for path in filter(None, paths):
        if (real := os.path.realpath(path)) in known:
            raise Failure(f"{path} would be written over itself", "name another file to write")
        known.add(real)


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """A temporary path to write to, which takes the place of `path` if nothing is raised. Raises Failure."""
    path = os.path.realpath(path)  # a link stays one
    folder, temporary = os.path.dirname(path), ""
    try:
        os.makedirs(folder, exist_ok=True)
        new = os.path.join(folder, f".{os.path.basename(path)}.{os.urandom(6).hex()}")
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # `tempfile` costs 4 ms to import
        temporary = new
        os.chmod(temporary, _mode(path))
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def _mode(path: str) -> int:
    """The permissions of the file that is replaced, or those of a new one."""
    if os.path.exists(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def unwritable(path: str, error: OSError) -> Refused:
    """The refusal of a file that cannot be written."""
    hint = "nothing was changed; choose another place to write to"
    return Refused((diagnostic("cannot-write", f"cannot write {path}: {error.strerror or error}", None, hint),))


@contextmanager
def folder(path: str) -> Iterator[str]:
    """A temporary folder, whose files move into the folder `path` if nothing is raised. Raises Failure."""
    import shutil

    temporary, new = "", not os.path.exists(path)
    try:
        if not new and not os.path.isdir(path):
            message = f"cannot write into {path}: it is a file, not a folder"
            raise Refused((diagnostic("cannot-write", message),))
        os.makedirs(path, exist_ok=True)
        import tempfile

        temporary = tempfile.mkdtemp(prefix=".netdsl-", dir=path)
        yield temporary
        for name in sorted(os.listdir(temporary)):
            os.replace(os.path.join(temporary, name), os.path.join(path, name))
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        if new:
            with suppress(OSError):  # stays where something was written
                os.rmdir(path)
