"""`netdsl recipe`: what a user reads before a training, held against what the training then does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import SPECS
from PIL import Image
from recipe_harness import recipe

from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.planning.plan import plan
from netdsl.planning.text import patterns
from netdsl.recipe.schema import validation_samples
from netdsl.source import Source
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.setup import prepare, start


def said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["recipe", *args]) == 0
    return capsys.readouterr().out


def made(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    return json.loads(said(capsys, *args, "--json"))


def test_convnexts_plan_says_what_a_reader_asks(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, f"{SPECS / 'convnext.net'}:ImageNet300", "--samples", "1281167")
    for part in (
        "93,600 steps of 4,096 samples; 300 epochs of 1,281,167 samples, 312 steps each",
        "0.004 to 1e-06, steps 6,241 to 93,600 (epochs 20 to 300)",
        "smoothed by 0.1, once, then mixed by mixup or cutmix, before they reach the loss",
        "group 2     lr, weight_decay 0: 123 tensors, 65,128 numbers (bias, norm, scale)",
        "stages.*.*.dwconv.weight (18)",
        "drop_path   18 links: 0 0.00588",
        "optimizer.betas = [0.9, 0.999]",
        "micro_batch = 128",
    ):
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 120


def test_every_parameter_is_listed_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, f"{SPECS / 'convnext.net'}:ImageNet300", "--members")
    assert "stages.2.7.pwconv1.weight" in text
    assert "length      depends on the number of training samples" in text
    found = made(capsys, f"{SPECS / 'convnext.net'}:ImageNet300")
    assert sum(len(g["paths"]) for g in found["groups"]) == 182


def test_a_plan_is_what_training_does(tmp_path: Path) -> None:
    """Steps, learning rates, groups, rates of drop-path and dropout of a real loop."""
    text = """net Small(classes=10) {
      input image [1, 8, 8]
      conv(8, 3) -> bn -> relu
      for i in range(3) { residual { conv(8, 3) -> bn -> relu -> dropout(0.5) -> conv(8, 3) } }
      gap -> linear(classes)
    }
    recipe R for Small {
      epochs = 3
      batch = 100
      validation = 0.2
      schedule = warmup(1 epochs) -> step(10 steps)
      schedule_unit = epoch
      drop_path = linear(0, 0.2)
      dropout = early(0.3, 2 epochs)
      optimizer = sgd(lr=0.1, momentum=0.9)
      group bias, norm { lr = 2 * lr }
    }"""
    net = Spec(Source(text, str(tmp_path / "a.net")), read_import).net()
    found = recipe(text.partition("for Small {")[2].rpartition("}")[0])
    samples = found.data.training_samples() or 0
    samples -= validation_samples(found.validation, samples)
    expected = plan(net, found, samples)
    prepared = prepare(net, found, tmp_path, torch.device("cpu"))
    loop = start(prepared, tmp_path, ProcessGroup(), lambda what, numbers: None)
    assert len(prepared.train) == samples == expected.samples
    assert (loop.total, loop.per_epoch) == (expected.steps, expected.per_epoch)
    lrs, rates = [], []
    for step in range(loop.total):
        loop._prepare(step)
        lrs.append(loop.updater.lr)
        rates.append(next(m.p for m in loop.module.modules() if isinstance(m, torch.nn.Dropout)))
    assert lrs == pytest.approx(expected.lr)
    assert rates == pytest.approx(expected.dropout)
    assert [g["lr_scale"] for g in loop.updater.optimizers[0].param_groups] == [g.lr_scale for g in expected.groups]
    drops = [float(m.rate) for m in loop.module.modules() if type(m).__name__ == "DropPath"]
    assert drops == pytest.approx(expected.drop_path)
    assert expected.spans[0].end == expected.per_epoch == expected.spans[1].start


@pytest.mark.parametrize("text", ["digits", "digits(0.3)", "digits(0.05)", "clutter(train=33)", "synthetic(train=20)"])
def test_samples_that_are_known_are_those_of_the_data(text: str, tmp_path: Path) -> None:
    from netdsl.training.readers import read

    found = recipe(f"data = {text}")
    data = read(found.data, tmp_path, (1, 32, 32), 10)
    assert found.data.training_samples() == len(data.train)


def test_estimated_memory_has_what_is_really_held() -> None:
    """Weights, gradients, both moments of Adam and the average, byte by byte."""
    net = Spec(load_source(SPECS / "lenet.net"), read_import).net()
    count = 61_706
    for text, numbers in (
        ("optimizer = adamw", 4),
        ("optimizer = adamw\nema = 0.99", 5),
        ("optimizer = sgd(lr=0.1)", 2),
        ("optimizer = sgd(lr=0.1, momentum=0.9)", 3),
        ("optimizer = rmsprop(momentum=0.9, centered=true)", 5),
        ("optimizer = lion", 3),
    ):
        parts = plan(net, recipe(text), 1438).parts
        assert parts is not None
        assert parts.fixed == count * 4 * numbers, text


def test_the_image_has_a_panel_for_each_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.png"
    said(capsys, f"{SPECS / 'resnet_cifar.net'}:StochasticDepth", "--png", str(path))
    with Image.open(path) as image:
        assert image.size == (900, 520)
        colours = {c for _, c in image.getcolors(1 << 20) or ()}
    assert (37, 99, 235) in colours
    assert main(["recipe", f"{SPECS / 'resnet.net'}:A1", "--png", str(path)]) != 0
    assert "--samples" in capsys.readouterr().err


def test_sizes_that_are_open_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    target = f"{SPECS / 'unet.net'}"
    assert "operations and memory depend on H, W: --size H=... --size W=..." in said(capsys, target, "--samples", "30")
    found = made(capsys, target, "--samples", "30", "--size", "H=572", "--size", "W=572")
    assert found["cost"] > 1e9
    assert found["memory"] > 2**30


def test_paths_in_short() -> None:
    paths = ["stem.0.weight", *(f"stages.{i}.{j}.conv.weight" for i in (1, 2) for j in range(3)), "a.1.b", "a.4.b"]
    assert patterns(paths) == ["stem.0.weight", "stages.{1-2}.{0-2}.conv.weight (6)", "a.*.b (2)"]
    assert patterns(["stages.0.1.w", "stages.1.0.w"]) == ["stages.*.*.w (2)"]


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ("dropout = constant(0.1)", "this net has none"),
        ("layer_decay = 0.7", "counts every layer with weights as one"),
        ("epochs = 2\nema = 0.999", "more than half of the run"),
        ("schedule = plateau\nvalidation = 0.1", "not known before"),
        ("penalty = l1_by_product(1e-3)", "two factors"),
        ("batch = 4096", "more than all 1,438 samples"),
    ],
)
def test_what_is_doubtful_about_recipe_and_net_is_noted(fields: str, note: str) -> None:
    net = Spec(load_source(SPECS / "lenet.net"), read_import).net()
    notes = plan(net, recipe(fields), 1438).notes
    assert any(note in n for n in notes), notes


def test_averages_beside_batch_norm_are_noted() -> None:
    net = Spec(load_source(SPECS / "resnet_cifar.net"), read_import).net("ResNet20")
    assert any("batch-norm" in n for n in plan(net, recipe("epochs=300\nema = 0.9999"), 50_000).notes)
    assert not plan(net, recipe("epochs=300\nema = ema(0.9999, buffers=average)"), 50_000).notes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("drop_path = linear(0, 0.1)", "this net has none"),
        ("outputs = weights(aux=0.3)", "no output `aux`"),
        ("init = fixup", "this net has none"),
        ("init = zero_last_norm", "this net has none"),
        ("init = skipinit", "this net has none"),
        ("group stemm { lr = 2 * lr }", "selects no parameter"),
    ],
)
def test_what_a_net_cannot_have_is_refused_before_training(fields: str, message: str) -> None:
    net = Spec(load_source(SPECS / "lenet.net"), read_import).net()
    with pytest.raises(Fault, match=message):
        plan(net, recipe(fields), 1438)


def test_a_plan_needs_no_torch() -> None:
    code = (
        "import sys; from netdsl.cli.main import main\n"
        f"main(['recipe', {str(SPECS / 'resnet_cifar.net')!r} + ':StochasticDepth'])\n"
        "print([m for m in ('torch', 'numpy', 'onnx') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
