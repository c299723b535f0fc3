"""Specs of a git revision: `HEAD~1:nets/small.net`, with the files that it imports as they were then."""

from __future__ import annotations

import os
import subprocess

from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.modules import Reader
from netdsl.loader import decoded, read_import
from netdsl.source import Source


def spec_at(revision: str, path: str) -> tuple[Source, Reader]:
    """The text of a spec as it was, and what reads its imports. Raises UserError, and LoadError for what is no text."""
    folder = os.path.dirname(path) or "."
    folder = folder if os.path.isdir(folder) else "."
    root = os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n"))
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", what=revision)
    commit_id = commit.decode().strip()
    place = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    if place.startswith(".."):
        raise UserError("unreadable", f"{path} is not in the git repository {root}")
    content = _show(root, commit_id, place)
    if content is None:
        hint = f"`git ls-tree -r {revision}` lists what it has"
        raise UserError("no-such-file", f"revision {revision} has no file {place}", hint)
    name = f"{revision}:{path}"
    source = decoded(content, name)

    def read(module: str, importer: Source) -> Source | None:
        folder = os.path.dirname(importer.name.removeprefix(f"{revision}:"))
        beside = os.path.join(folder, *module.split(".")) + ".net"
        old = _show(root, commit_id, os.path.relpath(os.path.realpath(beside), os.path.realpath(root)))
        same = f"{revision}:{beside}" == importer.name
        return decoded(old, f"{revision}:{beside}") if old is not None and not same else read_import(module, NO_FOLDER)

    return source, read


NO_FOLDER = Source("", os.path.join(os.sep, "no-such-folder", "spec.net"))
"""Beside which no spec stands: what is imported from there is of the library."""


def _show(root: str, commit: str, place: str) -> bytes | None:
    """A file as it was; None where there was none."""
    done = _run(root, "cat-file", "blob", f"{commit}:{place.replace(os.sep, '/')}")
    return done.stdout if done.returncode == 0 else None


def _git(folder: str, *arguments: str, what: str = "") -> bytes:
    done = _run(folder, *arguments)
    if done.returncode == 0:
        return done.stdout
    if what:
        hint = "a branch, a tag or a commit, such as HEAD~1"
        raise UserError("no-such-file", f"there is no git revision {what}", hint)
    hint = "a revision needs one: `REV:FILE` or `--git REV`"
    raise UserError("unreadable", "this folder is in no git repository", hint)


def _run(folder: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=False)
    except OSError:
        raise UserError("unreadable", "git is not installed", "a revision of a file is read with it") from None
