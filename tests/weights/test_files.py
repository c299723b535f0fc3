"""Weights out of the files of the world; what is damaged, hostile or something else is refused, nothing is written."""

from __future__ import annotations

import argparse
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor, nn

import netdsl
from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.weights.load import Rules, load
from netdsl.weights.read import Foreign, read_file
from netdsl.weights.unwrap import WeightsError

SPEC = """
net Small(classes=4, channels=3) {
  input image [channels, 16, 16]
  stem: conv(8, 3, bias=false) -> bn -> relu
  body: repeat 2 { conv(8, 3, bias=false) -> bn -> relu }
  head: gap -> linear(classes)
}
"""


class Other(nn.Module):
    """The same net with other names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        for i in (2, 3):
            setattr(self, f"conv{i}", nn.Conv2d(8, 8, 3, 1, 1, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 4)


def state(seed: int = 0) -> dict[str, Tensor]:
    """A state dict in which every tensor is different."""
    torch.manual_seed(seed)
    found = Other().state_dict()
    return {k: torch.randn_like(v) if v.is_floating_point() else v for k, v in found.items()}


OWN = {
    "stem.0.weight": "conv1.weight", "stem.1.weight": "bn1.weight", "stem.1.bias": "bn1.bias",
    "stem.1.running_mean": "bn1.running_mean", "stem.1.running_var": "bn1.running_var",
    "body.0.0.weight": "conv2.weight", "body.0.1.bias": "bn2.bias", "body.0.1.running_var": "bn2.running_var",
    "body.1.0.weight": "conv3.weight", "body.1.1.bias": "bn3.bias", "head.1.weight": "fc.weight",
    "head.1.bias": "fc.bias",
}  # fmt: skip


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "small.net").write_text(SPEC)
    return str(tmp_path / "small.net")


def taken(spec: str, file: Path, *options: str) -> dict[str, Any]:
    """What `netdsl weights` writes."""
    out = file.parent / "out.safetensors"
    assert main(["weights", spec, str(file), "-o", str(out), *options]) == 0
    return load_file(out)


def is_right(found: dict[str, Any], true: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    return all(
        np.abs(found[own].reshape(-1) - true[name].float().numpy().reshape(-1)).max() <= tolerance
        for own, name in OWN.items()
    )


def wrapped(key: str) -> Callable[[dict[str, Tensor], Path], None]:
    return lambda tensors, path: torch.save(
        {"epoch": 3, key: tensors, "optimizer": {"state": {0: torch.ones(3)}}}, path
    )


def with_settings(tensors: dict[str, Tensor], path: Path) -> None:
    torch.save({"model": tensors, "args": argparse.Namespace(lr=0.1, path=Path("x"))}, path)


def sharded(tensors: dict[str, Tensor], path: Path) -> None:
    names = sorted(tensors)
    shards = {f"part-{i}.safetensors": names[i::3] for i in range(3)}
    for shard, keys in shards.items():
        save_file({k: tensors[k].clone() for k in keys}, path.parent / shard)
    path.write_text(json.dumps({"weight_map": {k: shard for shard, keys in shards.items() for k in keys}}))


def shuffled(tensors: dict[str, Tensor], path: Path) -> None:
    keys = random.Random(5).sample(sorted(tensors), len(tensors))
    save_file({k: tensors[k].clone() for k in keys}, path)


def onnx_file(tensors: dict[str, Tensor], path: Path) -> None:
    import onnx
    from onnx import helper, numpy_helper

    arrays = [numpy_helper.from_array(t.numpy(), k) for k, t in tensors.items()]
    onnx.save(helper.make_model(helper.make_graph([], "weights", [], [], arrays)), path)


FILES: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "plain.pth": torch.save,  # type: ignore[dict-item]
    "legacy.pt": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "ddp.pth": lambda tensors, path: torch.save({f"module._orig_mod.{k}": v for k, v in tensors.items()}, path),
    **{f"{key}.ckpt": wrapped(key) for key in ("state_dict", "model", "ema", "net", "params", "weights", "anything")},
    "settings.bin": with_settings,
    "shuffled.safetensors": shuffled,
    "mislabelled.pth": shuffled,
    "index.json": sharded,
    "arrays.npz": lambda tensors, path: np.savez(path, **{k: v.numpy() for k, v in tensors.items()}),
    "initialisers.onnx": onnx_file,
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_world(name: str, spec: str, tmp_path: Path) -> None:
    true = state()
    FILES[name](true, tmp_path / name)
    assert is_right(taken(spec, tmp_path / name), true)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_other_widths(dtype: torch.dtype, ending: str, spec: str, tmp_path: Path) -> None:
    """Converted to fp32, or kept where that is asked for."""
    true = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state().items()}
    file = tmp_path / f"wide.{ending}"
    (torch.save if ending == "pth" else shuffled)(true, file)  # type: ignore[operator]
    found = taken(spec, file)
    assert is_right(found, true, 1e-7)
    assert found["stem.0.weight"].dtype == np.float32
    taken(spec, file, "--keep-dtype")
    kept = read_file(str(tmp_path / "out.safetensors")).tensors
    assert kept["stem.0.weight"].dtype.name == str(dtype).removeprefix("torch.")


def test_counters_that_a_file_lacks_are_filled(spec: str, tmp_path: Path) -> None:
    torch.save({k: v for k, v in state().items() if "num_batches" not in k}, tmp_path / "old.pth")
    assert taken(spec, tmp_path / "old.pth")["stem.1.num_batches_tracked"] == 0


def test_one_of_several_sets_is_asked_for(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = state(1), state(2)
    torch.save({"teacher": first, "student": second}, tmp_path / "two.pth")
    assert main(["weights", spec, str(tmp_path / "two.pth")]) == 2
    assert "`teacher`" in capsys.readouterr().err
    assert is_right(taken(spec, tmp_path / "two.pth", "--inside", "student"), second)
    both = {f"a.{k}": v for k, v in first.items()} | {f"b.{k}": v for k, v in second.items()}
    torch.save(both, tmp_path / "flat.pth")
    assert is_right(taken(spec, tmp_path / "flat.pth", "--inside", "b"), second)


def test_parametrised_weights(tmp_path: Path) -> None:
    """Weight norm and spectral norm, in both spellings of torch, become the weights that they compute."""
    (tmp_path / "mlp.net").write_text(
        "net M { input x [6]\n linear(5) -> relu -> linear(4) -> relu -> linear(3) -> relu -> linear(2) }"
    )
    layers = [nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(3, 2)]
    twin = nn.Sequential(
        nn.utils.weight_norm(layers[0]), nn.ReLU(),
        nn.utils.parametrizations.weight_norm(layers[1]), nn.ReLU(),
        nn.utils.spectral_norm(layers[2]), nn.ReLU(),
        nn.utils.parametrizations.spectral_norm(layers[3]),
    )  # fmt: skip
    x = torch.randn(3, 6)
    twin(x)
    twin.eval()
    torch.save(twin.state_dict(), tmp_path / "norm.pth")
    found = taken(str(tmp_path / "mlp.net"), tmp_path / "norm.pth")
    module = netdsl.load(tmp_path / "mlp.net").module().eval()
    module.load_state_dict({k: torch.from_numpy(v) for k, v in found.items()})
    assert (module(x) - twin(x)).abs().max() < 1e-5


class Exploit:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("code ran",)


def truncated(path: Path) -> None:
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[:-400])


def truncated_safetensors(path: Path) -> None:
    shuffled(state(), path)
    path.write_bytes(path.read_bytes()[:-40])


def missing_shard(path: Path) -> None:
    path.write_text(json.dumps({"weight_map": {"conv1.weight": "gone.safetensors"}}))


def shard_elsewhere(path: Path) -> None:
    path.write_text(json.dumps({"weight_map": {"conv1.weight": "../../etc/passwd"}}))


def object_arrays(path: Path) -> None:
    np.savez(path, weights=np.array([Exploit()], dtype=object))


BAD: dict[str, Callable[[Path], None]] = {
    "truncated.pth": truncated,
    "truncated.safetensors": truncated_safetensors,
    "code.pth": lambda path: torch.save({"w": Exploit()}, path),
    "pickle.pth": lambda path: path.write_bytes(pickle.dumps(Exploit())),  # type: ignore[dict-item, return-value]
    "module.pth": lambda path: torch.save(nn.Linear(2, 2), path),
    "list.pth": lambda path: torch.save([torch.ones(2)], path),
    "text.pth": lambda path: path.write_text("no weights"),  # type: ignore[dict-item, return-value]
    "text.safetensors": lambda path: path.write_text("no weights"),  # type: ignore[dict-item, return-value]
    "empty.pth": lambda path: path.write_bytes(b""),  # type: ignore[dict-item, return-value]
    "nothing.pth": lambda path: torch.save({"epoch": 3}, path),
    "text.npz": lambda path: path.write_text("no weights"),  # type: ignore[dict-item, return-value]
    "objects.npz": object_arrays,
    "text.onnx": lambda path: path.write_text("no weights"),  # type: ignore[dict-item, return-value]
    "text.json": lambda path: path.write_text("{"),  # type: ignore[dict-item, return-value]
    "gone.json": missing_shard,
    "elsewhere.json": shard_elsewhere,
    "meta.pth": lambda path: torch.save({"a.weight": torch.ones(2, 2, device="meta")}, path),
    "fnuz.pth": lambda path: torch.save({"a.weight": torch.ones(2).to(torch.float8_e5m2fnuz)}, path),
    "ragged.pth": lambda path: torch.save({"a": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, path),
    "unnamed.pth": lambda path: torch.save({"": torch.ones(2, 2)}, path),
    "itself.json": lambda path: path.write_text('{"weight_map": {"a.weight": "itself.json"}}'),  # type: ignore[dict-item, return-value]
    "keras.h5": lambda path: path.write_text("HDF"),  # type: ignore[dict-item, return-value]
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_file_of_weights_is_refused(
    name: str, spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BAD[name](tmp_path / name)
    out = tmp_path / "out.safetensors"
    assert main(["weights", spec, str(tmp_path / name), "-o", str(out)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error")
    assert "Traceback" not in said.err
    assert "code ran" not in said.out
    assert not out.exists()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int16", "bool"])
def test_types_are_read_alike_from_both_kinds_of_file(dtype: str, tmp_path: Path) -> None:
    tensors = {"a.weight": torch.tensor([[0.0, 1.0, -2.0], [0.5, 3.0, 1.0]]).to(getattr(torch, dtype))}
    torch.save(tensors, tmp_path / "a.pth")
    save_file(tensors, tmp_path / "a.safetensors")
    (pickled,), (plain,) = (read_file(str(tmp_path / f"a.{k}")).tensors.values() for k in ("pth", "safetensors"))
    assert pickled.dtype == plain.dtype
    assert np.array_equal(pickled.astype("float64"), tensors["a.weight"].double().numpy())
    assert np.array_equal(plain.astype("float64"), pickled.astype("float64"))


def test_reading_names_what_it_refuses(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_file(str(tmp_path / "whole.pth"))
    scripted = torch.jit.script(nn.Linear(2, 2))
    torch.jit.save(scripted, tmp_path / "script.pt")
    with pytest.raises(WeightsError) as refused:
        read_file(str(tmp_path / "script.pt"))
    assert "TorchScript" in str(refused.value.hint)


def test_numbers_that_are_none_are_named(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = state()
    bad["conv2.weight"][0, 0, 0, 0] = float("nan")
    torch.save(bad, tmp_path / "nan.pth")
    assert main(["weights", spec, str(tmp_path / "nan.pth"), "-o", str(tmp_path / "out.safetensors")]) == 1
    assert "`conv2.weight`" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_whole_numbers_are_no_weights(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({k: (v * 10).to(torch.int8) for k, v in state().items()}, tmp_path / "int8.pth")
    assert main(["weights", spec, str(tmp_path / "int8.pth")]) == 1
    assert "quantised" in capsys.readouterr().err


@pytest.mark.parametrize("average", ["ema_model", "ema_model.module"])
def test_a_net_beside_its_average_is_asked_for(
    average: str, spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What holds the same tensors twice below two prefixes says so; one of them is taken."""
    both = {f"{name}.{k}": v for i, name in enumerate(("online_model", average)) for k, v in state(i).items()}
    torch.save({**both, "initted": torch.tensor(True)}, tmp_path / "ema.pth")
    assert main(["weights", spec, str(tmp_path / "ema.pth")]) == 1
    assert "`--inside ema_model`" in capsys.readouterr().err
    assert is_right(taken(spec, tmp_path / "ema.pth", "--inside", "ema_model"), state(1))


def test_patches_in_an_order_that_no_shape_shows_are_refused() -> None:
    """A linear layer over flattened patches has the numbers of the convolution, in an order of its own."""
    text = "net N { input image [3, 16, 16]\n patchify(8, 4) -> flatten(start=1) -> permute((1, 0)) -> linear(5) }"
    net = Spec(Source(text, "n.net"), read_import).net("N")
    shapes = {"embed.weight": (8, 48), "embed.bias": (8,), "fc.weight": (5, 8), "fc.bias": (5,)}
    file = Foreign("f", {k: np.ones(shape, "float32") for k, shape in shapes.items()})
    with pytest.raises(WeightsError) as refused:
        load(net.checked, file, dict, Rules())
    assert "`embed.weight` [8, 48]" in str(refused.value.hint)


def test_an_average_beside_the_weights_is_said(tmp_path: Path) -> None:
    """Which set was taken is said where a file holds several; not where one was asked for."""
    state = {"fc.weight": torch.ones(2, 2)}
    path = str(tmp_path / "both.pth")
    torch.save({"model": state, "ema": {k: v * 2 for k, v in state.items()}, "optimizer": {}}, path)
    assert read_file(path).beside == ("ema",)
    asked = read_file(path, "ema")
    assert (asked.beside, asked.tensors["fc.weight"].max()) == ((), 2)


def test_tensors_of_a_safetensors_file_come_in_its_order(tmp_path: Path) -> None:
    """Notes and matchings follow that order: it is no hash's, which differs from one process to the next."""
    save_file({f"layer{i}.weight": torch.full((3,), float(i)) for i in range(40)}, tmp_path / "w.safetensors")
    header = (tmp_path / "w.safetensors").read_bytes()
    names = list(json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")]))
    assert list(read_file(str(tmp_path / "w.safetensors")).tensors) == [n for n in names if n != "__metadata__"]
