"""Registering what a plug-in provides, and taking it out again."""

from __future__ import annotations

import ast
import builtins
from functools import partial
from typing import Any

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import Fault
from netdsl.ops import REGISTRY
from netdsl.ops.base import Example, Op, OpError
from netdsl.pipeline import Spec
from netdsl.plugins.calls import executor, found, guarded, one_number
from netdsl.plugins.checks import called
from netdsl.plugins.plugin import MetricPart, Part, Plugin
from netdsl.recipe.annotations import forget
from netdsl.recipe.metrics import METRICS, MetricKind
from netdsl.recipe.registry import Provided, provide
from netdsl.recipe.registry import withdraw as take_out
from netdsl.source import Source

FACETS = (
    "resolve", "infer", "layer_name", "params", "buffers", "macs", "torch", "onnx", "window", "as_affine", "absorb",
)  # fmt: skip
"""The methods of an op that a plug-in writes: what they raise is said with its name."""

_METRICS: dict[str, tuple[MetricPart, Plugin]] = {}


def register(plugin: Plugin) -> None:
    """Register everything that a plug-in provides, which has been checked."""
    for part in plugin.parts:
        who = f"{called(part)} of the plug-in `{plugin.name}`"
        if part.field:
            assert part.function is not None
            finding = partial(executor, part.field, part.function, who)
            provide(part.field, part.cls, Provided(f"the plug-in `{plugin.name}`", finding))
        else:
            _add_op(part, who)
    for metric in plugin.metrics:
        METRICS[metric.name] = MetricKind(metric.tasks, metric.said, metric.fraction, metric.higher)
        _METRICS[metric.name] = metric, plugin
    forget()


def _add_op(part: Part, who: str) -> None:
    """An op whose facets are guarded, and which has an ONNX form or says that it has none."""
    cls: type[Op] = part.cls
    cls.kind = part.name
    for facet in FACETS:
        written = getattr(cls, facet)  # by the class, or one of the plug-in's that it extends
        if written is not getattr(Op, facet):
            setattr(cls, facet, guarded(written, f"`{facet}` of {who}", facet in ("resolve", "infer")))
    if cls.onnx is Op.onnx:
        setattr(cls, "onnx", _without_onnx(who, cls))  # noqa: B010 - a method is replaced
    REGISTRY.add(cls)


def _without_onnx(who: str, cls: type[Op]) -> Any:
    def onnx(self: Op, g: Any, *x: Any) -> Any:
        why = f": {cls.without_onnx}" if cls.without_onnx else ""
        raise OpError(f"{who} has no ONNX form{why}", code="no-onnx-form")

    return onnx


def withdraw(plugin: Plugin) -> None:
    """Take out everything that a plug-in has registered."""
    for part in plugin.parts:
        if part.field:
            take_out(part.field, part.cls)
        else:
            REGISTRY.remove(part.name)
    for metric in plugin.metrics:
        del METRICS[metric.name], _METRICS[metric.name]
    forget()


def metric_function(name: str) -> Any:
    """The function of a plug-in's metric, of all outputs and targets; None for a metric of netdsl's own."""
    if name not in _METRICS:
        return None
    part, plugin = _METRICS[name]
    who = f"{called(part)} of the plug-in `{plugin.name}`"
    return one_number(guarded(found(part.function, who), who), who)


def broken_examples(plugin: Plugin) -> list[str]:
    """Check the examples of a plug-in's ops: each goes through the compiler."""
    wrong = []
    for part in (p for p in plugin.parts if not p.field):
        for example in part.cls.examples:
            message = _refusal(part.cls, example)
            wrong += [f"the example `{example.text}` of {called(part)}: {message}"] if message else []
    return wrong


def _refusal(cls: type[Op], example: Example) -> str:
    """Why an example does not become PyTorch; empty where it does."""
    inputs = "".join(f"  input {n} {t}\n" for n, t in zip("xyzw", example.inputs, strict=False))
    text = f"net Example {{\n{inputs}  {'x -> ' if cls.takes_it else ''}{example.text}\n}}\n"
    net = Spec(Source(text), lambda module, importer: None).net("Example")
    errors = [d.message for d in net.diagnostics if d.severity == "error"]
    if errors or net.program is None:
        return next(iter(errors), "it gives nothing")
    try:
        totals(net.program.main)
        unknown = _unknown_names(net.source())
    except Fault as mistake:
        return mistake.diagnostic.message
    return f"its PyTorch form calls `{unknown[0]}`, which is in no `helper` and no `imports`" if unknown else ""


def _unknown_names(source: str) -> list[str]:
    """The names that a module reads and nothing in it gives."""
    given, read = set(dir(builtins)), list[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (read.append if isinstance(node.ctx, ast.Load) else given.add)(node.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            given.add(node.name)
        elif isinstance(node, ast.arg):
            given.add(node.arg)
        elif isinstance(node, ast.alias):
            given.add((node.asname or node.name).partition(".")[0])
    return [name for name in read if name not in given]
