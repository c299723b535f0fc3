"""Recipes that train without an error and not as meant: what changes nothing, what comes after the end, what the net
lacks. Each is told at its place, and what is nearly the same and right is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import netdsl

IMAGES = """net T(classes=10) {
  input image [3, 32, 32]
  stem: conv(8, 3, bias=false) -> bn -> relu
  head: gap -> linear(classes)
}
"""
DROPPED = IMAGES.replace("gap", "gap -> dropout(0.1)")
GREY = """net T(classes=10) {
  input image [1, 28, 28]
  conv(8, 3) -> relu -> gap -> linear(classes)
}
"""
TABLE = """net T(outputs=3) {
  input x [5]
  linear(8) -> relu -> linear(outputs)
}
"""
TWO = """net T(classes=10) {
  input image [3, 32, 32]
  h = conv(8, 3) -> relu
  output main = h -> gap -> linear(classes)
  output side = h -> flatten -> linear(classes)
}
"""
MASKS = """net T(classes=3) {
  input image [1, 32, 32]
  conv(8, 3) -> relu -> conv(classes, 1)
}
"""
TEXT = """net T(vocab=256) {
  input tokens [L] int64
  embed(vocab, 16) -> linear(vocab)
}
"""


def told(net: str, fields: str, tmp_path: Path) -> list[tuple[str, str, str]]:
    """What check says of a recipe: severity, code, and the text that it points to."""
    data = "" if "data = " in fields else 'data = imagefolder("x")\n'
    path = tmp_path / "a.net"
    path.write_text(f"{net}recipe R for T {{\n{data}{fields}\n}}\n")
    return [(d.severity, d.code, d.at.text if d.at else "") for d in netdsl.check(str(path))]


@pytest.mark.parametrize(
    ("net", "fields", "code", "at"),
    [
        (IMAGES, "augment = color_jitter", "idle-option", "color_jitter"),
        (IMAGES, "augment = color_jitter(0.2, p=0)", "idle-option", "color_jitter(0.2, p=0)"),
        (IMAGES, "augment = hflip(p=0)", "idle-option", "hflip(p=0)"),
        (IMAGES, "augment = affine", "idle-option", "affine"),
        (IMAGES, "augment = hflip -> crop", "idle-option", "crop"),
        (IMAGES, "augment = rotate(0)", "idle-option", "rotate(0)"),
        (IMAGES, "augment = vflip -> hflip -> vflip", "idle-option", "vflip"),
        (IMAGES, "augment = hflip(p=1)", "unusual-value", "hflip(p=1)"),
        (IMAGES, "data = mnist\ntta = hflip", "flipped-digits", "hflip"),
        (IMAGES, "sampling = balanced(power=0)", "idle-option", "balanced(power=0)"),
        (IMAGES, "validation = 0.9", "unusual-value", "0.9"),
        (IMAGES, "optimizer = sgd(lr=0.1, dampening=0.5)", "idle-option", "0.5"),
        (IMAGES, "optimizer = adamw(decay=schedule, weight_decay=0)", "idle-option", "schedule"),
        (TABLE, 'data = csv("a.csv", target="y", hold_out=0.9)', "unusual-value", "0.9"),
        (TABLE, 'data = csv("a.csv", target="y")\nloss = mse\nlabel_noise = 0.1', "not-supported", "0.1"),
        (IMAGES, "augment = elastic(0)", "idle-option", "elastic(0)"),
        (IMAGES, "augment = translate(0)", "idle-option", "translate(0)"),
        (IMAGES, "augment = gaussian_noise(0)", "idle-option", "gaussian_noise(0)"),
        (IMAGES, "mix = mixup(0.2, p=0)", "idle-option", "mixup(0.2, p=0)"),
        (IMAGES, "penalty = l1(0)", "idle-option", "l1(0)"),
        (IMAGES, "schedule = multistep([])", "idle-option", "multistep([])"),
        (IMAGES, 'distill = teacher("t", alpha=1)\nloss = cross_entropy(weight=balanced)', "idle-option", "balanced"),
        (DROPPED, "epochs = 5\ndropout = late(0.2, 5 epochs)", "idle-option", "5 epochs"),
        (DROPPED, "dropout = early(0.2, 0 epochs)", "idle-option", "0 epochs"),
        (IMAGES, "dropout = constant(0.2)", "idle-option", "constant(0.2)"),
        (IMAGES, "progressive = progressive(dropout=[0.1, 0.3])", "idle-option", "[0.1, 0.3]"),
        (IMAGES, "epochs = 5\nema = ema(0.9, restart=5 epochs)", "idle-option", "5 epochs"),
        (IMAGES, "steps = 50\nema = ema(0.9, every=51)", "idle-option", "51"),
        (IMAGES, "swa = swa(1)", "idle-option", "1"),
        (IMAGES, "steps = 4\nlookahead = lookahead(5)", "schedule-too-long", "5"),
        (IMAGES, "lookahead = lookahead(alpha=0)", "bad-value", "0"),
        (IMAGES, "epochs = 4\nvalidation = 0.1\nstop = early_stopping(4)", "idle-option", "4"),
        (IMAGES, "epochs = 4\nvalidation = 0.1\nschedule = plateau(patience=9)", "idle-option", "9"),
        (IMAGES, "optimizer = sgd(lr=0.01)\nschedule = warmup(1 epochs, start=0.1) -> cosine", "idle-phase", ""),
        (IMAGES, "optimizer = sgd(lr=0.01)\nschedule = cosine(to=0.1)", "idle-phase", "cosine(to=0.1)"),
        (IMAGES, "epochs = 7\nschedule = warmup(7 epochs)", "idle-phase", "warmup(7 epochs)"),
        (IMAGES, "init = gates", "idle-option", "gates"),
        (IMAGES, 'init = dirac(only=["head"])', "idle-option", ""),
        (IMAGES, 'init = orthogonal(only=["norm"])', "not-supported", ""),
        (IMAGES, "standardize = fixed([0.5, 0.5], [0.2, 0.2, 0.2])", "wrong-count", "[0.5, 0.5]"),
        (IMAGES, "augment = cutout(40)", "unfit-size", "cutout(40)"),
        (TWO, "outputs = weights(main=0)", "bad-value", "weights(main=0)"),
        (TABLE, 'data = csv("a.csv", target=["y", "z"])\nloss = mse', "wrong-count", ""),
        (TABLE, 'data = csv("a.csv", target=["y", "z", "y"])\nloss = mse', "bad-value", '["y", "z", "y"]'),
        (MASKS, 'data = maskfolder("m", classes=["a", "b", "a"])', "bad-value", '["a", "b", "a"]'),
        (DROPPED, "dropout = constant(1)", "always-dropped", "constant(1)"),
        (DROPPED, "dropout = late(1, 2 epochs)", "always-dropped", "late(1, 2 epochs)"),
        (DROPPED, "progressive = progressive(dropout=[0.1, 1])", "always-dropped", "[0.1, 1]"),
        (IMAGES, "freeze stem\nunfreeze = after(0 epochs)", "idle-option", "after(0 epochs)"),
        (IMAGES, "freeze stem\ngroup stem {\n lr = 0.1\n}", "idle-option", "stem"),
        (IMAGES, "epochs = 3\nvalidation = 0.1\nevaluate = 5 epochs", "idle-option", "5 epochs"),
        (IMAGES, "metrics = [f1, recall, f1]", "idle-option", "[f1, recall, f1]"),
        (TABLE, 'data = csv("a.csv", target="y", categories=["z", "z"])', "idle-option", '["z", "z"]'),
        (TABLE, 'data = csv("a.csv", target="y", categories=["z"], ignore=["z"])', "idle-option", '["z"]'),
        (TABLE, 'data = npz("a.npz")\nstandardize = image', "not-an-image", "image"),
        (GREY, "augment = color_jitter(saturation=0.2)", "idle-option", "color_jitter(saturation=0.2)"),
        (IMAGES, "data = digits\naugment = grayscale", "idle-option", "grayscale"),
        (IMAGES, "data = cifar10\naugment = crop(32) -> hflip", "idle-option", "crop(32)"),
        (IMAGES, "augment = cutout(32, inside=true)", "unfit-size", "cutout(32, inside=true)"),
        (IMAGES, "augment = posterize(8)", "idle-option", "posterize(8)"),
        (IMAGES, "init = kaiming -> xavier", "idle-option", "kaiming"),
        (IMAGES, 'init = weights("w.safetensors") -> normal', "idle-option", 'weights("w.safetensors")'),
        (IMAGES, "freeze conv, norm, linear", "all-frozen", "freeze conv, norm, linear"),
        (IMAGES, "schedule = warmup(2 epochs, factor=1) -> cosine", "idle-option", "warmup(2 epochs, factor=1)"),
        (IMAGES, "optimizer = sgd(lr=0.01)\nschedule = cosine(to=0.01)", "idle-phase", "cosine(to=0.01)"),
        (IMAGES, "schedule = step(9 epochs, factor=1)", "idle-option", "step(9 epochs, factor=1)"),
        (IMAGES, "schedule = step(9 epochs, factor=10)", "unusual-value", "step(9 epochs, factor=10)"),
        (IMAGES, "epochs = 100\nschedule = multistep([150 epochs, 50 epochs])", "idle-phase", ""),
        (IMAGES, "epochs = 100\nschedule = multistep([75 epochs, 50 epochs])", "unusual-value", ""),
        (IMAGES, "data = cifar10\nepochs = 90\nschedule = step(30 steps)", "vanished-lr", "step(30 steps)"),
        (IMAGES, "epochs = 90\nschedule = exponential(0.5)", "vanished-lr", "exponential(0.5)"),
        (IMAGES, "data = cifar10\nbatch = 60000\ndrop_last = true", "batch-exceeds-data", "60000"),
        (IMAGES, "ema = ema(0)", "idle-option", "ema(0)"),
        (IMAGES, "ema = 0.1", "unusual-value", ""),
        (IMAGES, "layer_decay = 1.0", "idle-option", "1.0"),
        (IMAGES, "lookahead = lookahead(1, alpha=1)", "idle-option", "lookahead(1, alpha=1)"),
        (IMAGES, "augment = randaugment\nprogressive = progressive(strength=[9, 9])", "idle-option", ""),
        (IMAGES, "augment = resize(32)\nprogressive = progressive(size=[32, 16])", "unusual-value", "[32, 16]"),
        (IMAGES, "epochs = 10\nkeep = keep(2, every=100 epochs)", "idle-option", "100 epochs"),
        (IMAGES, "optimizer = adamw(betas=[0.999, 0.9])", "unusual-value", "[0.999, 0.9]"),
        (IMAGES, "optimizer = sgd(lr=0.1, weight_decay=0.5)", "unusual-value", "0.5"),
        (IMAGES, "optimizer = adamw(weight_decay=0.05)\npenalty = l2(1e-4)", "unusual-value", "l2(1e-4)"),
        (IMAGES, "augment = rotate(0.5)", "unusual-value", "0.5"),
        (IMAGES, "augment = affine(10, shear=0.2)", "unusual-value", "0.2"),
        (IMAGES, "augment = gaussian_noise(25)", "scaled-pixels", "25"),
        (IMAGES, "clip = 1e-6", "unusual-value", ""),
        (IMAGES, 'distill = teacher("t", temperature=0.01)', "unusual-value", "0.01"),
        (IMAGES, 'init = pretrained("timm/resnet18.a1_in1k")\nstandardize = none', "unusual-value", "none"),
        (IMAGES, 'data = hf("a/b", train="train", test="train")', "tested-on-training", '"train"'),
        (TABLE, 'data = csv("a.csv", target="y", test="a.csv")', "tested-on-training", '"a.csv"'),
        (TABLE, 'data = csv("a.csv", target="y", categories=["y"])\nloss = mse', "conflicting-fields", '["y"]'),
        (TEXT, 'data = text("a.txt", tokens=bytes)\nstandardize = fixed([0.5], [0.2])', "idle-option", ""),
    ],
)  # fmt: skip
def test_what_does_nothing_is_told_at_its_place(net: str, fields: str, code: str, at: str, tmp_path: Path) -> None:
    found = told(net, fields, tmp_path)
    assert code in [c for _, c, _ in found], found
    assert not at or at in [text for _, c, text in found if c == code], found


@pytest.mark.parametrize(
    ("net", "fields"),
    [
        (IMAGES, "augment = color_jitter(hue=0.1) -> affine(shear=3) -> crop(padding=2) -> hflip(p=0.1)"),
        (IMAGES, 'distill = teacher("t", alpha=0.9)\nloss = cross_entropy(weight=balanced)'),
        (DROPPED, "epochs = 5\ndropout = late(0.2, 4 epochs)"),
        (DROPPED, "dropout = late(0.2, 40 steps)"),
        (DROPPED, "progressive = progressive(dropout=[0.1, 0.3])"),
        (IMAGES, "epochs = 5\nema = ema(0.9, restart=4 epochs, every=50)"),
        (IMAGES, "steps = 5\nlookahead = lookahead(5)"),
        (IMAGES, "lookahead = lookahead(alpha=0, power=2)\nswa = swa(0.9)"),
        (IMAGES, "epochs = 4\nevaluate = 100 steps\nvalidation = 0.1\nstop = early_stopping(4)"),
        (IMAGES, "optimizer = sgd(lr=0.01, per_batch=4)\nschedule = warmup(1 epochs, start=0.1) -> cosine(to=0.05)"),
        (IMAGES, "epochs = 7\nschedule = warmup(3 epochs) -> constant(4 epochs)"),
        (IMAGES, 'init = normal(only=["embedding"])'),
        (IMAGES, "standardize = fixed([0.5, 0.5, 0.5], [0.2, 0.2, 0.2])\naugment = cutout(32)"),
        (TWO, "outputs = weights(main=0, side=1)"),
        (TABLE, 'data = csv("a.csv", target=["y", "z", "w"])\nloss = mse'),
        (MASKS, 'data = maskfolder("m", classes=["a", "b", "c"])'),
        (DROPPED, "dropout = constant(0.99)"),
        (DROPPED, "dropout = linear(0, 0.5)"),
        (IMAGES, "freeze stem\nunfreeze = after(0 epochs, lr=0.1)"),
        (IMAGES, "freeze stem\nunfreeze = after(1 steps)"),
        (IMAGES, "freeze stem\nunfreeze = after(2 epochs)\ngroup stem {\n lr = 0.1\n}"),
        (IMAGES, "freeze stem\ngroup norm, head {\n weight_decay = 0\n}"),
        (IMAGES, "epochs = 3\nevaluate = 5 epochs"),
        (IMAGES, "epochs = 1\nvalidation = 0.1"),
        (IMAGES, "validation = 0.1\nfolds = 5"),
        (IMAGES, "metrics = [f1, recall]"),
        (TABLE, 'data = csv("a.csv", target="y", categories=["y", "z"], ignore=["w"])'),
        (TEXT, 'data = text("a.txt", tokens=bytes)\nstandardize = none'),
        (GREY, "augment = color_jitter(brightness=0.2, hue=0.1) -> crop(28, padding=2)"),
        (IMAGES, "augment = crop(32)"),
        (IMAGES, 'init = kaiming -> normal(std=0.01, only=["head"]) -> head_scale(0.1)'),
        (IMAGES, "freeze stem"),
        (IMAGES, "epochs = 100\nschedule = warmup(5 epochs) -> multistep([30 epochs, 60 epochs])"),
        (IMAGES, "epochs = 100\nschedule = restarts(10 epochs)"),
        (IMAGES, "epochs = 300\nschedule = step(1 epochs, factor=0.98)"),
        (IMAGES, "schedule = exponential(1.1)"),
        (IMAGES, "ema = ema(0.4, every=100)"),
        (IMAGES, "optimizer = sgd(lr=0.1, weight_decay=5e-4)\npenalty = l1(1e-5)"),
        (IMAGES, "optimizer = lion(lr=1e-4, betas=[0.95, 0.98])"),
        (IMAGES, "augment = rotate(1) -> gaussian_noise(0.1) -> cutout(16, inside=true)"),
        (IMAGES, "data = cifar10\nbatch = 60000"),
        (TABLE, 'data = csv("a.csv", target="y", test="b.csv")'),
        (IMAGES, "augment = hflip -> vflip\nsampling = balanced(power=0.5)\nvalidation = 0.5"),
        (IMAGES, "augment = hflip(alternating=true, p=1)\nepochs = 5\ncheckpoint = 1000 epochs"),
        (IMAGES, "optimizer = sgd(lr=0.1, momentum=0.9, dampening=0.5)\ngroup stem {\n lr = 0.01\n}"),
        (IMAGES, "optimizer = adamw(decay=schedule, weight_decay=0)\ngroup stem {\n weight_decay = 0.1\n}"),
        (TABLE, 'data = csv("a.csv", target="y")\nlabel_noise = 0.1'),
    ],
)  # fmt: skip
def test_what_does_something_is_left_alone(net: str, fields: str, tmp_path: Path) -> None:
    assert told(net, fields, tmp_path) == []
