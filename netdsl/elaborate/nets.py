"""The nets of a module: which need no further arguments, and which one a name means."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from netdsl.diagnostics.diagnostic import did_you_mean, fault
from netdsl.elaborate.calls import block_parameters, missing
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env
from netdsl.elaborate.values import BlockArrow


def block_of(module: Module, name: str, evaluator: Evaluator) -> BlockArrow | None:
    """The block or net that a name of a module means; None for anything else."""
    value = evaluator.lookup(name, Env(module, {}), module.place(module.file.at))
    return value if isinstance(value, BlockArrow) else None


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


def find_net(module: Module, name: str | None, complete: Collection[str]) -> str:
    """The net of a name; without one, the first of those that are complete, else the first. Raises Fault."""
    if name is not None:
        if name not in module.nets and not (module.find(name) and name in module.names):
            hint = did_you_mean(name, module.nets) or f"its nets: {', '.join(module.nets)}"
            raise fault("unknown-net", f"{module.source.name} declares no net `{name}`", None, hint)
        return name
    candidates = (*complete, *module.nets)
    if not candidates:
        hint = "a net begins with `net Name { input image [3, 224, 224] ... }`"
        raise fault("no-net", f"{module.source.name} declares no net", None, hint)
    return candidates[0]
