"""A loss and metrics that are functions of the caller, from Python: `net.train(loss=..., metrics={"name": ...})`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from netdsl.diagnostics.diagnostic import Fault
from netdsl.plugins.register import metric_function
from netdsl.training.errors import DataError


class Own(Struct, frozen=True, eq=False):
    """The caller's functions. `loss(output, target)` (or with the inputs behind them) gives one value for each sample,
    or one for all that are computed at once; each of `metrics` a number from all outputs and targets of a split."""

    loss: Callable[..., Any] | None = None
    metrics: Mapping[str, Callable[[Tensor, Tensor], Any]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what a resumed run has to be given again."""
        return (*(["loss"] if self.loss is not None else []), *(f"metrics.{name}" for name in self.metrics))


def with_plugins(own: Own | None, metrics: tuple[str, ...]) -> Own | None:
    """The caller's functions and those of the plug-ins whose metrics a recipe names; None where no metric is
    either's."""
    given = dict(own.metrics) if own is not None else {}
    given |= {name: function for name in metrics if (function := metric_function(name)) is not None}
    return Own(None, given) if given else None


MEASURED = ("loss", "n", "step", "epoch", "raw", "seconds")
"""What an evaluation or a result holds whatever is measured."""


def check_names(own: Own | None, measured: tuple[str, ...]) -> None:
    """Raise DataError for a metric of the caller that is called as something that is `measured` beside it."""
    for name in own.metrics if own is not None else ():
        if name in (*MEASURED, *measured):
            message = f"a function of `metrics` is called `{name}`, and so is a number that is measured already"
            raise DataError("conflicting-fields", message, f"give it another name: `own_{name}`")


def check_functions(metrics: Any, **functions: Any) -> None:
    """Raise DataError, before anything is trained, for what was given as a function and is none."""
    if not isinstance(metrics, Mapping):
        hint = '`metrics={"name": function}`; metrics of netdsl: `settings={"metrics": ["f1"]}`'
        raise DataError("data-type", "`metrics` is no dict of functions by name", hint)
    each = functions | {f"metrics[{name!r}]": function for name, function in metrics.items()}
    for name, function in each.items():
        if function is not None and not callable(function):
            raise DataError("data-type", f"`{name}` is no function: {function!r}")


def loss_terms(own: Own, result: Any, target: Tensor, inputs: tuple[Tensor, ...], whole: bool) -> Tensor:
    """The loss of each sample, [B]. `whole`: the batch of a step is computed at once. Raises DataError."""
    assert own.loss is not None
    more = inputs if _takes_inputs(own.loss) else ()
    try:
        found = own.loss(result, target, *more)
    except Fault:
        raise
    except Exception as error:
        raise DataError("callback-failed", f"`loss` failed: {type(error).__name__}: {error}") from error
    found = _checked_terms(found, result, target)
    if found.ndim == 0 and not whole:
        hint = 'give one value for each sample, as `reduction="none"` of torch\'s losses'
        message = "`loss` gives one value for all samples, and a step is computed in parts: their mean is another"
        raise DataError("callback-failed", message, hint)
    return found if found.ndim else found.expand(len(target))


def _checked_terms(found: Any, result: Any, target: Tensor) -> Tensor:
    """The loss of a batch as a function gives it. Raises DataError for a value that is none."""
    if not isinstance(found, Tensor) or found.shape not in ((), (len(target),)):
        what = list(found.shape) if isinstance(found, Tensor) else f"`{found!r}`"
        hint = 'a tensor: one value for each sample (`reduction="none"`), or their mean'
        raise DataError("callback-failed", f"`loss` gives {what} for {len(target)} samples", hint)
    if result.requires_grad and not found.requires_grad:
        message = "`loss` has no gradient: it does not depend on the output, or was computed without gradients"
        raise DataError("callback-failed", message, "compute it from the output, with torch alone")
    return found


def _takes_inputs(function: Callable[..., Any]) -> bool:
    """Whether a loss has a place for the inputs behind output and target."""
    try:
        called = function.forward if isinstance(function, nn.Module) else function
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(places) > 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def measured(own: Own, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The caller's metrics. Raises DataError for one that fails or gives no number."""
    found = {}
    for name, function in own.metrics.items():
        try:
            with torch.no_grad():
                value = function(outputs, targets)
            if getattr(value, "shape", ()) not in ((), (1,)) or value is None:
                what = "nothing" if value is None else f"values {list(value.shape)}"
                raise DataError("callback-failed", f"the metric `{name}` gives {what}, and no number")
            found[name] = float(value)
        except Fault:
            raise
        except Exception as error:
            message = f"the metric `{name}` failed: {type(error).__name__}: {error}"
            raise DataError("callback-failed", message) from error
    return found
