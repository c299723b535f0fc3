"""The page in a browser: choosing, opening, searching, colouring, the keyboard, and the source, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import browser
import pytest
from zoo_tables import spec

from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.view import page

pytestmark = [pytest.mark.slow, browser.needed]


def drive(net: Net, script: str, folder: Path) -> Any:
    helpers = """
  const columns = () => all("main section").map(s => s.querySelector("h2").firstChild.data);
  const panel = () => one("#panel h2").textContent;
  const lines = () => all("#source .on").map(l => l.id);
  const box = text => all("main g[data-i]").find(g => !g.dataset.d && g.querySelector("text")?.textContent === text);
"""
    return browser.drive(page(net.checked, net.name), helpers + script, folder)


def test_choosing_opening_and_closing(tmp_path: Path) -> None:
    seen = drive(
        spec("resnet").net("ResNet50"),
        """
        seen.first = panel();
        mouse("click", box("Bottleneck"));
        seen.chosen = [panel(), one("main g.on text").textContent, lines()];
        mouse("dblclick", box("Bottleneck"));
        seen.opened = columns();
        press("ArrowDown"); press("ArrowDown");
        seen.below = panel();
        press("ArrowRight");
        press("ArrowLeft"); press("ArrowLeft");
        seen.closed = [columns(), panel()];
        press("Escape");
        seen.last = panel();
        """,
        tmp_path,
    )
    text = spec("resnet").source.text.splitlines()
    (line,) = seen["chosen"][2]
    assert "unit(" in text[int(line.split("-")[1]) - 1]
    assert seen["first"] == seen["last"] == "ResNet50"
    assert seen["chosen"][:2] == ["Bottleneck", "Bottleneck"]
    assert seen["opened"] == ["ResNet50", "Bottleneck"]
    assert seen["below"] == "ConvBN"
    assert seen["closed"] == [["ResNet50"], "Bottleneck"]


def test_searching_colouring_levels_and_the_source(tmp_path: Path) -> None:
    seen = drive(
        spec("vit").net("ViT_B16"),
        """
        const query = one("#query");
        query.value = "attention";
        query.dispatchEvent(new Event("input", {bubbles: true}));
        seen.found = all("#found div").map(d => d.textContent);
        press("Enter", query);
        seen.reached = panel();
        const way = columns();
        press("]");
        const more = all("main g[data-i]").length;
        press("["); press("[");
        seen.fewer = all("main g[data-i]").length < more;
        one("#heat").value = "params";
        one("#heat").dispatchEvent(new Event("change"));
        seen.coloured = all("main rect").some(r => r.style.fill.startsWith("hsl") || r.style.fill.startsWith("rgb"));
        const line = all("#source div").find(d => d.textContent.includes("attention("));
        line.click();
        seen.line = lines().includes(line.id);
        const light = document.documentElement.className;
        one("#theme").click();
        seen.theme = [light, document.documentElement.className];
        seen.way = way.length;
        """,
        tmp_path,
    )
    assert any("attention" in found for found in seen["found"])
    assert seen["reached"] == "attention"
    assert seen["way"] > 1
    assert seen["fewer"]
    assert seen["coloured"]
    assert seen["line"]
    assert seen["theme"] in (["", "dark"], ["", "light"])


def test_folded_branches_open(tmp_path: Path) -> None:
    """Equal branches show one of them; a row of unlike ones shows its parts, in which a search finds a branch."""
    equal = ", ".join(["linear(4) -> tanh"] * 30)
    unlike = ", ".join(f"linear({5 + i}) -> {('relu', 'gelu')[i % 2]}" for i in range(30))
    text = f"net N {{ input x [8]\n concat({equal})\n concat({unlike})\n linear(3) }}"
    seen = drive(
        Spec(Source(text), read_import).net(),
        """
        while (all("main g[data-i]").length > 9) press("[");
        const texts = () => all("main section:last-child g[data-i] > text:first-of-type").map(t => t.textContent);
        seen.whole = texts();
        mouse("dblclick", box("linear, tanh \u00d7 30"));
        seen.branch = texts();
        press("ArrowLeft");
        mouse("dblclick", all("main g[data-i]").find(g => g.textContent.includes("10 in parallel")));
        seen.part = texts().length;
        const query = one("#query");
        query.value = "linear [20]";
        query.dispatchEvent(new Event("input", {bubbles: true}));
        press("Enter", query);
        seen.found = [panel(), columns().length, one("#panel").textContent.includes("[20]")];
        """,
        tmp_path,
    )
    assert seen["whole"][0] == "linear, tanh \u00d7 30"
    assert len(seen["whole"]) == 1 + 1 + 3 + 1 + 1
    assert seen["branch"] == ["linear", "tanh"]
    assert seen["part"] == 20
    assert seen["found"] == ["linear", 2, True]


def test_markup_in_a_spec_does_not_run(tmp_path: Path) -> None:
    text = """# </script><script>document.title = "bad"</script><img src=x onerror="document.title='bad'">
    block B(tag) { relu }
    net N { input x [8]
      B("<img src=x onerror=document.title='bad'>")
    }
    """
    net = Spec(Source(text, "<img src=x onerror=document.title='bad'>.net"), read_import).net()
    seen = drive(
        net,
        """
        mouse("click", all("main g[data-i]")[0]);
        const query = one("#query");
        query.value = "img";
        query.dispatchEvent(new Event("input", {bubbles: true}));
        await new Promise(go => setTimeout(go, 300));
        seen.title = document.title;
        seen.images = all("img").length;
        """,
        tmp_path,
    )
    assert seen == {"title": "N", "images": 0}
