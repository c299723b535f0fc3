"""Pages that lie at the top of the repository: how to contribute, and what has changed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def pages() -> dict[str, str]:
    """The pages by their paths."""
    return {f"{name.lower()}.md": _moved((ROOT / f"{name}.md").read_text()) for name in ("CONTRIBUTING", "CHANGELOG")}


def _moved(text: str) -> str:
    """The links of a page that moves from the top of the repository into the folder of documentation."""
    text = re.sub(r"`docs/([\w-]+\.md)`", r"[\1](\1)", text)
    return re.sub(r"\]\(docs/", "](", text)
