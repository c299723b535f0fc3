"""The page of a comparison: self-contained, small, marked where the list says, and nothing of a spec runs in it."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from gzip import decompress
from pathlib import Path
from typing import Any

import browser
import pytest
from zoo_tables import spec

from netdsl.diff.model import NetDiff
from netdsl.diff.nets import compare_nets
from netdsl.diff.page import page
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source


def compared(before: tuple[str, str], after: tuple[str, str]) -> NetDiff:
    nets = [spec(file).net(net) for file, net in (before, after)]
    return compare_nets(nets[0].checked, nets[1].checked, (before[1], after[1]))


def data(text: str) -> Any:
    (packed,) = re.findall(r'<script type="text/plain" id="data">([^<]*)</script>', text)
    return json.loads(decompress(b64decode(packed)))


def entries(groups: Any) -> set[int]:
    return {e for g in groups for e in (*g["entries"], *entries(g["inside"]))}


def test_a_page_is_small_and_needs_nothing_else() -> None:
    text = page([compared(("resnet", "ResNet50"), ("resnet", "ResNet152"))], [])
    assert len(text.encode()) < 200_000
    assert not re.search(r"(src|href)=|@import|url\(|fetch\(|https?://", text)


def test_every_line_has_its_boxes_on_the_sides_it_is_of() -> None:
    (net,) = data(page([compared(("roadmap", "T_LayerNorm"), ("roadmap", "T_Separate"))], []))["nets"]
    marks = [list(side["images"][-1]["marks"].values()) for side in net["sides"]]
    assert entries(net["groups"]) <= {e for side in marks for m in side for e in m[1:]}
    before, after = ({m[1] for m in side if len(m) == 2} for side in marks)  # boxes that stand for one change
    signs = {m[0] for side in net["sides"] for m in side["images"][-1]["marks"].values()}
    assert signs == {"+", "-", "~"}
    scales = next(g for g in net["groups"] if "LayerNorm" in g["text"] and len(g["inside"]) == 1)
    assert scales["inside"][0]["text"].startswith("scale")
    assert before.isdisjoint(scales["inside"][0]["entries"])
    assert not after.isdisjoint(scales["inside"][0]["entries"])


@pytest.mark.slow
@browser.needed
def test_lines_and_boxes_lead_to_each_other(tmp_path: Path) -> None:
    seen = browser.drive(
        page([compared(("roadmap", "T_Width"), ("roadmap", "T_Inverted"))], []),
        """
        seen.title = one("h1").textContent;
        seen.columns = all("main section h2").map(h => h.textContent);
        press("ArrowDown"); press("ArrowDown");
        seen.line = one("nav li > div.on span").textContent;
        seen.on = all("main section").map(s => all("g.on", s).length);
        for (let i = 0; i < 6; i++) press("]");
        seen.deeper = all("main section").map(s => all("g.on > text", s).map(t => t.textContent));
        mouse("click", all("main section g[data-k]").find(g => g.querySelector("text").textContent === "Bottleneck"));
        seen.clicked = one("nav li > div.on span").textContent;
        """,
        tmp_path,
    )
    assert seen["title"] == "T_Width → T_Inverted"
    assert seen["columns"] == ["T_Width", "T_Inverted"]
    assert seen["line"] == "shortcut ConvBN"
    assert seen["on"] == [1, 1]  # the block that has lost its shortcut, closed
    assert seen["deeper"][0][0] == "ConvBN"
    assert seen["deeper"][1][0].startswith("Inverted")  # what it is gone from, open
    assert "Bottleneck" in seen["clicked"]


@pytest.mark.slow
@browser.needed
def test_markup_in_a_spec_does_not_run(tmp_path: Path) -> None:
    bad = "<img src=x onerror=document.title=1>"
    nets = [
        Spec(Source(f'block B(tag) {{ {act} }}\nnet N {{ input x [8]\n  B("{bad}") }}\n', bad), read_import).net()
        for act in ("relu", "tanh -> linear(3)")
    ]
    diff = compare_nets(nets[0].checked, nets[1].checked, (f"{bad}:A", "</script><b>B"))
    seen = browser.drive(page([diff], []), "seen.found = [all('img').length, all('b b').length];", tmp_path)
    assert seen == {"found": [0, 0]}
