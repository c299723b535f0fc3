"""torch's compiler: what it needs on this machine, whether a module is compiled, and how it is computed without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from msgspec import Struct
from torch import nn

from netdsl.diagnostics.diagnostic import first_line
from netdsl.recipe.schema import Recipe
from netdsl.training.errors import DataError

C_COMPILERS = ("cc", "gcc", "clang")
OLDEST = (7, 0)
"""The compute capability from which Triton generates code."""


PAYS = 120.0
"""Seconds of a run on a GPU below which compiling costs more than it saves: half a minute or more, for about a quarter
of the time of a step."""
LAYER_SECONDS, MACS_PER_SECOND = 1e-4, 5e13
"""Of a training step on a large GPU: some ten launches a layer, and multiply-accumulates forward and backward."""


class Work(Struct, frozen=True):
    """The steps of a run, and the multiply-accumulates of a sample's forward pass, where they are known."""

    steps: int
    macs: int | None = None

    def is_short(self, parts: Sequence[nn.Module], batch: int) -> bool:
        """Whether a run ends before its net would pay for being compiled, by a rule: what is measured differs from
        one run to the next, and compiled code rounds otherwise."""
        if self.macs is None:
            return False
        layers = sum(not list(m.children()) for part in parts for m in part.modules())
        return self.steps * max(layers * LAYER_SECONDS, 3 * self.macs * batch / MACS_PER_SECOND) < PAYS


def compile_as_asked(parts: Sequence[nn.Module], recipe: Recipe, device: torch.device, work: Work) -> list[str]:
    """Compile the parts of a net where the recipe's `compile` says so; keys of the state dict stay.

    `auto` compiles on a GPU, where it can and the run is long enough: the reason where it does not. Raises DataError
    where `on` cannot.
    """
    auto = recipe.compile == "auto" and device.type == "cuda" and recipe.shard is None
    if recipe.compile != "on" and not auto:
        return []
    if auto and work.is_short(parts, recipe.batch):
        return ["not compiled: the run is too short to gain by it (`compile = on` does)"]
    reason = missing(device)
    if reason is None:
        # The kernels of a deterministic run are chosen without measuring: measurements differ from run to run.
        from torch._inductor import config

        config.deterministic = recipe.deterministic
        for part in parts:
            part.compile()
        return []
    if auto:
        return [f"not compiled: torch's compiler {reason}"]
    hint = "install g++ (or set CXX), or leave `compile` at `auto`"
    if device.type == "cuda":
        hint = "install Triton and a C compiler, or leave `compile` at `auto`"
    raise DataError("cannot-compile", f"`compile = on` {reason}", hint)


def missing(device: torch.device) -> str | None:
    """Name what torch's compiler lacks for a device; None where it is complete. On a GPU: Triton, a C compiler for its
    launchers, and a card that Triton knows."""
    if device.type != "cuda":
        return _missing_on_cpu()
    from torch.utils._triton import has_triton_package

    if torch.cuda.get_device_capability(device) < OLDEST:
        return f"needs a GPU newer than {torch.cuda.get_device_name(device)}"
    if not has_triton_package():
        return "needs Triton on a GPU, and there is none"
    named = os.environ.get("CC")
    if not any(map(shutil.which, (named,) if named else C_COMPILERS)):
        return "needs a C compiler on a GPU, and there is none" + (f" called {named}" if named else "")
    return None


def _missing_on_cpu() -> str | None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        return f"needs a C++ compiler on a CPU, and there is none: {first_line(error)}"
    return None


def is_compiled(module: nn.Module) -> bool:
    """Whether a module or a part of it is computed by compiled code."""
    return any(m._compiled_call_impl is not None for m in module.modules())


def uncompile(module: nn.Module) -> None:
    """Let a module compute without the compiler: elsewhere than where it was compiled, all would be compiled again."""
    for part in module.modules():
        part._compiled_call_impl = None


@contextmanager
def eager(module: nn.Module) -> Iterator[None]:
    """A module without the compiler for a while: compiled code does not see hooks that are added later."""
    compiled = {part: part._compiled_call_impl for part in module.modules()}
    uncompile(module)
    try:
        yield
    finally:
        for part, call in compiled.items():
            part._compiled_call_impl = call
