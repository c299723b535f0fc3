"""Values of a recipe as they are written in one."""

from __future__ import annotations

from typing import Any

from netdsl.recipe.annotations import arguments
from netdsl.recipe.component import Component, component_name


def _component(component: Component) -> str:
    values = ((a, getattr(component, a.name)) for a in arguments(type(component)).values())
    given = [f"{a.name}={shown(v, quoted=a.kind.is_text)}" for a, v in values if a.required or v != a.default]
    return f"{component_name(component)}({', '.join(given)})" if given else component_name(component)


def shown(value: Any, sign: str = " -> ", quoted: bool = False) -> str:
    """A value as it could be written in a recipe; arguments that have their default are left out. `quoted`: texts are
    texts and not names."""
    if isinstance(value, Component):
        return _component(value)
    if isinstance(value, tuple):
        texts = [shown(v, quoted=quoted) for v in value]
        components = bool(value) and isinstance(value[0], Component)
        return sign.join(texts) if components else f"[{', '.join(texts)}]" if value else "none"
    if isinstance(value, dict):
        return f"weights({', '.join(f'{n}={shown(v)}' for n, v in value.items())})" if value else "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, str) and quoted:
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
