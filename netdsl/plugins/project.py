"""The plug-ins that a project asks for: `[tool.netdsl] plugins = [...]` in the pyproject.toml of the working directory
or of the nearest folder above it. The folder of a spec does not count: reading a spec never loads code."""

from __future__ import annotations

import os

from netdsl.diagnostics.diagnostic import UserError

FILE = "pyproject.toml"


def project_plugins() -> tuple[tuple[str, ...], str]:
    """The plug-ins that are named, and the folder of the file. Raises UserError where the file says something else, or
    belongs to another user."""
    folder = _folder(os.getcwd())
    path = os.path.join(folder, FILE)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return (), folder
    if b"netdsl" not in content or b"plugins" not in content:
        return (), folder
    names = _named(path, content)
    if names and not _ours(path):
        hint = "name those that you trust: `--plugin NAME`"
        raise UserError("unfit-plugin", f"{path} belongs to another user: its plug-ins are not loaded", hint)
    return names, folder


def _folder(folder: str) -> str:
    """The nearest folder with the file, from one upwards; the folder itself where there is none."""
    now = folder
    while not os.path.isfile(os.path.join(now, FILE)):
        above = os.path.dirname(now)
        if above == now:
            return folder
        now = above
    return now


def _named(path: str, content: bytes) -> tuple[str, ...]:
    import tomllib

    try:
        tools = tomllib.loads(content.decode()).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return ()  # other tools say what is wrong with it
    own = tools.get("netdsl", {}) if isinstance(tools, dict) else {}
    names = own.get("plugins", []) if isinstance(own, dict) else []
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise UserError(
            "unfit-plugin", f"{path}: `plugins` is a list of names", '[tool.netdsl]\nplugins = ["shrinkage"]'
        )
    return tuple(names)


def _ours(path: str) -> bool:
    """Whether a file is this user's or the system's."""
    return not hasattr(os, "getuid") or os.stat(path).st_uid in (os.getuid(), 0)
