"""Progress and curves of a training in a notebook: one output that is replaced while the training runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import netdsl
from netdsl.training.report import live


class Handle:
    """The handle of an output, which keeps what it showed."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, value: Any) -> None:
        self.shown.append(value._repr_html_())


class Notebook:
    """IPython as the kernel of a notebook has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kernel: object) -> None:
        self.handles: list[Handle] = []
        package, displays = ModuleType("IPython"), ModuleType("IPython.display")
        package.get_ipython = lambda: SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
        displays.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", package)
        monkeypatch.setitem(sys.modules, "IPython.display", displays)

    def display(self, value: Any, display_id: bool) -> Handle:
        assert display_id
        assert "step 0 of" in repr(value)
        self.handles.append(Handle())
        return self.handles[-1]


NET = netdsl.Source("net N(classes=10) {\n  input image [1, 8, 8]\n  flatten -> linear(classes)\n}\n", "n.net")


def trained(folder: Path, **more: Any) -> Any:
    net = netdsl.open_spec(NET).net("N")
    return net.train(folder=folder, settings={"epochs": 2}, onnx=False, **more)


def test_one_output_shows_progress_and_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "EVERY", 0.0)
    notebook = Notebook(monkeypatch, kernel=object())
    run = trained(tmp_path / "run")
    (handle,) = notebook.handles
    assert len(handle.shown) > 40  # after each step
    assert "step 20 of 46" in handle.shown[19]
    assert " left" in handle.shown[19].replace(": left", "")  # without CSS
    assert handle.shown[-1].count("<svg") == 4  # loss, accuracy, lr, gradient
    assert "step 46 of 46, loss" in handle.shown[-1]
    assert " left" not in handle.shown[-1].replace(": left", "")
    assert "epoch" not in capsys.readouterr().err  # no lines beside it
    assert run._repr_html_().count("<svg") == 4


def test_it_is_drawn_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 1e9)
    notebook = Notebook(monkeypatch, kernel=object())
    trained(tmp_path / "run")
    assert len(notebook.handles[0].shown) == 1


@pytest.mark.parametrize("where", ["terminal", "quiet", "script"])
def test_elsewhere_nothing_is_displayed(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if where != "script":
        notebook = Notebook(monkeypatch, kernel=object() if where == "quiet" else None)
    trained(tmp_path / "run", quiet=where == "quiet")
    assert where == "script" or not notebook.handles
    assert ("epoch" in capsys.readouterr().err) is (where != "quiet")


def test_a_plot_of_some_curves(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", quiet=True)
    assert str(run.plot("loss", "top1")).count("<svg") == 2
    assert run.plot()._repr_html_().count("<svg") == 4
    with pytest.raises(netdsl.TrainingError, match="has no `top`") as found:
        run.plot("top")
    assert found.value.hint == "did you mean `top1`?"
