"""Sessions of a real client over standard input and output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="the language server needs `pip install 'netdsl[lsp]'`")
pytest.importorskip("pytest_lsp", reason="the client of these tests is pytest-lsp")

from editor import Editor
from lsprotocol import types
from pygls.uris import to_fs_path

from netdsl.loader import library, read_import
from netdsl.lsp.positions import Positions
from netdsl.pipeline import Spec
from netdsl.source import Source, Span

WHOLE = types.Range(types.Position(0, 0), types.Position(9999, 0))

SMALL = """\
# Two layers.
block Unit(c, stride=1) = conv(c, 3, stride=stride) -> relu

net Small(classes=10) {
  input image [3, 8, 8]
  stem: Unit(8) -> Unit(16, stride=2)
  kept = it
  head: gap -> linear(classes)
}

recipe Short for Small {
  data      = digits()
  epochs    = 2
  batch     = 32
  optimizer = sgd(lr=0.1)
}
"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with Editor(tmp_path_factory.mktemp("specs")) as open_editor:
        yield open_editor


def at(text: str, what: str, after: bool = False) -> types.Position:
    """The position of a piece of a text, or of what follows it."""
    return Positions(text).position(text.index(what) + (len(what) if after else 0))


def hints(editor: Editor, name: str, text: str) -> dict[int, list[str]]:
    """The inlay hints by line."""
    found: dict[int, list[str]] = {}
    for hint in editor.ask("textDocument/inlayHint", name, range=WHOLE):
        found.setdefault(hint.position.line, []).append(hint.label)
    return found


def applied(text: str, edits: list[types.TextEdit]) -> str:
    positions = Positions(text)
    spans = [(positions.offset(e.range.start), positions.offset(e.range.end), e.new_text) for e in edits]
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def test_diagnostics_are_those_of_check(editor: Editor) -> None:
    text = SMALL.replace("Unit(16, stride=2)", "conv(16, 3, groups=5) -> linaer(3)").replace("sgd(lr=0.1)", "sgd(lr=x)")
    found = editor.open("wrong.net", text)
    path = str(editor.folder / "wrong.net")
    wanted = Spec(Source(text, path), read_import).diagnostics
    assert wanted
    assert [d.code for d in found] == [d.code for d in wanted]
    positions = Positions(text)
    assert [d.range for d in found] == [positions.range(d.at.span) for d in wanted if d.at]
    assert [d.code for d in editor.open("wrong.net", SMALL)] == ["unused-value"]


def test_shapes_and_parameters(editor: Editor) -> None:
    editor.open("shapes.net", SMALL)
    found = hints(editor, "shapes.net", SMALL)
    assert found[5] == ["(224)", "[16, 4, 4] (1,168)"]
    assert found[7] == ["[10] (170)"]
    assert found[1] == ["(224)", "[8, 8, 8]"]
    assert any("steps" in h for h in found[12])
    assert found[14] == ["peak lr 0.1"]


def test_lines_that_select_parameters_say_how_many(editor: Editor) -> None:
    text = SMALL.replace("sgd(lr=0.1)", "sgd(lr=0.1)\n  group bias, stem { weight_decay = 0 }\n  freeze head")
    editor.open("selected.net", text)
    found = hints(editor, "selected.net", text)
    assert (found[15], found[16]) == (["5 tensors, 1,402 parameters"], ["2 tensors, 170 parameters"])
    for what, words in (("bias,", "role is `bias`"), ("stem {", "below the label"), ("weight_decay =", "alone")):
        assert words in editor.ask("textDocument/hover", "selected.net", position=at(text, what)).contents.value


def test_the_lens_chooses_the_instance_of_a_block(editor: Editor) -> None:
    editor.open("lens.net", SMALL)
    lenses = editor.ask("textDocument/codeLens", "lens.net")
    titles = [lens.command.title for lens in lenses]
    assert any(t.startswith("2 instances: [3, 8, 8]") for t in titles)
    assert any("1,562 parameters" in t for t in titles)
    assert "train Short" in titles
    command = next(lens.command for lens in lenses if "instances" in lens.command.title)
    params = types.ExecuteCommandParams(command.command, arguments=command.arguments)
    editor.wait(editor.client.workspace_execute_command_async(params))
    assert hints(editor, "lens.net", SMALL)[1] == ["(1,168)", "[16, 4, 4]"]


def test_hints_stay_while_a_line_is_being_typed(editor: Editor) -> None:
    editor.open("typed.net", SMALL)
    whole = hints(editor, "typed.net", SMALL)
    text = SMALL.replace("  head:", "  conv(\n  head:")
    editor.open("typed.net", text)
    kept = hints(editor, "typed.net", text)
    assert kept[5] == whole[5]
    assert kept[15] == whole[14]


def test_hints_of_what_is_edited_come_before_a_long_check(editor: Editor) -> None:
    slow = "".join(
        f"net A{i} {{\n  input x [3, 64, 64]\n  for c in range(1, 40) {{ conv(c, 3) -> relu }}\n}}\n\n"
        for i in range(30)
    )
    text = f"{slow}net Last {{\n  input x [3, 8, 8]\n  conv(4, 3)\n}}\n"
    editor.open("long.net", text)
    line = text.count("\n") - 2
    assert hints(editor, "long.net", text)[line] == ["[4, 8, 8] (112)"]
    edited = text.replace("conv(4, 3)", "conv(5, 3)")
    editor.send("long.net", edited)
    before = editor.published[editor.uri("long.net")][0]
    found = hints(editor, "long.net", edited)
    assert editor.published[editor.uri("long.net")][0] == before, "the check was done first"
    assert found[line] == ["[5, 8, 8] (140)"]
    assert len(found) > 12
    assert {d.code for d in editor.diagnostics("long.net")} == {"plain-depth"}
    assert hints(editor, "long.net", edited) == found


def test_hover(editor: Editor) -> None:
    editor.open("hover.net", SMALL)

    def words(what: str) -> str:
        found = editor.ask("textDocument/hover", "hover.net", position=at(SMALL, what))
        return found.contents.value if found else ""

    assert "Convolution" in words("conv(c")
    assert "[3, 8, 8] -> [8, 8, 8], 224 parameters" in words("conv(c")
    assert "block Unit(c, stride=1)" in words("Unit(8)")
    assert "1,562 parameters" in words("Small(")
    assert "argument `stride=1` of `Unit`" in words("stride=2")
    assert "optimizer" in words("optimizer")
    assert "sgd(" in words("sgd(")
    entries = "vary classes = [10]\n  vary batch = [8, 16]\n  measure = [test.top1]"
    text = f"{SMALL}\nexperiment E for Small {{\n  {entries}\n}}\n"
    editor.open("hover.net", text)
    after = text.index("experiment")

    def in_experiment(what: str) -> str:
        position = Positions(text).position(text.index(what, after))
        found = editor.ask("textDocument/hover", "hover.net", position=position)
        return found.contents.value if found else ""

    assert "argument `classes=10` of `Small`" in in_experiment("classes")
    assert "samples per step" in in_experiment("batch")
    assert "test accuracy" in in_experiment("test.top1")
    assert "what the table shows" in in_experiment("measure")


NAMED = """\
net A {
  input image [3, 8, 8]
  input age [7]
  y = image -> conv(4, 1)
  z = y -> gap
  y = y -> conv(5, 1)
  concat(age, z, y -> gap) -> linear(2)
}
"""


@pytest.mark.parametrize(
    ("use", "type"),
    [
        ("image ->", "[3, 8, 8]"), ("age, z", "[7]"), ("z, y", "[4]"), ("y -> gap\n", "[4, 8, 8], 16 parameters"),
        ("y = y", "[5, 8, 8], 25 parameters"), ("y -> conv(5", "[4, 8, 8], 16 parameters"),
        ("y -> gap)", "[5, 8, 8], 25 parameters"),
    ],
)  # fmt: skip
def test_hover_over_a_name_shows_its_value_where_it_is_used(editor: Editor, use: str, type: str) -> None:
    editor.open("named.net", NAMED)
    assert editor.ask("textDocument/hover", "named.net", position=at(NAMED, use)).contents.value == f"- `{type}`"


@pytest.mark.parametrize(
    ("before", "wanted", "unwanted"),
    [
        ("net A {\n  input x [3, 8, 8]\n  con", {"conv", "Unit", "x", "repeat"}, {"epochs"}),
        ("net A {\n  input x [3, 8, 8]\n  conv(8, 3, ", {"stride=", "groups=", "x"}, {"epochs"}),
        ("net A {\n  input x [3, 8, 8]\n  conv(8, 3, padding_mode=", {"reflect", "replicate"}, {"stride="}),
        ("net A {\n  input x [3, 8, 8]\n  Unit(", {"c=", "stride="}, {"groups="}),
        ("recipe B for Small {\n  ", {"optimizer", "epochs", "group"}, {"conv"}),
        ("recipe B for Small {\n  optimizer = ", {"sgd", "adamw"}, {"conv", "cosine"}),
        ("recipe B for Small {\n  optimizer = sgd(", {"lr=", "momentum="}, {"stride="}),
        ("recipe B for Small {\n  schedule = warmup(1 epochs) -> ", {"cosine"}, {"sgd"}),
        ("recipe B for Small {\n  group ", {"norm", "bias", "stem"}, {"conv1"}),
        ("experiment E for Small {\n  ", {"vary", "measure", "compare", "plot"}, {"conv", "epochs"}),
        ("experiment E for Small {\n  vary ", {"classes", "optimizer", "epochs"}, {"conv"}),
        ("experiment E for Small {\n  vary optimizer.", {"lr", "weight_decay"}, {"classes"}),
        ("experiment E for Small {\n  vary classes = [3]\n  measure = [", {"test.top1", "params"}, {"classes"}),
        ("experiment E for Small {\n  vary classes = [3]\n  compare test.top1 against ", {"classes"}, {"params"}),
        ("experiment E for Small {\n  plot line(x=", {"test.top1", "params"}, {"y="}),
        ("experiment E for Small {\n  search = tpe(9, prune=", {"hyperband", "median"}, {"conv"}),
        ("from ", {"resnet", "other"}, {"conv"}),
        ("from resnet import ", {"Bottleneck", "ResNet50"}, {"conv"}),
        ("expect ", {"Small"}, {"conv"}),
        ("", {"net", "block", "recipe"}, {"conv"}),
    ],
)
def test_completion(editor: Editor, before: str, wanted: set[str], unwanted: set[str]) -> None:
    (editor.folder / "other.net").write_text("block Other = relu\n")
    editor.open("complete.net", SMALL)
    text = f"{SMALL}\n{before}"
    editor.open("complete.net", text)
    position = Positions(text).position(len(text))
    labels = {i.label for i in editor.ask("textDocument/completion", "complete.net", position=position)}
    assert wanted <= labels
    assert not unwanted & labels


def test_signature_help(editor: Editor) -> None:
    text = SMALL.replace("linear(classes)", "linear(classes) -> conv(8, ")
    editor.open("signature.net", text)
    found = editor.ask("textDocument/signatureHelp", "signature.net", position=at(text, "conv(8, ", after=True))
    assert found.signatures[0].label.startswith("conv(out_channels, kernel_size, stride=1")
    assert found.active_parameter == 1


def test_definition_within_a_file_across_open_files_and_into_the_library(editor: Editor) -> None:
    library_text = "block Open(c) = conv(c, 1)\n"
    editor.send("lib.net", library_text)
    imports = "from lib import Open\nfrom resnet import Bottleneck\n"
    text = f"{imports}net A {{\n  input x [3, 8, 8]\n  Open(4)\n  Bottleneck(2)\n}}\n"
    assert editor.open("user.net", text) == []

    def goes_to(what: str) -> tuple[str, int]:
        found = editor.ask("textDocument/definition", "user.net", position=at(text, what))
        return found.uri, found.range.start.line

    assert goes_to("Open(4)") == (editor.uri("lib.net"), 0)
    assert goes_to("lib import") == (editor.uri("lib.net"), 0)
    uri, line = goes_to("Bottleneck(2)")
    assert uri == (Path(library()) / "resnet.net").as_uri()
    assert line > 0


def test_an_edit_of_an_open_file_is_seen_where_it_is_imported(editor: Editor) -> None:
    editor.open("part.net", "block Part(c) = conv(c, 1)\n")
    text = "from part import Part\n\nnet A {\n  input x [3, 8, 8]\n  Part(4)\n}\n"
    assert editor.open("whole.net", text) == []
    editor.published.clear()
    editor.send("part.net", "block Other(c) = conv(c, 1)\n")
    assert [d.code for d in editor.diagnostics("whole.net")] == ["unknown-name"]


def test_a_mistake_of_an_imported_file_is_shown_at_the_import(editor: Editor) -> None:
    editor.open("bad.net", "block Bad = \n")
    found = editor.open("importer.net", "from bad import Bad\n")
    assert {d.range.start.line for d in found} == {0}
    assert any(r.location.uri == editor.uri("bad.net") for d in found for r in d.related_information or ())


def test_references_and_rename(editor: Editor) -> None:
    editor.send("shared.net", "block Shared(c) = conv(c, 1)\n")
    text = "from shared import Shared\n\nnet A {\n  input x [3, 8, 8]\n  y = Shared(4)\n  y -> Shared(c=5)\n}\n"
    editor.open("uses.net", text)
    context = types.ReferenceContext(True)
    found = editor.ask("textDocument/references", "uses.net", position=at(text, "Shared(4)"), context=context)
    assert [(Path(f.uri).name, f.range.start.line) for f in found] == [
        ("shared.net", 0), ("uses.net", 0), ("uses.net", 4), ("uses.net", 5),
    ]  # fmt: skip
    edit = editor.ask("textDocument/rename", "uses.net", position=at(text, "Shared(4)"), new_name="Renamed")
    renamed = {Path(uri).name: edits for uri, edits in edit.changes.items()}
    assert applied(text, renamed["uses.net"]) == text.replace("Shared", "Renamed")
    assert len(renamed["shared.net"]) == 1
    local = editor.ask("textDocument/rename", "uses.net", position=at(text, "y ->"), new_name="z")
    after = applied(text, local.changes[editor.uri("uses.net")])
    assert after == text.replace("y = ", "z = ").replace("y ->", "z ->")
    argument = editor.ask("textDocument/rename", "uses.net", position=at(text, "c=5"), new_name="width")
    assert {Path(uri).name for uri in argument.changes} == {"shared.net", "uses.net"}
    assert editor.ask("textDocument/prepareRename", "uses.net", position=at(text, "[3, 8")) is None


def test_names_in_the_braces_of_texts_are_renamed(editor: Editor) -> None:
    text = (
        'net A(width=4) {\n  input x [3, 8, 8]\n  require width < 9, f"{width} of {width + 1}"\n  conv(width, 1)\n}\n'
    )
    editor.open("template.net", text)
    edit = editor.ask("textDocument/rename", "template.net", position=at(text, "width + 1"), new_name="c")
    assert applied(text, edit.changes[editor.uri("template.net")]) == text.replace("width", "c")


@pytest.mark.parametrize(
    "wrong", ["nn.Conv2d(8, 16, 3)", "Dense(10, activation='relu')", "relo", "conv(16, 3, groups=3)"]
)
def test_fixes_mend(wrong: str, editor: Editor) -> None:
    text = f"net N {{\n  input x [8, 8, 8]\n  {wrong}\n}}\n"
    (found,) = editor.open("fix.net", text)
    context = types.CodeActionContext([])
    actions = editor.ask("textDocument/codeAction", "fix.net", range=found.range, context=context)
    assert actions
    for action in actions:
        mended = applied(text, action.edit.changes[editor.uri("fix.net")])
        assert [d for d in editor.open("fix.net", mended) if d.severity == types.DiagnosticSeverity.Error] == []


def test_a_code_is_a_link_to_what_it_means(editor: Editor) -> None:
    (found,) = editor.open("code.net", SMALL.replace("relu", "relo", 1))
    page = Path(to_fs_path(found.code_description.href))
    assert page.read_text().startswith("## unknown-name\n")


def test_the_lens_opens_the_drawing_of_a_net(editor: Editor) -> None:
    editor.open("drawn.net", SMALL)
    lenses = editor.ask("textDocument/codeLens", "drawn.net")
    command = next(lens.command for lens in lenses if lens.command.title == "view")
    params = types.ExecuteCommandParams(command.command, arguments=command.arguments)
    address = editor.wait(editor.client.workspace_execute_command_async(params))
    assert editor.opened == [address]
    page = Path(to_fs_path(address)).read_text()
    assert page.startswith("<!doctype html>")
    assert "Small" in page


def test_declarations_of_all_open_files_are_found_by_name(editor: Editor) -> None:
    editor.open("one.net", SMALL)
    editor.open("two.net", "block SmallUnit(c) = conv(c, 3)\n\nnet Two {\n  input x [3, 8, 8]\n  SmallUnit(4)\n}\n")
    found = editor.wait(editor.client.workspace_symbol_async(types.WorkspaceSymbolParams("small")))
    here = {(s.name, Path(to_fs_path(s.location.uri)).name) for s in found}
    assert {("Small", "one.net"), ("SmallUnit", "two.net")} <= here
    assert "Two" not in {s.name for s in found}
    (unit,) = (s for s in found if s.name == "SmallUnit")
    assert (unit.location.range.start.line, unit.location.range.start.character) == (0, 6)
    assert editor.wait(editor.client.workspace_symbol_async(types.WorkspaceSymbolParams("nothing"))) in ((), None, [])


def test_symbols_folding_tokens_and_format(editor: Editor) -> None:
    editor.open("outline.net", SMALL)
    found = editor.ask("textDocument/documentSymbol", "outline.net")
    assert [(s.name, [c.name for c in s.children]) for s in found] == [
        ("Unit", []), ("Small", ["stem", "head"]), ("Short", []),
    ]  # fmt: skip
    folds = editor.ask("textDocument/foldingRange", "outline.net")
    assert [(f.start_line, f.end_line) for f in folds] == [(3, 7), (10, 14)]
    tokens = editor.ask("textDocument/semanticTokens/full", "outline.net").data
    assert len(tokens) % 5 == 0
    assert len(tokens) > 100
    wild = SMALL.replace("  stem: Unit(8) -> ", "  stem:   Unit( 8 )->")
    editor.open("outline.net", wild)
    options = types.FormattingOptions(2, True)
    edits = editor.ask("textDocument/formatting", "outline.net", options=options)
    assert applied(wild, edits) == SMALL


def test_edits_end_lines_as_the_text_does(editor: Editor) -> None:
    text = SMALL.replace("\n", "\r\n")
    (found,) = editor.open("ends.net", text)
    options = types.FormattingOptions(2, True)
    assert editor.ask("textDocument/formatting", "ends.net", options=options) is None
    context = types.CodeActionContext([])
    actions = editor.ask("textDocument/codeAction", "ends.net", range=found.range, context=context)
    (allow,) = (a for a in actions if a.title.startswith("Allow"))
    assert allow.edit.changes[editor.uri("ends.net")][0].new_text == "  # netdsl: allow unused-value: \r\n"


def test_columns_count_utf_16_units() -> None:
    text = "a😀b\r\nc\rd\n"
    positions = Positions(text)
    assert positions.position(2) == types.Position(0, 3)
    assert positions.offset(types.Position(0, 3)) == 2
    assert [positions.offset(types.Position(line, 0)) for line in range(4)] == [0, 5, 7, 9]
    assert positions.range(Span(0, len(text))).end == types.Position(3, 0)
    assert positions.offset(types.Position(99, 99)) == len(text)
