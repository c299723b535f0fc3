"""The answers that the page is given: those of the command line and the editor, in offsets of JavaScript."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netdsl.loader import zoo
from netdsl.playground.offsets import Offsets
from netdsl.playground.session import QUESTIONS, Session, answer

TEXT = """net Small {
  input image [3, 32, 32]
  conv(16, 3) -> relu
  gap -> linear(10)
}

recipe R for Small {
  data = digits
}
"""


def ask(session: Session, question: str, **arguments: Any) -> Any:
    found = json.loads(answer(session, question, json.dumps(arguments)))
    assert set(found) == {"value"}, found
    return found["value"]


def test_a_check_says_what_is_wrong_and_what_is_beside_and_above() -> None:
    found = ask(Session(), "check", text=TEXT.replace("[3, 32, 32]", "[1, 8, 8]"))
    assert (found["errors"], found["warnings"], found["shown"]) == (0, 0, [])
    assert [h["text"] for h in found["hints"][:3]] == ["(160)", "[16, 8, 8]", "[10] (170)"]
    assert [(d["name"], d["start"]) for d in found["nets"]] == [("Small", 0)]
    assert [d["name"] for d in found["recipes"]] == ["R"]
    assert [lens["action"] for lens in found["lenses"]] == ["summary", "view", "train"]


def test_fixes_mend_one_after_another() -> None:
    session, text = Session(), TEXT.replace("relu", "relo").replace("linear(10)", "nn.Linear(16, 10)")
    while found := ask(session, "check", text=text)["shown"]:
        fixes = [f for i in range(len(found)) for f in ask(session, "fix", index=i, text=text)["fixes"] if f["changes"]]
        for change in reversed(fixes[0]["changes"]):
            text = text[: change["start"]] + change["text"] + text[change["end"] :]
    assert text == TEXT


def test_a_fix_is_that_of_the_text_it_is_asked_for() -> None:
    """The page asks for fixes while it rests; a newer text may be checked before the answer."""
    session, text = Session(), TEXT.replace("relu", "relo")
    ask(session, "check", text=text)
    ask(session, "check", text=TEXT)
    assert ask(session, "fix", index=0, text=text) is None


def test_questions_about_a_net_give_what_the_command_line_prints(capsys: pytest.CaptureFixture[str]) -> None:
    from netdsl.cli.main import main

    session = Session()
    ask(session, "check", text=Path(zoo()["lenet"]).read_text(), name="lenet.net")
    assert main(["view", "lenet:LeNet5", "-o", "-"]) == 0
    assert ask(session, "view", net="LeNet5") == capsys.readouterr().out
    assert main(["recipe", "lenet:Digits"]) == 0
    assert ask(session, "recipe", name="Digits") + "\n" == capsys.readouterr().out
    assert ask(session, "torch", net="LeNet5")["text"].startswith('"""LeNet5, compiled from lenet.net')
    assert ask(session, "page", net="LeNet5").startswith("<!doctype html>")
    data = ask(session, "summary", net="LeNet5")
    assert ["parameters", "61.71 k"] in data["cards"]
    assert data["total"] == ["61,706", "416.5 k"]
    assert [row["params"] for row in data["rows"] if row["name"] == "conv1"] == ["156"]


def test_lines_of_the_source_are_linked_with_the_text() -> None:
    session, text = Session(), Path(zoo()["resnet"]).read_text()
    ask(session, "check", text=text, name="resnet.net")
    found = ask(session, "torch", net="ResNet18")
    lines = found["text"].split("\n")
    linked = {lines[k["line"] - 1].strip(): text[k["start"] : k["end"]] for k in found["links"]}
    assert linked["class Basic(nn.Module):  # resnet.net:11"].startswith("block Basic(c, stride=1")
    assert linked["self.conv_bn1 = ConvBN(in_channels, c, 3, stride=stride)"] == "ConvBN(c, 3, stride)"
    assert linked["self.head = nn.Sequential(GlobalAvgPool2d(), nn.Linear(512, 1000))"] == "gap -> linear(classes)"
    assert linked["nn.MaxPool2d(3, stride=2, padding=1),"].startswith("ConvBN(64, 7, stride=2) -> relu")
    assert linked["x = self.stem(image)  # [64, 56, 56]"] == linked["nn.ReLU(),"]
    assert not any("x.mean" in line for line in linked)


def test_every_net_of_the_zoo_has_linked_lines() -> None:
    for name in ("lenet", "unet", "vit", "googlenet"):
        session, text = Session(), Path(zoo()[name]).read_text()
        net = ask(session, "check", text=text, name=f"{name}.net")["nets"][0]["name"]
        found = ask(session, "torch", net=net)
        lines = enumerate(found["text"].split("\n"), 1)
        heads = [i for i, line in lines if line.startswith("class ") and f"# {name}.net" in line]
        assert set(heads) <= {k["line"] for k in found["links"]}
        assert all(0 <= k["start"] < k["end"] <= len(text) for k in found["links"])


def test_a_block_shows_each_of_its_uses_in_turn() -> None:
    text = "block B(c) = conv(c, 3)\n\nnet N {\n  input x [3, 8, 8]\n  B(4) -> B(5)\n}\n"
    session = Session()
    first = ask(session, "check", text=text)
    second = ask(session, "next_use", name="B")
    assert [h["text"] for h in first["hints"][:1]] != [h["text"] for h in second["hints"][:1]]
    assert ask(session, "next_use", name="B") == first


def test_a_glance_says_what_is_beside_the_declaration_at_the_cursor() -> None:
    session = Session()
    wanted = ask(session, "check", text=TEXT)["hints"]
    found = ask(session, "glance", text=TEXT, at=TEXT.index("relu"))
    assert (found["start"], found["end"]) == (0, TEXT.index("}") + 1)
    assert found["hints"] == [h for h in wanted if h["at"] <= found["end"]]
    assert ask(session, "glance", text=TEXT, at=len(TEXT)) is None


def test_hints_stay_while_a_line_cannot_be_read() -> None:
    session = Session()
    whole = ask(session, "check", text=TEXT)
    broken = ask(session, "check", text=TEXT.replace("gap -> ", "gap -> ("))
    assert broken["errors"]
    assert whole["hints"][0] in broken["hints"]


def test_a_question_about_a_net_with_mistakes_is_refused_in_words() -> None:
    session = Session()
    ask(session, "check", text=TEXT.replace("conv(16, 3)", "conv(16, 40, padding=0)"))
    for question in ("summary", "torch", "view", "page"):
        assert "refused" in json.loads(answer(session, question, '{"net": "Small"}'))
    assert "refused" in json.loads(answer(session, "summary", '{"net": "Other"}'))


def test_format_gives_the_one_style_or_nothing() -> None:
    session = Session()
    assert ask(session, "format", text="net  N{\n input x [3]\n linear(2)}\n").startswith("net N {\n  input x [3]\n")
    assert ask(session, "format", text="net {") is None


@pytest.mark.parametrize("text", ["plain", "Größe", "a😀b😀", "😀", ""])
def test_offsets_are_those_of_javascript(text: str) -> None:
    offsets = Offsets(text)
    for i in range(len(text) + 1):
        units = len(text[:i].encode("utf-16-le")) // 2
        assert offsets.units(i) == units
        assert offsets.characters(units) == i


def test_a_mistake_after_wide_characters_is_marked_where_it_stands() -> None:
    text = "# 😀😀\nnet N {\n  input x [3]\n  linaer(2)\n}\n"
    (problem,) = ask(Session(), "check", text=text)["shown"]
    units = text.encode("utf-16-le")
    assert units[2 * problem["start"] : 2 * problem["end"]].decode("utf-16-le") == "linaer"


def test_a_mistake_of_an_imported_file_is_marked_at_the_import(tmp_path: Path) -> None:
    (tmp_path / "other.net").write_text("block B(c) = cnov(c)\n")
    text = "from other import B\n\nnet N {\n  input x [3, 8, 8]\n  B(4)\n}\n"
    (problem,) = ask(Session(), "check", text=text, name=str(tmp_path / "own.net"))["shown"]
    assert problem["elsewhere"] == "line 1 of other.net"
    assert text[problem["start"] : problem["end"]] == "from other import B"


def test_it_needs_nothing_that_a_browser_lacks() -> None:
    """Neither the packages that only the editor's server or training needs, nor those that only print."""
    script = f"""if True:
        import json, sys
        from netdsl.playground.session import QUESTIONS, Session, answer
        session = Session()
        for question, given in {
        [
            ("check", {"text": TEXT.replace("relu", "relo")}),
            ("fix", {"index": 0, "text": TEXT.replace("relu", "relo")}),
            ("check", {"text": TEXT}),
            ("summary", {"net": "Small"}),
            ("torch", {"net": "Small"}),
            ("view", {"net": "Small"}),
            ("recipe", {"name": "R"}),
        ]
    }:
            assert '"value"' in answer(session, question, json.dumps(given))
        unwanted = {{"pygls", "lsprotocol", "attrs", "rich", "numpy", "torch", "onnx"}}
        print(unwanted & {{name.partition(".")[0] for name in sys.modules}})
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert "fix" in QUESTIONS


def test_a_text_above_the_limit_is_not_looked_through_for_fixes() -> None:
    session, text = Session(), "#" + "x" * 3_000_000
    assert ask(session, "check", text=text)["shown"][0]["code"] == "too-large"
    assert ask(session, "fix", index=0, text=text)["code"] == "too-large"
