"""Weights by name, from repositories in the Hub's real layout on the disk: no network, random numbers, real keys."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from paths import ROOT
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from netdsl.cli.main import main

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {
    "architecture": "resnet18",
    "pretrained_cfg": {
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "input_size": [3, 224, 224], "crop_pct": 0.95,
        "interpolation": "bicubic",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under timm's keys of a ResNet-18."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    state = {
        t.key: np.zeros(t.shape, np.int64)
        if t.constant and not t.shape
        else rng.normal(size=t.shape).astype(np.float32)
        for t in layouts.tensors("timm/resnet18")
    }
    save_file(state, path)
    return path


def cached(home: Path, name: str, files: dict[str, bytes]) -> Path:
    """A repository in the Hub's cache: blobs by their SHA-256, a snapshot of links to them, and what `main` is."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (repository / "blobs", snapshot, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for file, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        (repository / "blobs" / digest).write_bytes(data)
        (snapshot / file).symlink_to(os.path.relpath(repository / "blobs" / digest, snapshot))
    return repository


def repository(weights: Path, license: str = "apache-2.0") -> dict[str, bytes]:
    card = f"---\nlicense: {license}\ntags:\n- image-classification\n---\n# A card\n"
    return {
        "model.safetensors": weights.read_bytes(),
        "config.json": json.dumps(CONFIG).encode(),
        "README.md": card.encode(),
    }


def offline(home: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": ""}
    command = [sys.executable, "-m", "netdsl", "weights", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("torchvision/ResNet18_Weights.IMAGENET1K_V1", "timm/resnet18.tv_in1k"),
    ],
)
def test_a_repository_of_the_cache(weights: Path, tmp_path: Path, asked: str, name: str) -> None:
    """Nothing is fetched; what is written are the file's numbers, and where they come from."""
    cached(tmp_path, name, repository(weights))
    ran = offline(tmp_path, "resnet:ResNet18", "--pretrained", asked, "-o", tmp_path / "out.safetensors")
    assert ran.returncode == 0, ran.stderr
    assert f"{name} at {COMMIT}" in ran.stdout
    assert "licence: apache-2.0" in ran.stdout
    assert "mean [0.485, 0.456, 0.406]" in ran.stdout
    assert "size 224, resize 235, interpolation bicubic" in ran.stdout
    theirs, ours = load_file(weights), load_file(tmp_path / "out.safetensors")
    for mine, other in layouts.truth("resnet:ResNet18", "timm/resnet18").items():
        np.testing.assert_array_equal(ours[mine], theirs[other])
    with safe_open(tmp_path / "out.safetensors", "np") as file:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        expected = {"pretrained": name, "revision": COMMIT, "license": "apache-2.0"}
        assert file.metadata() == expected | {"sha256": f"model.safetensors:{digest}"}


def test_a_damaged_file_is_refused(weights: Path, tmp_path: Path) -> None:
    found = cached(tmp_path, "timm/resnet18.a1_in1k", repository(weights))
    blob = next(p for p in (found / "blobs").iterdir() if p.stat().st_size > 10**6)
    data = bytearray(blob.read_bytes())
    data[-5] ^= 1
    blob.write_bytes(data)
    out = tmp_path / "out.safetensors"
    ran = offline(tmp_path, "resnet:ResNet18", "--pretrained", "timm/resnet18.a1_in1k", "-o", out)
    assert ran.returncode == 2
    assert "model.safetensors of timm/resnet18.a1_in1k is damaged" in ran.stderr
    assert not out.exists()


def test_a_folder_with_a_licence_against_commerce(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, data in repository(weights, "cc-by-nc-4.0").items():
        (tmp_path / file).write_bytes(data)
    assert main(["weights", "resnet:ResNet18", "--pretrained", str(tmp_path), "--json"]) == 0
    shown = capsys.readouterr()
    assert "the licence cc-by-nc-4.0" in shown.err
    about = json.loads(shown.out)["repository"]
    assert about["license"] == "cc-by-nc-4.0"
    assert about["preprocessing"]["std"] == [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pretrained", "timm/nothing"), "there is no repository timm/nothing to be had"),
        (("--pretrained", "no such name"), "there is no repository no such name to be had"),
        (("--pretrained", "torchvision/ResNet18_Weights.IMAGENET1K_V2"), "no repository with safetensors is known for"),
        (("--pretrained", "PICKLED"), "holds no safetensors"),
        (("--pretrained", "PICKLED", "file.pth"), "two sources of weights"),
        (("file.pth", "--pretrained", "PICKLED"), "two sources of weights"),
        ((), "required: FILE"),
        (("file.pth", "--revision", "main"), "`--revision` is a commit or tag of a repository"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    given = [a.replace("PICKLED", str(tmp_path / "pickled")) for a in arguments]
    ran = offline(tmp_path, "resnet:ResNet18", *given)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
