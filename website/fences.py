"""Code blocks of specs: coloured by the package's own lexer, with a link that opens them in the playground."""

from __future__ import annotations

import base64
import zlib
from html import escape
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter

from netdsl.highlight.lexer import NetdslLexer

BUTTON = "open-in-playground"

ROOT = "@root@"
"""Stands for the way from a page to the top of the site, until the page is known."""


def coloured(text: str) -> str:
    """A text in spans of colours."""
    return highlight(text, NetdslLexer(), HtmlFormatter(nowrap=True))


def fragment(text: str) -> str:
    """A text as the fragment of a link to the playground, as playground/src/share.js packs it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(text.encode()) + packer.flush()
    return "spec=" + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def block(text: str, title: str = "", link: str | None = None) -> str:
    """A block of code of a spec.

    `link`: the fragment of the link that opens it, by default one that holds the text; "" for none.
    """
    name = f'<span class="filename">{escape(title)}</span>' if title else ""
    address = f"{ROOT}playground/index.html#{fragment(text) if link is None else link}"
    button = "" if link == "" else f'<a class="{BUTTON}" href="{address}" title="Open in the playground">Try it</a>'
    return f'<div class="highlight net">{name}<pre><span></span><code>{coloured(text)}</code></pre>{button}</div>'


def fence(source: str, language: str, css_class: str, options: dict[str, str], md: Any, **more: Any) -> str:
    """The form of a block of specs, for superfences."""
    return block(source.rstrip("\n") + "\n", options.get("title", ""))


def takes(language: str, inputs: dict[str, str], options: dict[str, str], attributes: dict[str, str], md: Any) -> bool:
    """A block of specs may have a title."""
    options |= {k: v for k, v in inputs.items() if k == "title"}
    return set(inputs) <= {"title"}


FENCES = [{"name": name, "class": "net", "format": fence, "validator": takes} for name in ("net", "net-wrong")]
"""`net-wrong` holds what a page shows as a mistake."""
