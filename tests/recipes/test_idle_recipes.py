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
    ],
)  # fmt: skip
def test_what_does_something_is_left_alone(net: str, fields: str, tmp_path: Path) -> None:
    assert told(net, fields, tmp_path) == []
