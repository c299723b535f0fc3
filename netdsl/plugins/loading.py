"""Loading: a plug-in is found, imported, checked and registered, or refused as a whole with its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import UserError
from netdsl.plugins.calls import reason
from netdsl.plugins.checks import mistakes
from netdsl.plugins.known import LOADED, Loaded, packages
from netdsl.plugins.plugin import Plugin
from netdsl.plugins.register import broken_examples, register, withdraw

GROUP = "netdsl.plugins"
ATTRIBUTE = "plugin"


def load(name: str, folder: str | None = None) -> Plugin:
    """Load a plug-in: one that an installed package registers in the entry points `netdsl.plugins`, else a module with
    an attribute `plugin`, or `module:attribute`. `folder`: where its module may lie beside Python's own paths, by
    default the working directory. A plug-in that is loaded already stays.

    Raises UserError where there is none, where importing it fails, or where something that it provides is no good: then
    nothing of it is registered.
    """
    if name in LOADED:
        return LOADED[name].plugin
    folder = os.path.abspath(folder or os.getcwd())
    value, version = _imported(name, folder)
    if not isinstance(value, Plugin):
        hint = 'plugin = netdsl.plugins.Plugin("name"), and what it provides'
        raise UserError("unfit-plugin", f"the plug-in `{name}` is no Plugin, but `{value!r:.60}`", hint)
    same = next((known for known in LOADED.values() if known.plugin is value), None)
    if same is None:
        _check(name, mistakes(value))
        register(value)
        try:
            _check(name, broken_examples(value))
        except UserError:
            withdraw(value)
            raise
    LOADED[name] = Loaded(name, value.version or version, value, _files(value), folder)
    return value


def load_all(names: Iterable[str], folder: str | None = None) -> None:
    """Load plug-ins in order. Raises UserError."""
    for name in names:
        load(name, folder)


def unload(name: str) -> None:
    """Take a plug-in out again, for a test or to load a changed one; its modules stay imported."""
    gone = LOADED.pop(name, None)
    if gone is not None and all(known.plugin is not gone.plugin for known in LOADED.values()):
        withdraw(gone.plugin)


def _check(name: str, wrong: list[str]) -> None:
    if wrong:
        error = UserError("unfit-plugin", f"the plug-in `{name}` cannot be used: {wrong[0]}")
        error.diagnostic = replace(error.diagnostic, notes=tuple(wrong[1:]))
        raise error


def _imported(name: str, folder: str) -> tuple[Any, str]:
    """The value that a name means, and the version of its package."""
    point = _found(name)
    path = list(sys.path)
    if folder not in path:
        sys.path.append(folder)
    try:
        if point is not None:
            return point.load(), point.dist.version if point.dist is not None else ""
        module, _, attribute = name.partition(":")
        return _attribute(import_module(module), attribute or ATTRIBUTE, name), ""
    except ModuleNotFoundError as error:
        sys.path[:] = path
        if point is None and error.name is not None and _is_of(name.partition(":")[0], error.name):
            raise _unknown(name) from None
        raise _failed(name, error) from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _is_of(module: str, missing: str) -> bool:
    """Whether a missing module is this one or a package that it would lie in."""
    return module == missing or module.startswith(f"{missing}.")


def _found(name: str) -> Any:
    """The entry point of a name; None for a module. Raises UserError for what can be neither."""
    point = _entry_point(name)
    if point is None and not _is_module(name.partition(":")[0]):
        raise _unknown(name)
    return point


def _is_module(name: str) -> bool:
    """Whether a module can be called this."""
    return all(map(str.isidentifier, name.split(".")))


def _attribute(module: Any, attribute: str, name: str) -> Any:
    if not hasattr(module, attribute):
        hint = f'{attribute} = netdsl.plugins.Plugin("name"), and what it provides'
        raise UserError("unfit-plugin", f"the module of the plug-in `{name}` has no `{attribute}`", hint)
    return getattr(module, attribute)


def _failed(name: str, error: BaseException) -> UserError:
    return UserError("plugin-failed", f"the plug-in `{name}` cannot be imported: {reason(error)}")


def _entry_point(name: str) -> Any:
    from importlib.metadata import entry_points

    return next(iter(entry_points(group=GROUP, name=name)), None)


def _unknown(name: str) -> UserError:
    from importlib.metadata import entry_points

    from netdsl.diagnostics.diagnostic import did_you_mean

    installed = sorted({point.name for point in entry_points(group=GROUP)})
    if name.endswith(".py") or "/" in name or os.sep in name:
        module = name.replace(os.sep, "/").rpartition("/")[2].removesuffix(".py")
        hint = f"a plug-in is named as Python imports it, from the folder of its file: `--plugin {module}`"
        return UserError("unknown-plugin", f"there is no plug-in `{name}`: it is written as a file", hint)
    there = f"installed: {', '.join(installed)}" if installed else "no installed package registers one"
    hint = did_you_mean(name, installed) or f"{there}; a module is looked for in the working directory too"
    return UserError("unknown-plugin", f"there is no plug-in `{name}`", hint)


def _files(plugin: Plugin) -> tuple[str, ...]:
    """The Python files of the packages in which a plug-in's classes and functions stand."""
    tops = packages(plugin)
    files = (getattr(m, "__file__", None) for n, m in list(sys.modules.items()) if n.partition(".")[0] in tops)
    return tuple(sorted({f for f in files if f}))
