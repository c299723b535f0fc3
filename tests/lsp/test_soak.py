"""Specs typed bit by bit with random deletions: after every edit the server says what a fresh check says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("pygls", reason="the language server needs `pip install 'netdsl[lsp]'`")
pytest.importorskip("pytest_lsp", reason="the client of these tests is pytest-lsp")

from editor import Editor
from lsprotocol import types

from netdsl.loader import read_import, zoo
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.diagnostics import shown
from netdsl.lsp.documents import Document
from netdsl.pipeline import Spec

WHOLE = types.Range(types.Position(0, 0), types.Position(9999, 0))


def typed(text: str, random: Random, most: int) -> Iterator[str]:
    """The texts on the way to a text: some characters more each time, and now and then some fewer."""
    at, step = 0, max(1, len(text) // most)
    while at < len(text):
        at = min(len(text), at + random.randint(1, 2 * step))
        yield text[:at]
        if random.random() < 0.15:
            at = max(0, at - random.randint(1, 3 * step))
            yield text[:at]
        if random.random() < 0.1 and at > 10:
            start = random.randrange(at)
            yield text[:start] + text[min(at, start + random.randint(1, 20)) :]
    yield text


def fresh(text: str, path: Path) -> list[types.Diagnostic]:
    """What a check of the text says, as the editor shows it."""
    document = Document(path.as_uri(), text, 1)
    analysis = Analysis(document.source, {})
    analysis.spec = Spec(document.source, read_import)
    return [shown(d, document, analysis) for d in analysis.spec.diagnostics]


def soak(name: str, tmp_path: Path, most: int) -> None:
    text = Path(zoo()[name]).read_text()
    path = tmp_path / f"{name}.net"
    random = Random(name)
    with Editor(tmp_path) as editor:
        for draft in typed(text, random, most):
            found = editor.open(path.name, draft)
            wanted = fresh(draft, path)
            key = [(d.code, d.message, d.range, d.severity) for d in wanted]
            assert [(d.code, d.message, d.range, d.severity) for d in found] == key
            if random.random() < 0.2:
                editor.ask("textDocument/inlayHint", path.name, range=WHOLE)
                position = types.Position(draft.count("\n"), len(draft) - draft.rfind("\n") - 1)
                for method in ("hover", "completion", "signatureHelp", "definition", "documentHighlight"):
                    editor.ask(f"textDocument/{method}", path.name, position=position)
                for method in ("codeLens", "documentSymbol", "foldingRange", "semanticTokens/full"):
                    editor.ask(f"textDocument/{method}", path.name)
        assert found == []


@pytest.mark.parametrize("name", ["mlp", "resnet9"])
def test_typing_a_small_spec(name: str, tmp_path: Path) -> None:
    soak(name, tmp_path, 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo())
def test_typing_the_zoo(name: str, tmp_path: Path) -> None:
    soak(name, tmp_path, int(os.environ.get("NETDSL_SOAK", "400")))
