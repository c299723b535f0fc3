"""Checks of the things that a plug-in provides, before any of them is registered."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import msgspec

from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op
from netdsl.plugins.plugin import Function, MetricPart, Part, Plugin
from netdsl.recipe.annotations import arguments
from netdsl.recipe.augmentations import Augment
from netdsl.recipe.component import component_name
from netdsl.recipe.losses import Loss
from netdsl.recipe.metrics import CLASSES, LABELS, METRICS
from netdsl.recipe.optimizers import Optimizer
from netdsl.recipe.registry import provider, registered
from netdsl.recipe.schedules import Phase
from netdsl.recipe.sources import Data

BASES: dict[str, Any] = {"loss": Loss, "augment": Augment, "optimizer": Optimizer, "schedule": Phase, "data": Data}
"""The class that a component of each field extends."""

KINDS = {
    "": "the op", "loss": "the loss", "augment": "the augmentation", "optimizer": "the optimizer",
    "schedule": "the phase", "data": "the reader", "metric": "the metric",
}  # fmt: skip

TASKS = (*CLASSES, *LABELS, "numbers")
NAME = re.compile(r"[a-z][a-z0-9_]*")


def mistakes(plugin: Plugin) -> list[str]:
    """Everything that is wrong with a plug-in, a sentence each."""
    found = [f"{called(part)} {what}" for part in plugin.parts for what in _part(part)]
    found += [f"{called(metric)} {what}" for metric in plugin.metrics for what in _metric(metric)]
    names = [(part.field, name_of(part)) for part in plugin.parts] + [("metric", m.name) for m in plugin.metrics]
    found += [
        f"{KINDS[field]} `{name}` is provided twice" for field, name in set(names) if names.count((field, name)) > 1
    ]
    return found if names else ["it provides nothing"]


def name_of(part: Part) -> str:
    """The name of a part in a spec."""
    if not part.field:
        return part.name
    try:
        return component_name(part.cls)
    except AttributeError:
        return getattr(part.cls, "__name__", repr(part.cls))


def called(part: Part | MetricPart) -> str:
    """A part in words: the loss `log_cosh`."""
    if isinstance(part, MetricPart):
        return f"{KINDS['metric']} `{part.name}`"
    return f"{KINDS[part.field]} `{name_of(part)}`"


def _part(part: Part) -> Iterator[str]:
    base = BASES.get(part.field, Op)
    if not (isinstance(part.cls, type) and issubclass(part.cls, base)):
        yield f"is no class that extends {base.__name__}"
        return
    cls: Any = part.cls
    if not cls.__struct_config__.frozen:
        yield "can be changed: write `frozen=True` behind its base class"
    if not _own(part.cls, base, "__doc__"):
        yield "has no docstring, which is its page of the reference"
    yield from _op(part.cls, part.name) if not part.field else _component(part)


def _op(cls: type[Op], name: str) -> Iterator[str]:
    yield from _named(name, (*REGISTRY, *BUILTINS))
    yield from (f"has no `{facet}`" for facet in ("infer", "torch") if not _own(cls, Op, facet))
    if not cls.examples:
        yield "has no `examples`, by which it is checked"
    if _own(cls, Op, "params") and not cls.is_layer:
        yield "owns weights and says no `is_layer = True`"
    try:
        msgspec.inspect.type_info(cls)
    except Exception as error:
        yield f"has an argument of a type that no spec can give: {error}"


def _component(part: Part) -> Iterator[str]:
    known = registered(part.field)
    name = component_name(part.cls)
    yield from _named(name, known, provider(known[name]) if name in known else "")
    yield from _function(part.function)
    try:
        unknown = [a.name for a in arguments(part.cls).values() if not a.kind.expected]
    except Exception as error:
        yield f"has an annotation that cannot be read: {error}"
    else:
        yield from (f"has the argument `{a}`, whose type no recipe can write" for a in unknown)


def _metric(metric: MetricPart) -> Iterator[str]:
    yield from _named(metric.name, (*METRICS, "loss"))
    yield from _function(metric.function)
    wrong = [str(t) for t in metric.tasks if t not in TASKS]
    if wrong or not metric.tasks:
        yield f"is for {', '.join(wrong) or 'nothing'}: a task is one of {', '.join(TASKS)}"


def _named(name: Any, known: Iterable[str], owner: str = "") -> Iterator[str]:
    """Why a name cannot be that of something new."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or keyword.iskeyword(name):
        yield 'needs a name of small letters, digits and `_`, as in `tag="log_cosh"`'
    elif name in known:
        yield f"has the name of one of {owner or 'netdsl'}: a plug-in cannot replace it"


def _function(function: Function | None) -> Iterator[str]:
    """Why a function cannot be called; one that is named is not imported, only looked for."""
    if callable(function):
        return
    module, colon, name = function.partition(":") if isinstance(function, str) else ("", "", "")
    if not colon or not name.isidentifier():
        yield f'has no function: `{function!r}` is neither one nor "package.module:name"'
        return
    try:
        there = find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        there = False
    if not there:
        yield f"needs the module `{module}`, which is not there"


def _own(cls: type, base: type, name: str) -> Any:
    """The attribute that a class itself sets; None where only the base does."""
    value = getattr(cls, name, None)
    return value if value is not getattr(base, name, None) else None
