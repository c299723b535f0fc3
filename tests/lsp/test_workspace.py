"""Files as editors have them: whatever their addresses look like, open or not, in several folders, saved or new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="the language server needs `pip install 'netdsl[lsp]'`")
pytest.importorskip("pytest_lsp", reason="the client of these tests is pytest-lsp")

from editor import Editor
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from netdsl.lsp.positions import Positions
from netdsl.lsp.workspace import Workspace, below

PART = "block Part(c) = conv(c, 1)\n"
WHOLE = "from part import Part\n\nnet Whole {\n  input x [3, 8, 8]\n  Part(4) -> Part(c=5)\n}\n"


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with Editor(tmp_path_factory.mktemp("a b%20 (é)")) as open_editor:
        yield open_editor


def at(text: str, what: str) -> types.Position:
    return Positions(text).position(text.index(what))


def references(editor: Editor, name: str, position: types.Position) -> list[tuple[str, int]]:
    context = types.ReferenceContext(True)
    found = editor.ask("textDocument/references", name, position=position, context=context)
    return [(f.uri, f.range.start.line) for f in found]


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("file:///c%3A/Users/me/whole.net", "file:///c%3A/Users/me/part.net"),
        ("file:///tmp/%61%20b%2520%28c%29/whole.net", "file:///tmp/a%20b%2520(c)/part.net"),
    ],
)
def test_addresses_are_those_that_the_editor_uses(whole: str, part: str, editor: Editor) -> None:
    editor.send(part, PART)
    assert editor.open(whole, WHOLE) == []
    position = at(WHOLE, "Part(4)")
    assert editor.ask("textDocument/definition", whole, position=position).uri == part
    assert {uri for uri, _ in references(editor, whole, position)} == {whole, part}
    edit = editor.ask("textDocument/rename", whole, position=position, new_name="Piece")
    assert {uri: len(edits) for uri, edits in edit.changes.items()} == {whole: 3, part: 1}
    editor.published.clear()
    editor.send(part, "block Other = relu\n")
    assert [d.code for d in editor.diagnostics(whole)] == ["unknown-name"]
    editor.open(part, PART)


def test_a_new_text_without_a_file(editor: Editor) -> None:
    name = "untitled:Untitled-1"
    assert [d.code for d in editor.open(name, PART)] == []
    assert editor.ask("textDocument/definition", name, position=at(PART, "c, 1")).uri == name
    assert references(editor, name, at(PART, "c, 1")) == [(name, 0), (name, 0)]


def test_files_that_are_not_open_are_renamed_and_found_too(editor: Editor) -> None:
    folder = editor.folder / "closed"
    folder.mkdir()
    (folder / "part.net").write_text(PART)
    (folder / "whole.net").write_text(WHOLE)
    (folder / "broken.net").write_bytes(b"\xff\0Part")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "whole.net").write_text(WHOLE)
    editor.open("closed/part.net", PART)
    here = [(editor.uri("closed/part.net"), 0), *((editor.uri("closed/whole.net"), line) for line in (0, 4, 4))]
    assert references(editor, "closed/part.net", at(PART, "Part")) == here
    edit = editor.ask("textDocument/rename", "closed/part.net", position=at(PART, "Part"), new_name="Piece")
    assert {uri: len(edits) for uri, edits in edit.changes.items()} == {
        uri: n for (uri, _), n in zip(here[:2], (1, 3), strict=True)
    }
    found = editor.wait(editor.client.workspace_symbol_async(types.WorkspaceSymbolParams("whole")))
    assert editor.uri("closed/whole.net") in {s.location.uri for s in found}


def test_folders_that_are_added_and_removed(editor: Editor, tmp_path: Path) -> None:
    """Specs of every folder that is open are found by name."""
    (tmp_path / "elsewhere.net").write_text("block Elsewhere = relu\n")

    def found() -> list[str]:
        query = types.WorkspaceSymbolParams("elsewhere")
        return [s.name for s in editor.wait(editor.client.workspace_symbol_async(query)) or ()]

    def change(added: list[types.WorkspaceFolder], removed: list[types.WorkspaceFolder]) -> None:
        event = types.WorkspaceFoldersChangeEvent(added, removed)
        editor.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))

    here, other = (types.WorkspaceFolder(f.as_uri(), f.name) for f in (editor.folder, tmp_path))
    assert found() == []
    change([here, other], [])
    assert found() == ["Elsewhere"]
    change([], [other])
    assert found() == []


@pytest.mark.parametrize("name", ["for", "1st", "a b", "relu", "c", ""])
def test_a_rename_that_would_change_the_meaning_is_refused(name: str, editor: Editor) -> None:
    text = "block Unit(c, stride=1) = conv(c, 3, stride=stride) -> relu\n\nnet N {\n  input x [3, 8, 8]\n  Unit(4)\n}\n"
    editor.open("refused.net", text)
    with pytest.raises(JsonRpcException, match="`"):
        editor.ask("textDocument/rename", "refused.net", position=at(text, "stride="), new_name=name)


def test_a_file_that_is_renamed_on_the_disk(editor: Editor) -> None:
    (editor.folder / "old.net").write_text(PART)
    text = WHOLE.replace("part", "old")
    assert editor.open("moved.net", text) == []
    (editor.folder / "old.net").rename(editor.folder / "new.net")
    kinds = (("old.net", types.FileChangeType.Deleted), ("new.net", types.FileChangeType.Created))
    changes = [types.FileEvent(editor.uri(name), kind) for name, kind in kinds]
    editor.published.clear()
    editor.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes))
    assert [d.code for d in editor.diagnostics("moved.net")] == ["unknown-module"]
    assert editor.open("moved.net", text.replace("old", "new")) == []


def test_a_change_on_the_disk_is_read_again_and_one_thread_looks_at_few_files(tmp_path: Path) -> None:
    workspace, path = Workspace(), tmp_path / "part.net"
    path.write_text(PART)
    (known,) = workspace.specs(below([str(tmp_path)]), {}, "Part")
    assert known.source is workspace.specs(below([str(tmp_path)]), {}, "Part")[0].source
    path.write_text(PART.replace("Part", "Another"))
    assert workspace.specs(below([str(tmp_path)]), {}, "Part") == []
    assert len(workspace.specs(below([str(tmp_path), str(tmp_path)]), {})) == 1
