"""Limits on the size of a spec. A larger one is refused before it is parsed, so no text can exhaust the machine."""

from __future__ import annotations

import re

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.source import Place, Source, Span

LARGEST = 512 * 1024
"""The longest text, in bytes of UTF-8 (on the disk) or in characters (anywhere else)."""

MOST_TOKENS = 60_000
"""The most words, numbers, texts and signs in one spec: some 8,000 lines."""

LONGEST_NAME = 200
"""The longest name: names become attributes of modules, keys of weights and names in ONNX files."""

BITS = 256
"""The largest whole number, in bits: sizes and counts stay far below."""

_STRING = r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
_TOKEN = re.compile(rf"""#[^\n]*|f(?:{_STRING})|\w+|{_STRING}|->|[^\s#]""")
_INSIDE = re.compile(r"\w+|[^\w\s]")
"""What counts as a token in a template, which holds expressions."""

_SPLIT = "split it into several specs and import what one needs of the other"


def tokens(text: str) -> int:
    """How many tokens a text has, at most one more than a spec may have."""
    count = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        count += sum(1 for _ in _INSIDE.finditer(token)) if token[:2] in ('f"', "f'") else token[0] != "#"
        if count > MOST_TOKENS:
            break
    return count


def too_large(source: Source) -> Diagnostic | None:
    """The diagnostic of a text that is too large to be a spec; None for all others."""
    if len(source.text) > LARGEST:
        found = f"{len(source.text) / 1024:,.0f} KiB"
        limit = f"{LARGEST // 1024} KiB"
    elif tokens(source.text) > MOST_TOKENS:
        found, limit = f"more than {MOST_TOKENS:,} tokens", f"{MOST_TOKENS:,} tokens"
    else:
        return None
    message = f"this spec is too large: it has {found}; a spec has {limit} at most"
    return diagnostic("too-large", message, Place(source, Span(0, 0)), hint=_SPLIT)
