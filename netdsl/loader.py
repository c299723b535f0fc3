"""Specs from the disk: the one place, beside the shells, that reads files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, diagnostic, did_you_mean
from netdsl.diagnostics.regular import check_regular
from netdsl.source import Source
from netdsl.syntax.limits import LARGEST


class LoadError(Fault):
    """A spec that cannot be read. `diagnostic` says why."""


def library() -> str:
    """The folder of the standard library: beside the package in a checkout, inside it when installed."""
    package = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(package, "specs")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "specs")


def zoo() -> dict[str, str]:
    """The specs of the installed zoo: the path of each by its name."""
    folder = library()
    names = (
        sorted(f.removesuffix(".net") for f in os.listdir(folder) if f.endswith(".net"))
        if os.path.isdir(folder)
        else []
    )
    return {name: os.path.join(folder, f"{name}.net") for name in names}


def locate(path: str | os.PathLike[str]) -> str:
    """The file that is meant: the path itself, or a spec of the zoo by its bare name where no such file exists."""
    name = os.fspath(path)
    known = os.path.join(library(), f"{name}.net")
    return known if name.isidentifier() and not os.path.exists(name) and os.path.isfile(known) else name


def referred(text: str) -> tuple[str, str | None]:
    """The file and the net of `SPEC[:Net]`. A file of exactly that name comes first."""
    path, colon, net = text.rpartition(":")
    is_path = not colon or not path or "/" in net or os.sep in net or os.path.exists(text)
    return (text, None) if is_path else (path, net)


PASSED_OVER = frozenset(("node_modules", "site-packages", "__pycache__"))
"""Folders of packages."""


def specs_below(folder: str, most: int | None = None) -> Iterator[str]:
    """The paths of the specs below a folder, of the first `most` folders; none of packages, of hidden folders, and of
    runs, which are records of what was trained."""
    for here, inside, files in islice(os.walk(folder), most):
        inside[:] = sorted(f for f in inside if not (f in PASSED_OVER or f[0] == "." or is_run(os.path.join(here, f))))
        yield from (os.path.join(here, name) for name in sorted(files) if name.endswith(".net"))


def is_run(folder: str) -> bool:
    """Whether a folder is the directory of a run."""
    return all(os.path.isfile(os.path.join(folder, name)) for name in ("run.json", "spec.net"))


def load_source(path: str | os.PathLike[str]) -> Source:
    """The text of a spec. Raises LoadError for a missing file, a directory, or what is not UTF-8 text."""
    name = os.fspath(path)
    try:
        check_regular(name)
        with open(name, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise LoadError(_unreadable(name, error)) from None
    return decoded(data, name)


def decoded(data: bytes, name: str) -> Source:
    """The text that a spec's bytes are. Raises LoadError where they are none."""
    if b"\0" in data:
        raise LoadError(Diagnostic("not-a-spec", f"{name} is not a spec: it is binary"))
    if len(data) > LARGEST:
        raise LoadError(Diagnostic("not-a-spec", f"{name} is not a spec: it is larger than {LARGEST // 1024} KiB"))
    try:
        return Source(data.decode("utf-8-sig"), name, stored=True)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{name} is not UTF-8 text: byte {error.start} (line {line}) is 0x{data[error.start]:02x}"
        raise LoadError(diagnostic("not-utf8", message, hint="save the file as UTF-8")) from None


def _unreadable(name: str, error: OSError) -> Diagnostic:
    if isinstance(error, FileNotFoundError):
        return diagnostic("no-such-file", f"there is no file {name}", hint=_instead_of(name))
    if isinstance(error, IsADirectoryError):
        return diagnostic("is-a-directory", f"{name} is a directory", hint="name a spec in it")
    return Diagnostic("unreadable", f"cannot read {name}: {error.strerror}")


def _instead_of(name: str) -> str | None:
    """The names that may be meant by a spec that is not there."""
    if name.removesuffix(".net") in zoo():
        return f"`{name.removesuffix('.net')}` is the spec of the zoo"
    if name.isidentifier():
        return did_you_mean(name, zoo()) or "`netdsl zoo` lists the specs that have names"
    folder = os.path.dirname(name) or "."
    near = sorted(f for f in os.listdir(folder) if f.endswith(".net")) if os.path.isdir(folder) else []
    return f"specs in {folder}: {', '.join(near[:8])}" if near else None


def beside(importer: str) -> list[str]:
    """The specs in the folder of another, which it may import by their bare names."""
    folder, own = os.path.dirname(importer) or ".", os.path.basename(importer)
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [f.removesuffix(".net") for f in files if f.endswith(".net") and f != own]


def _is_there(path: str) -> bool:
    """Whether an import finds something: a pipe, a device or a broken link is named as what it is when it is read."""
    return os.path.lexists(path) and not os.path.isdir(path)


def read_import(module: str, importer: Source, unsaved: Mapping[str, Source] | None = None) -> Source | None:
    """The source a dotted module name means: beside the importing spec, or in the standard library.

    `unsaved`: texts of an editor by the real paths of their files, in the place of what the files hold.
    """
    unsaved = unsaved or {}
    relative = os.path.join(*module.split(".")) + ".net"
    own = os.path.realpath(importer.name)
    paths = [os.path.join(folder, relative) for folder in (os.path.dirname(importer.name), library())]
    found = [path for path in paths if _is_there(path) or os.path.realpath(path) in unsaved]
    others = [path for path in found if os.path.realpath(path) != own]
    if not found:
        return None
    path = (others or found)[0]
    text = unsaved.get(os.path.realpath(path))
    return load_source(path) if text is None else Source(text.text, path)
