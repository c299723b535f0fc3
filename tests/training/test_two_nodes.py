"""A rehearsal of two machines on one: two agents of torchrun that meet over loopback, and submitit's local executor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import ROOT
from resume_harness import assert_close, log

pytestmark = pytest.mark.slow

CLUSTER = ROOT / "examples" / "cluster"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
USUAL = ["--no-onnx", "--device", "cpu", "-q"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def begin(node: int, port: int, words: list[str], cwd: Path) -> subprocess.Popen[str]:
    """The agent of one of two nodes, each of one process, in a group of processes of its own."""
    agent = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(node)]
    meeting = ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    return subprocess.Popen(
        [sys.executable, *agent, *meeting, "-m", "netdsl", "train", *words, *USUAL],
        cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def kill(pid: int) -> None:
    """End a process and all that it has started, at once: torchrun gives each process a session of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    for child in children:
        kill(int(child))


def on_two_nodes(words: list[str], cwd: Path) -> list[str]:
    """What each node says of a run on both."""
    port = free_port()
    nodes = [begin(node, port, words, cwd) for node in range(2)]
    said = [node.communicate(timeout=240)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    return said


def alone(words: list[str], cwd: Path) -> None:
    command = [sys.executable, "-m", "netdsl", "train", *words, *USUAL]
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


SPEC = [str(CLUSTER / "small.net"), "--recipe", "Short"]


def test_two_nodes_train_as_one_process_and_the_first_alone_speaks(tmp_path: Path) -> None:
    """Each process computes its share of every batch, by its number among all of them."""
    alone([*SPEC, "-o", "one"], tmp_path)
    said = on_two_nodes([*SPEC, "-o", "two"], tmp_path)
    assert_close(tmp_path / "two", tmp_path / "one", loss=1e-3, weights=1e-4)
    assert "everything is in two" in said[0]
    assert "everything is in" not in said[1]
    assert "step" not in said[1]
    lines = log(tmp_path / "two")
    assert len({(x["kind"], x["step"]) for x in lines}) == len(lines), "one process writes the log"


def test_a_run_resumes_after_one_node_is_killed(tmp_path: Path) -> None:
    """Whatever the other node was doing: it ends too, and both continue from the newest checkpoint."""
    long = ["--set", "steps=400", "--set", "evaluate=100 steps", "--set", "checkpoint=20 steps"]
    alone([*SPEC, *long, "-o", "one"], tmp_path)
    port = free_port()
    nodes = [begin(node, port, [*SPEC, *long, "-o", "broken"], tmp_path) for node in range(2)]
    until = time.monotonic() + 120
    while not (tmp_path / "broken" / "checkpoint.safetensors").exists() and time.monotonic() < until:
        time.sleep(0.05)
    kill(nodes[1].pid)
    said = nodes[0].communicate(timeout=120)[1]
    assert nodes[0].returncode != 0
    assert (tmp_path / "broken" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "broken" / "model.safetensors").exists(), "it was killed in the middle"
    assert "another process of this run has ended" in said
    assert f"netdsl train --resume {'broken'}" in said
    on_two_nodes(["--resume", "broken"], tmp_path)
    assert_close(tmp_path / "broken", tmp_path / "one", loss=1e-3, weights=1e-4)


def test_the_script_for_slurm_trains_and_resumes(tmp_path: Path) -> None:
    """By submitit's local executor: two processes of one job."""
    pytest.importorskip("submitit")
    alone([*SPEC, "-o", "one"], tmp_path)

    def submit(*words: str) -> None:
        script = [sys.executable, str(CLUSTER / "train_slurm.py"), "--cluster", "local", "--gpus", "2"]
        command = [*script, "--folder", str(tmp_path / "two"), "--", *words, *USUAL]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr

    submit(*SPEC)
    assert_close(tmp_path / "two", tmp_path / "one", loss=1e-3, weights=1e-4)
    (tmp_path / "two" / "model.safetensors").unlink()
    submit(*SPEC)  # the same command once more resumes
    assert_close(tmp_path / "two", tmp_path / "one", loss=1e-3, weights=1e-4)
