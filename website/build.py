"""Builds the documentation site into a folder of static files: python -m website.build OUT

Strict: a broken link or anchor, or a page that no menu leads to, fails. The playground is a part of it where
`make playground` has built it before.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

HERE = Path(__file__).parent


def main(out: Path) -> None:
    """Build the site. Raises mkdocs.exceptions.Abort where something is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    config = load_config(str(HERE / "mkdocs.yml"), site_dir=str(out))
    build(config)
    files = [p for p in out.rglob("*") if p.is_file()]
    pages = sum(p.suffix == ".html" for p in files)
    without = "" if config.extra["playground"] else ", without the playground (`make playground` builds it)"
    print(f"{out}: {pages} pages, {sum(p.stat().st_size for p in files) / 1e6:.1f} MB{without}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
