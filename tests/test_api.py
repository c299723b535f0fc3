"""The Python API: check, load, Spec and Net."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from paths import SPECS

import netdsl

WRONG = "net A {\n  input x [3, 8, 8]\n  conv(8, 3) -> rleu\n}\n"


def test_check_gives_diagnostics_as_values(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text(WRONG)
    (found,) = netdsl.check(tmp_path / "a.net")
    assert (found.code, found.at.line, found.at.column) == ("unknown-name", 3, 17)
    assert netdsl.check(netdsl.Source(WRONG)) == (found,)
    assert netdsl.check(SPECS / "lenet.net") == ()


def test_check_of_a_missing_file_is_a_diagnostic(tmp_path: Path) -> None:
    (found,) = netdsl.check(tmp_path / "missing.net")
    assert found.code == "no-such-file"
    (found,) = netdsl.check("resnet.net")
    assert found.hint == "`resnet` is the spec of the zoo"


def test_check_stays_a_function_when_its_room_is_imported() -> None:
    import netdsl.checks.names

    assert callable(netdsl.check)


def test_a_spec_of_the_zoo_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert netdsl.load("resnet", net="ResNet18").summary().params == 11_689_512
    assert netdsl.open_spec("lenet").nets == ("LeNet5", "LeNet5_1998")
    assert netdsl.open_spec("lenet").recipes == ("Digits",)
    (tmp_path / "lenet").write_text("net Mine {\n  input x [3]\n  relu\n}\n")
    assert netdsl.open_spec("lenet").nets == ("Mine",), "a file of that name comes first"


def test_a_net_is_named_as_on_the_command_line(tmp_path: Path) -> None:
    assert netdsl.load("resnet:ResNet34").name == "ResNet34"
    path = tmp_path / "a:B.net"
    path.write_text("net N { input x [2]\n linear(3) }\n")
    assert netdsl.load(str(path)).name == "N"
    with pytest.raises(netdsl.SpecError, match="ResNet33"):
        netdsl.load("resnet:ResNet33")


def test_load_raises_with_every_mistake() -> None:
    with pytest.raises(netdsl.SpecError, match="rleu") as caught:
        netdsl.load(netdsl.Source(WRONG))
    assert [d.code for d in caught.value.diagnostics] == ["unknown-name"]


def test_a_summary_prints_as_the_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    from netdsl.cli.main import main

    summary = netdsl.load("lenet").summary()
    assert main(["summary", "lenet"]) == 0
    assert capsys.readouterr().out == f"{summary}\n"
    assert "<pre>" in summary._repr_html_()


def test_verify_compares_onnxruntime_with_torch() -> None:
    net = netdsl.load("lenet")
    cases = net.verify(net.module(seed=1).eval())
    assert cases
    assert all(case.ok and case.difference < 1e-5 for case in cases)


def test_module_computes_what_its_source_says() -> None:
    net = netdsl.load("lenet", classes=3)
    scope: dict[str, object] = {}
    exec(net.source(), scope)
    module, again = net.module(seed=0), scope["LeNet5"]()  # type: ignore[operator]
    again.load_state_dict(module.state_dict())
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(module(x), again(x))


def test_plan_is_that_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    import msgspec

    from netdsl.cli.main import main

    command = ["recipe", "convnext:ImageNet300", "--samples", "1281167", "--set", "epochs=30", "--json"]
    assert main(command) == 0
    plan = netdsl.load("convnext").plan("ImageNet300", samples=1_281_167, settings={"epochs": "30"})
    assert json.loads(msgspec.json.encode(plan)) == json.loads(capsys.readouterr().out)
