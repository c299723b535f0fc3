"""The text of the reference grammar: beside this file in a wheel, in `grammar/` in a checkout."""

from __future__ import annotations

import os
from functools import cache


@cache
def grammar() -> str:
    """The grammar in lark's notation."""
    room = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(room, "netdsl.lark")
    checkout = os.path.join(os.path.dirname(os.path.dirname(room)), "grammar", "netdsl.lark")
    with open(inside if os.path.exists(inside) else checkout, encoding="utf-8") as file:
        return file.read()
