"""Values of elsewhere as they are written here: words, axes without the batch, tuples."""

from __future__ import annotations

import re

from netdsl.fixes.calls import Argument, parts


def is_plain(text: str) -> bool:
    """Whether a value is written out: a number, a word, a list or a tuple of such."""
    return re.fullmatch(r"[\[(]*[-\d\"'].*|[Tt]rue|[Ff]alse|[Nn]one", text, re.DOTALL) is not None


def is_list(text: str) -> bool:
    return text[:1] in ("[", "(") and text[-1:] in ("]", ")")


def value(text: str) -> str:
    """A value as it is written here: words without quotes, the literals in small letters."""
    if text in ("True", "False", "None"):
        return text.lower()
    if text[:1] in ('"', "'"):
        word = text.strip("\"'").lower()
        return {"valid": "0"}.get(word, word)
    if text.startswith("[") and text.endswith("]"):
        return f"({text[1:-1]})"
    return {"valid": "0"}.get(text, text)


def word(text: str) -> str:
    """The name of a layer in a text such as `'relu'`, `F.relu` or `nn.ReLU()`."""
    return text.strip("\"'").lower().rpartition(".")[2].removesuffix("()")


def batchless(text: str) -> str | None:
    """An axis, or axes, counted without the batch; None for the batch itself."""
    numbers = re.findall(r"-?\d+", text)
    if not numbers or re.sub(r"[\[\](),\s\d-]", "", text):
        return text
    shifted = [str(int(n) - 1) if int(n) > 0 else n for n in numbers if n != "0"]
    if is_list(text):
        return as_tuple(shifted)
    return shifted[0] if shifted else None


def items(text: str) -> list[str]:
    """The items of a list or a tuple."""
    return [text[a:b].strip() for a, b in parts(text, 1, len(text) - 1, ",")]


def listed(given: list[Argument]) -> list[str]:
    """The values of arguments by position, or of the one list among them."""
    values = [a.text for a in given if not a.name]
    return items(values[0]) if len(values) == 1 and is_list(values[0]) else values


def as_tuple(values: list[str]) -> str:
    return f"({', '.join(values)}{',' if len(values) == 1 else ''})"


def call(name: str, arguments: list[str]) -> str:
    """A call, without brackets where there is nothing in them."""
    return f"{name}({', '.join(arguments)})" if arguments else name


def shown(argument: Argument) -> str:
    """An argument with its value as it is written here."""
    return f"{argument.name}={value(argument.text)}" if argument.name else value(argument.text)


def as_typed(argument: Argument) -> str:
    """An argument with its value as it was typed."""
    return f"{argument.name}={argument.text}" if argument.name else argument.text
