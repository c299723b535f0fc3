"""Too many samples at once, too few, and numbers that are no longer finite: what is said, and what is left."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from training_harness import loop_of, samples, small_net

from netdsl.cli.main import main
from netdsl.training.capacity import is_out_of_memory, largest
from netdsl.training.checkpoints.manager import CheckpointManager
from netdsl.training.data.dataset import DataError
from netdsl.training.data.ragged import check_batches
from netdsl.training.diagnose import Diverged
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.trainer import Trainer

CPU = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
SPEC = """
net Small(classes=10) {
  input image [1, 8, 8]
  conv(4, 3) -> groupnorm(2) -> relu -> maxpool(2)
  flatten -> linear(classes)
}
recipe Quick for Small {
  data       = digits(test=0.9)
  epochs     = 3
  batch      = 60
  optimizer  = sgd(lr=0.05, momentum=0.9)
  checkpoint = 2 steps
}
"""
FILES = {"small.net": SPEC}


def train(folder: str, *settings: str) -> int:
    given = [part for s in settings for part in ("--set", s)]
    return main(["train", "small.net", "--no-onnx", "-o", folder, *given])


class Narrow(nn.Module):
    """Has memory for so many samples."""

    def __init__(self, most: int, error: type[Exception] = RuntimeError) -> None:
        super().__init__()
        self.most, self.error = most, error

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > self.most:
            raise self.error(f"{CPU} 4096 bytes")
        return x


def narrow(most: int, error: type[Exception] = RuntimeError) -> nn.Module:
    return nn.Sequential(Narrow(most, error), *small_net(norm=False, dropout=0.0))


# Too many at once.


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError])
@pytest.mark.parametrize(
    ("most", "fields", "said", "hint"),
    [
        (16, "batch = 48", "48 samples at once; 16 fit", "micro_batch=16`: 3 micro-batches"),
        (15, "batch = 48", "48 samples at once; 15 fit", "micro_batch=12`: 4 micro-batches"),
        (1, "batch = 48", "48 samples at once; 1 fit", "micro_batch=1`: 48 micro-batches"),
        (7, "batch = 48\nmicro_batch = 16", "16 samples at once; 7 fit", "micro_batch=7`: 7 micro-batches"),
        (0, "batch = 48", "48 samples at once, nor for one", "a smaller net"),
        (0, "batch = 48\nmicro_batch = 1", "1 sample at once", "a smaller net"),
    ],
)
def test_what_fits_is_found_and_said(error: Any, most: int, fields: str, said: str, hint: str) -> None:
    loop = loop_of(f"steps = 3\n{fields}", module=narrow(most, error))
    with pytest.raises(DataError) as found:
        loop.run()
    assert said in found.value.message
    assert hint in (found.value.hint or "")


@pytest.mark.parametrize("most", range(16))
def test_the_largest_number_that_fits_is_found(most: int) -> None:
    tried: list[int] = []
    assert largest(lambda n: tried.append(n) or n <= most, 16) == most
    assert len(tried) <= 4
    assert 16 not in tried


def test_with_others_waiting_half_is_proposed() -> None:
    loop = loop_of("steps = 3\nbatch = 48", module=narrow(3), ranks=ProcessGroup(0, 1))
    loop.ranks = ProcessGroup(0, 2)  # the other one waits: nothing can be tried
    loop.parallel = loop.module
    with pytest.raises(DataError) as found:
        loop.update(0)
    assert "24 samples at once; 12 may fit" in found.value.message
    assert "micro_batch=12`: 2 micro-batches" in (found.value.hint or "")


class NarrowInEvaluation(Narrow):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training and len(x) > self.most:
            raise self.error(f"{CPU} 4096 bytes")
        return x


@pytest.mark.parametrize(("most", "said", "hint"), [(7, "16 samples at once in an evaluation; 7 fit", "micro_batch=6")])
def test_an_evaluation_that_outgrows_the_memory_says_what_fits(most: int, said: str, hint: str) -> None:
    module = nn.Sequential(NarrowInEvaluation(most), *small_net(norm=False, dropout=0.0))
    loop = loop_of("steps = 3\nbatch = 16", module=module)
    with pytest.raises(DataError, match=said) as found:
        loop.run()
    assert hint in (found.value.hint or "")


def test_memory_that_runs_out_anywhere_is_no_internal_error(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("netdsl.training.begun.prepare", refuse)
    assert train("run") == 1
    assert "error[out-of-memory]: there is not enough memory" in capsys.readouterr().err


def test_other_errors_stay_what_they_are() -> None:
    for said in (
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ):
        assert is_out_of_memory(RuntimeError(said))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        loop_of("steps = 3", module=nn.Sequential(Broken(), *small_net())).run()


def test_a_run_that_outgrew_its_memory_goes_on_as_it_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hint is a command; with it the run ends with the weights of one that had the memory, to rounding."""
    assert train("whole") == 0
    backward = Trainer._backward

    def limited(self: Trainer, step: int, first: int, last: int, final: bool) -> Tensor:
        if self.state.step >= 6 and last - first > 25:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return backward(self, step, first, last, final)

    monkeypatch.setattr(Trainer, "_backward", limited)
    assert train("run") == 1
    said = capsys.readouterr().err
    assert "the device has no memory for 60 samples at once; 25 fit" in said
    found = re.search(r"`netdsl (train --resume run --set micro_batch=(\d+))`: 3 micro-batches a step", said)
    assert found is not None
    assert found[2] == "20"
    state = CheckpointManager(here / "run", loop_of("steps = 1").recipe, 3).load()
    assert state is not None
    assert state[2].step == 6
    assert main([*found[1].split(), "--no-onnx"]) == 0
    assert "micro_batch: 0 -> 20" in capsys.readouterr().err
    one, two = (load_file(here / n / "model.safetensors") for n in ("whole", "run"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_memory_that_is_really_used_up(here: Path) -> None:
    """A process with little address space: torch's own error, found by torch's own allocator."""
    (here / "limited.py").write_text(
        "import resource, sys\nimport torch, sklearn.datasets\nfrom netdsl.cli.main import main\n"
        "import netdsl.training.entry\n"
        "have = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (have + 700 * 2**20,) * 2)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    settings = ["data=digits(test=0.1)", "batch=1600", "steps=3"]
    given = [part for s in settings for part in ("--set", s)]
    (here / "small.net").write_text(SPEC.replace("[1, 8, 8]", "[1, 64, 64]").replace("conv(4, 3)", "conv(32, 3)"))
    done = subprocess.run(
        [sys.executable, "limited.py", "train", "small.net", "--no-onnx", "-o", "run", *given],
        cwd=here, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = re.search(r"no memory for 1600 samples at once; (\d+) fit", done.stderr)
    assert found is not None, done.stderr
    assert 0 < int(found[1]) < 1600
    assert "Traceback" not in done.stderr


# Too few at once.


def flat_net() -> nn.Module:
    """Batch norm over features: one number of a sample for each channel."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("fields", "words", "hint"),
    [
        ("epochs = 1\nbatch = 7", "the last step of an epoch has 1 sample: the batch norm `2`", "drop_last = true"),
        ("epochs = 1\nbatch = 1", "a step has 1 sample: the batch norm `2`", "a larger `batch`"),
        ("epochs = 1\nbatch = 10\nmicro_batch = 1", "in parts of at most 1: the batch norm `2`", "`micro_batch = 2`"),
        ("epochs = 1\nbatch = 47\nmicro_batch = 2", "has 47 samples, in parts of at most 2", "`micro_batch = 3`"),
    ],
)
def test_a_batch_norm_without_a_batch_is_found_before_the_run(fields: str, words: str, hint: str) -> None:
    with pytest.raises(DataError) as found:
        check_batches(loop_of(fields, module=flat_net()))
    assert words in found.value.message
    assert hint in (found.value.hint or "")


@pytest.mark.parametrize(
    "fields",
    [
        "epochs = 1\nbatch = 7\ndrop_last = true",
        "steps = 3\nbatch = 7",  # it ends before the epoch's last update
        "epochs = 1\nbatch = 7\ndrop_last = true\nfreeze norm",
    ],
)
def test_batches_that_are_fine_are_left_alone(fields: str) -> None:
    loop = loop_of(fields, module=flat_net())
    assert check_batches(loop) == []
    loop.run()


def test_parts_that_batch_norms_see_are_said() -> None:
    fields = "epochs = 1\nbatch = 9\nmicro_batch = 4"  # 3 + 3 + 3, not 4 + 4 + 1
    loop = loop_of(fields, module=flat_net())
    assert ["from parts of 3 samples" in note for note in check_batches(loop)] == [True]
    loop.run()
    assert check_batches(loop_of(f"{fields}\nfreeze norm", module=flat_net())) == []
    assert check_batches(loop_of(fields, module=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))) == []


@pytest.mark.parametrize("batch", range(1, 13))
def test_what_is_refused_is_what_torch_refuses(batch: int) -> None:
    """Every size of batch and part: the check and a run agree."""
    for micro in (0, *range(1, batch + 1)):
        loop = loop_of(f"epochs = 1\nbatch = {batch}\nmicro_batch = {micro}", module=flat_net(), split=samples(25))
        try:
            check_batches(loop)
            refused = False
        except DataError:
            refused = True
        try:
            loop.run()
            failed = False
        except ValueError:  # "Expected more than 1 value per channel when training"
            failed = True
        assert refused == failed, (batch, micro)


def test_a_batch_norm_over_images_is_warned_of() -> None:
    """It works with one sample, of which its statistics then are."""
    said = check_batches(loop_of("epochs = 1\nbatch = 7", module=small_net()))[0]
    assert said.startswith("the last step of an epoch has 1 sample: batch norm takes its statistics from one sample")
    (only,) = check_batches(loop_of("epochs = 1\nbatch = 7", module=small_net(norm=False)))
    assert "whose gradient counts as much as a batch's" in only
    loop = loop_of("epochs = 1\nbatch = 7", module=small_net())
    before = {n: t.clone() for n, t in loop.module.state_dict().items()}
    check_batches(loop)
    assert all(torch.equal(before[n], t) for n, t in loop.module.state_dict().items())


@pytest.mark.parametrize(
    ("world", "fields", "words"),
    [
        (2, "epochs = 1\nbatch = 2", "a step has 2 samples for 2 processes: the batch norm `2`"),
        (2, "epochs = 1\nbatch = 12", "has 2 samples for 2 processes: the batch norm `2`"),
        (3, "epochs = 1\nbatch = 12", "has 2 samples: too few for 3 processes"),
        (2, "epochs = 1\nbatch = 10\nmicro_batch = 1", "for 2 processes, in parts of at most 1: the batch norm `2`"),
    ],
)
def test_shares_of_several_processes_are_checked(world: int, fields: str, words: str) -> None:
    loop = loop_of(fields, module=flat_net())
    loop.ranks = ProcessGroup(0, world)
    with pytest.raises(DataError, match=re.escape(words)):
        check_batches(loop)


def test_a_ragged_run_is_refused_with_its_hint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "small.net").write_text(SPEC.replace("conv(4, 3) -> groupnorm(2)", "flatten -> linear(4) -> bn").replace(
        "maxpool(2)\n  flatten -> linear", "linear"
    ))  # fmt: skip
    assert train("run", "batch=178") == 1  # 179 samples
    said = capsys.readouterr().err
    assert "the last step of an epoch has 1 sample: the batch norm" in said
    assert "hint: leave it out: `drop_last = true`" in said
    assert not (here / "run" / "metrics.jsonl").exists()
    assert train("run2", "batch=178", "drop_last=true") == 0


# No longer finite.


class Root(nn.Module):
    """Finite, with a gradient that is not."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (x * 0).sqrt()


def test_a_gradient_that_is_not_finite_is_found_before_it_harms(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Root(), nn.Linear(8, 3))
    loop = loop_of("steps = 5\nbatch = 16\ncheckpoint = 1 steps", tmp_path, module=module)
    with torch.no_grad():
        before = [p.clone() for p in module.parameters()]
    with pytest.raises(Diverged, match=r"at step 1 the loss is finite, but its gradient is not finite: .* `1` and `2`"):
        loop.run()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_gradient_beyond_float32_says_so() -> None:
    """Every number is finite, their squares are not."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    loop = loop_of("steps = 5\nbatch = 16\nloss = l1", module=module)
    loop.feed.split.inputs[0].mul_(1e25)
    with pytest.raises(Diverged, match="its squares are beyond float32"):
        loop.run()


def test_weights_that_overflow_are_not_saved(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Loss and gradient are finite, the update is not: the last good checkpoint stays, and its resume is proposed."""
    settings = ("schedule=multistep(at=[5 steps], factor=1e45)", "optimizer.lr=0.1", "checkpoint=1 steps")
    assert train("run", *settings) == 1
    said = capsys.readouterr().err
    assert "at step 6 the weights are not finite" in said
    assert "hint: the checkpoint of step 5 is good: `netdsl train --resume run --set optimizer.lr=" in said
    found = CheckpointManager(here / "run", loop_of("steps = 1").recipe, 3).load()
    assert found is not None
    assert found[2].step == 5
    assert all(bool(torch.isfinite(t).all()) for t in found[0].values() if t.is_floating_point())
    assert main(["train", "--resume", "run", "--no-onnx", "--set", "schedule=constant"]) == 0
    assert (here / "run" / "model.safetensors").exists()


def test_the_diagnosis_does_not_need_the_whole_batch() -> None:
    loop = loop_of("steps = 5\nbatch = 16\nmicro_batch = 4", module=nn.Sequential(Narrow(4), nn.Flatten(), Nan()))
    with pytest.raises(Diverged, match=r"layer `2.line`"):
        loop.run()


class Nan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.line((x + 1) * 1e30 * 1e30)  # type: ignore[no-any-return]
