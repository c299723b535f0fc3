"""What a GPU would launch and wait for in a step, counted on the CPU: operators, copies, streams.

None of this has run on a GPU.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from training_harness import loop_of, small_net

from netdsl.planning.groups import ParameterGroup
from netdsl.recipe.augmentations import Cutmix, Mixup
from netdsl.training import devices
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.augment.policies import reading
from netdsl.training.data.mix import Mix
from netdsl.training.losses.losses import class_weights
from netdsl.training.metrics import Metrics
from netdsl.training.optim.ema import Average
from netdsl.training.optim.gradients import clip
from netdsl.training.optim.optimizers import Updater
from netdsl.training.profiling import copied
from netdsl.training.rng import KeyedRng

# The feed.


class Calls(TorchDispatchMode):
    """Counts the calls of torch's operators."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[function._schema.name.removeprefix("aten::")] += 1
        return function(*args, **(kwargs or {}))


WAITS = ("nonzero", "_local_scalar_dense", "masked_select", "index_copy", "lift_fresh")
"""Operators that make the host wait for a device, as `torch.tensor` of numbers does, or copy a whole batch for each
operation."""


@pytest.mark.parametrize(
    "words",
    [
        "randaugment(2, 9)", "trivialaugment", "autoaugment", "color_jitter(0.4, 0.4, 0.4, 0.1)", "grayscale(0.2)",
        "autocontrast", "equalize", "posterize", "solarize", "invert", "elastic", "gaussian_noise(0.1)", "rotate(10)",
        "translate(2)", "cutout(8)", "random_erasing(0.5)", "random_resized_crop(12) -> hflip", "crop(padding=2)",
        "scale_jitter(12)",
    ],
)  # fmt: skip
def test_augmentations_hardly_wait_for_the_device(words: str) -> None:
    pipeline = Pipeline(recipe(f"augment = {words}").augment)
    draws = KeyedRng(3, torch.arange(64))
    x = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pipeline((x,), torch.zeros(64), draws, 0)  # what a device is to know is copied there once
    with Calls() as calls:
        pipeline((x,), torch.zeros(64), draws, 0)
    assert not [name for name in WAITS if calls.counts[name]]
    assert sum(calls.counts.values()) < 1300


@pytest.mark.parametrize("words", ["randaugment(2, 9, fill=mean)", "trivialaugment(fill=mean)"])
def test_the_mean_colour_stays_on_the_device(words: str) -> None:
    """`meta` has no numbers that could be copied to the host: mean and deviation lie where the net does."""
    device = torch.device("meta")
    standard = torch.empty(3, 1, 1, device=device), torch.empty(3, 1, 1, device=device)
    (component,) = recipe(f"augment = {words}").augment
    frame = Pipeline((component,), standard=standard).frame(0, KeyedRng(3, torch.arange(4)), 0)
    assert reading(component, frame, device).fill.device == device


def test_pixmix_asks_the_device_once_a_round() -> None:
    """It computes every operation for some images: 4 rounds of some 13 operations, and what they are mixed with."""
    pipeline = Pipeline(recipe("augment = pixmix").augment)
    for _ in range(2):
        with Calls() as calls:
            pipeline((torch.rand(64, 3, 16, 16),), torch.zeros(64), KeyedRng(3, torch.arange(64)), 0)
    assert not [name for name in WAITS if calls.counts[name]]


def test_metrics_do_not_wait_for_the_device() -> None:
    metrics = Metrics("mask", 3)
    output, target = torch.randn(2, 3, 4, 4), torch.randint(-1, 3, (2, 4, 4))
    loss = torch.ones(1, 2)
    with Calls() as calls:
        metrics.add(output, target, loss)
    assert not [name for name in WAITS if calls.counts[name]]
    known = target >= 0
    guess = output.argmax(1)
    wanted = [[int(((target == i) & (guess == j) & known).sum()) for j in range(3)] for i in range(3)]
    assert metrics.sums["confusion"].tolist() == wanted


@pytest.mark.parametrize("kind", [Mixup, Cutmix])
@pytest.mark.parametrize("per", ["batch", "pair", "sample"])
def test_mixing_asks_the_device_for_nothing(kind: Any, per: str) -> None:
    """The draws are made on the host, from places that lie there: `meta` has no numbers to ask for."""
    x, target = torch.empty(12, 3, 8, 8, device="meta"), torch.empty(12, 5, device="meta")
    (mixed,), soft = Mix(kind(per=per), 7).apply((x,), target, torch.arange(6))
    assert (mixed.shape, soft.shape) == ((6, 3, 8, 8), (6, 5))
    assert mixed.device.type == soft.device.type == "meta"


# The optimizers.

VIEWS = ("detach", "alias", "unbind", "view", "_local_scalar_dense", "split_with_sizes")
"""What launches nothing: views, and numbers of the host."""


def launches(fields: str, weights: int) -> int:
    """Operators of a step, after the first one, over so many matrices, half of them with weight decay."""
    module = nn.ParameterDict({f"w{i}": nn.Parameter(torch.randn(4, 3)) for i in range(weights)})
    names, found = list(module), recipe(fields)
    groups = [ParameterGroup(tuple(names[::2]), 1.0, {"weight_decay": 0.1})]
    groups += [ParameterGroup(tuple(names[1::2]), 1.0, {"weight_decay": 0.0})]
    updater = Updater(module, groups, found, 10)
    updater.set_lr(0.01)
    for _ in range(2):
        for p in module.values():
            p.grad = torch.randn_like(p)
        with Calls() as calls:
            clip(found.clip, list(module.values()))
            updater.step()
    return sum(count for name, count in calls.counts.items() if name not in VIEWS)


@pytest.mark.parametrize(
    ("fields", "each"),
    [
        ("optimizer = sgd(lr=0.1)", 0),
        ("optimizer = adamw(lr=0.1)", 0),
        ("optimizer = lion(lr=0.1)", 0),
        ("optimizer = rmsprop(lr=0.1, tensorflow=true)", 0),
        ("optimizer = lamb(lr=0.1)", 0.5),  # one for the length of each decayed weight
        ("optimizer = lars(lr=0.1)", 0.5),
        ("optimizer = adamw(lr=0.1)\nclip = adaptive(0.01)", 3),
    ],
)
def test_a_step_launches_as_much_for_many_weights_as_for_few(fields: str, each: float) -> None:
    few, many = launches(fields, 10), launches(fields, 50)
    assert few < 60 + 10 * each
    assert (many - few) / 40 == each


class Lists(TorchDispatchMode):
    """Notes for each call of an operator over lists of tensors how many types those have: CUDA takes several one by
    one."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "_foreach_" in function._schema.name:
            lists = [a for a in args if isinstance(a, list | tuple)]
            self.types.append(len({t.dtype for each in lists for t in each if isinstance(t, torch.Tensor)}))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("buffers", ["average", "copy"])
def test_a_moving_average_is_a_launch_for_each_type(buffers: str) -> None:
    """Statistics that are copied are floats, and their counters whole numbers."""
    many = nn.Sequential(*(nn.BatchNorm2d(3) for _ in range(20)))
    found = recipe(f"ema = ema(0.9, buffers={buffers})").ema
    assert found is not None
    average = Average(many, found, 0.9)
    many(torch.randn(4, 3, 2, 2))
    with Lists() as lists:
        average.update(many, 1)
    assert lists.types == [1] * (2 if buffers == "average" else 3)
    for name, tensor in many.state_dict().items():
        if name not in average.averaged:
            assert torch.equal(average.state[name], tensor)


def test_class_weights_are_on_the_device_once() -> None:
    """Every copy from the host makes it wait."""
    first, other = (recipe("loss = cross_entropy(weight=[1, 2, 3])").loss for _ in range(2))
    with Calls() as calls:
        found = [class_weights(c, torch.device("meta")) for c in (first, other, first)]
    assert all(f is found[0] for f in found)
    assert calls.counts["lift_fresh"] <= 1


def once_a_step(fields: str) -> tuple[int, int]:
    """Norms of the gradient that a step computes, and walks through all layers in six steps with an evaluation after
    the third."""
    loop = loop_of(f"epochs = 2\nbatch = 17\n{fields}", module=small_net(norm=False))
    walks: list[bool] = []
    own = loop.module.train
    loop.module.train = lambda mode=True: walks.append(mode) or own(mode)  # type: ignore[func-returns-value,method-assign]
    with Calls() as calls:
        loop.run()
    assert loop.state.step == 6
    return calls.counts["_foreach_norm"] // 6, walks.count(True)


@pytest.mark.parametrize("fields", ["", "clip = norm(1)", "clip = value(0.1)"])
def test_a_step_measures_its_gradient_once(fields: str) -> None:
    norms, walks = once_a_step(fields)
    assert norms == 1
    assert walks <= 2


@pytest.mark.parametrize("fields", ["", "penalty = l1(0.01)"])
def test_clipping_by_the_norm_is_torchs_to_the_bit(fields: str) -> None:
    """The norm is that of the gradient that is clipped: penalties come in between."""
    found: list[list[nn.Parameter]] = []
    for more in ("", "clip = norm(0.01)"):
        loop = loop_of(f"steps = 1\n{fields}\n{more}", module=small_net())
        loop.run()
        found.append(loop.trained)
    torch.nn.utils.clip_grad_norm_(found[0], 0.01)
    for ours, theirs in zip(*found, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


# Copies.


class Streams:
    """Two streams that write down what is done in them, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.now = "computing"
        streams = {n: SimpleNamespace(name=n, wait_stream=self.waiting(n)) for n in ("computing", "copying")}

        @contextmanager
        def within(stream: Any) -> Any:
            self.now = stream.name
            yield
            self.now = "computing"

        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams["computing"])
        monkeypatch.setattr(torch.cuda, "stream", within)
        monkeypatch.setattr(devices, "_copying", lambda device: streams["copying"])

    def waiting(self, name: str) -> Any:
        return lambda other: self.said.append(f"{name} waits for {other.name}")


class Fake:
    """A tensor that says what is done with it."""

    def __init__(self, streams: Streams, name: str, device: str, pinned: bool = False) -> None:
        self.streams, self.name, self.device, self.pinned = streams, name, torch.device(device), pinned

    def is_pinned(self) -> bool:
        return self.pinned

    def pin_memory(self) -> Fake:
        self.streams.said.append(f"lock {self.name}")
        return Fake(self.streams, self.name, "cpu", True)

    def to(self, device: torch.device, non_blocking: bool = False) -> Fake:
        assert self.pinned, "a copy from pageable memory holds the host up"
        assert non_blocking
        self.streams.said.append(f"copy {self.name} while {self.streams.now}")
        return Fake(self.streams, self.name, str(device))

    def record_stream(self, stream: Any) -> None:
        self.streams.said.append(f"keep {self.name} for {stream.name}")


def test_copies_are_made_beside_the_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the documentation of CUDA streams: copied from page-locked memory in a stream of its own; what computes waits
    for that stream, and says of each tensor's memory that it uses it too. What is there already is left alone."""
    streams = Streams(monkeypatch)
    given: list[Any] = [Fake(streams, "x", "cpu"), Fake(streams, "y", "cpu", True), Fake(streams, "z", "cuda:0")]
    found = devices.sent(given, torch.device("cuda:0"))
    assert found[2] is given[2]
    assert streams.said == [
        "lock x", "copy x while copying", "copy y while copying", "computing waits for copying",
        "keep x for computing", "keep y for computing",
    ]  # fmt: skip


def test_copies_are_counted_in_the_trace_of_the_layers() -> None:
    totals = [
        SimpleNamespace(key="Memcpy HtoD (Pinned -> Device)", device_time_total=1500.0),
        SimpleNamespace(key="Memcpy DtoH (Device -> Pageable)", device_time_total=900.0),
        SimpleNamespace(key="aten::conv2d", device_time_total=100.0),
    ]
    assert copied(totals) == pytest.approx(1.5e-3)
