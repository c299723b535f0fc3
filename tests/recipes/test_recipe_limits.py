"""Every rule of a recipe at its edge: what is said of the last value that is wrong, and nothing of the next.

Everything that is said of each recipe is written down, so a rule that speaks where it should not is seen as well.
"""

from __future__ import annotations

import pytest
from recipe_harness import resolved

MIXED = "data = cifar10\nmix = mixup(0.2)\n"
MASKS = "data = clutter\n"

SAID: list[tuple[str, list[str]]] = [
    # when training ends
    ("batch = 64\nmicro_batch = 65", ["conflicting-fields"]),
    ("batch = 64\nmicro_batch = 64", []),
    # phases and the end of training
    ("epochs = 6\nschedule = warmup(2 epochs) -> constant(3 epochs)", ["schedule-too-short"]),
    ("epochs = 5\nschedule = warmup(2 epochs) -> constant(3 epochs)", []),
    ("epochs = 4\nschedule = warmup(2 epochs) -> constant(3 epochs)", ["schedule-too-long"]),
    ("epochs = 4\nschedule = warmup(2 epochs) -> constant(3 steps)", []),
    ("steps = 4\nschedule = warmup(2 epochs) -> constant(9 steps)", []),
    ("steps = 6\nschedule = warmup(2 steps) -> constant(3 steps)", ["schedule-too-short"]),
    ("steps = 4\nschedule = warmup(2 steps) -> constant(3 steps)", ["schedule-too-long"]),
    ("epochs = 3\nschedule = warmup(3 epochs) -> cosine", ["idle-phase"]),
    ("epochs = 4\nschedule = warmup(3 epochs) -> cosine", []),
    ("epochs = 9\nschedule = constant(3 epochs) -> warmup(1 epochs) -> cosine", ["late-warmup"]),
    ("epochs = 9\nschedule = cosine -> warmup(1 epochs)", ["late-warmup"]),
    ("epochs = 9\nschedule = cosine -> constant(1 epochs)", ["unreachable-phase"]),
    ("epochs = 9\nschedule = constant(1 epochs) -> cosine -> constant(1 epochs)", ["unreachable-phase"]),
    ("schedule = plateau", ["stops-on-test"]),
    ("epochs = 19\nschedule = warmup(1 epochs) -> plateau", ["stops-on-test"]),
    ("schedule = plateau\nvalidation = 0.1", []),
    ("schedule = linear(to=0.1, factor=0.1)", ["conflicting-fields"]),
    ("schedule = linear(to=0.1)", []),
    ("schedule = linear(factor=0.1)", []),
    ("epochs = 9\nschedule = warmup(4 epochs) -> step(5 epochs)", ["idle-phase"]),
    ("epochs = 9\nschedule = warmup(4 epochs) -> step(4 epochs)", []),
    ("epochs = 9\nschedule = warmup(500 steps) -> step(5 epochs)", []),
    ("epochs = 9\nschedule = step(5 epochs, over=9 epochs)", []),
    ("epochs = 9\nschedule = warmup(4 epochs) -> step(5 epochs, whole=true)", []),
    # pixels
    ("data = cifar10\nstandardize = fixed([120, 120, 120], [50, 60, 60])", ["scaled-pixels"]),
    ('data = npz("a.npz")\nstandardize = fixed([36.5], [12])', []),
    # targets
    ("loss = cross_entropy(label_smoothing=0.5)", []),
    ("loss = cross_entropy(label_smoothing=0.51)", ["heavy-smoothing"]),
    ("loss = bce(threshold=0.2, label_smoothing=0.1)", []),
    (MIXED + "loss = bce(threshold=0.2)", []),
    ("data = cifar10\nlabel_noise = 0.1", []),
    (MASKS + "loss = dice_ce\nlabel_noise = 0.1", ["not-supported"]),
    ("data = cifar10\nloss = dice_ce", ["hard-loss"]),
    (MASKS + "loss = dice_ce", []),
    ("loss = cross_entropy(weight=[0, 0])", ["bad-value"]),
    ("loss = cross_entropy(weight=[0, 1])", []),
    (MIXED, []),
    (MIXED + "loss = mse", ["hard-loss"]),
    # which weights are kept
    ("stop = early_stopping(3)\nvalidation = 0.1", []),
    ("stop = early_stopping(3)\nfinal = best", ["stops-on-test"]),
    ("final = best\nvalidation = 0.1", []),
    ("steps = 4999\nema = 0.9991", ["slow-average"]),
    ("steps = 5000\nema = 0.9991", []),
    ("steps = 4999\nema = 0.999", []),
    ("ema = 0.9991", []),
    ("steps = 4999\nema = ema(0.9991, warmup=true)", []),
    # optimizers
    ("optimizer = sgd(nesterov=true, momentum=0.9)", []),
    ("optimizer = sgd(nesterov=true, momentum=0.9, dampening=0.1)", ["conflicting-fields"]),
    ("optimizer = adam(weight_decay=1e-3)", ["coupled-decay"]),
    ("optimizer = adam(weight_decay=9e-4)", []),
    ("optimizer = lamb(max_norm=0)\nclip = 1.0", []),
    ("optimizer = lamb", []),
    ("optimizer = lion(lr=1e-3)", []),
    ("optimizer = lion(lr=1.1e-3)", ["large-lr"]),
    ("layer_decay = 0", ["bad-value"]),
    ("layer_decay = 0.999", []),
    # augmentation
    ("data = cifar10\naugment = hflip -> randaugment", []),
    ("data = cifar10\nrepeat = 3\naugment = hflip", []),
    ("data = cifar10\nrepeat = 1", []),
    ("data = cifar10\ntta = hflip", []),
    # which samples are seen
    ("data = cifar10\nsampling = balanced", []),
    (MASKS + "loss = dice_ce\nsampling = balanced", ["not-supported"]),
    ("data = cifar10\naugment = hflip\nrepeat = 2\nsampling = balanced", ["conflicting-fields"]),
    ("data = cifar10\nsampling = balanced\nloss = cross_entropy(weight=balanced)", ["balanced-twice"]),
    # layers that begin to train later
    ("epochs = 9\nunfreeze = after(3 epochs)", ["idle-option"]),
    ("epochs = 9\nfreeze head\nunfreeze = after(3 epochs)", []),
    ("epochs = 9\nfreeze head\nunfreeze = after(8 epochs)", []),
    ("epochs = 9\nfreeze head\nunfreeze = after(0.5 epochs)", []),
    ("epochs = 9\nfreeze head\nunfreeze = after(9 epochs)", ["schedule-too-long"]),
    ("steps = 9\nfreeze head\nunfreeze = after(9 epochs)", []),
    ("steps = 9\nfreeze head\nunfreeze = after(9 steps)", ["schedule-too-long"]),
    ('epochs = 9\nfreeze head\nunfreeze = after(3 epochs, ["a"]) -> after(2 epochs)', ["conflicting-fields"]),
    ('epochs = 9\nfreeze head\nunfreeze = after(3 epochs, ["a"]) -> after(3 epochs)', []),
    ("shard = fsdp\nfreeze head\nunfreeze = after(1 epochs)", ["conflicting-fields"]),
    # weights in parts
    ("shard = fsdp\npenalty = l1_by_product(1e-4)", ["conflicting-fields"]),
    ("shard = fsdp\npenalty = l1(1e-4)", []),
    ("shard = fsdp\nclip = 1.0", []),
    # data that is read as a whole
    ("data = cifar10\nfolds = 3", []),
    ('data = graph("a.npz")\nfolds = 3', ["not-supported"]),
    ('data = graph("a.npz")\ntta = hflip', ["not-supported"]),
    ('data = text("a.txt")\ntta = hflip', ["not-supported"]),
    ('data = text("a.txt")\naugment = hflip', ["not-supported"]),
    ('data = text("a.txt")\nmix = mixup(0.2)', ["hard-loss"]),
    # stages
    ("data = cifar10\nprogressive = progressive()", ["idle-option"]),
    ("data = cifar10\nprogressive = progressive(mixup=[0, 0.2])", ["idle-option"]),
    (MIXED + "progressive = progressive(mixup=[0, 0.2])", []),
    (MIXED + "progressive = progressive(dropout=[0, 0.2])", []),
    (MIXED + "progressive = progressive(dropout=[0, 0.2])\ndropout = constant(0.1)", ["conflicting-fields"]),
    (MIXED + "progressive = progressive(mixup=[0, 0.2])\ndropout = constant(0.1)", []),
    # a teacher
    ('data = cifar10\ndistill = teacher("run")', []),
    ('data = cifar10\nloss = bce\ndistill = teacher("run")', ["conflicting-fields"]),
    ('data = cifar10\ndistill = teacher("run", alpha=0)', ["idle-option"]),
    # batches whose samples are compared
    ("data = cifar10\nloss = nt_xent\nbatch = 2", []),
    ("data = cifar10\nloss = nt_xent\nbatch = 1", ["bad-value"]),
    ("data = cifar10\nloss = nt_xent\nmicro_batch = 8", ["conflicting-fields"]),
    ("data = cifar10\nloss = nt_xent\nmix = mixup(0.2)", ["hard-loss", "conflicting-fields"]),
]


@pytest.mark.parametrize(("fields", "codes"), SAID)
def test_a_rule_speaks_at_its_edge_and_not_beyond(fields: str, codes: list[str]) -> None:
    _, said = resolved("recipe Test {\n" + fields + "\n}")
    assert [d.code for d in said] == codes, [d.message for d in said]


@pytest.mark.parametrize("first", ["warmup(3 epochs)", "warmup(1 epochs) -> constant(2 epochs)"])
def test_the_phase_that_is_never_reached_is_named(first: str) -> None:
    _, said = resolved(f"recipe Test {{\n epochs = 3\n schedule = {first} -> cosine\n}}")
    assert [d.message.partition(" last")[0] for d in said] == ["the phases before `cosine`"]


@pytest.mark.parametrize(("name", "field"), [("mixup", "mix"), ("cutmix", "mix"), ("strength", "augment")])
def test_the_field_that_lacks_what_grows_is_named(name: str, field: str) -> None:
    _, said = resolved(f"recipe Test {{\n data = cifar10\n progressive = progressive({name}=[0.1, 0.2])\n}}")
    assert [d.message.endswith(f" in `{field}`") for d in said] == [True], said
