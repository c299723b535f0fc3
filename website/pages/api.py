"""The Python API: signatures and docstrings of everything that `netdsl` exports."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import netdsl
from website.pages.ops import escaped

HEAD = """\
# Python API

Everything that `import netdsl` gives. How nets are trained and exported from Python is in [Train from
Python](../python.md).

"""

ORDER = (
    "check",
    "load",
    "open_spec",
    "open_run",
    "compare_runs",
    "Net",
    "Spec",
    "Source",
    "Run",
    "SpecError",
    "TrainingError",
)


def pages() -> dict[str, str]:
    """The page by its path: the exports in `ORDER`, then the others."""
    others = sorted(set(netdsl.__all__) - {*ORDER, "__version__"})
    return {"reference/api.md": HEAD + "\n".join(line for name in (*ORDER, *others) for line in _export(name))}


def _export(name: str) -> Iterator[str]:
    thing = getattr(netdsl, name)
    yield f"## {name}\n"
    yield from _described(f"netdsl.{name}", thing)
    if inspect.isclass(thing):
        for member, value in _members(thing):
            yield f"### {name}.{member}\n"
            yield from _described(member, value)


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that say something of themselves, its own before inherited ones."""
    homes = [c for c in cls.__mro__ if c.__module__.startswith("netdsl")]
    seen: set[str] = set()
    for home in homes:
        for name, value in vars(home).items():
            value = getattr(value, "__func__", value)
            is_member = isinstance(value, FunctionType | property) or hasattr(value, "func")
            if not name.startswith("_") and is_member and _doc(value) and name not in seen:
                seen.add(name)
                yield name, value


def _doc(value: Any) -> str:
    return inspect.cleandoc(getattr(value, "__doc__", None) or getattr(value, "func", value).__doc__ or "")


def _described(name: str, thing: Any) -> Iterator[str]:
    if isinstance(thing, FunctionType):
        yield f"```python\n{name}{_signature(thing)}\n```\n"
    elif not inspect.isclass(thing):
        inner = thing.fget if isinstance(thing, property) else thing.func
        result = inspect.get_annotations(inner).get("return", "")
        yield f"```python\n{name}: {result}\n```\n"
    yield escaped(_doc(thing)) + "\n"


def _signature(function: FunctionType) -> str:
    """A signature on one line, or a line for each argument. Annotations are text, as they are written."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.name != "self"]
    parts = list(map(_parameter, own))
    star = next((i for i, p in enumerate(own) if p.kind is p.KEYWORD_ONLY), None)
    if star is not None:
        parts.insert(star, "*")
    short, ending = f"({', '.join(parts)})", f" -> {signature.return_annotation}"
    return short + ending if len(short + ending) <= 88 else "(\n" + "".join(f"    {p},\n" for p in parts) + f"){ending}"


def _parameter(found: inspect.Parameter) -> str:
    stars = {found.VAR_POSITIONAL: "*", found.VAR_KEYWORD: "**"}.get(found.kind, "")
    default = "" if found.default is found.empty else f" = {found.default!r}"
    return f"{stars}{found.name}: {found.annotation}{default}"
