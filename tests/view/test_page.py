"""The page and the image: self-contained, small, complete, and nothing of a spec gets out of its place."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from base64 import b64decode
from cProfile import Profile
from gzip import decompress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import browser
import pytest
from zoo_tables import spec

from netdsl.analysis.count import totals
from netdsl.api import load
from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.view import image, page
from website.images import images

SVG = "{http://www.w3.org/2000/svg}"


def zoo(name: str, net: str | None = None) -> Net:
    return spec(name).net(net)


def data(text: str) -> Any:
    (packed,) = re.findall(r'<script type="text/plain" id="data">([^<]*)</script>', text)
    return json.loads(decompress(b64decode(packed)))


@pytest.mark.parametrize(
    ("name", "net"),
    [("resnet", "ResNet152"), ("nasnet", "NASNet_A_Large"), ("densenet", "DenseNet201"), ("unet", None)],
)
def test_a_page_is_small_and_needs_nothing_else(name: str, net: str | None) -> None:
    found = zoo(name, net)
    text = page(found.checked, found.name)
    assert len(text.encode()) < 200_000
    assert not re.search(r"(src|href)=|@import|url\(|fetch\(|https?://", text)


def test_the_script_reads_what_the_page_holds() -> None:
    net = zoo("lenet")
    text = page(net.checked, net.name)
    facts = data(text)
    card = next(iter(facts["cards"].values()))
    assert set(re.findall(r"\bD\.(\w+)", text)) <= set(facts)
    assert set(re.findall(r"\bimage\.(\w+)", text)) <= set(facts["images"][0]) & set(card)


def test_a_page_says_what_the_summary_says() -> None:
    net = zoo("resnet", "ResNet50")
    facts = data(page(net.checked, net.name))
    card = facts["cards"][str(facts["root"])]
    counted = totals(net.checked.main)
    assert sum(i["params"] for i in card["items"]) == counted.params == 25_557_032
    assert sum(i["macs"] for i in card["items"]) == counted.macs
    assert ["receptive field", "427"] in facts["rows"]
    stem = card["items"][0]
    assert facts["sources"][stem["source"]][1].splitlines()[stem["line"] - 1].strip().startswith("stem:")
    assert ["receptive field", "11, stride 4 of its input"] in stem["rows"]
    block = facts["cards"][str(card["items"][1]["child"])]["items"][0]
    assert block["path"] == "stages.0.0"


def test_every_box_of_a_page_is_known_to_it() -> None:
    net = zoo("inception_v3")
    facts = data(page(net.checked, net.name))
    for card in (*facts["cards"].values(), *facts["images"]):
        root = ElementTree.fromstring(f"<svg>{card['svg']}</svg>")
        boxes = sorted(int(g.get("data-i")) for g in root if g.get("data-i"))
        assert boxes == list(range(len(card.get("items", boxes))))
    for number, card in facts["cards"].items():
        parent, i = card["parent"]
        assert int(number) == facts["root"] or facts["cards"][str(parent)]["items"][i]["child"] == int(number)


def test_equal_nets_give_equal_pages() -> None:
    net, again = zoo("vit", "DeiT_Ti"), load("vit", net="DeiT_Ti")
    assert page(net.checked, net.name).replace("\n", "") == page(again.checked, again.name).replace("\n", "")


def test_a_image_shows_each_shape_and_can_be_read_as_xml() -> None:
    net = load("lenet")
    root = ElementTree.fromstring(image(net.checked, net.name))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert [t for t in texts if t and t.startswith("[")] == [
        "[1, 32, 32]", "[6, 28, 28]", "[6, 28, 28]", "[6, 14, 14]", "[16, 10, 10]", "[16, 10, 10]", "[16, 5, 5]",
        "[400]", "[120]", "[120]", "[84]", "[84]", "[10]",
    ]  # fmt: skip
    assert root.find(f"{SVG}title").text == "LeNet5"  # type: ignore[union-attr]


HOSTILE = """# </script><script>alert(1)</script> & "quotes" <b>
block B(tag) { relu }
net N { input x [8]
  # <!-- <script> ]]>
  B("</text><script>alert(2)</script>")
  linear(4)
}
"""


def test_markup_in_a_spec_stays_text(tmp_path: Path) -> None:
    net = Spec(Source(HOSTILE, "<i>.net"), read_import).net()
    drawn = image(net.checked, "<img onerror=x>", 1)
    assert "<script" not in drawn
    assert "<img" not in drawn
    ElementTree.fromstring(drawn)
    text = page(net.checked, "<img onerror=x>")
    assert text.count("<script") == 2
    assert "<img" not in text
    assert "alert(" not in text
    facts = data(text)
    assert "<script" not in "".join(card["svg"] for card in facts["cards"].values())
    assert facts["sources"][0][1] == HOSTILE
    assert ".innerHTML" not in text.replace("box.innerHTML = `<svg", "")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["view", "resnet:ResNet18"]) == 0
    assert capsys.readouterr().out == "ResNet18.html\n"
    assert (tmp_path / "ResNet18.html").read_text().startswith("<!doctype html>")
    assert main(["view", "lenet", "-o", "a/lenet.svg"]) == 0
    assert (tmp_path / "a" / "lenet.svg").read_text().startswith("<svg ")
    capsys.readouterr()
    assert main(["view", "unet", "-o", "-", "--size", "H=64", "--size", "W=64", "--depth", "9"]) == 0
    assert "[64, 64, 64]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenet", "-o", "lenet.jpg"], "ends in .html, .svg, .pdf, .png or .tex"),
        (["lenet", "--depth", "0"], "a whole number from 1"),
        (["lenet:Nothing"], "Nothing"),
        (["resnet:ResNet", "-o", "x.svg"], "`ResNet` needs"),
    ],
)
def test_what_the_command_cannot_do(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", *words]) != 0
    assert said in capsys.readouterr().err


def test_the_drawings_of_the_documentation_are_those_of_today() -> None:
    """`make docs` draws them again."""
    for path, svg in images().items():
        assert path.read_text() == svg, path.name


@pytest.mark.parametrize("form", [".pdf", ".png"])
@pytest.mark.parametrize("program", ["rsvg-convert", "inkscape", "chromium"])
def test_a_drawing_is_converted_by_what_is_there(
    form: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program gets the drawing, and the file that it writes is the result."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / name) if name == program else None)
    script = tmp_path / program
    script.write_text("""#!/bin/sh
for word; do case "$word" in *=*/drawing.p*) out="${word#*=}";; */drawing.p*) out="$word";; esac; done
cat "$(dirname "$out")/drawing.svg" > "$out"
""")
    script.chmod(0o755)
    assert main(["view", "lenet", "-o", str(tmp_path / f"lenet{form}")]) == 0
    assert (tmp_path / f"lenet{form}").read_bytes().startswith(b"<svg ")


def test_a_drawing_that_nothing_converts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main(["view", "lenet", "-o", "lenet.pdf"]) != 0
    said = capsys.readouterr().err
    assert "neither rsvg-convert" in said
    assert "write lenet.svg" in said


@pytest.mark.slow
@browser.needed
@pytest.mark.parametrize("form", [".pdf", ".png"])
def test_a_drawing_is_converted(form: str, tmp_path: Path) -> None:
    assert main(["view", "lenet", "-o", str(tmp_path / f"lenet{form}")]) == 0
    assert (tmp_path / f"lenet{form}").read_bytes()[:4] in (b"%PDF", b"\x89PNG")


def test_a_page_of_a_very_long_net_says_what_it_leaves_out() -> None:
    layers = "\n".join(f"linear({8 + i * 7 % 5 + i % 11})" for i in range(5000))
    net = Spec(Source(f"net Long {{ input x [8]\n{layers}\n}}"), read_import).net()
    text = page(net.checked, "Long")
    assert len(text.encode()) < 200_000
    cards = data(text)["cards"]
    shown = [i for card in cards.values() for i in card["items"]]
    assert all(str(i["child"]) in cards for i in shown if "child" in i)
    assert any(row[0] == "inside" for i in shown for row in i["rows"])
    assert sum(i["params"] for i in cards["0"]["items"]) == totals(net.checked.main).params


def test_a_net_that_passes_its_input_on_is_drawn() -> None:
    net = Spec(Source("block Same { }\nnet N { input x [8]\n Same }"), read_import).net()
    root = ElementTree.fromstring(image(net.checked, "N"))
    assert [t.text for t in root.iter(f"{SVG}text")] == ["[8]", "x", "output"]
    assert data(page(net.checked, "N"))["net"] == "N"


def calls(*arguments: str) -> int:
    """How many functions a command calls, once what it remembers is known."""
    main([*arguments])
    profile = Profile()
    profile.runcall(main, [*arguments])
    return sum(entry.callcount for entry in profile.getstats())


def test_a_drawing_is_work_for_what_is_distinct(tmp_path: Path) -> None:
    """Blocks that are folded cost next to nothing, an image as much as a summary, a page some images more."""
    summary = calls("summary", "resnet:ResNet152")
    whole = calls("view", "resnet:ResNet152", "-o", f"{tmp_path}/a.html")
    assert whole < 2.75 * summary
    assert whole < 1.08 * calls("view", "resnet:ResNet50", "-o", f"{tmp_path}/a.html")
    assert calls("view", "resnet:ResNet152", "-o", f"{tmp_path}/a.svg") < 1.1 * summary


def cpu(*arguments: str, folder: Path) -> float:
    """Seconds of CPU a command takes: the least of five."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "netdsl", *arguments], cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["html", "svg"])
def test_a_drawing_costs_little_more_than_a_summary(form: str, tmp_path: Path) -> None:
    summary = cpu("summary", "resnet:ResNet152", folder=tmp_path)
    assert cpu("view", "resnet:ResNet152", "-o", f"a.{form}", folder=tmp_path) < 2.2 * summary
