"""The TikZ of a drawing: all of it, where it stands, and nothing that TeX reads otherwise; it compiles where TeX is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from zoo_tables import spec

from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.view import tex
from netdsl.view.drawing import Drawing, Drawings
from netdsl.view.tikz import escaped, tikz

NETS = (("resnet", "ResNet18", 3), ("unet", "UNetRGB", 2), ("vit", "DeiT_Ti", 3), ("googlenet", "GoogLeNet", 2))


def has_tex() -> bool:
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    return subprocess.run(["kpsewhich", "standalone.cls"], capture_output=True, check=False).returncode == 0


def drawing(name: str, net: str, depth: int) -> Drawing:
    return Drawings().of(spec(name).net(net).checked.main, depth)


def every(found: Drawing) -> list[Drawing]:
    return [found, *(inner for box in found.boxes if box.inner for inner in every(box.inner))]


@pytest.mark.parametrize(("name", "net", "depth"), NETS)
def test_every_box_line_and_shape_is_drawn(name: str, net: str, depth: int) -> None:
    made = drawing(name, net, depth)
    text = tikz(made, net)
    parts = every(made)
    assert text.count(r"\draw[edge") + text.count(r"\draw[skip") == sum(len(p.lines) for p in parts)
    boxes = [box for p in parts for box in p.boxes]
    ports = [p for p in (*made.inputs, *made.outputs) if p.height]
    behind = sum(box.item.count > 1 and box.inner is None for box in boxes)
    assert len(re.findall(r"\) rectangle \(|circle\[", text)) == len(boxes) + behind + len(ports)
    shapes = [escaped(str(line.value.type)) for p in parts for line in p.lines if line.labelled]
    assert sorted(re.findall(r"\[small, anchor=west\].*?\{(.*)\};", text)) == sorted(shapes)


@pytest.mark.parametrize(("name", "net", "depth"), NETS)
def test_nothing_stands_outside_of_the_drawing(name: str, net: str, depth: int) -> None:
    made = drawing(name, net, depth)
    points = re.findall(r"\((-?[\d.]+),(-?[\d.]+)\)", tikz(made, net))
    assert all(-1 <= float(x) <= made.width + 4 and -1 <= float(y) <= made.height + 4 for x, y in points)


def test_special_characters_are_escaped() -> None:
    assert escaped("a_b & 100% {x} #1 $ ^~\\") == (
        r"a\_b \& 100\% \{x\} \#1 \$ \textasciicircum{}\textasciitilde{}\textbackslash{}"
    )
    assert escaped("3 \N{RIGHTWARDS ARROW} 6 \N{MULTIPLICATION SIGN} 2 \N{SNOWMAN}") == r"3 $\to$ 6 $\times$ 2 ?"


def test_the_command_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "lenet.tex"
    assert main(["view", "lenet", "-o", str(path)]) == 0
    text = path.read_text()
    assert text.count("{") == text.count("}")
    assert text.startswith("% LeNet5, drawn by netdsl.")
    assert text == tex(spec("lenet").net("LeNet5").checked, "LeNet5")


@pytest.mark.slow
@pytest.mark.skipif(not has_tex(), reason="no LaTeX with the class standalone here")
@pytest.mark.parametrize(("name", "net", "depth"), NETS)
def test_it_compiles(name: str, net: str, depth: int, tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text(tikz(drawing(name, net, depth), net))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "a.pdf").stat().st_size > 5000


def test_a_long_name_of_an_open_block_is_as_long_as_the_block() -> None:
    name = "Block" * 30
    text = f"block {name} {{ conv(8, 3) -> relu }}\nnet N {{ input x [8, 16, 16]\n {name} -> flatten }}"
    made = Drawings().of(Spec(Source(text), read_import).net().checked.main, 2)
    height = next(box.height for box in made.boxes if box.inner)
    assert rf"\resizebox{{{(height - 8) * 0.75:.1f}pt}}{{!}}{{{name}}}" in tikz(made, "N")
