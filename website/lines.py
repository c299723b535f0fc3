"""Lines of consoles and of output: what is a sentence or a command wraps, columns of a table never do."""

from __future__ import annotations

import re
from html import unescape

_BLOCK = re.compile(r'<div class="language-(\w+)([^"]*)">(.*?)</div>', re.DOTALL)
_LINE = re.compile(r'<span id="__span-\d+-\d+">(.*?)\n</span>', re.DOTALL)
_ALIGNED = re.compile(r"\S {2,}\S|[─│├└┌█▏]|^\s*\d*\s*\|")
"""Columns, rules, source with its line number."""

SHORT = 60
"""Characters that fit everywhere."""


def wrapped(html: str) -> str:
    """The HTML of a page, where long lines of consoles and of texts are of class `said` if nothing is aligned in them.
    Classes of languages and the spans of single lines, which only this needs, are gone."""
    return _BLOCK.sub(_block, html)


def _block(found: re.Match[str]) -> str:
    wraps = found[1] in ("console", "text") and not _is_report(found[3])
    lines = _LINE.sub(lambda m: (_line(m[1]) if wraps else m[1]) + "\n", found[3])
    return f'<div class="{found[2].strip()}">{lines}</div>'


def _is_report(html: str) -> bool:
    """Whether a block shows places in a source, which carets below them point to."""
    return re.search(r"^\s*\|\s+\^", _text(html), re.MULTILINE) is not None


def _line(html: str) -> str:
    text = _text(html).rstrip()
    return f'<span class="said">{html}</span>' if len(text) > SHORT and not _ALIGNED.search(text) else html


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))
