"""Values of arguments in the words of a message."""

from __future__ import annotations

from netdsl.sizes.dims import Size

SHOWN = 60
"""How much of a text is shown."""


def described(value: object, other: str = "a layer or a tensor") -> str:
    """A number, a size, a text, a list or one of the words `true`, `false`, `none`; `other` is what all else is."""
    if isinstance(value, bool) or value is None:
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"the number `{value}`"
    if isinstance(value, Size):
        return f"the size `{value}`"
    if isinstance(value, str):
        return f'the text "{value if len(value) <= SHOWN else value[:SHOWN] + "..."}"'
    return f"a list of {len(value)}" if isinstance(value, tuple) else other
