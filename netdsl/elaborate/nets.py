"""The nets and constants of a module by name, and the nets that need no further arguments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, did_you_mean, fault
from netdsl.elaborate.calls import block_parameters, missing
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env
from netdsl.elaborate.values import BlockArrow
from netdsl.syntax import ast


def block_of(module: Module, name: str, evaluator: Evaluator) -> BlockArrow | None:
    """The block or net that a name of a module means; None for anything else."""
    value = evaluator.lookup(name, Env(module, {}), module.place(module.file.at))
    return value if isinstance(value, BlockArrow) else None


def nets_of(module: Module) -> list[str]:
    """The nets that can be named in a file: its own, and those it imports."""
    return [n for n in module.names if module.is_net(n)]


def other_net(name: str, known: Iterable[str]) -> str | None:
    """A hint where a name is that of no net: the one it is near, the only one there is, or all of them."""
    nets = tuple(known)
    if len(nets) == 1:
        return f"did you mean `{nets[0]}`?"
    return did_you_mean(name, nets) or (f"its nets: {', '.join(f'`{n}`' for n in nets)}" if nets else None)


def takes(block: BlockArrow, arguments: Collection[str]) -> bool:
    """Whether a block takes these arguments and needs no others."""
    free = block_parameters(block.block).keys() - {n for n, _ in block.arguments}
    return set(missing(block)) <= set(arguments) <= free


def complete(module: Module, elaborator: Elaborator, arguments: Iterable[str]) -> tuple[str, ...]:
    """The nets of a module that take these arguments and need no others, in order.

    A file that declares none means those it imports.
    """
    given, found = set(arguments), list[str]()
    for name in module.nets or nets_of(module):
        with elaborator.recording():
            block = block_of(module, name, elaborator.evaluator)
            found += [name] if block is not None and takes(block, given) else []
    return tuple(found)


def constant(module: Module, elaborator: Elaborator, name: str) -> Any:
    """The value of a constant of a module; None where there is none."""
    declared = module.names.get(name)
    with elaborator.recording():
        if isinstance(declared, ast.Constant):
            return elaborator.evaluator.declared.constant(module, declared)
    return None


def chosen(
    module: Module, name: str | None, candidates: Callable[[], Collection[str]]
) -> tuple[str, tuple[Diagnostic, ...]]:
    """The net that a name means, or the mistake in it. `candidates`: the nets to choose from without a name."""
    try:
        return find_net(module, name, candidates() if name is None else ()), ()
    except Fault as mistake:
        return name or "", (mistake.diagnostic,)


def find_net(module: Module, name: str | None, complete: Collection[str]) -> str:
    """The net of a name; without one, the first of those that are complete, else the first. Raises Fault."""
    if name is not None:
        if module.is_recipe(name):
            raise fault("unknown-net", f"`{name}` is a recipe, and no net", None, other_net(name, nets_of(module)))
        if name not in module.nets and not (module.find(name) and name in module.names):
            known = nets_of(module)
            hint = did_you_mean(name, known) or f"its nets: {', '.join(known)}"
            raise fault("unknown-net", f"{module.source.name} declares no net `{name}`", None, hint)
        return name
    candidates = (*complete, *(module.nets or nets_of(module)))
    if not candidates:
        hint = "a net begins with `net Name { input image [3, 224, 224] ... }`"
        raise fault("no-net", f"{module.source.name} declares no net", None, hint)
    return candidates[0]
