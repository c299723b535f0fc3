"""Runs as jobs of a cluster, by submitit's local executor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("submitit")

from netdsl import Source, open_spec
from netdsl.diagnostics.codes.experiments import NET
from netdsl.diagnostics.diagnostic import UserError
from netdsl.experiment.cluster import Cluster
from netdsl.experiment.run import Options, run_grid

SPEC = Source(f"{NET}\nexperiment E for Example {{\n  vary width = [4]\n  measure = [test.top1]\n}}\n", "e.net")


@pytest.mark.slow
def test_a_job_gives_what_a_worker_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl.experiment import run

    ours = open_spec(SPEC).experiment().run(tmp_path / "pool", workers=1)
    monkeypatch.setattr(run, "pool_of", lambda o, f, n, say: Cluster(1, f / "jobs", say, "local"))
    made = open_spec(SPEC).experiment()
    found = run_grid(made.setting, tmp_path / "jobs", made.cells, Options(on="slurm"), lambda text: None)
    assert found.rows[0].runs == ours.found.rows[0].runs
    model = "width=4/seed-0/model.safetensors"
    assert (tmp_path / "jobs" / model).read_bytes() == (tmp_path / "pool" / model).read_bytes()
    assert json.loads((tmp_path / "jobs" / "width=4" / "seed-0" / "run.json").read_text())["result"]


def test_without_slurm_it_says_so(tmp_path: Path) -> None:
    made = open_spec(SPEC).experiment()
    with pytest.raises(UserError, match="Slurm"):
        run_grid(made.setting, tmp_path / "out", made.cells, Options(on="slurm"), lambda text: None)
