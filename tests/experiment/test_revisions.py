"""Weights by name in an experiment: all runs begin from one commit, whatever the Hub says later."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import netdsl.weights.hub as hub
from netdsl.diagnostics.diagnostic import UserError
from netdsl.experiment.files import open_folder
from netdsl.experiment.from_python import Experiment
from netdsl.experiment.revisions import REVISIONS, pinned
from netdsl.experiment.run import Options, held, job_of, run_grid
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.recipe.inits import Pretrained
from netdsl.source import Source

TEXT = """
net Small(width=4) {{ input image [1, 8, 8]
  conv(width, 3) -> relu -> gap -> linear(10) }}
recipe R for Small {{
  data = digits
  init = pretrained("someone/small"{revision})
  epochs = 1
}}
experiment E for Small {{
  recipe = R
  vary width = [4, 8]
  measure = [test.top1]
}}
"""


def of(folder: Path, revision: str = "") -> Experiment:
    text = TEXT.format(revision=revision)
    return Experiment(Spec(Source(text, str(folder / "e.net")), read_import), "E", {}, {}, None)


def test_all_runs_take_the_commit_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter("abc")
    monkeypatch.setattr(hub, "of_hub", lambda name: SimpleNamespace(revision=next(commits)))
    for _ in range(2):  # the second time as when it is resumed after the Hub has moved
        made = of(tmp_path)
        jobs = [job_of(made.setting, tmp_path, t, Options()) for cell in made.cells for t in cell.trials]
        assert [job.revisions for job in jobs] == [{"someone/small": "a"}] * len(jobs)
    assert next(commits) == "b"
    found = made.setting.selected(made.cells[0].cell).recipe
    assert found is not None
    assert [c.revision for c in pinned(found, jobs[0].revisions).init if isinstance(c, Pretrained)] == ["a"]


def test_a_commit_that_is_said_and_a_folder_are_not_asked_for(tmp_path: Path) -> None:
    said = of(tmp_path, ', revision="v1"')
    assert all(t.by_name == () for cell in said.cells for t in cell.trials)
    (tmp_path / "someone" / "small").mkdir(parents=True)
    assert all(t.by_name == () for cell in of(tmp_path).cells for t in cell.trials)


def test_nothing_is_asked_for_beside_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that begin at once would take the commits of whichever wrote last."""
    monkeypatch.setattr(hub, "of_hub", lambda name: pytest.fail("it was asked for"))
    made = of(tmp_path)
    open_folder(tmp_path, "E")
    with held(tmp_path), pytest.raises(UserError, match="another process trains"):
        run_grid(made.setting, tmp_path, made.cells, Options(), print)
    assert not (tmp_path / REVISIONS).exists()
