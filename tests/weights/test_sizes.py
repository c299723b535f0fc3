"""Files that are not exactly the net's: other classes, channels, positions, heads, constants; said, never silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional as F
from weight_twins import HFViT, TimmViT, TorchvisionResNet18, randomised

import netdsl
from netdsl.cli.main import main
from netdsl.elaborate.elaborate import Options
from netdsl.weights.load import Rules, load
from netdsl.weights.read import Foreign

RESNET = """
block CB(c, k, stride) = conv(c, k, stride=stride, bias=false) -> bn
block Basic(c, stride): [cin, H, W] -> [c, _, _] {
  residual(shortcut=CB(c, 1, stride) if stride != 1 or cin != c else it) {
    CB(c, 3, stride) -> relu -> CB(c, 3, 1)
  }
  relu
}
net ResNet18(widths=[8, 12, 16], classes=5, channels=3) {
  input image [channels, 64, 64]
  stem: conv(widths[0], 7, stride=2, bias=false) -> bn -> relu -> maxpool(3, stride=2, padding=1)
  stages: for i, c in enumerate(widths) {
    Basic(c, 2 if i > 0 else 1) -> Basic(c, 1)
  }
  head: gap -> linear(classes)
}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "resnet.net").write_text(RESNET)
    return str(tmp_path / "resnet.net")


@pytest.fixture
def twin(tmp_path: Path) -> nn.Module:
    module = randomised(TorchvisionResNet18([8, 12, 16], 5))
    torch.save(module.state_dict(), tmp_path / "resnet.pth")
    return module


def run(spec: str, tmp_path: Path, *options: str, file: str = "resnet.pth") -> int:
    return main(["weights", spec, str(tmp_path / file), "-o", str(tmp_path / "own.safetensors"), *options])


def module_of(spec: str, tmp_path: Path, **arguments: Any) -> nn.Module:
    path, _, net = spec.partition(":")
    module = netdsl.load(path, net=net or None, **arguments).module().eval()
    module.load_state_dict({k: torch.from_numpy(v) for k, v in load_file(tmp_path / "own.safetensors").items()})
    return module


def test_other_classes(spec: str, twin: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused with the next step; with `--partial` the head is initialized and the rest is the file's."""
    assert run(spec, tmp_path, "-p", "classes=7") == 1
    assert "--partial" in capsys.readouterr().err
    assert not (tmp_path / "own.safetensors").exists()
    assert run(spec, tmp_path, "-p", "classes=7", "--partial") == 0
    assert "initialized" in capsys.readouterr().out
    own, x = module_of(spec, tmp_path, classes=7), torch.randn(2, 3, 64, 64)
    assert torch.equal(own.stem[0].weight, twin.conv1.weight)
    features = own.stages(own.stem(x)).mean((2, 3))
    y = twin.layer3(twin.layer2(twin.layer1(F.max_pool2d(F.relu(twin.bn1(twin.conv1(x))), 3, 2, 1))))
    assert (features - y.mean((2, 3))).abs().max() < 1e-4 * y.abs().max()
    assert own.head[1].weight.shape == (7, 16)


@pytest.mark.parametrize("how", ["sum", "mean", "repeat"])
def test_other_channels(
    how: str, spec: str, twin: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = twin.conv1.weight.detach()
    one = {"sum": given.sum(1, keepdim=True), "mean": given.mean(1, keepdim=True), "repeat": given[:, :1]}[how]
    assert run(spec, tmp_path, "-p", "channels=1", "--channels", how) == 0
    assert "other input channels" in capsys.readouterr().out
    assert torch.allclose(module_of(spec, tmp_path, channels=1).stem[0].weight, one, atol=1e-6)
    assert run(spec, tmp_path, "-p", "channels=6", "--channels", how) == 0
    six = {
        "sum": torch.cat([given, given], 1) / 2,  # as timm: the response to a grey image stays
        "mean": given.mean(1, keepdim=True).expand(-1, 6, -1, -1),
        "repeat": torch.cat([given, given], 1),
    }[how]
    assert torch.allclose(module_of(spec, tmp_path, channels=6).stem[0].weight, six, atol=1e-6)


@pytest.mark.parametrize("make", [HFViT, TimmViT])
def test_other_positions(make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bicubic over the grid, as timm; the class token's stays."""
    twin = randomised(make(32, 2, 4, 8, 32, 5))
    torch.save(twin.state_dict(), tmp_path / "vit.pth")
    given = ["dim=32", "depth=2", "heads=4", "patch=8", "size=48", "classes=5"]
    options = [w for a in given for w in ("-p", a)]
    assert run("specs/vit.net:ViT", tmp_path, *options, file="vit.pth") == 0
    assert "bicubic" in capsys.readouterr().out
    found = torch.from_numpy(load_file(tmp_path / "own.safetensors")["tokens.positions"])
    table = next(v for k, v in twin.state_dict().items() if k.endswith(("pos_embed", "position_embeddings")))
    grid = table[:, 1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
    wide = F.interpolate(grid, (6, 6), mode="bicubic", antialias=True).permute(0, 2, 3, 1).reshape(1, 36, 32)
    assert torch.allclose(found, torch.cat([table[:, :1], wide], 1), atol=1e-6)


def test_no_match_is_an_error(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"gru.weight_hh_l0": torch.ones(9, 3)}, tmp_path / "resnet.pth")
    assert run(spec, tmp_path, "--partial") == 1
    assert "no weights of this net" in capsys.readouterr().err


def test_the_trunk_alone(spec: str, twin: nn.Module, tmp_path: Path) -> None:
    """A head that is left out is initialized, without `--partial`: it was asked for."""
    assert run(spec, tmp_path, "--exclude", "head") == 0
    own = module_of(spec, tmp_path)
    assert not torch.equal(own.head[1].weight, twin.fc.weight)
    assert torch.equal(own.stem[0].weight, twin.conv1.weight)
    assert run(spec, tmp_path, "--exclude", "fc", "--partial") == 0
    assert run(spec, tmp_path, "--exclude", "nothing") == 1


def test_a_file_with_other_heads_beside(spec: str, twin: nn.Module, tmp_path: Path) -> None:
    """What the net has not is left in the file, be it of shapes that the net has too."""
    extra = {
        "aux.conv.weight": torch.randn(8, 8, 3, 3),
        "aux.fc.weight": torch.randn(5, 16),
        "aux.fc.bias": torch.ones(5),
    }
    torch.save({**twin.state_dict(), **extra}, tmp_path / "resnet.pth")
    assert run(spec, tmp_path) == 0
    own, x = module_of(spec, tmp_path), torch.randn(2, 3, 64, 64)
    assert (own(x) - twin(x)).abs().max() < 1e-5 * twin(x).abs().max()


def test_an_output_is_checked(spec: str, twin: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.randn(1, 3, 64, 64)
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "y.npy", twin(x).detach().numpy())
    both = [str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    assert run(spec, tmp_path, "--check", *both) == 0
    assert "the outputs agree" in capsys.readouterr().out
    for layer in twin.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.1  # no shape shows it
    np.save(tmp_path / "y.npy", twin(x).detach().numpy())
    (tmp_path / "own.safetensors").unlink()
    assert run(spec, tmp_path, "--check", *both) == 1
    assert "eps" in capsys.readouterr().err
    assert not (tmp_path / "own.safetensors").exists()


SEARCH = """net Search {
  input query [4] int64
  input page [L, 6]
  a = query -> embed(9, 6) -> reduce_mean(axis=0)
  page -> linear(6) -> reduce_mean(axis=0) -> it * a
}
"""


def test_an_output_of_a_net_with_tokens_and_several_inputs_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.net").write_text(SEARCH)
    table, line = nn.Embedding(9, 6), nn.Linear(6, 6)
    query, page = torch.tensor([[1, 5, 8, 0]]), torch.randn(1, 3, 6)
    torch.save(
        {f"{n}.{k}": v for n, m in (("emb", table), ("fc", line)) for k, v in m.state_dict().items()},
        tmp_path / "w.pth",
    )
    np.save(tmp_path / "y.npy", (table(query).mean(1) * line(page).mean(1)).detach().numpy())
    np.savez(tmp_path / "x.npz", page=page.numpy(), query=query.numpy())
    np.savez(tmp_path / "half.npz", page=page.numpy(), query=query.numpy() + 0.5)
    np.save(tmp_path / "x.npy", page.numpy())
    for file, told in (("x.npz", "the outputs agree"), ("half.npz", "holds fractions"), ("x.npy", "np.savez(")):
        check = ("--check", str(tmp_path / file), str(tmp_path / "y.npy"))
        assert run(str(tmp_path / "a.net"), tmp_path, *check, file="w.pth") == (0 if file == "x.npz" else 1)
        said = capsys.readouterr()
        assert told in said.out + said.err


def test_a_stub_is_filled_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What only the order of registration could tell is refused; a mapping decides it."""
    (tmp_path / "two.net").write_text("net Two { input x [8]\n linear(8) -> relu -> linear(8) -> relu -> linear(3) }")
    spec, file = str(tmp_path / "two.net"), tmp_path / "two.pth"
    torch.manual_seed(0)
    layers = {"hidden": nn.Linear(8, 8), "extra": nn.Linear(8, 8), "out": nn.Linear(8, 3)}
    state = {f"{n}.{k}": v for n, m in layers.items() for k, v in m.state_dict().items()}
    torch.save(state, file)
    assert main(["weights", spec, str(file), "-o", str(tmp_path / "o.safetensors")]) == 1
    assert "--stub" in capsys.readouterr().err
    stub = tmp_path / "map.toml"
    assert main(["weights", spec, str(file), "--stub", str(stub)]) == 1
    text = stub.read_text()
    assert '"linear3.weight" = "out.weight"' in text
    assert main(["weights", spec, str(file), "--map", str(stub)]) == 1
    assert "open" in capsys.readouterr().err
    for own, name in (("linear1", "extra"), ("linear2", "hidden")):
        for part in ("weight", "bias"):
            text = text.replace(f'"{own}.{part}" = ""', f'"{own}.{part}" = "{name}.{part}"')
    stub.write_text(text)
    out = tmp_path / "o.safetensors"
    assert main(["weights", spec, str(file), "--map", str(stub), "-o", str(out)]) == 0
    assert np.array_equal(load_file(out)["linear1.weight"], state["extra.weight"].numpy())
    stub.write_text('[map]\n"linear1" = "extra"\n')
    assert main(["weights", spec, str(file), "--map", str(stub), "-o", str(out)]) == 0
    assert np.array_equal(load_file(out)["linear2.bias"], state["hidden.bias"].numpy())


@pytest.mark.parametrize(
    "text",
    [
        '[map]\n"0" = "gone"\n',
        '[map]\n"9" = "out"\n',
        "map = 3\n",
        "[map\n",
        '[other]\n"0" = "out"\n',
        "[map]\n0 = 3\n",
    ],
)
def test_a_wrong_mapping_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two.net").write_text("net Two { input x [8]\n linear(8) -> relu -> linear(3) }")
    (tmp_path / "map.toml").write_text(text)
    torch.save({"a.weight": torch.ones(8, 8), "out.weight": torch.ones(3, 8)}, tmp_path / "two.pth")
    arguments = [str(tmp_path / n) for n in ("two.net", "two.pth")]
    assert main(["weights", *arguments, "--map", str(tmp_path / "map.toml")]) == 1
    assert capsys.readouterr().err.startswith("error")


def test_equal_layers_keep_their_keys(tmp_path: Path) -> None:
    """A net's own file, in any order, is taken bit by bit."""
    (tmp_path / "six.net").write_text("net Six { input x [16]\n repeat 6 { linear(16, bias=false) } }")
    net = netdsl.load(tmp_path / "six.net")
    state = {k: v.numpy() for k, v in net.module(3).state_dict().items()}
    for order in range(5):
        keys = list(np.random.default_rng(order).permutation(sorted(state)))
        save_file({k: state[k] for k in keys}, tmp_path / "resnet.pth.safetensors")
        assert run(str(tmp_path / "six.net"), tmp_path, file="resnet.pth.safetensors") == 0
        found = load_file(tmp_path / "own.safetensors")
        assert all(np.array_equal(found[k], state[k]) for k in state)


def test_compile_takes_the_same_files(spec: str, twin: nn.Module, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--weights", str(tmp_path / "resnet.pth"), "--emit", "weights", "-o", str(out)]
    assert main(["compile", spec, *arguments]) == 0
    assert np.array_equal(load_file(out / "model.safetensors")["head.1.weight"], twin.fc.weight.detach().numpy())
    assert main(["compile", spec, *arguments, "-p", "classes=9"]) == 1
    assert main(["compile", spec, *arguments, "-p", "classes=9", "--partial"]) == 0


@pytest.mark.parametrize(
    "text", [RESNET, "net Chain { input image [3, 8, 8]\n conv(3, 3) -> conv(3, 3) -> conv(3, 3) }"]
)
def test_statistics_that_training_adds_are_not_expected(text: str, tmp_path: Path) -> None:
    """Weights of a net load into the same net behind a `standardize`, whose numbers go up by one in a chain."""
    (tmp_path / "own.net").write_text(text)
    net = netdsl.load(tmp_path / "own.net")
    plain = {k: v.numpy() for k, v in net.module(1).state_dict().items()}
    behind = net.spec.net(net.name, options=Options(standard=((0.5,) * 3, (0.2,) * 3)))
    start = {k: v.numpy() for k, v in behind.module(2).state_dict().items()}
    loaded = load(behind.checked, Foreign("own.safetensors", plain), lambda: start, Rules())
    assert set(loaded.state) == set(start)
    kept = [a for k, a in loaded.state.items() if not k.endswith(("mean", "std")) or "running" in k]
    assert all(np.array_equal(a, b) for a, b in zip(kept, plain.values(), strict=True))
    assert np.allclose(next(a for k, a in loaded.state.items() if k.endswith("std")), 0.2)


def test_tables_of_relative_positions_take_another_window(tmp_path: Path) -> None:
    """Swin's tables of (2 * window - 1) ** 2 rows; its tables of indices are the net's own."""

    def swin(size: int, window: int) -> Any:
        given = {"dim": 8, "depths": [2, 2], "heads": [1, 2], "size": size, "window": window, "classes": 3}
        return netdsl.load("specs/swin.net", net="Swin", **given)

    small, large = swin(32, 4), swin(48, 6)
    file = {k.replace("stages.", "features."): v.numpy() for k, v in small.module(1).state_dict().items()}
    fresh = {k: v.numpy() for k, v in large.module(2).state_dict().items()}
    loaded = load(large.checked, Foreign("swin.pth", file), lambda: fresh, Rules())
    tables = [k for k in fresh if k.endswith("relative_position_bias_table")]
    assert len(tables) == 4
    for key in tables:
        old = torch.from_numpy(file[key.replace("stages.", "features.")]).reshape(1, 7, 7, -1).permute(0, 3, 1, 2)
        new = F.interpolate(old, (11, 11), mode="bicubic", antialias=True).permute(0, 2, 3, 1).reshape(121, -1)
        assert np.allclose(loaded.state[key], new.numpy(), atol=1e-6)
    indices = [k for k in fresh if k.endswith("index")]
    assert all(np.array_equal(loaded.state[k], fresh[k]) for k in indices)
