"""The site: what is generated covers its tables, links hold a spec, and the whole of it builds without a warning."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from paths import ROOT

pytest.importorskip("mkdocs", reason="the site needs mkdocs-material")

from markdown import Markdown
from mkdocs.config import load_config

from netdsl.checks.lint.recipe_rules import RECIPE_RULES
from netdsl.checks.lint.rules import COSTS, FILE_RULES
from netdsl.cli.main import COMMANDS
from netdsl.loader import zoo
from netdsl.ops import REGISTRY
from netdsl.recipe.schema import Recipe
from website import fences, hooks, lines
from website.pages import api, commands, gallery, grammar, habits, lints, ops

SPEC = "net N {\n  input x [4]\n  linear(2)\n}\n"


def headings(page: str) -> set[str]:
    return set(re.findall(r"^#{2,3} ([\w.-]+)", page, re.MULTILINE))


def test_reference_covers_its_tables() -> None:
    assert headings(ops.pages()["reference/ops.md"]) >= REGISTRY.keys()
    assert headings(commands.pages()["reference/commands.md"]) == COMMANDS.keys()
    assert headings(lints.pages()["reference/lints.md"]) >= (FILE_RULES | COSTS | RECIPE_RULES).keys()
    assert {"load", "Net.train", "Run.module"} <= headings(api.pages()["reference/api.md"])


def test_grammar_is_whole_and_its_links_lead_somewhere() -> None:
    page = grammar.pages()["reference/grammar.md"]
    text = (ROOT / "grammar" / "netdsl.lark").read_text()
    rules = set(re.findall(r"^[?!]*(_?[a-z]\w*):", text, re.MULTILINE))
    anchors = set(re.findall(r"\{ #(\w+) \}", page)) | set(re.findall(r"<span id='(\w+)'>", page))
    assert rules <= anchors
    assert set(re.findall(r'href="#(\w+)"', page)) <= anchors
    assert "conv" in page  # an example of the zoo


def test_a_block_opens_in_the_playground() -> None:
    """The fragment holds the text as the page unpacks it: deflated, in base64 for addresses."""
    html = fences.fence(SPEC, "net", "net", {"title": "n.net"}, None)
    (packed,) = re.findall(r"#spec=([\w-]+)", html)
    assert zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), -15).decode() == SPEC
    assert '<span class="filename">n.net</span>' in html
    assert '<span class="nc">N</span>' in html


def test_words_of_elsewhere_are_those_of_the_tables() -> None:
    for framework, names in habits.FIELDS_OF.items():
        unknown = [n for n in names if n not in habits.FIELDS and n not in Recipe.__struct_fields__]
        assert not unknown, framework
    assert not [n for names in habits.COMPONENTS_OF.values() for n in names if n not in habits.COMPONENTS]
    assert habits.rewritten("layers.Conv2D(64, 3, activation='relu')").endswith(" -> relu")


@pytest.mark.parametrize(
    ("markdown", "listed"),
    [
        ("words:\n- a\n  - b\n", "words:\n\n- a\n    - b\n"),
        ("- a\n  goes further\n- b\n", "- a\n    goes further\n- b\n"),
        ("1. a\n   more\n2. b\n", "1. a\n      more\n2. b\n"),
        ("a - b\nc\n", "a - b\nc\n"),
    ],
)
def test_lists_are_read_as_on_github(markdown: str, listed: str) -> None:
    assert hooks.listed(markdown) == listed


def test_every_page_of_the_documentation_is_in_the_menu() -> None:
    menu = (ROOT / "website" / "mkdocs.yml").read_text()
    pages = (str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md"))
    assert not [page for page in pages if not re.search(rf"[ :]{re.escape(page)}$", menu, re.MULTILINE)]


def test_a_page_of_the_gallery() -> None:
    shown = gallery.shown("lenet")
    page = "\n".join(gallery.page(shown))
    assert "61,706" in page
    assert "netdsl recipe lenet:Digits" in page
    assert 'src="lenet/LeNet5.svg"' in page
    assert shown.drawings["LeNet5"].startswith("<svg")
    assert shown.title == "LeNet-5"


def test_folded_parts_of_generated_pages_are_read_as_such() -> None:
    reader = Markdown(extensions=load_config(str(ROOT / "website" / "mkdocs.yml")).markdown_extensions)
    page = lints.pages()["reference/lints.md"]
    html = reader.convert(page[: page.index("### unused-argument")])
    assert html.count("<details") == 2
    assert "???" not in html
    assert "```" not in html


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strict: a link or an anchor that leads nowhere fails. Nothing on a page comes from elsewhere."""
    command = [sys.executable, "-m", "website.build", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*.html")}
    assert {f"gallery/{name}.html" for name in zoo()} <= pages.keys()
    for name, text in pages.items():
        assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', text), name
        assert fences.ROOT not in text, name
        assert "```" not in text, name
        assert "??? " not in text, name


def test_sentences_and_commands_wrap_and_what_is_aligned_does_not() -> None:
    def block(language: str, *texts: str) -> str:
        spans = "".join(f'<span id="__span-0-{i}">{t}\n</span>' for i, t in enumerate(texts, 1))
        return f'<div class="language-{language} highlight"><pre><code>{spans}</code></pre></div>'

    said, row, source = "a sentence " * 8, "a  b" * 20, "layer = 1 " * 9
    shown = lines.wrapped(block("text", said, row, "short"))
    assert shown.count('class="said"') == 1
    assert f'<span class="said">{said}</span>\n{row}\nshort\n' in shown
    assert '<div class="highlight">' in shown
    assert "said" not in lines.wrapped(block("python", source))
    assert "said" not in lines.wrapped(block("text", source, "  |    ^^^"))
