"""What `check` says of a recipe and its net: every misfit that needs no data, once, at the words to blame."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import SPECS

from netdsl.analysis.count import parameters
from netdsl.backends.torch.freedom import code
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.planning.resolution import refused, same_ops
from netdsl.source import Source

IMAGES = (
    "net N(classes=10) {\n  input image [3, 32, 32]\n  stem: conv(16, 3, bias=false) -> bn -> relu\n"
    "  head: gap -> linear(classes)\n}\n"
)
"""A classifier of images of any size."""
FLAT = "net N {\n  input image [3, 32, 32]\n  conv(4, 3) -> flatten -> linear(10)\n}\n"
RESIDUAL = (
    "net N {\n  input image [3, 8, 8]\n  conv(8, 3)\n  repeat 3 { residual { conv(8, 3, bias=false) -> bn } }\n"
    "  gap -> linear(10)\n}\n"
)
PREACT = RESIDUAL.replace("conv(8, 3, bias=false) -> bn", "bn -> conv(8, 3, bias=false)")
VECTOR = "net N {\n  input x [20]\n  linear(10)\n}\n"
VALUES = "net N {\n  input x [20]\n  linear(1)\n}\n"
FEW = "net N {\n  input image [3, 32, 32]\n  gap -> linear(3)\n}\n"
DIGITS = "net N {\n  input image [1, 8, 8]\n  flatten -> linear(10)\n}\n"
MASKS = "net N {\n  input image [1, 32, 32]\n  conv(2, 3)\n}\n"
COARSE = "net N {\n  input image [1, 32, 32]\n  conv(4, 3, stride=2) -> relu -> conv(2, 3)\n}\n"
OPEN = "net N {\n  input image [1, H, W]\n  conv(4, 3) -> maxpool(2) -> relu -> conv(2, 3)\n}\n"
POOLED = "net N {\n  input image [1, 32, 32]\n  conv(4, 3, padding=0) -> maxpool(2) -> conv(2, 3, padding=0)\n}\n"
LARGE = "net N {\n  input image [1, 32, 32]\n  upsample(2) -> conv(2, 3)\n}\n"
MIDDLE = "net N {\n  input image [1, 32, 32]\n  conv(4, 5, padding=0) -> relu -> conv(2, 7, padding=0)\n}\n"
TOKENS = "net N {\n  input tokens [64] int64\n  embed(50, 8) -> linear(50)\n}\n"
TWO = "net N {\n  input a [3, 8, 8]\n  input b [3, 8, 8]\n  a + b -> gap -> linear(10)\n}\n"


def found(net: str, fields: str) -> tuple[Diagnostic, ...]:
    return Spec(Source(f"{net}\nrecipe R for N {{\n{fields}\n}}\n", "test.net"), read_import).diagnostics


def shown(diagnostic: Diagnostic) -> tuple[str, str, list[str]]:
    assert diagnostic.at is not None
    return diagnostic.code, diagnostic.at.text, [label.at.text for label in diagnostic.labels]


@pytest.mark.parametrize(
    ("net", "fields", "code", "at"),
    [
        # selectors
        (IMAGES, "group stm { lr = 0.1 * lr }", "unknown-selector", "stm"),
        (IMAGES, "group norms { weight_decay = 0 }", "unknown-selector", "norms"),
        (IMAGES, "freeze backbone", "unknown-selector", "backbone"),
        (IMAGES, "freeze embedding", "unknown-selector", "embedding"),
        (IMAGES, 'init = kaiming(only=["stem", "hed"])', "unknown-selector", '"hed"'),
        (IMAGES, "freeze conv, norm, linear, bias, head", "all-frozen", "freeze conv, norm, linear, bias, head"),
        (IMAGES, "freeze stem, head", "all-frozen", "freeze stem, head"),
        # residual links
        (IMAGES, "drop_path = linear(0, 0.1)", "no-residual-links", "linear(0, 0.1)"),
        (IMAGES, "drop_path = drop_path(constant(0.1), mode=batch)", "no-residual-links", None),
        (RESIDUAL, "drop_path = rates([0.1, 0.2])", "wrong-count", "rates([0.1, 0.2])"),
        (IMAGES, "init = kaiming -> zero_last_norm", "no-residual-links", "zero_last_norm"),
        (PREACT, "init = zero_last_norm", "unfit-branch", "zero_last_norm"),
        (IMAGES, "init = fixup", "no-residual-links", "fixup"),
        (IMAGES, "init = skipinit", "no-residual-links", "skipinit"),
        (RESIDUAL, "init = fixup", "unfit-branch", "fixup"),
        # outputs, losses, metrics
        (IMAGES, "outputs = weights(aux=0.3)", "unknown-output", "aux=0.3"),
        (IMAGES, "loss = cross_entropy(weight=[1, 2])", "wrong-count", "[1, 2]"),
        (FEW, "loss = cross_entropy(weight=[0, 0, 0])", "bad-value", "[0, 0, 0]"),
        (VALUES, "loss = cross_entropy", "unfit-loss", "linear(1)"),
        (IMAGES, "loss = dice_ce\ndata = clutter", "unfit-loss", "linear(classes)"),
        (MASKS, "data = digits", "unfit-loss", "conv(2, 3)"),
        (MASKS, "data = clutter\nloss = bce", "unfit-loss", "bce"),
        (COARSE, "data = clutter", "unfit-loss", "conv(2, 3)"),
        (COARSE, 'data = npz("a.npz")\nloss = dice_ce', "unfit-loss", "conv(2, 3)"),
        (OPEN, "data = clutter", "unfit-loss", "conv(2, 3)"),
        (POOLED, "data = clutter", "unfit-loss", "conv(2, 3, padding=0)"),
        (LARGE, "data = clutter", "unfit-loss", "conv(2, 3)"),
        (TOKENS, 'data = text("a.txt")\nloss = mse', "unfit-loss", "mse"),
        (IMAGES, "loss = mse\nmix = mixup(0.8)", "hard-loss", "mse"),
        (IMAGES, "loss = huber(0.5)\nmix = cutmix(1.0)", "hard-loss", "huber(0.5)"),
        (FEW, "metrics = [top1, top5]", "unfit-metric", "top5"),
        (IMAGES, "metrics = [top1, rmse]", "unfit-metric", "rmse"),
        (IMAGES, "data = cifar10\nmetrics = [perplexity]", "unfit-metric", "perplexity"),
        (VALUES, 'data = npz("a.npz")\nloss = mse\nmetrics = [confusion]', "unfit-metric", "confusion"),
        (IMAGES, "validation = 0.1\nstop = early_stopping(3, metric=top5)", "unfit-metric", "top5"),
        (IMAGES, "validation = 0.1\nschedule = plateau(0.1, metric=rmse)", "unfit-metric", "rmse"),
        # classes of the data
        (FEW, "data = cifar10", "wrong-count", "linear(3)"),
        (IMAGES, "data = cifar100", "wrong-count", "linear(classes)"),
        (IMAGES, 'data = cifar100("a", labels=coarse)', "wrong-count", "linear(classes)"),
        (IMAGES, "data = synthetic(classes=4)", "wrong-count", "linear(classes)"),
        # inputs
        (VECTOR, "data = digits", "unfit-input", "digits"),
        (DIGITS, "data = cifar10", "unfit-input", "cifar10"),
        (IMAGES, 'data = text("a.txt")', "unfit-input", 'text("a.txt")'),
        (TOKENS, 'data = text("a.txt", length=32)', "unfit-input", 'text("a.txt", length=32)'),
        (TWO, 'data = npz("a.npz")', "unfit-input", 'npz("a.npz")'),
        # images
        (VECTOR, 'data = npz("x.npz")\naugment = hflip', "not-an-image", "hflip"),
        (VECTOR, "augment = color_jitter(0.4) -> crop(padding=4)", "not-an-image", "color_jitter(0.4)"),
        (VECTOR, "mix = mixup(0.2) | cutmix(1.0)", "not-an-image", "cutmix(1.0)"),
        (TWO, 'data = npz("a.npz", inputs=["a", "b"])\naugment = hflip', "not-an-image", "hflip"),
        (IMAGES, "augment = crop(40)", "unfit-size", "crop(40)"),
        (IMAGES, "augment = resize(16) -> crop(24, padding=2)", "unfit-size", "crop(24, padding=2)"),
        (IMAGES, "augment = crop(padding=32, mode=reflect)", "unfit-size", "crop(padding=32, mode=reflect)"),
        (IMAGES, 'data = imagefolder("x", resize=24, crop=32)', "unfit-size", "32"),
        (IMAGES, 'data = imagefolder("x", resize=72, crop=64)', "unfit-size", "64"),
        (IMAGES, 'data = imagefolder("x", resize=16)', "unfit-size", "16"),
        (FLAT, "augment = random_resized_crop(24)", "unfit-size", "random_resized_crop(24)"),
        (VECTOR, 'data = csv("a.csv", target="y")\nstandardize = image', "not-an-image", "image"),
    ],
)
def test_one_error_at_the_words_to_blame(net: str, fields: str, code: str, at: str | None) -> None:
    diagnostics = found(net, fields)
    assert [(d.code, d.severity) for d in diagnostics] == [(code, "error")], [d.message for d in diagnostics]
    if at is not None:
        assert shown(diagnostics[0])[1] == at


@pytest.mark.parametrize(
    ("net", "fields"),
    [
        (IMAGES, "data = cifar10\naugment = crop(32, padding=4) -> hflip\nmix = mixup(0.2) | cutmix(1.0)"),
        (IMAGES, "data = mnist\nmetrics = [top5, confusion, per_class]"),
        (IMAGES, 'data = npz("x.npz")\nloss = mse\nmix = mixup(0.2)\nmetrics = [rmse]'),
        (IMAGES, "augment = random_resized_crop(24) -> hflip"),
        (IMAGES, 'data = imagefolder("x", resize=36, crop=32)\naugment = random_resized_crop(24)'),
        (IMAGES, 'freeze stem\ngroup norm, embedding { weight_decay = 0 }\ninit = kaiming(only=["stem"])'),
        (RESIDUAL, "drop_path = rates([0.1, 0.2, 0.3])\ninit = kaiming -> zero_last_norm -> head_scale(0.1)"),
        (VALUES, "loss = bce"),
        (VALUES, 'data = npz("x.npz")\nloss = huber\nvalidation = 0.1\nstop = early_stopping(3, metric=rmse)'),
        (VECTOR, "mix = mixup(0.2)"),
        (VECTOR.replace("20", "64"), "data = digits"),
        (MASKS, "data = clutter\nloss = dice_ce\nmetrics = [mean_iou]"),
        (MIDDLE, "data = clutter"),
        (OPEN.replace("relu -> ", "relu -> upsample(2) -> "), "data = clutter"),
        (VECTOR.replace("20", "64"), "data = digits\nstandardize = image"),
        (TOKENS, 'data = text("a.txt")\nmetrics = [perplexity]'),
        (DIGITS, "data = digits\nepochs = 1"),
        (DIGITS, "data = digits\nsteps = 5"),
        (FEW, "data = synthetic\nloss = bce(label_smoothing=0.1)"),
    ],
)
def test_what_fits_is_not_spoken_of(net: str, fields: str) -> None:
    assert [d.message for d in found(net, fields)] == []


def test_all_selectors_that_match_nothing_are_said() -> None:
    diagnostics = found(IMAGES, "freeze backbone, stm\ngroup hed, norm { lr = 0.1 * lr }")
    assert sorted(shown(d)[1] for d in diagnostics) == ["backbone", "hed", "stm"]
    assert {d.at.text: d.hint for d in diagnostics if d.at} | {"backbone": ""} == {
        "backbone": "", "stm": "did you mean `stem`?", "hed": "did you mean `head`?",
    }  # fmt: skip
    (edit,) = next(d for d in diagnostics if shown(d)[1] == "hed").hints[0].edits
    assert (edit.at.text, edit.text) == ("hed", "head")


def test_training_at_another_size_than_the_net_is_declared_for_is_a_warning() -> None:
    (one,) = found(IMAGES, "augment = random_resized_crop(224) -> hflip")
    assert (one.severity, one.code, shown(one)[1]) == ("warning", "unfit-size", "random_resized_crop(224)")
    assert "trains on images of 224 x 224 and is tested on 32 x 32" in one.message


def test_rules_of_recipes_are_for_those_that_fit_their_net() -> None:
    fast = "optimizer = adamw(lr=0.5)"
    assert [d.code for d in found(FEW, f"data = cifar10\n{fast}")] == ["wrong-count"]
    warned = found(IMAGES, f"augment = random_resized_crop(224) -> hflip\n{fast}")
    assert {d.code for d in warned} == {"unfit-size", "lr-out-of-range"}


def test_the_net_of_an_imported_recipe_is_not_a_net_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.net").write_text(f"{IMAGES}recipe Base for N {{\n  data = cifar10\n}}\n")
    monkeypatch.chdir(tmp_path)
    for head, codes in (("extends Base", []), ("for N", ["wrong-count"])):
        text = f"from nets import Base\n{FEW}recipe Mine {head} {{\n  data = cifar10\n}}\n"
        spec = Spec(Source(text, "own.net"), read_import)
        assert [d.code for d in spec.diagnostics] == codes


def test_an_argument_is_proposed_only_where_the_net_has_one() -> None:
    (one,) = found(IMAGES, "data = cifar100")
    assert one.hint == "`-p classes=100` gives the net 100 outputs"
    assert shown(one) == ("wrong-count", "linear(classes)", ["cifar100"])
    (other,) = found(FEW, "data = cifar100")
    assert "-p" not in (other.hint or "")


def test_nothing_is_said_of_data_that_the_recipe_does_not_name() -> None:
    assert not found(FEW, "epochs = 3")
    assert not found(TWO, "epochs = 3")


def test_a_selector_of_an_extended_recipe_is_blamed_where_it_is_written() -> None:
    text = IMAGES + "recipe A for N {\n  freeze backbone\n}\nrecipe B extends A {\n  epochs = 3\n}\n"
    diagnostics = Spec(Source(text, "test.net"), read_import).diagnostics
    assert {d.at.text for d in diagnostics if d.at} == {"backbone"}


@pytest.mark.parametrize("file", ["resnet", "efficientnet_v2", "alexnet", "googlenet", "nasnet", "lenet"])
def test_equal_ops_and_weights_at_another_size_are_equal_code(file: str) -> None:
    """What lets a net be trained at another size without comparing its whole source."""
    net = Spec(load_source(SPECS / f"{file}.net"), read_import).net()
    side = net.checked.main.inputs[0].type.shape[1]
    assert isinstance(side, int)
    for other in (side + 32, side // 2):
        program, _ = net.resized(other)
        assert program is not None
        both = (net.checked, program)
        weights = [[(p.path, p.shape) for p in parameters(b.main)] for b in both]
        printed = [code(b) for b in both]
        if same_ops(net.checked.main, program.main) and weights[0] == weights[1]:
            assert printed[0] == printed[1]
        assert (refused(net, other) is None) == (printed[0] == printed[1])


@pytest.mark.parametrize(
    "field",
    [
        'data = imagefolder("gone")',
        'init = weights("gone.pt")',
        'init = pretrained("/gone")',
        'distill = teacher("gone")',
    ],
)
def test_a_check_opens_no_file_that_training_needs(field: str) -> None:
    """Data and weights may be on another machine; `train` says what is missing."""
    assert not found(IMAGES, f"  {field}\n  epochs = 2\n  optimizer = adamw(1e-3)")
