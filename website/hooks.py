"""What MkDocs is told beside its configuration: generated pages, blocks of specs, and what GitHub's Markdown allows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).parent.parent))  # MkDocs loads this file alone

from website import fences, lines
from website.pages import api, commands, course, gallery, grammar, habits, lints, ops, project

HERE = Path(__file__).parent
PLAYGROUND = HERE.parent / "out" / "playground"
MADE = (grammar, ops, commands, api, lints, gallery, course, project)
"""Modules whose `pages()` are files of the site by path: Markdown and drawings."""

FILLED = {"habits": habits.table}
"""What fills in a line `{{ name argument }}` of a page."""

_FILL = re.compile(r"^\{\{ (\w+) (\S+) \}\}$", re.MULTILINE)
_CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_BUTTON = re.compile(rf'<a class="{fences.BUTTON}"[^>]*>[^<]*</a>')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Blocks of specs have a form of their own."""
    fenced: dict[str, Any] = config.mdx_configs.setdefault("pymdownx.superfences", {})
    fenced["custom_fences"] = fences.FENCES
    config.extra["playground"] = PLAYGROUND.is_dir()
    (shown,) = (part["Gallery"] for part in config.nav or [] if "Gallery" in part)
    shown += [f"gallery/{name}.md" for name in gallery.names()]
    (lessons,) = (part["Course"] for part in config.nav or [] if "Course" in part)
    lessons += course.paths()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The generated pages, and the playground where it was built."""
    for module in MADE:
        for path, content in module.pages().items():
            files.append(File.generated(config, path, content=content))
    if config.extra["playground"]:
        for path in sorted(PLAYGROUND.iterdir()):
            files.append(File.generated(config, f"playground/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page as Python-Markdown reads it."""
    markdown = _FILL.sub(lambda m: FILLED[m[1]](m[2]), markdown)
    if page.file.src_uri == "errors.md":
        markdown = markdown.replace("```text", "```net")
    markdown = markdown.replace("](../course/README.md)", "](course/index.md)")
    markdown = re.sub(r"\]\(\.\./specs/(\w+)\.net\)", r"](gallery/\1.md)", markdown)
    parts = _CODE.split(markdown)
    return "".join(part if i % 2 else listed(part) for i, part in enumerate(parts))


def listed(text: str) -> str:
    """Lists as GitHub reads them: right behind a paragraph, and indented by two."""
    lines: list[str] = []
    for line in text.split("\n"):
        begins = re.match(r"( *)([-*]|\d+\.) ", line)
        before = lines[-1] if lines else ""
        if begins and not begins[1] and before.strip() and not re.match(r" *([-*]|\d+\.) |  ", before):
            lines.append("")
        inner = re.match(r"( +)", line)
        lines.append(" " * len(inner[1]) + line if inner and len(inner[1]) in (2, 3) else line)
    return "\n".join(lines)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page whose long lines of output can be read on a narrow screen."""
    return lines.wrapped(html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Links to the playground, from where the page is; none without one."""
    if not config.extra["playground"]:
        return _BUTTON.sub("", output)
    return output.replace(fences.ROOT, get_relative_url("./", page.url).rstrip("/") + "/")
