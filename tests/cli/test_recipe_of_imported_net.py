"""A recipe and the net it is for, wherever each of them stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from netdsl.cli.main import main
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.selection import Selection, select

NETS = """net Small(classes=10) {
  input image [1, 8, 8]
  flatten -> linear(classes)
}
net Family(width, classes=10) {
  input image [1, 8, 8]
  flatten -> linear(width) -> relu -> linear(classes)
}
net Wide = Family(8)
net Wider = Family(16)
recipe Base for Small {
  data = digits
  epochs = 2
}
"""
IMPORTING = """from nets import Small, Base

recipe Mine for Small {
  data = digits
  epochs = 1
  batch = 512
}
"""


FILES = {"nets.net": NETS}


def selected(here: Path, text: str, name: str | None = None, recipe: str | None = None, **more: object) -> Selection:
    (here / "own.net").write_text(text)
    return select(Spec(load_source("own.net"), read_import), name, recipe, **more)  # type: ignore[arg-type]


def names(found: Selection) -> tuple[str, str]:
    assert found.net is not None
    assert found.recipe is not None, [d.message for d in found.diagnostics]
    return found.net.name, found.recipe.name


OWN = "\nnet Other {\n  input image [1, 8, 8]\n  flatten -> linear(32) -> linear(10)\n}\n"


@pytest.mark.parametrize("own", ["", OWN])
@pytest.mark.parametrize(
    ("name", "recipe"), [(None, None), ("Mine", None), (None, "Mine"), ("Small", None), ("Small", "Mine")]
)
def test_a_recipe_for_an_imported_net(here: Path, own: str, name: str | None, recipe: str | None) -> None:
    assert names(selected(here, IMPORTING + own, name, recipe)) == ("Small", "Mine")


def test_an_imported_recipe_and_an_inherited_net(here: Path) -> None:
    assert names(selected(here, IMPORTING, "Base")) == ("Small", "Base")
    inheriting = "from nets import Base\nrecipe Longer extends Base {\n  epochs = 9\n}\n" + OWN
    assert names(selected(here, inheriting)) == ("Small", "Longer")  # and not `Other`
    same_name = inheriting.replace("Other", "Small")
    found = selected(here, same_name)
    assert names(found) == ("Small", "Longer")
    assert found.net is not None
    assert found.net.spec.source.name.endswith("nets.net")


def test_a_named_net_comes_first(here: Path) -> None:
    assert names(selected(here, IMPORTING + OWN, "Other", "Mine")) == ("Other", "Mine")
    assert names(selected(here, IMPORTING + OWN, "Other")) == ("Other", "defaults")
    assert names(selected(here, IMPORTING + OWN, "Other", "nets:Base")) == ("Other", "Base")


def test_a_family_is_trained_as_its_first_net(here: Path) -> None:
    text = "from nets import Family, Wider\nrecipe R for Family {\n  data = digits\n}\n"
    assert names(selected(here, text)) == ("Wide", "R")
    assert names(selected(here, text, arguments={"width": 5})) == ("Family", "R")
    assert names(selected(here, text, "Wider", "R")) == ("Wider", "R")


def test_a_family_without_a_net_asks_for_its_arguments(here: Path) -> None:
    (here / "nets.net").write_text(NETS.replace("net Wide = Family(8)\nnet Wider = Family(16)\n", ""))
    found = selected(here, "from nets import Family\nrecipe R for Family {\n  data = digits\n}\n" + OWN)
    assert found.recipe is None
    assert [d.message for d in found.diagnostics] == ["`Family` needs `width`"]


@pytest.mark.parametrize(
    ("name", "recipe", "said"),
    [
        ("Nine", None, "declares no net `Nine`"),
        (None, "Nine", "declares no recipe `Nine`"),
        (None, "a:B", "no spec `a`"),
    ],
)
def test_what_is_not_there(here: Path, name: str | None, recipe: str | None, said: str) -> None:
    found = selected(here, IMPORTING, name, recipe)
    assert found.recipe is None
    assert said in found.diagnostics[0].message


def test_every_command_takes_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "own.net").write_text(IMPORTING)
    for command in (["check", "own.net"], ["check", "own.net:Mine"]):
        assert main(command) == 0
        assert "1 recipe, no mistakes" in capsys.readouterr().out
    for command in (["recipe", "own.net"], ["recipe", "own.net:Mine"], ["recipe", "own.net", "--recipe", "Mine"]):
        assert main(command) == 0
        assert capsys.readouterr().out.startswith("Small by Mine")
    assert main(["train", "own.net", "-o", "run", "-q", "--no-onnx"]) == 0
    assert main(["eval", "run"]) == 0
    for command in ("summary", "compile"):  # a file without nets means the first that it imports
        assert main([command, "own.net", *(["--emit", "torch"] if command == "compile" else [])]) == 0
    capsys.readouterr()
    assert main(["summary", "own.net:Mine"]) == 1
    assert "`Mine` is a recipe, and no net\nhint: did you mean `Small`?" in capsys.readouterr().err
    (here / "own.net").write_text(IMPORTING.replace("epochs", "freeze linear, bias\n  epochs"))
    capsys.readouterr()
    for command in (["check", "own.net"], ["check", "own.net:Mine"], ["recipe", "own.net"], ["train", "own.net"]):
        assert main(command) == 1
        streams = capsys.readouterr()
        assert "own.net:5:3" in streams.out + streams.err
