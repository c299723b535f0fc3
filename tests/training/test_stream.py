"""Checkpoints are written tensor by tensor, and read by the safetensors library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from netdsl.training.checkpoints import stream
from netdsl.training.checkpoints.format import load_tensors, save_tensors


def every_kind() -> dict[str, Tensor]:
    torch.manual_seed(0)
    found: dict[str, Tensor] = {
        str(d).removeprefix("torch."): torch.randn(3, 5).mul(9).to(d) for d in stream.DTYPES if d != torch.bool
    }
    return found | {
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "transposed": torch.randn(4, 6).t(),
        "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "expanded": torch.tensor([1.5]).expand(5),
        "slice": torch.arange(20)[3:9:2],
    }


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    tensors = every_kind()
    save_tensors(tmp_path / "ours", tensors, {"step": 3, "name": "é"})
    found = load_file(tmp_path / "ours")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    assert load_tensors(tmp_path / "ours")[1] == {"step": 3, "name": "é"}


def test_one_tensor_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contiguous tensor is written from its own memory; of others there's one copy at a time."""
    tensors = every_kind()
    own = {t.data_ptr() for n, t in tensors.items() if t.is_contiguous() and t.numel()}
    written: list[int] = []
    take = stream._bytes

    def note(tensor: Tensor) -> memoryview:
        view = take(tensor)
        if tensor.is_contiguous() and tensor.numel():
            written.append(torch.frombuffer(view, dtype=torch.uint8).data_ptr())
        return view

    monkeypatch.setattr(stream, "_bytes", note)
    save_tensors(tmp_path / "ours", tensors)
    assert set(written) == own


@pytest.mark.slow
def test_a_checkpoint_adds_less_than_four_bytes_a_parameter_to_the_peak(tmp_path: Path) -> None:
    script = (
        "import resource, torch\nfrom pathlib import Path\n"
        "from netdsl.training.checkpoints.format import save_tensors\n"
        "tensors = {str(i): torch.ones(2**20) for i in range(64)}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"save_tensors(Path({str(tmp_path / 'big')!r}), tensors)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 4 * 64 * 2**20
