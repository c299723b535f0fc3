"""Names of a file as names of a spec."""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import count

from netdsl.ir.reserved import is_reserved
from netdsl.ops import REGISTRY

USUAL = {"height": "H", "width": "W", "sequence": "L", "sequence_length": "L", "seq_len": "L", "seq_length": "L"}
FOREIGN = re.compile(r"[^0-9A-Za-z_]+")
"""What names of a spec cannot hold: they are ASCII."""

WORDS = frozenset(("it", "true", "false", "none", "repeat", "residual", "input", "output", "require", "label"))
"""Words of the language that a value cannot be called, or that a reader would take for another thing."""


def size_name(name: str, axis: int, taken: Container[str]) -> str:
    """A named size, a capital and letters, that no other size has; `axis` names one that has no name."""
    plain = FOREIGN.sub("_", USUAL.get(name.lower(), name)).strip("_") or f"S{axis}"
    plain = plain if plain[0].isalpha() else f"S{plain}"
    return free(plain[0].upper() + plain[1:], taken)


def identifier(name: str, fallback: str, taken: Container[str] = ()) -> str:
    """A name of the language: letters, digits and `_`, no word of it, no op, nothing that `nn.Module` has."""
    found = FOREIGN.sub("_", name).strip("_").lower() or fallback
    found = found if found[0].isalpha() else f"{fallback}_{found}"
    return free(found if is_name(found) and found not in REGISTRY else f"{found}_", taken)


def is_name(name: str) -> bool:
    """Whether a net or a value can be called this."""
    return bool(name) and name.isascii() and name.isidentifier() and not is_reserved(name) and name not in WORDS


def free(name: str, taken: Container[str]) -> str:
    """The name, or with the first number from 2 on that makes it another than those that are taken."""
    return next(n for n in (name if i == 1 else f"{name}{i}" for i in count(1)) if n not in taken)
