"""Names of a file as names of a spec."""

from __future__ import annotations

import re
from keyword import iskeyword

from netdsl.ir.reserved import RESERVED

USUAL = {"height": "H", "width": "W", "sequence": "L", "sequence_length": "L", "seq_len": "L", "seq_length": "L"}
BATCH_NAMES = re.compile(r"^(n|b|batch.*|bs)$", re.I)


def size_name(name: int | str, axis: int) -> str:
    """A named size: a capital and letters; `axis` names one that has no name."""
    if not isinstance(name, str) or not name:
        return f"S{axis}"
    usual = USUAL.get(name.lower())
    found = usual or re.sub(r"\W+", "_", name).strip("_") or f"S{axis}"
    found = found if found[0].isalpha() else f"S{found}"
    return found[0].upper() + found[1:]


def identifier(name: str, fallback: str) -> str:
    """A name of the language: letters, digits and `_`, no keyword, nothing that `nn.Module` has."""
    found = re.sub(r"\W+", "_", name).strip("_").lower() or fallback
    found = found if found[0].isalpha() else f"{fallback}_{found}"
    return f"{found}_" if iskeyword(found) or found in RESERVED else found
