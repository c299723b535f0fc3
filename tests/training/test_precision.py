"""Half precision, torch's compiler and determinism, as far as a CPU shows them.

On a CPU a run computes in fp32; here the engine's path for GPUs is taken by hand: autocast and the scaler work on
both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from torch import Tensor, nn
from training_harness import loop_of, small_net

from netdsl.cli.main import main
from netdsl.training.diagnose import Diverged
from netdsl.training.entry import choose_arithmetic

FIELDS = "steps = 12\nbatch = 16\noptimizer = sgd(lr=0.05, momentum=0.9)\nschedule = cosine\n"


def halved(loop: Any, dtype: torch.dtype, scale: float = 65536.0) -> Any:
    """A loop that computes in half precision, as on a GPU."""
    loop.autocast = dtype
    loop.scaler = torch.amp.GradScaler("cpu", scale, enabled=dtype == torch.float16)
    return loop


def losses(loop: Any) -> list[float]:
    found: list[float] = []

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            found.append(float(numbers["loss"]))

    loop.watch = watch
    loop.run()
    return found


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("more", ["", "clip = 0.5\nmicro_batch = 6"])
def test_half_precision_trains_close_to_fp32(dtype: torch.dtype, more: str) -> None:
    whole = losses(loop_of(FIELDS + more))
    half = losses(halved(loop_of(FIELDS + more), dtype, scale=1024.0))
    assert half != whole
    assert half == pytest.approx(whole, rel=0.03)
    assert whole[-1] < 0.8 * whole[0]


def test_weights_and_losses_stay_float32() -> None:
    loop = halved(loop_of(FIELDS), torch.bfloat16)
    kinds: list[torch.dtype] = []
    loop.module[0].register_forward_hook(lambda m, i, o: kinds.append(o.dtype))
    loop.update(0)
    assert kinds == [torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in loop.module.parameters())
    assert all(p.grad.dtype == torch.float32 for p in loop.module.parameters())
    assert loop.pending == [] or loop.pending[0][1].dtype == torch.float32


class Overflow(nn.Module):
    """Multiplies by something beyond fp16's range in chosen calls."""

    def __init__(self, calls: set[int]) -> None:
        super().__init__()
        self.calls, self.count = calls, 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += self.training
        return x * (float("inf") if self.training and self.count in self.calls else 1.0)


def overflowing(calls: set[int]) -> nn.Module:
    return nn.Sequential(*small_net(norm=False, dropout=0.0), Overflow(calls))


def test_an_overflow_of_fp16_skips_the_step_and_not_the_schedule(tmp_path: Path) -> None:
    """Update 4 changes nothing and halves the scale; the lr of step 5 is that of step 5."""
    loop = halved(loop_of(FIELDS, tmp_path, module=overflowing({4})), torch.float16)
    seen: list[tuple[Tensor, float, float]] = []

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            seen.append((loop.module[0].weight.detach().clone(), numbers["lr"], loop.scaler.get_scale()))

    loop.watch = watch
    loop.run()
    assert loop.state.step == 12
    same = [torch.equal(a[0], b[0]) for a, b in pairwise(seen)]
    assert same == [False, False, True, *[False] * 8]
    assert [lr for _, lr, _ in seen] == [loop.schedule(s, 0) for s in range(12)]
    assert [scale for _, _, scale in seen] == [65536.0] * 3 + [32768.0] * 9
    again = halved(loop_of(FIELDS, tmp_path, module=overflowing(set())), torch.float16)
    again.restore()
    assert again.scaler.get_scale() == 32768.0


def test_fp16_that_overflows_for_ever_is_diagnosed() -> None:
    loop = halved(loop_of(FIELDS.replace("12", "200"), module=overflowing(set(range(3, 1000)))), torch.float16)
    with pytest.raises(Diverged, match="loss is not finite"):
        loop.run()
    assert loop.state.step < 60


def test_a_cpu_says_that_it_computes_in_fp32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.net").write_text("net A(classes=10) { input image [1, 8, 8]\n flatten -> linear(classes) }\n")
    for precision in ("bf16", "fp16"):
        settings = ["--set", "steps=2", "--set", f"precision={precision}"]
        folder = str(tmp_path / precision)
        assert main(["train", str(tmp_path / "a.net"), "--no-onnx", "-o", folder, *settings]) == 0
        assert f"{precision} is for GPUs: computed in fp32 here" in capsys.readouterr().err


@pytest.mark.slow
def test_compiling_keeps_the_keys_and_the_numbers(tmp_path: Path) -> None:
    """The same losses to rounding, with an average evaluated too; the checkpoint resumes without the compiler."""
    fields = FIELDS + "ema = 0.9\nevaluate = 6 steps\n"
    plain = loop_of(fields + "compile = off", module=small_net(dropout=0.0))
    compiled = loop_of(fields + "compile = on", tmp_path, module=small_net(dropout=0.0))
    one, two = losses(plain), losses(compiled)
    assert two == pytest.approx(one, rel=1e-4)
    assert list(compiled.module.state_dict()) == list(plain.module.state_dict())
    again = loop_of(fields, tmp_path, module=small_net(dropout=0.0))
    assert again.restore()
    for a, b in zip(again.module.parameters(), compiled.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_compiling_without_a_compiler_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text("net A(classes=10) { input image [1, 8, 8]\n flatten -> linear(classes) }\n")
    done = subprocess.run(
        [sys.executable, "-m", "netdsl", "train", "a.net", "--set", "steps=2", "--set", "compile=on", "-o", "run"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env={**os.environ, "PATH": "/nowhere", "CXX": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert "`compile = on` needs a C++ compiler on a CPU" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_gpu_rounds_to_tf32_unless_told_otherwise() -> None:
    """As hand-written loops ask for (torch's `high`); a CPU computes whole float32 whatever is asked for."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    try:
        for fields, device, wanted in (
            ("", "cuda", "high"),
            ("precision = fp32", "cuda", "highest"),
            ("precision = bf16", "cuda", "highest"),
            ("", "cpu", "highest"),
        ):
            choose_arithmetic(recipe(fields), torch.device(device))
            assert torch.get_float32_matmul_precision() == wanted
            assert torch.backends.cudnn.allow_tf32 is (wanted == "high")
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:]


def test_determinism_is_set_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text("net A(classes=10) { input image [1, 8, 8]\n flatten -> linear(classes) }\n")
    try:
        for wanted in (True, False):
            settings = ["--set", "steps=2", "--set", f"deterministic={str(wanted).lower()}"]
            folder = tmp_path / str(wanted)
            assert main(["train", str(tmp_path / "a.net"), "--no-onnx", "-q", "-o", str(folder), *settings]) == 0
            record = json.loads((folder / "run.json").read_text())
            assert record["environment"]["deterministic"] is wanted
            assert torch.are_deterministic_algorithms_enabled() is wanted
            assert record["environment"]["threads"] == torch.get_num_threads()
            assert record["environment"]["python"] == sys.version.split()[0]
            assert record["versions"]["torch"] == torch.__version__
            assert torch.backends.cudnn.benchmark is not wanted
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)


def test_going_on_elsewhere_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.net").write_text("net A(classes=10) { input image [1, 8, 8]\n flatten -> linear(classes) }\n")
    folder = tmp_path / "run"
    assert main(["train", str(tmp_path / "a.net"), "--no-onnx", "-o", str(folder), "--set", "steps=2"]) == 0
    record = json.loads((folder / "run.json").read_text())
    record["environment"]["python"] = "3.9.1"
    (folder / "run.json").write_text(json.dumps(record))
    assert main(["train", "--resume", str(folder), "--no-onnx"]) == 0
    assert "python: 3.9.1 -> " in capsys.readouterr().err
