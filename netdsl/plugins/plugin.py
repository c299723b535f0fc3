"""A plug-in as a value: what a package adds to the language, collected before anything is registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import Struct

T = TypeVar("T")

Function = Callable[..., Any] | str
"""A function, or `"package.module:name"`, which is imported when it is first called: a plug-in whose functions stand in
a module of their own lets `netdsl check` run without torch."""


class Part(Struct, frozen=True, eq=False):
    """One thing that a plug-in provides: an op (`field` empty, with its name), or a component of a recipe's field with
    the function that carries it out."""

    field: str
    cls: Any
    name: str = ""
    function: Function | None = None


class MetricPart(Struct, frozen=True, eq=False):
    """A metric of a plug-in, with what `MetricKind` says of one."""

    name: str
    function: Function
    tasks: tuple[str, ...]
    said: str
    fraction: bool
    higher: bool


class Plugin:
    """The ops, readers of data, augmentations, losses, metrics, optimizers and phases of a schedule of one package.

    plugin = Plugin("shrinkage", version="1.0")

    @plugin.op("soft_shrinkage")
    class SoftShrinkage(Op, frozen=True): ...

    @plugin.loss("shrinkage_torch:log_cosh")
    class LogCosh(Loss, frozen=True, tag="log_cosh"): ...

    Nothing is registered until `netdsl.plugins.load`, which checks all of it first. `name`: as messages call it;
    `version`: that of the installed package where it is left out.
    """

    def __init__(self, name: str, version: str = "") -> None:
        self.name = name
        self.version = version
        self.parts: list[Part] = []
        self.metrics: list[MetricPart] = []

    def op(self, name: str) -> Callable[[T], T]:
        """Class decorator: a layer or function of the language, an `Op` with its facets."""
        return self._part("", name)

    def loss(self, compute: Function) -> Callable[[T], T]:
        """Class decorator: a loss. `compute(component, output, target)` gives the loss of every sample, [B]."""
        return self._part("loss", function=compute)

    def augmentation(self, apply: Function) -> Callable[[T], T]:
        """Class decorator: an augmentation. `apply(component, images, masks, frame)` gives both, changed: images
        [B, C, H, W] from 0 to 1, masks [B, 1, H, W] or None. Random numbers are drawn from the frame alone
        (`frame.uniform("angle")`: one for each sample), which keeps runs reproducible. Images keep their size, or the
        class extends `Resizing` and they get its `size`."""
        return self._part("augment", function=apply)

    def optimizer(self, build: Function) -> Callable[[T], T]:
        """Class decorator: an optimizer. `build(component, groups)` gives a `torch.optim.Optimizer` over parameter
        groups as torch takes them; the trainer sets the lr of each before every step."""
        return self._part("optimizer", function=build)

    def schedule(self, lr: Function) -> Callable[[T], T]:
        """Class decorator: a phase of the learning rate. `lr(component, at)` gives the lr at a step of the phase, a
        function of `At` alone."""
        return self._part("schedule", function=lr)

    def reader(self, read: Function) -> Callable[[T], T]:
        """Class decorator: a source of data. `read(component, folder)` gives `(train, test)`, each in a form that
        `net.train(data=...)` takes: arrays `(x, y)` or a torch Dataset; with None for `test`, a fifth of the samples
        is held out. Paths are relative to `folder`."""
        return self._part("data", function=read)

    def metric(
        self,
        name: str,
        compute: Function,
        tasks: Sequence[str],
        said: str = "",
        fraction: bool = False,
        higher: bool = True,
    ) -> None:
        """Add a metric. `compute(outputs, targets)` gives a number from all outputs and targets of a split.

        `tasks`: what it is for, among classes, mask, tokens, nodes, labels and numbers; `said`: its name where people
        read it; `fraction`: it is shown in percent; `higher`: more of it is better.
        """
        self.metrics.append(MetricPart(name, compute, tuple(tasks), said or str(name), fraction, higher))

    def _part(self, field: str, name: str = "", function: Function | None = None) -> Callable[[T], T]:
        def add(cls: T) -> T:
            self.parts.append(Part(field, cls, name, function))
            return cls

        return add
