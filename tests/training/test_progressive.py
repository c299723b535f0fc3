"""Training that grows in stages: the paper's numbers, what each step sees, and which nets take other sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from paths import SPECS
from recipe_harness import recipe, resolved
from safetensors.torch import load_file
from training_harness import loop_of, samples, stop_after

from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.planning.resolution import refused
from netdsl.recipe.augmentations import RandAugment, RandomResizedCrop
from netdsl.recipe.progressive import grown, staged
from netdsl.source import Source
from netdsl.training.augment.operations import RAND, WIDE, amount_of
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.targets import Targets
from netdsl.training.regularization import dropouts

PAPER = """
augment = random_resized_crop(300) -> hflip -> randaugment(2, 15)
mix = mixup(0.2)
steps = {steps}
progressive = progressive(stages=4, size=[128, {size}], strength=[5, {strength}], dropout=[0.1, {dropout}],
  mixup=[0, {mixup}])
"""


@pytest.mark.parametrize(
    ("size", "strength", "dropout", "mixup", "expected"),
    [
        (300, 15, 0.3, 0, [(185, 25 / 3, 1 / 6, 0), (243, 35 / 3, 7 / 30, 0), (300, 15, 0.3, 0)]),
        (380, 20, 0.4, 0.2, [(212, 10, 0.2, 0.2 / 3), (296, 15, 0.3, 0.4 / 3), (380, 20, 0.4, 0.2)]),
        (380, 25, 0.5, 0.5, [(212, 35 / 3, 7 / 30, 1 / 6), (296, 55 / 3, 11 / 30, 1 / 3), (380, 25, 0.5, 0.5)]),
    ],
    ids="SML",
)  # fmt: skip
def test_stages_are_those_of_the_paper(
    size: int, strength: float, dropout: float, mixup: float, expected: list[tuple[float, ...]]
) -> None:
    """Tan & Le 2021, table 6 and algorithm 1: S_i = S_0 + (S_e - S_0) * i / (M - 1), and so all regularisation."""
    expected = [(128, 5, 0.1, 0), *expected]
    found = recipe(PAPER.format(steps=8, size=size, strength=strength, dropout=dropout, mixup=mixup))
    assert [tuple(grown(found, i).values()) for i in range(4)] == [pytest.approx(e) for e in expected]
    for stage, (side, level, rate, alpha) in zip(staged(found), expected, strict=True):
        crop, _, policy = stage.augment
        assert isinstance(crop, RandomResizedCrop)
        assert isinstance(policy, RandAugment)
        assert (crop.size, policy.strength) == (side, pytest.approx(level))
        assert stage.dropout is not None
        assert stage.dropout.rate == pytest.approx(rate)  # type: ignore[union-attr]
        assert [w.alpha for w in stage.mix] == ([pytest.approx(alpha)] if alpha else [])


FIELDS = """
steps = 10
batch = 16
augment = random_resized_crop(8) -> hflip
mix = mixup(0.4)
checkpoint = 1 steps
progressive = progressive(stages=3, size=[4, 8], dropout=[0, 0.4], mixup=[0, 0.4])
"""


def pooled() -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn
    return net.Sequential(
        net.Conv2d(1, 4, 3), net.AdaptiveAvgPool2d(1), net.Flatten(), net.Dropout(0.2), net.Linear(4, 3)
    )


def test_every_update_sees_its_stage() -> None:
    """Ten steps in three stages: 4, 3 and 3; sizes, rates and mixing change between them."""
    loop = loop_of(FIELDS, module=pooled())
    seen = []
    for step in range(10):
        batch = loop.feed.batch(step)
        loop.set_dropout(step)
        mixed = not bool(((batch.target == 0) | (batch.target == 1)).all())
        seen.append((batch.inputs[0].shape[2], round(dropouts(loop.module)[0].p, 3), mixed))
    assert seen == [(4, 0, False)] * 4 + [(6, 0.2, True)] * 3 + [(8, 0.4, True)] * 3


@pytest.mark.parametrize("at", [2, 5])
def test_a_run_resumed_in_a_stage_is_bit_identical(tmp_path: Path, at: int) -> None:
    whole = loop_of(FIELDS, module=pooled())
    whole.run()
    stop_after(loop_of(FIELDS, tmp_path, module=pooled()), at)
    resumed = loop_of(FIELDS, tmp_path, module=pooled())
    resumed.restore()
    resumed.run()
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, resumed.module.state_dict()[name]), name


def test_resize_grows_where_nothing_is_cut() -> None:
    found = recipe(
        "steps = 4\nbatch = 8\naugment = hflip -> resize(8)\nprogressive = progressive(stages=2, size=[3, 6])"
    )
    feed = BatchLoader(samples(), found, Targets(found, "classes", 3))
    assert [feed.batch(s).inputs[0].shape[2:] for s in range(4)] == [(3, 3)] * 2 + [(6, 6)] * 2


def test_strength_goes_on_in_proportion() -> None:
    """As in EfficientNetV2's code, whose strength of 15 is 1.5 times that of 10; what has an end stays there."""
    one, size = torch.ones(1), torch.Size((1, 3, 100, 100))

    def amount(name: str, level: float, sign: float = 1.0) -> float:
        return float(amount_of(RAND[name], level * one, sign * one, size))

    assert amount("rotate", 1.5) == pytest.approx(45)
    assert amount("shear_x", 1.5, -1) == pytest.approx(-0.45)
    assert amount("brightness", 1.5) == pytest.approx(1 + 1.35)
    assert amount("brightness", 1.5, -1) == pytest.approx(0.1)  # not a negative of the image
    assert (amount("posterize", 2.5), amount("solarize", 2.5)) == (4, 0)
    assert float(amount_of(WIDE["color"], one, -one, size)) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("progressive = progressive", "idle-option", "nothing that grows"),
        ("progressive = progressive(size=[4, 8])", "idle-option", "`scale_jitter` or `resize` in `augment`"),
        ("progressive = progressive(strength=[4, 8])", "idle-option", "no `randaugment`"),
        ("progressive = progressive(mixup=[0, 1])", "idle-option", "no `mixup` in `mix`"),
        ("dropout = constant(0.1)\nprogressive = progressive(dropout=[0, 1])", "conflicting-fields", "both say"),
        ("progressive = progressive(dropout=[0, 1.5])", "bad-value", "from 0 to 1|at most 1"),
        ("progressive = progressive(size=[0, 8])", "bad-value", "at least 1"),
        ("progressive = progressive(size=8)", "bad-value", "a list of 2"),
        ("progressive = progressive(sizes=[4, 8])", "unknown-argument", "sizes"),
    ],
)  # fmt: skip
def test_mistakes_are_reported(fields: str, code: str, words: str) -> None:
    import re

    found, mistakes = resolved("recipe Test {\n" + fields + "\n}")
    assert found is None
    assert mistakes[0].code == code, mistakes[0]
    assert re.search(words, mistakes[0].message), mistakes[0].message


NETS = {
    "gap": "conv(4, 3, stride=2) -> bn -> relu -> maxpool(2) -> gap -> linear(10)",
    "flat": "conv(4, 3, stride=2) -> relu -> flatten -> linear(10)",
    "pooled": "conv(4, 3) -> relu -> adaptive_avgpool(2) -> flatten -> linear(10)",
    "tokens": "patchify(8, 4) -> flatten(start=1) -> permute((1, 0)) -> linear(8) -> reduce_mean(axis=0) -> linear(10)",
    "positions": "patchify(8, 4) -> flatten(start=1) -> permute((1, 0)) -> it + param((16, 8)) -> flatten"
    " -> linear(10)",
    "cut": "crop(12) -> conv(4, 3) -> gap -> linear(10)",
    "unpadded": "conv(4, 3, padding=0) -> conv(4, 9, padding=0) -> relu -> gap -> linear(10)",
    "deep": "patchify(4, 4) -> relu -> patchify(8, 4) -> relu -> gap -> linear(10)",
}


def net_at(body: str, size: object) -> Net:
    spec = Spec(Source(f"net Test {{\n input image [3, {size}, {size}]\n {body}\n}}", "test.net"), read_import)
    return spec.net("Test")


@pytest.mark.parametrize("name", NETS)
def test_a_net_takes_a_size_where_a_spec_of_that_size_is_the_same_net(name: str) -> None:
    """Held against the spec rewritten for the size: it has a meaning, its weights fit, its outputs are the same."""
    ours = net_at(NETS[name], 16)
    module = ours.module(seed=1).eval()
    decided = []
    for size in (8, 10, 12, 14, 20, 24, 32):
        theirs = net_at(NETS[name], size)
        same = theirs.program is not None
        if same:
            other, x = theirs.module(seed=2).eval(), torch.randn(2, 3, size, size)
            shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in (module, other)]
            same = shapes[0] == shapes[1]
            if same:
                other.load_state_dict(module.state_dict())
                try:
                    same = torch.equal(module(x), other(x))
                except (RuntimeError, ValueError):
                    same = False
        decided.append(same)
        reason = refused(ours, size)
        assert (reason is None) == same or (same and name == "cut"), (size, reason)  # a crop is cut at any size
    assert refused(ours, 16) is None
    assert any(decided) or name in ("flat", "positions", "cut")
    assert not all(decided) or name in ("gap", "pooled", "tokens")


def test_named_sizes_take_what_their_constraints_allow() -> None:
    body = "residual { maxpool(4) -> upsample(4) } -> gap -> linear(10)"
    spec = f"net Test {{\n input image [3, H, W]\n {body}\n}}"
    net = Spec(Source(spec, "test.net"), read_import).net("Test")
    assert refused(net, 32) is None
    assert refused(net, 30) == "it needs H % 4 == 0 and W % 4 == 0"


SPEC = """
net Small(classes=10) {
  input image [1, 16, 16]
  conv(6, 3, stride=2) -> bn -> relu -> gap -> dropout(0.1) -> linear(classes)
}
net Flat(classes=10) {
  input image [1, 16, 16]
  conv(6, 3, stride=2) -> bn -> relu -> flatten -> linear(classes)
}

recipe Grown for Small {
  epochs      = 2
  batch       = 128
  augment     = random_resized_crop(16, [0.5, 1]) -> randaugment(1, 9)
  mix         = mixup(0.2)
  progressive = progressive(stages=3, size=[8, 16], strength=[3, 9], dropout=[0, 0.2], mixup=[0, 0.2])
}
"""


def test_the_plan_says_what_grows_and_a_run_does_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "small.net"
    spec.write_text(SPEC)
    assert main(["recipe", str(spec)]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("stage")]
    assert lines == [
        "stage 1     size 8, strength 3, dropout 0, mixup 0, from step 1",
        "stage 2     size 12, strength 6, dropout 0.1, mixup 0.1, from step 9",
        "stage 3     size 16, strength 9, dropout 0.2, mixup 0.2, from step 17",
    ]
    assert main(["train", str(spec), "-o", str(tmp_path / "run"), "-q"]) == 0
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert result["onnx"]["top1"] == result["top1"]  # tested at the net's own size
    assert load_file(tmp_path / "run" / "model.safetensors")
    for command in (["recipe", f"{spec}:Flat"], ["train", f"{spec}:Flat", "-o", str(tmp_path / "flat")]):
        assert main([*command, "--recipe", "Grown"]) == 1
        said = capfd.readouterr().err
        assert "`Flat` cannot be trained on images of 8 x 8: `linear.weight` is [10, 384] and would have to be" in said
        assert "`gap`, which takes any size" in said


def test_published_recipes_that_train_at_other_sizes_are_accepted_and_vit_is_not() -> None:
    specs = SPECS

    def answer(file: str, net: str, size: int) -> str | None:
        path = specs / f"{file}.net"
        return refused(Spec(Source(path.read_text(), str(path)), read_import).net(net), size)

    assert answer("resnet", "ResNet18", 176) is None
    assert answer("efficientnet_v2", "EfficientNetV2_S", 128) is None
    assert "shapes" in (answer("vit", "DeiT_Ti", 176) or "")
    assert "windows" in (answer("swin", "Swin_T", 176) or "")
