"""Plug-ins: loaded only where they are named, checked, documented, recorded; and what is said of bad ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import netdsl
from netdsl import plugins
from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import UserError
from netdsl.experiment.jobs import Job
from netdsl.experiment.opened import opened
from netdsl.experiment.planned import planned
from netdsl.experiment.run import Options, job_of
from netdsl.experiment.worker import attempt
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.plugins.used import Used, require

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "plugin"
SPEC = EXAMPLE / "example.net"


@pytest.fixture(scope="module", autouse=True)
def _extras() -> Iterator[None]:
    plugins.load("netdsl_extras", str(EXAMPLE))
    yield
    plugins.unload("netdsl_extras")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test load what it likes."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {p.name for p in plugins.loaded()}
    yield
    for name in {p.name for p in plugins.loaded()} - before:
        plugins.unload(name)


def written(folder: Path, name: str, text: str) -> str:
    """A module of a plug-in in a folder; gives its name."""
    (folder / f"{name}.py").write_text(textwrap.dedent(text))
    sys.modules.pop(name, None)
    return name


def refused(name: str, folder: Path) -> UserError:
    with pytest.raises(UserError) as found:
        plugins.load(name, str(folder))
    assert name not in {p.name for p in plugins.loaded()}
    return found.value


# What is provided


def test_a_spec_is_checked_with_the_plug_in() -> None:
    assert netdsl.check(SPEC) == ()


def test_a_spec_alone_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    spec = tmp_path / "x.net"
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "pyproject.toml").write_text('[tool.netdsl]\nplugins = ["evil"]\n')
    for text in (
        "from evil import Evil\nnet N {\n  input x [3]\n  evil\n}\n",
        "net N {\n  input x [3]\n  evil.evil\n}\n",
    ):
        spec.write_text(text)
        assert main(["check", str(spec)]) == 1
        (tmp_path / "below" / "y.net").write_text(text)
        assert main(["check", str(tmp_path / "below" / "y.net")]) == 1
    assert "evil" not in sys.modules


def test_emitted_pytorch_stands_alone_and_onnx_agrees() -> None:
    net = netdsl.load(SPEC, "Digits")
    source = net.source()
    assert "class Snake(nn.Module):" in source
    assert "netdsl_extras" not in source
    assert not [case for case in net.verify() if not case.ok]


def test_reference_and_completion_know_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "snake"]) == 0
    assert "Ziyin" in capsys.readouterr().out
    assert main(["recipe", "--fields", "optimizer"]) == 0
    said = capsys.readouterr().out
    assert "signum" in said
    assert "the plug-in `extras`" in said


def test_an_editor_knows_it() -> None:
    from netdsl.lsp.analysis import Analysis
    from netdsl.lsp.completion import completion
    from netdsl.lsp.hover import hover

    analysis = Analysis(netdsl.Source(SPEC.read_text(), str(SPEC)), {}).run()
    text = analysis.source.text
    for word, said in (("snake\n", "Ziyin"), ("gamma(", "power of a gamma"), ("signum(", "sign of the momentum")):
        found = hover(analysis, text.index(word) + 2)
        assert found is not None
        assert said in found[0]
    assert "snake" in {c.label for c in completion(analysis, analysis, text.index("snake\n"))}
    labels = {c.label for c in completion(analysis, analysis, text.index("signum(lr=2e-3"))}
    assert {"signum", "sgd"} <= labels


def test_a_misspelt_name_of_a_plug_in_is_suggested(tmp_path: Path) -> None:
    (found,) = netdsl.check(netdsl.Source("net N {\n  input x [3]\n  snak\n}\n", "n.net"))
    assert found.hint is not None
    assert "`snake`" in found.hint


def test_matthews_is_that_of_scikit_learn() -> None:
    torch = pytest.importorskip("torch")
    from sklearn.metrics import matthews_corrcoef

    sys.path.append(str(EXAMPLE))
    from netdsl_extras.in_torch import matthews

    draws = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(200, 4, generator=draws), torch.randint(4, (200,), generator=draws)
    assert matthews(outputs, targets) == pytest.approx(matthews_corrcoef(targets, outputs.argmax(1)), abs=1e-12)


def test_schedule_is_the_formula() -> None:
    lr = netdsl.load(SPEC, "Digits").plan().lr
    assert lr[23] == pytest.approx(2e-3)
    assert lr[23 + 46] == pytest.approx(2e-3 * 0.5**0.5, rel=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that the example provides."""
    folder = tmp_path_factory.mktemp("plugins") / "run"
    net = netdsl.load(SPEC, "Digits")
    net.train(folder=folder, settings={"epochs": 3}, quiet=True)
    return folder


def test_a_run_records_its_plug_ins(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    assert [(p["name"], p["version"], len(p["code"])) for p in about["plugins"]] == [("netdsl_extras", "0.1", 16)]
    assert about["result"]["matthews"] > 0.2
    assert about["result"]["onnx_difference"] < 1e-5


def test_an_evaluation_measures_what_the_run_measured(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own metrics and those of plug-ins, without being asked for them again."""
    wanted = json.loads((run / "run.json").read_text())["result"]["matthews"]
    for more in ([], ["--onnx", "--metrics", "f1"]):
        assert main(["eval", str(run), "--json", *more]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["matthews"] == pytest.approx(wanted, abs=1e-6)
        assert ("f1" in found) == bool(more)


def test_a_run_without_it_records_nothing(tmp_path: Path) -> None:
    text = "net N(classes=10) {\n  input x [1, 8, 8]\n  flatten -> linear(classes)\n}\n"
    found = netdsl.open_spec(netdsl.Source(text, str(tmp_path / "n.net"))).net("N")
    found.train(folder=tmp_path / "run", settings={"steps": 1}, quiet=True, onnx=False)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["plugins"] == []


def test_a_run_is_refused_without_its_plug_in(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert netdsl.open_run(run).result["n"] == 359
    plugins.unload("netdsl_extras")
    try:
        with pytest.raises(netdsl.TrainingError) as found:
            netdsl.open_run(run)
        assert found.value.code == "missing-plugin"
        assert "--plugin netdsl_extras" in str(found.value.hint)
        for command in (["eval", str(run)], ["predict", str(run), "x.png"], ["train", "--resume", str(run)]):
            assert main(command) == 2
            assert "--plugin netdsl_extras" in capsys.readouterr().err
    finally:
        plugins.load("netdsl_extras", str(EXAMPLE))


def test_a_reader_gives_what_train_takes(tmp_path: Path) -> None:
    found = netdsl.load(SPEC, "Moons").train(folder=tmp_path / "run", settings={"epochs": 3}, quiet=True, onnx=False)
    assert found.about.samples == (480, 120, 120)
    assert found.result["top1"] > 0.7


# How one is found


def test_flag_project_and_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins.unload("netdsl_extras")
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "s.net"
    spec.write_text("net N {\n  input x [3]\n  snake\n}\n")
    try:
        assert main(["check", str(spec)]) == 1
        sys.path.append(str(EXAMPLE))
        assert main(["check", str(spec), "--plugin", "netdsl_extras"]) == 0
        plugins.unload("netdsl_extras")
        (tmp_path / "pyproject.toml").write_text('[tool.netdsl]\nplugins = ["netdsl_extras"]\n')
        below = tmp_path / "below"
        below.mkdir()
        monkeypatch.chdir(below)
        assert main(["check", str(spec)]) == 0
        plugins.unload("netdsl_extras")
        monkeypatch.chdir(EXAMPLE.parent)
        point = metadata.EntryPoint("extras", "netdsl_extras:plugin", "netdsl.plugins")
        monkeypatch.setattr(metadata, "entry_points", lambda **given: metadata.EntryPoints([point]).select(**given))
        assert main(["check", str(spec), "--plugin", "extras"]) == 0
        plugins.unload("extras")
        capsys.readouterr()
        assert main(["check", str(spec), "--plugin", "extra"]) == 2
        assert "did you mean `extras`?" in capsys.readouterr().err
    finally:
        plugins.unload("extras")
        plugins.load("netdsl_extras", str(EXAMPLE))


def test_results_of_check_are_remembered_with_the_plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NETDSL_CACHE", "on")
    from netdsl.checked import check_source

    source = netdsl.Source("net N {\n  input x [3]\n  snake\n}\n", "n.net")
    assert not check_source(source).errors
    plugins.unload("netdsl_extras")
    try:
        assert check_source(source).errors == 1
    finally:
        plugins.load("netdsl_extras", str(EXAMPLE))
    assert not check_source(source).errors


def test_a_project_that_says_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.netdsl]\nplugins = "netdsl_extras"\n')
    assert main(["zoo"]) == 1
    assert "is a list of names" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text('[tool.netdsl\nplugins = "x"\n')
    assert main(["zoo"]) == 0


# Bad ones


BEGIN = "from netdsl.plugins import *\nfrom netdsl.plugins import Plugin, Op, Loss, Optimizer, Phase\n"
START = f"{BEGIN}plugin = Plugin('p')\n"
BAD: dict[str, tuple[str, str, str]] = {
    "raises": ("raise ValueError('boom')", "plugin-failed", "ValueError: boom (raises.py, line 1)"),
    "exits": ("import sys\nsys.exit(3)", "plugin-failed", "SystemExit: 3 (exits.py, line 2)"),
    "broken": ("def f(:\n", "plugin-failed", "SyntaxError"),
    "needs": ("import there_is_no_such_module", "plugin-failed", "No module named 'there_is_no_such_module'"),
    "nothing": ("x = 1", "unfit-plugin", "has no `plugin`"),
    "number": ("plugin = 5", "unfit-plugin", "is no Plugin, but `5`"),
    "empty": (BEGIN + "plugin = Plugin('p')", "unfit-plugin", "it provides nothing"),
    "shadow": (
        START + "@plugin.op('relu')\nclass R(Op, frozen=True):\n  'Doc.'\n",
        "unfit-plugin", "the op `relu` has the name of one of netdsl",
    ),
    "shadow_loss": (
        START + "@plugin.loss(print)\nclass R(Loss, frozen=True, tag='mse'):\n  'Doc.'\n",
        "unfit-plugin", "the loss `mse` has the name of one of netdsl",
    ),
    "shadow_extras": (
        START + "@plugin.optimizer(print)\nclass R(Optimizer, frozen=True, tag='signum'):\n  'Doc.'\n",
        "unfit-plugin", "has the name of one of the plug-in `extras`",
    ),
    "rubbish": (START + "plugin.op('x')(5)", "unfit-plugin", "is no class that extends Op"),
    "wrong_base": (
        START + "@plugin.schedule(print)\nclass R(Loss, frozen=True, tag='r'):\n  'Doc.'\n",
        "unfit-plugin", "is no class that extends Phase",
    ),
    "no_tag": (
        START + "@plugin.loss(print)\nclass MyLoss(Loss, frozen=True):\n  'Doc.'\n",
        "unfit-plugin", "needs a name of small letters",
    ),
    "no_function": (
        START + "@plugin.loss('nowhere')\nclass R(Loss, frozen=True, tag='r'):\n  'Doc.'\n",
        "unfit-plugin", "has no function",
    ),
    "no_module": (
        START + "@plugin.loss('no.where:f')\nclass R(Loss, frozen=True, tag='r'):\n  'Doc.'\n",
        "unfit-plugin", "needs the module `no.where`, which is not there",
    ),
    "odd_type": (
        START + "@plugin.loss(print)\nclass R(Loss, frozen=True, tag='r'):\n  'Doc.'\n  x: complex = 1j\n",
        "unfit-plugin", "the argument `x`, whose type no recipe can write",
    ),
    "task": (
        START + "plugin.metric('m', print, tasks=['classs'])\n",
        "unfit-plugin", "is for classs: a task is one of",
    ),
    "infer": (
        START + "@plugin.op('odd')\nclass R(Op, frozen=True):\n  'Doc.'\n"
        "  examples = (Example('odd'),)\n  def infer(self, assume, *x):\n    return x[7]\n"
        "  def torch(self, *x):\n    return Torch(None, X())\n",
        "unfit-plugin", "IndexError: tuple index out of range (infer.py, line 9)",
    ),
    "torch": (
        START + "@plugin.op('odd')\nclass R(Op, frozen=True):\n  'Doc.'\n"
        "  examples = (Example('odd'),)\n  def infer(self, assume, *x):\n    return x[0]\n"
        "  def torch(self, *x):\n    return 1 / 0\n",
        "unfit-plugin", "ZeroDivisionError",
    ),
    "nowhere": (
        START + "@plugin.op('odd')\nclass R(Op, frozen=True):\n  'Doc.'\n"
        "  examples = (Example('odd'),)\n  def infer(self, assume, *x):\n    return x[0]\n"
        "  def torch(self, *x):\n    return Torch(None, Call('Odd', (X(),)))\n",
        "unfit-plugin", "its PyTorch form calls `Odd`, which is in no `helper`",
    ),
    "facets": (
        START + "@plugin.op('odd')\nclass R(Op, frozen=True):\n  'Doc.'\n",
        "unfit-plugin", "the op `odd` has no `infer`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_ones_are_refused_with_their_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, code, said = BAD[name]
    module = written(tmp_path, f"bad_{name}", text)
    error = refused(module, tmp_path)
    assert error.diagnostic.code == code
    assert f"`{module}`" in error.message
    assert said.replace(f"({name}.py", f"({module}.py") in error.message
    monkeypatch.chdir(tmp_path)
    assert main(["zoo", "--plugin", module]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "internal error" not in err
    assert netdsl.check(SPEC) == ()  # nothing of it stayed


def test_further_mistakes_are_notes(tmp_path: Path) -> None:
    body = START + "@plugin.op('Bad')\nclass R(Op, frozen=True): pass\n"
    error = refused(written(tmp_path, "bad_many", body), tmp_path)
    assert len(error.diagnostic.notes) == 4


WORKING = (
    BEGIN
    + """
import torch
plugin = Plugin("p")

@plugin.op("twice")
class Twice(Op, frozen=True):
    "Two times x."
    without_onnx = "its kernel is our own"
    examples = (Example("twice"),)
    def infer(self, assume, *x):
        return x[0]
    def torch(self, *x):
        return Torch(None, Call("{module}.doubled", (X(),)), imports=("{module}",))

def doubled(x):
    return 2 * x

@plugin.loss(lambda component, output, target: {loss})
class Odd(Loss, frozen=True, tag="odd_loss"):
    "Odd."

plugin.metric("odd_metric", lambda outputs, targets: {metric}, tasks=("classes",))
"""
)


def net_with(folder: Path, module: str, loss: str = "output.square().mean(1)", metric: str = "1.0") -> Any:
    """A net of a plug-in whose layer is code of its own."""
    plugins.load(written(folder, module, WORKING.format(module=module, loss=loss, metric=metric)), str(folder))
    text = "net N(classes=10) {\n  input x [1, 8, 8]\n  flatten -> twice -> linear(classes)\n}\n"
    return netdsl.open_spec(netdsl.Source(text, str(folder / "n.net"))).net("N")


def test_a_layer_of_own_code(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = net_with(tmp_path, "own_code")
    assert "import own_code  # needed by the layers of a plug-in" in net.source()
    module = net.module(0)
    x = torch.randn(2, 1, 8, 8)
    assert torch.allclose(module(x), module.linear(2 * x.flatten(1)))
    with pytest.raises(UserError) as found:
        net.to_onnx(tmp_path / "x.onnx")
    assert found.value.diagnostic.code == "no-onnx-form"
    assert "its kernel is our own" in found.value.message
    said = net.train(folder=tmp_path / "run", settings={"steps": 1}, quiet=True)
    assert said.ended
    assert not (tmp_path / "run" / "model.onnx").exists()


@pytest.mark.parametrize(
    ("loss", "metric", "said"),
    [
        ("1 / 0", "1.0", "the loss `odd_loss` of the plug-in `p` failed: ZeroDivisionError"),
        ("output.mean()", "1.0", "gives a tensor of shape [] for 64 samples"),
        (
            "output.square().mean(1)",
            "outputs[0]",
            "the metric `odd_metric` of the plug-in `p` gives a tensor of shape [",
        ),
        ("output.square().mean(1)", "outputs[10**9]", "the metric `odd_metric` of the plug-in `p` failed: IndexError"),
    ],
)
def test_what_fails_while_training_is_named(loss: str, metric: str, said: str, tmp_path: Path) -> None:
    net = net_with(tmp_path, f"failing_{abs(hash((loss, metric)))}", loss, metric)
    settings = {"epochs": 1, "loss": "odd_loss", "metrics": "[odd_metric]"}
    with pytest.raises(netdsl.TrainingError, match=r"plug-in") as found:
        net.train(folder=tmp_path / "run", settings=settings, quiet=True, onnx=False)
    assert said in found.value.message
    assert found.value.code == "plugin-failed"


WRONG_ONNX = """
from netdsl.plugins import Call, Example, Op, Plugin, Torch, X
plugin = Plugin("p", version="1")

@plugin.op("twice")
class Twice(Op, frozen=True):
    "2 x."
    examples = (Example("twice"),)

    def infer(self, assume, *x):
        return x[0]

    def torch(self, *x):
        return Torch(None, Call("*", (2, X())))

    def onnx(self, g, *x):
        return g.op("Mul", x[0].name, g.const(3))
"""


def test_a_wrong_onnx_form_costs_the_file_and_not_the_run(tmp_path: Path) -> None:
    plugins.load(written(tmp_path, "wrong_onnx", WRONG_ONNX), str(tmp_path))
    text = "net N(classes=10) {\n  input x [1, 8, 8]\n  flatten -> twice -> linear(classes)\n}\n"
    with pytest.raises(netdsl.TrainingError, match="disagree") as found:
        netdsl.load(netdsl.Source(text)).train(data="digits", settings={"steps": 1}, folder=tmp_path / "r", quiet=True)
    assert found.value.hint == "no ONNX file was written; look at `onnx` of `twice`, of a plug-in"
    assert netdsl.open_run(tmp_path / "r").ended
    assert {p.name for p in (tmp_path / "r").iterdir()} > {"model.safetensors", "report.html"}


RESIZING = """
from netdsl.plugins import Augment, Plugin, Resizing
plugin = Plugin("halves", version="1")
def every_second(component, images, masks, frame):
    return images[..., ::2, ::2], masks
@plugin.augmentation(every_second)
class Halve({base}, frozen=True, tag="halve"):
    "Every second pixel."
    {field}
"""


@pytest.mark.parametrize(("base", "field", "said"), [
    ("Augment", "", "gives images of 4 x 4, expected 8 x 8"),
    ("Resizing", "size: int = 5", "gives images of 4 x 4, expected 5 x 5"),
    ("Resizing", "size: int = 4", ""),
    ("Resizing", "", "gives images of 4 x 4, expected 8 x 8"),
])  # fmt: skip
def test_an_augmentation_gives_the_size_that_it_says(
    base: str, field: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A net that takes any size would train at one and be tested at another."""
    name = written(tmp_path, "halves", RESIZING.format(base=base, field=field))
    (tmp_path / "n.net").write_text("net N {\n  input image [1, 8, 8]\n  conv(2, 3) -> gap -> linear(10)\n}\n")
    sys.path.insert(0, str(tmp_path))
    given = ["--recipe", "none", "--data", "digits", "--set", "steps=1", "--set", "augment=halve", "-q", "--no-onnx"]
    code = main(["train", f"{tmp_path}/n.net", "--plugin", name, *given, "-o", str(tmp_path / "run")])
    assert (code == 0) is not bool(said)
    assert said in capsys.readouterr().err


def test_classes_reach_a_loss_as_numbers_and_mixed_ones_as_shares(tmp_path: Path) -> None:
    net = net_with(tmp_path, "typed", "output.sum(1) / (target.dtype is torch.int64 and target.ndim == 1)")
    run = net.train(folder=tmp_path / "run", settings={"steps": 1, "loss": "odd_loss"}, quiet=True, onnx=False)
    assert run.ended
    with pytest.raises(netdsl.SpecError, match="cannot take the mixed targets"):
        net.train(folder=tmp_path / "mixed", settings={"steps": 1, "loss": "odd_loss", "mix": "mixup"}, quiet=True)


def test_the_how_to_page_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import followed
    import numpy as np

    page = (EXAMPLE.parent.parent / "docs" / "how-to" / "write-a-plug-in.md").read_text()
    files: dict[str, str] = {}
    for block in followed.blocks(page):
        if block.title:
            files[block.title] = files.get(block.title, "") + block.text
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    np.savez("line.npz", x=x, y=x.sum(1))
    lines = [line for line in page.splitlines() if line.startswith("netdsl ")]
    assert len(lines) == 4
    for line in lines:
        assert main(line.split()[1:]) == 0, line
    about = json.loads((tmp_path / "runs" / "line" / "run.json").read_text())
    assert [(p["name"], p["version"]) for p in about["plugins"]] == [("softer", "0.1")]
    assert about["result"]["onnx_difference"] < 1e-5
    assert about["result"]["worst"] == pytest.approx(about["result"]["onnx"]["worst"], rel=1e-5)


@pytest.mark.slow
def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """Its own name is that of the entry point; it is not loaded until it is named; its version is the package's."""
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([*install, str(EXAMPLE)], check=True, timeout=300)
    own = {**os.environ, "PYTHONPATH": os.pathsep.join((str(EXAMPLE.parent.parent), str(site)))}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "netdsl", *words]
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=300)

    assert run("check", str(SPEC)).returncode == 1
    assert run("check", str(SPEC), "--plugin", "extras").returncode == 0
    assert "did you mean `extras`?" in run("check", str(SPEC), "--plugin", "extra").stderr
    settings = ["--set", "epochs=1", "-q", "--no-onnx", "-o", "run", "--plugin", "extras"]
    done = run("train", f"{SPEC}:Points", *settings)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(p["name"], p["version"]) for p in about["plugins"]] == [("extras", "0.1")]


@pytest.mark.slow
def test_workers_of_an_experiment_load_it_too(tmp_path: Path) -> None:
    spec = tmp_path / "e.net"
    spec.write_text(EXPERIMENT)
    command = [sys.executable, "-m", "netdsl", "experiment", str(spec), "--plugin", "netdsl_extras"]
    own = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent.parent)}
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")], cwd=EXAMPLE, env=own, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert "Matthews correlation" in done.stdout


EXPERIMENT = """net Moons(classes=2) {
  input point [2]
  linear(8) -> snake -> linear(classes)
}
recipe Points for Moons {
  data    = two_moons(samples=200)
  epochs  = 2
  metrics = [matthews]
}
experiment Rates for Moons {
  recipe = Points
  seeds = 1
  vary optimizer.lr = [1e-3, 1e-2]
  measure = [test.matthews, test.top1]
}
"""


OWN = (
    BEGIN
    + """plugin = Plugin("own", version="1")

@plugin.loss("own_torch:compute")
class Own(Loss, frozen=True, tag="own_loss"):
    "One of its own."
"""
)

SMALL = """net Small {
  input x [2]
  linear(2)
}
recipe R for Small {
  data = two_moons(samples=20)
  epochs = 1
  loss = own_loss
  init = weights("pre") -> pretrained("pre2")
}
experiment E for Small {
  recipe = R
  seeds = 1
  measure = [params]
}
"""


def job_in(path: Path) -> Job:
    """The first run of the experiment in a file, as a worker takes it."""
    spec = Spec(netdsl.Source(path.read_text(), str(path)), read_import)
    setting = opened(spec, "E", {}, {})[0]
    trial = planned(setting, next(iter(setting.experiment.cells())), 1e9).trials[0]
    return job_of(setting, path.parent / "out", trial, Options())


def test_the_key_of_a_run_holds_the_code_of_plug_ins_and_the_weights(tmp_path: Path) -> None:
    module, torch = tmp_path / "own.py", tmp_path / "own_torch.py"
    spec, weights = tmp_path / "e.net", [tmp_path / name / "model.safetensors" for name in ("pre", "pre2")]
    for path in weights:
        path.parent.mkdir()
        path.write_bytes(b"1")
    module.write_text(OWN)
    torch.write_text("def compute(component, output, target): return output.mean(1)\n")
    spec.write_text(SMALL)
    plugins.load("own", str(tmp_path))
    keys = [job_in(spec).key]
    assert job_in(spec).key == keys[0]
    assert "own_torch" not in sys.modules
    for path in (module, torch, *weights):
        path.write_bytes(path.read_bytes() + b"\n")
        keys.append(job_in(spec).key)
    assert len({*keys}) == 5


def test_workers_look_where_the_plug_in_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's plug-in lies beside its pyproject.toml, which may be above the working directory."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    name = written(
        tmp_path, "project_plug", OWN.replace("own_loss", "project_loss").replace("own_torch:compute", "math:sqrt")
    )
    plugins.load(name, "..")
    spec = tmp_path / "e.net"
    spec.write_text(re.sub(r"  init = .*\n", "", SMALL.replace("own_loss", "project_loss")))
    job = job_in(spec)
    assert (name, str(tmp_path)) in job.plugins
    plugins.unload(name)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    sys.modules.pop(name)
    assert "plug-in" not in attempt(replace(job, source="", text="")).said
    assert name in {p.name for p in plugins.loaded()}


def test_another_version_is_noted_when_a_run_is_opened(tmp_path: Path) -> None:
    plugins.load(
        written(
            tmp_path, "versioned", OWN.replace("own_loss", "versioned_loss").replace("own_torch:compute", "math:sqrt")
        ),
        str(tmp_path),
    )
    with pytest.warns(UserWarning, match=r"the run in x was made with the plug-in `versioned` 0\.9; loaded is 1"):
        require([Used("versioned", "0.9")], "the run in x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require([Used("versioned", "1")], "the run in x")


def test_the_command_line_tells_of_another_version_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning of ours is a sentence; nothing of Python's surrounds it."""
    name = written(
        tmp_path, "told_plug", OWN.replace("own_loss", "told_loss").replace("own_torch:compute", "math:sqrt")
    )
    plugins.load(name, str(tmp_path))

    def command(args: object) -> int:
        require([Used(name, "0.9")], "the run in x")
        return 0

    monkeypatch.setattr("netdsl.cli.zoo.run", command)
    assert main(["zoo"]) == 0
    said = capsys.readouterr().err
    assert said == "warning: the run in x was made with the plug-in `told_plug` 0.9; loaded is 1\n"


def test_a_missing_package_whose_name_begins_that_of_the_plug_in(tmp_path: Path) -> None:
    error = refused(written(tmp_path, "torchfoo_plug", "import torchfoo"), tmp_path)
    assert (error.diagnostic.code, "No module named 'torchfoo'" in str(error)) == ("plugin-failed", True)


def test_a_facet_of_a_base_class_is_guarded_too(tmp_path: Path) -> None:
    text = """
    from netdsl.plugins import *
    plugin = Plugin("based")

    class Base(Op, frozen=True):
        def infer(self, assume, *x):
            return {}["shape"]

    @plugin.op("based")
    class Based(Base, frozen=True):
        "Its base infers."
        without_onnx = "it is for a test"
        examples = (Example("based"),)
        def torch(self, *x):
            return Torch(None, Call("torch.abs", (X(),)))
    """
    error = refused(written(tmp_path, "based_plug", text), tmp_path)
    assert error.diagnostic.code == "unfit-plugin"
    assert "`infer` of the op `based` of the plug-in `based` failed: KeyError" in str(error)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("../softer", "--plugin softer"), ("softer.py", "--plugin softer"), ("a/softer.py", "--plugin softer"),
     ("", "installed"), (".", "installed"), ("a..b", "installed"), ("a b", "installed")],
)  # fmt: skip
def test_what_is_no_name_of_a_module(name: str, hint: str, tmp_path: Path) -> None:
    found = refused(name, tmp_path).diagnostic
    assert found.code == "unknown-plugin"
    assert found.hint is not None
    assert hint in found.hint
