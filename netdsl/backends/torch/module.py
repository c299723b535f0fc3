"""The live module: the printed source, executed."""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections import OrderedDict
from collections.abc import Mapping
from threading import RLock
from types import ModuleType
from typing import Any

import torch
from torch import nn

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import UserError
from netdsl.diagnostics.memory import check_room
from netdsl.ir.model import Program

PACKAGE = "netdsl.models"
"""Where emitted modules are known to Python; what is in it exists only while its process runs."""
MOST = 64
"""How many emitted modules are remembered."""

_known: OrderedDict[str, ModuleType] = OrderedDict()
_lock = RLock()


def check_memory(program: Program, name: str) -> None:
    """Raise MemoryError where the weights of a net do not fit into the memory that is free."""
    counted = totals(program.main)
    check_room(f"the weights of `{name}`", 4 * (counted.params + counted.buffers))


def build(source_text: str, class_name: str, seed: int | None = None) -> nn.Module:
    """An instance of class `class_name` of a `model.py` text made by `torch_source.emit`.

    Modules of one text are of one class. The text is registered in `linecache`, so that tracebacks and debuggers show
    it, and goes with a pickled module, so that another process can make the class again. Weights are drawn from
    torch's global generator, as for any module, or from a fresh one with `seed`.
    """
    emitted = imported(source_text, class_name)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        module = getattr(emitted, class_name)()
    assert isinstance(module, nn.Module)
    return module


def imported(source_text: str, class_name: str) -> ModuleType:
    """The Python module of a text, which is executed once."""
    name = f"{PACKAGE}.{class_name}_{hashlib.sha256(source_text.encode()).hexdigest()[:12]}"
    with _lock:
        if name not in _known:
            _known[name] = _executed(source_text, class_name, name)
        _remember(_known[name])
        return _known[name]


def _executed(source_text: str, class_name: str, name: str) -> ModuleType:
    emitted = ModuleType(name)
    file = f"<netdsl {class_name} {name.rpartition('_')[2]}>"
    emitted.__file__ = file
    linecache.cache[file] = (len(source_text), None, source_text.splitlines(keepends=True), file)
    exec(compile(source_text, file, "exec"), emitted.__dict__)

    def reduce(module: nn.Module, protocol: int) -> tuple[Any, ...]:
        """How `pickle`, `copy` and `torch.save` take a module apart: the text of its class, and its state."""
        if emitted.__dict__.get(type(module).__name__) is not type(module):
            return object.__reduce_ex__(module, protocol)  # type: ignore[return-value]  # a class that extends ours
        _remember(emitted)  # what the state refers to by name must be found
        return _empty, (source_text, class_name, type(module).__name__), module.__getstate__()  # type: ignore[no-untyped-call]

    for found in list(emitted.__dict__.values()):
        if isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == name:
            found.__reduce_ex__ = reduce  # type: ignore[method-assign, assignment]
    return emitted


def _remember(emitted: ModuleType) -> None:
    """Let Python find a module by its name, the one that was used longest ago no more."""
    with _lock:
        name = emitted.__name__
        sys.modules[name] = _known[name] = emitted
        _known.move_to_end(name)
        while len(_known) > MOST:
            sys.modules.pop(_known.popitem(last=False)[0], None)


def _empty(source_text: str, class_name: str, part: str) -> nn.Module:
    """An instance of one of the classes of a text, before it has its state."""
    kind = getattr(imported(source_text, class_name), part)
    module: nn.Module = kind.__new__(kind)
    return module


def load_state(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Put arrays, by state-dict key, into a module. Raises UserError naming what is missing, left over or of another
    shape."""
    check_state(module, weights)
    module.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()})


def check_state(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Raise UserError where weights, by state-dict key, are not those of a module, as `load_state`."""
    state = module.state_dict()
    wrong = [f"`{k}` is missing" for k in state if k not in weights]
    wrong += [f"`{k}` belongs to no layer" for k in weights if k not in state]
    for key in state.keys() & weights.keys():
        if tuple(state[key].shape) != tuple(weights[key].shape):
            wrong.append(f"`{key}` is {[*weights[key].shape]} where the net has {[*state[key].shape]}")
    if wrong:
        raise UserError("unfit-weights", "the weights are not this net's: " + "; ".join(sorted(wrong)[:5]))
