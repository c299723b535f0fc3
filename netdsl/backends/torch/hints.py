"""Heads of methods with type hints, and comments that fit the class that they describe."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from netdsl.backends.torch.known import Argument
from netdsl.backends.torch.layout import INDENT, WIDTH, literal_text
from netdsl.backends.torch.tree import Num

NAMED = re.compile(r"`([A-Za-z_]\w*)`")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`(\"'])")


def method(name: str, arguments: Iterable[str], result: str) -> list[str]:
    """The line that begins a method of a class, or the lines where one is too long."""
    listed = ("self", *arguments)
    end = f") -> {result}:"
    one, inner = f"{INDENT}def {name}({', '.join(listed)}{end}", f"{INDENT * 2}{', '.join(listed)}"
    if len(one) <= WIDTH:
        return [one]
    rows = [inner] if len(inner) <= WIDTH else [f"{INDENT * 2}{item}," for item in listed]
    return [f"{INDENT}def {name}(", *rows, f"{INDENT}{end}"]


def argument(given: Argument) -> str:
    """An argument of a constructor with its type and its default."""
    default = literal_text(given.default.value) if isinstance(given.default, Num) else None
    hint = _hint(given, optional=default == "None")
    return f"{given.name}: {hint}" + ("" if default is None else f" = {default}")


def _hint(given: Argument, optional: bool) -> str:
    """The type of an argument."""
    if given.kind == "module":
        return "nn.Module | None" if optional else "nn.Module"
    if given.kind == "function":
        made = "nn.Module" if any(t.code.startswith("nn.") for t in given.values) else "Tensor"
        return f"Callable[..., {made}]"
    names = sorted({_type(value) for value in given.values})
    if names == ["float", "int"]:
        return "float"
    return " | ".join((*(n for n in names if n != "None"), *(n for n in names if n == "None")))


def _type(value: Any) -> str:
    if isinstance(value, tuple):
        inner = {_type(v) for v in value}
        return f"tuple[{inner.pop()}, ...]" if len(inner) == 1 else "tuple"
    return "None" if value is None else type(value).__name__


def result(training: Sequence[bool], main: bool) -> str:
    """The type of what a forward method returns. `training`: whether each output exists only while training."""
    if len(training) == 1:
        return "Tensor" if main or not training[0] else "Tensor | None"
    if not any(training):
        return "tuple[Tensor, ...]"
    if not main:
        return "tuple[Tensor | None, ...]"
    return "Tensor | tuple[Tensor, ...]" if training.count(False) == 1 else "tuple[Tensor, ...]"


def fitting(doc: str, names: Collection[str]) -> str:
    """A spec's comment without the sentences that name what the class does not have: arguments of the spec's block that
    are the same in all its uses here."""
    found: list[str] = []
    for paragraph in doc.split("\n\n"):
        sentences = SENTENCE.split(paragraph)
        kept = [s for s in sentences if all(name in names for name in NAMED.findall(s))]
        if kept:
            found.append(paragraph if len(kept) == len(sentences) else " ".join(kept))
    return "\n\n".join(found)
