"""Text in pages and drawings."""

from __future__ import annotations

import re
from typing import Any

from netdsl.render.paint import CONTROL

_UNFIT = re.compile(f"{CONTROL}|[\ud800-\udfff\ufffe\uffff]")
"""What XML does not hold, and what acts on the text around it."""


def escape(text: str) -> str:
    """A text as HTML and XML show it, in an element or a quoted attribute: its signs are signs, and a mark stands for
    control characters and what turns the direction of a line."""
    import html

    return html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text))


def packed(data: Any) -> str:
    """Plain data for the script of a page: compressed, and written in letters that end no element."""
    import json
    from base64 import b64encode
    from gzip import compress

    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return b64encode(compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode()
