"""Values of a recipe as they are written in one."""

from __future__ import annotations

from typing import Any

from msgspec.structs import fields

from netdsl.recipe.annotations import element, members
from netdsl.recipe.component import Word, word_name


def shown(value: Any, sign: str = " -> ", quoted: bool = False) -> str:
    """A value as it could be written in a recipe; arguments that have their default are left out. `quoted`: texts are
    texts and not names."""
    if isinstance(value, Word):
        given = [f for f in fields(type(value)) if f.required or getattr(value, f.name) != f.default]
        inside = ", ".join(f"{f.name}={shown(getattr(value, f.name), quoted=is_text(f.type))}" for f in given)
        return f"{word_name(type(value))}({inside})" if inside else word_name(type(value))
    if isinstance(value, tuple):
        texts = [shown(v, quoted=quoted) for v in value]
        words = bool(value) and isinstance(value[0], Word)
        return sign.join(texts) if words else f"[{', '.join(texts)}]" if value else "none"
    if isinstance(value, dict):
        return f"weights({', '.join(f'{n}={shown(v)}' for n, v in value.items())})" if value else "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, str) and quoted:
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_text(kind: Any) -> bool:
    """Whether a type's values are texts, in quotes, and not names."""
    item = element(kind)
    return str in members(kind if item is None else item)
