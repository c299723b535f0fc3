"""`netdsl probe`: words, JSON, the page, runs, and every kind of bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from probing import subject

from netdsl.cli.main import main
from netdsl.cli.probe import NAMES, READS_DATA, _names
from netdsl.probe.beside import beside
from netdsl.probe.model import Finding, Plot, Probed, data
from netdsl.probe.plot import plot
from netdsl.probe.signals import SIGNALS

SPEC = """\
net N {
  input image [1, H, W]
  require H >= 6
  conv(4, 3) -> relu -> conv(4, 3) -> relu -> gap -> linear(10)
}
recipe R for N {
  data      = digits()
  epochs    = 1
  optimizer = sgd(lr=0.1)
}
net Odd {
  input x [7]
  linear(3)
}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.net").write_text(SPEC)

    def call(*argv: object, command: str = "probe") -> tuple[int, str, str]:
        code = main([command, *map(str, argv)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_command_knows_the_signals() -> None:
    assert set(SIGNALS) == set(NAMES) >= READS_DATA


def test_words_come_first(run: Any) -> None:
    code, out, _ = run("a.net:N", "signal", "spectrum")
    assert code == 0
    assert out.startswith("N\n  with fresh weights")
    assert re.search(r"^signal\n  the variance \w+: x", out, re.MULTILINE)
    assert re.search(r"^  conv1 +conv ", out, re.MULTILINE)


def test_a_net_that_fits_no_data_has_signals_all_the_same(run: Any) -> None:
    code, out, _ = run("a.net:Odd")
    assert code == 0
    assert "no `field`: `Odd` has no map" in out
    code, _, err = run("a.net:Odd", "lr")
    assert code == 1
    assert "digits" in err


def test_json_and_page(run: Any) -> None:
    data = json.loads(run("a.net:N", "spectrum", "signal", "--init", "xavier,kaiming", "--json")[1])
    assert [f["signal"] for f in data["findings"]] == ["spectrum", "signal"]
    assert {row[0] for row in data["findings"][1]["rows"]} == {"xavier", "kaiming"}
    assert run("a.net:N", "spectrum", "field", "-o", "p.html")[1] == "p.html\n"
    page = Path("p.html").read_text()
    assert page.count("<h2>") == 2
    assert page.count("<svg") == 2
    assert not re.search(r"(src|href)=|@import|url\(|https?://", page)


def test_several_nets_are_beside_each_other(run: Any) -> None:
    words = ("a.net:N", "a.net:N", "spectrum", "-o", "b.svg", "-o", "b.json")
    assert run(*words)[1] == "b.svg\nb.json\n"
    found = json.loads(Path("b.json").read_text())
    assert found["net"] == "N 1, N 2"
    (finding,) = found["findings"]
    assert finding["columns"][0] == "net"
    assert {row[0] for row in finding["rows"]} == {"N 1", "N 2"}
    ElementTree.fromstring(Path("b.svg").read_text())


def test_runs_are_called_by_the_end_of_their_paths(tmp_path: Path) -> None:
    for folder in ("a/seed-0", "b/seed-0"):
        (tmp_path / folder).mkdir(parents=True)
    runs = [str(tmp_path / "a" / "seed-0"), str(tmp_path / "b" / "seed-0")]
    assert _names([*runs, "x.net:M", "x.net"], ["N", "N", "M", "N"]) == ["a", "b", "M", "N"]
    assert _names(runs[:1], ["N"]) == ["seed-0"]


def test_what_is_the_same_for_all_nets_is_shown_once() -> None:
    def of(net: str, y: float) -> Probed:
        plot = Plot("t", "x", "y", {"the net": [(0, y)], "white noise": [(0, 1.0)]})
        return Probed(net, (), (Finding("shatter", (f"it is {y}", "noise is 1"), ("d",), ((y,),), (plot,)),))

    (finding,) = beside([of("A", 0.5), of("B", 0.25)], ["A", "B"]).findings
    assert finding.said == ("A: it is 0.5", "B: it is 0.25", "noise is 1")
    assert finding.rows == (("A", 0.5), ("B", 0.25))
    assert list(finding.plots[0].series) == ["A", "B", "white noise"]


def test_a_run_is_probed_with_its_weights(run: Any) -> None:
    assert run("a.net:N", "-o", "r", "--set", "epochs=1", command="train")[0] == 0
    code, out, _ = run("r", "spectrum", "dead")
    assert code == 0
    assert "with the weights of the run" in out
    assert re.search(r"% of 8 units are 0 for all of 64 samples of digits", out)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("a.net", "sgnal"), 2, "did you mean `signal`"),
        (("a.net", "--samples", "0"), 2, "a whole number from 1"),
        (("a.net", "-o", "x.pdf"), 2, "name a file that ends in .html"),
        (("a.net", "spectrum", "--init", "xavier"), 2, "`--init` compares"),
        (("a.net", "signal", "--init", "xavir"), 1, "xavir"),
        (("a.net:N", "paths"), 1, "has no residual links"),
        (("a.net:Nope",), 1, "Nope"),
        (("a.net:N", "lr", "--data", "npz('none.npz')"), 1, "none.npz"),
        ((".",), 2, "run"),
    ],
)
def test_bad_input_is_refused_in_words(run: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = run(*arguments)
    assert (done[0], said in done[2]) == (code, True), done[2]
    assert "Traceback" not in done[2]


def test_numbers_that_are_not_finite_are_null_in_json() -> None:
    found = Probed("N", (), (Finding("signal", ("it explodes",), ("layer", "variance"), (("a", float("inf")),)),))
    assert data(found)["findings"][0]["rows"] == [["a", None]]


def test_as_many_samples_are_looked_at_as_there_is_room_for() -> None:
    small, large = (subject(f"net N {{\n  input x [8, {n}, {n}]\n  relu -> relu\n}}") for n in (8, 2048))
    assert small.fitting(64) == 64
    assert large.fitting(64) == 2


def test_plots_leave_out_what_cannot_be_drawn() -> None:
    bad = Plot("<b>t</b>", "x", "y", {"a": [(0, 1e-5), (1, 0.0), (2, float("nan")), (3, 10.0)]}, True)
    drawn = plot(bad)
    assert "<b>" not in drawn
    assert "nan" not in drawn
    assert len(re.findall(r'points="([^"]*)"', drawn)[0].split()) == 2
    assert plot(Plot("t", "x", "y", {"a": [(0, 0.0)]}, True)) == ""


def test_a_run_is_probed_with_all_its_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One signal computes in double precision: the trained net of the next one stays as it was."""
    monkeypatch.chdir(tmp_path)
    Path("n.net").write_text("net N {\n  input image [1, 8, 8]\n  conv(4, 3) -> relu -> gap -> linear(10)\n}\n")
    given = ("--data", "digits", "--set", "steps=1", "-q", "--no-onnx", "-o", "run")
    assert main(["train", "n.net", *given]) == 0
    assert main(["probe", "run"]) == 0
