"""The names that are visible at one point of a spec, and what is written in a piece of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from keyword import iskeyword
from typing import Any

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, did_you_mean, fault
from netdsl.elaborate.modules import Module
from netdsl.ir.reserved import free_name, is_reserved
from netdsl.ops import REGISTRY
from netdsl.source import Place
from netdsl.syntax import ast

ALIASES = {
    "conv2d": "conv", "conv1d": "conv", "conv3d": "conv", "convtranspose2d": "upconv", "conv_transpose": "upconv",
    "batchnorm": "bn", "batchnorm2d": "bn", "batchnorm1d": "bn", "maxpool2d": "maxpool", "max_pool": "maxpool",
    "avgpool2d": "avgpool", "fc": "linear", "dense": "linear", "gn": "groupnorm", "ln": "layernorm",
    "swish": "silu", "depthwise": "dwconv", "global_avg_pool": "gap", "skip": "residual", "reduce_mean": "mean",
    "layerscale": "scale", "layer_scale": "scale", "droppath": "drop_path", "mha": "attention", "embedding": "embed",
}  # fmt: skip
"""Names that people bring from elsewhere, and what they are called here."""

LITERALS = ("true", "false")

FLOWING = (
    "x", "h", "out", "inp", "inputs", "hidden", "features", "this", "self", "that", "prev", "previous", "current",
    "input", "tensor", "feat", "feats", "net", "activations",
)  # fmt: skip
"""What the value that flows is called in modules of PyTorch and Keras."""


def unknown_name(name: str, known: Iterable[str], at: Place) -> Fault:
    """The mistake of a name that stands for nothing, with what it may mean: what it is called here, or a known one."""
    alias = ALIASES.get(name.lower())
    hint = f"it is called `{alias}` here" if alias in REGISTRY else did_you_mean(name, (*known, *LITERALS))
    return fault("unknown-name", f"nothing is called `{name}`", at, hint or _declared(name))


AS_ARGUMENT = "an argument is declared by"
"""How the hint for a name begins that nothing is like."""


INFERRED = ("in_channels", "in_features", "in_dim", "in_planes", "inplanes", "input_size", "input_dim", "c_in", "in_ch")
"""The width of what flows in, by its names elsewhere."""


def is_undeclared(found: Diagnostic) -> bool:
    """Whether a name is unknown that is no other one misspelt."""
    return found.code == "unknown-name" and (found.hint or "").startswith(AS_ARGUMENT)


def _declared(name: str) -> str | None:
    """How a name that nothing is like would be declared; a name in capitals may be one of many things."""
    if name in FLOWING:
        return "write `it`, the value that flows in; an input has the name that `input` gives it"
    if name in INFERRED:
        return "the sizes of what flows in are named by the signature: `block B(c): [C, H, W] -> [c, H, W]`"
    if len(name) == 1 and name.isupper():
        return "sizes are named by the input, `input image [3, H, W]`, or by the signature of a block"
    if not name.islower():
        return None
    return f"{AS_ARGUMENT} the block or net, `net Name({name})`, a value by `{name} = ...`"


class Silent(Exception):  # noqa: N818 - not an error of ours: there is nothing more to say about the user's
    """Raised on reading a value that is already known to be wrong."""


class Env:
    """The names visible at one point: local ones, and those of the file.

    `compute` gives the tensors of a closed arrow where a body is being run; at file level nothing can be computed.
    """

    __slots__ = ("compute", "locals", "module")

    def __init__(
        self, module: Module, locals: dict[str, Any], compute: Callable[[Any, Place], Any] | None = None
    ) -> None:
        self.module = module
        self.locals = locals
        self.compute = compute

    def place(self, node: ast.Node) -> Place:
        return self.module.place(node.at)


def refused_layer_name(name: ast.Name, env: Env) -> Fault | None:
    """The mistake of a name that the state dict would have and `nn.Module` or Python has taken; None for others."""
    if not is_reserved(name.id):
        return None
    hidden = "names that begin with `_` are private in PyTorch's modules"
    owner = "Python" if iskeyword(name.id) else "PyTorch's `nn.Module`"
    why = hidden if name.id.startswith("_") else f"it has a meaning of its own in {owner}"
    hint = f"name it `{free_name(name.id)}`"
    return fault("reserved-name", f"`{name.id}` cannot name a layer: {why}", env.place(name), hint)


def of_head(module: Module, node: ast.Node) -> Iterator[str]:
    """The arguments and sizes of the block that a name stands in: a braced arrow takes along those that it reads."""
    around = next((d for d in module.file.declarations if d.at.start <= node.at.start < d.at.end), None)
    if isinstance(around, ast.Block):
        yield from (p.name.id for p in around.parameters)
        yield from ast.names(around.signature) if around.signature is not None else ()


def item_places(node: ast.Node, count: int, env: Env) -> Iterable[Place]:
    """The places of the items of a list of this file, or of the constant that a name stands for; that of the whole list
    where its items are not written one by one."""
    at = env.place(node)
    if isinstance(node, ast.Name) and node.id not in env.locals:
        declared = env.module.names.get(node.id)
        node = declared.value if isinstance(declared, ast.Constant) else node
    items = node.items if isinstance(node, ast.ListExpr | ast.TupleExpr) else ()
    return [env.place(item) for item in items] if len(items) == count else repeat(at)


def up_to(node: ast.Binary, term: ast.Node, env: Env) -> Place:
    """The place of a sum or product up to one of its terms."""
    return env.place(node) if term is node.rest[-1] else env.module.place(node.first.at.to(term.at))
