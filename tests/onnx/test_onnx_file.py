"""ONNX files: written whole or not at all, with weights beside them where they are large, fit for the quantisers."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import zoo_tables
from missing import run_without
from onnx import ModelProto
from onnx_nets import compiled, made, module_of, random_state, zoo
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import netdsl
from netdsl.backends.onnx.file import load, metadata, save
from netdsl.backends.onnx.session import Session
from netdsl.backends.onnx.wire import pieces
from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import UserError


@pytest.fixture
def model() -> ModelProto:
    return made(zoo("lenet", "LeNet5"), metadata={"net": "LeNet5"})


def image(model: ModelProto, seed: int = 0) -> dict[str, Any]:
    value = model.graph.input[0]
    sizes = [d.dim_value or 32 for d in value.type.tensor_type.shape.dim][1:]
    return {value.name: np.random.default_rng(seed).normal(size=(1, *sizes)).astype("float32")}


def test_a_file_holds_the_model(model: ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert save(model, path) == (path,)
    assert load(path) == model
    assert metadata(load(path))["net"] == "LeNet5"
    assert Session(path).metadata["net"] == "LeNet5"
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_the_pieces_are_the_bytes_of_protobuf(model: ModelProto) -> None:
    data = model.SerializeToString(deterministic=True)
    assert b"".join(pieces(model)) == data
    model.graph.initializer.add(
        name="typed", data_type=1, dims=[2], float_data=[1.0, 2.0], doc_string="of another tool"
    )
    model.graph.initializer.add(name="empty", data_type=1, dims=[0], raw_data=b"")
    assert b"".join(pieces(model)) == model.SerializeToString(deterministic=True)
    assert b"".join(pieces(ModelProto())) == ModelProto(graph={}).SerializeToString()


def test_large_weights_go_beside_the_file(model: ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    before = model.SerializeToString()
    assert save(model, path, limit=1000) == (path, tmp_path / "model.onnx.data")
    assert model.SerializeToString() == before
    assert path.stat().st_size < 10_000
    x = image(model)
    (whole,), (split,) = Session(before).run(x).values(), Session(path).run(x).values()
    np.testing.assert_array_equal(whole, split)
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "model.onnx.data"]
    assert [t.raw_data for t in load(path).graph.initializer] == [t.raw_data for t in model.graph.initializer]


@pytest.mark.parametrize("limit", [2**31, 1000])
def test_a_full_disk_leaves_what_was_there(model: ModelProto, tmp_path: Path, limit: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            save(model, path, limit=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert path.read_bytes() == b"old"


def test_a_missing_folder_is_an_os_error(model: ModelProto, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        save(model, tmp_path / "nowhere" / "model.onnx")


@pytest.mark.parametrize("data", [b"", b"net Net { }", bytes(range(256)) * 20])
def test_what_is_not_a_model_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(UserError, match="not an ONNX model"):
        load(path)


class Images(CalibrationDataReader):  # type: ignore[misc]
    """A few random images to calibrate with."""

    def __init__(self, model: ModelProto) -> None:
        self.images = iter([image(model, seed) for seed in range(2)])

    def get_next(self) -> Any:
        return next(self.images, None)


NETS = {
    "lenet": zoo("lenet", "LeNet5"),
    "resnet": zoo("resnet_cifar", "ResNet20"),
    "unet": zoo("unet", "UNet", depth=2, width=8),
    "groupnorm": compiled("net Net { input x [3, 8, 8]\n conv(8, 3) -> groupnorm(2) -> relu -> gap -> linear(4) }"),
    "shared": compiled("net Net { input x [6]\n share f = linear(6)\n f -> relu -> f -> relu -> f }"),
    "transformer": compiled(
        "net Net { input x [9, 8]\n layernorm -> attention(2) -> linear(16) -> gelu -> linear(8) }"
    ),
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("opset", [18, 21, 23])
def test_both_quantisers_run(net: str, opset: int, tmp_path: Path) -> None:
    model = made(NETS[net], opset=opset)
    if any(n.op_type == "Attention" for n in model.graph.node):
        pytest.skip("onnxruntime's quantisers take it for their own node of that name, which has other inputs")
    path = tmp_path / "model.onnx"
    save(model, path)
    quantize_dynamic(path, tmp_path / "dynamic.onnx")
    quantize_static(path, tmp_path / "static.onnx", Images(model))
    x = image(model)
    exact = Session(path).run(x)
    for name in ("dynamic.onnx", "static.onnx"):
        for key, y in Session(tmp_path / name).run(x).items():
            assert np.abs(y - exact[key]).max() <= 0.1 * np.abs(exact[key]).max()


def preprocessed(model: ModelProto, folder: Path, **options: Any) -> None:
    """onnxruntime's preparation for its quantisers gives a file that computes the same."""
    save(model, folder / "model.onnx")
    quant_pre_process(folder / "model.onnx", folder / "prepared.onnx", **options)
    x = image(model)
    for key, y in Session(folder / "prepared.onnx").run(x).items():
        np.testing.assert_allclose(y, Session(folder / "model.onnx").run(x)[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"auto_merge": True}, {"skip_symbolic_shape": True}, {}], ids=str)
@pytest.mark.parametrize("net", ["resnet", "unet"])
def test_files_are_prepared_for_the_quantisers(
    net: str, options: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shape inference forgets what a file says, and does not know that `H % 4 == 0`: where branches of named sizes
    meet, it is told that they are equal, or to take the file's word for it."""
    if options or net == "resnet":
        return preprocessed(made(NETS[net]), tmp_path, **options)
    monkeypatch.chdir(tmp_path)  # it leaves files where it fails
    with pytest.raises(Exception, match="Incomplete symbolic shape inference"):
        preprocessed(made(NETS[net]), tmp_path)
    fixed = netdsl.load("unet", net="UNet", depth=2, width=8, sizes={"H": 32, "W": 32})
    preprocessed(made(fixed.program), tmp_path)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, facts in zoo_tables.entries().items() if not facts.get("slow")])
def test_every_file_of_the_zoo_is_prepared_for_the_quantisers(name: str, tmp_path: Path) -> None:
    save(made(zoo_tables.net(name).checked), tmp_path / "model.onnx")
    for options in ({"auto_merge": True}, {"skip_symbolic_shape": True}):
        quant_pre_process(tmp_path / "model.onnx", tmp_path / "prepared.onnx", **options)
        Session(tmp_path / "prepared.onnx")


def test_weights_in_a_file_become_onnx_without_torch(tmp_path: Path) -> None:
    """Arrays in, the same bytes out as by way of a module; `netdsl weights` too."""
    given = tmp_path / "given.npz"
    np.savez(given, **random_state(zoo("lenet", "LeNet5")))
    emit = ["compile", "lenet", "--weights", given, "--no-verify", "--emit", "onnx,weights", "--json", "-o"]
    ran = run_without(("torch",), *emit, tmp_path / "without")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert main([*map(str, emit), str(tmp_path / "with")]) == 0
    for name in ("model.onnx", "model.safetensors"):
        assert (tmp_path / "without" / name).read_bytes() == (tmp_path / "with" / name).read_bytes()
    module = module_of(zoo("lenet", "LeNet5"))
    module.load_state_dict({k: torch.from_numpy(v) for k, v in random_state(zoo("lenet", "LeNet5")).items()})
    netdsl.load("lenet").to_onnx(tmp_path / "module.onnx", module, verify=False)
    assert (tmp_path / "module.onnx").read_bytes() == (tmp_path / "with" / "model.onnx").read_bytes()
    ran = run_without(("torch",), "weights", "lenet", given, "-o", tmp_path / "out.safetensors")
    assert ran.returncode == 0, ran.stderr
    assert safetensors.numpy.load_file(tmp_path / "out.safetensors").keys() == module.state_dict().keys()
