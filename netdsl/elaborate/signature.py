"""Signatures and inputs: names bound to sizes, and sizes that must agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netdsl.diagnostics.diagnostic import Fault, Label, did_you_mean, fault
from netdsl.elaborate.builder import Builder
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env
from netdsl.elaborate.scope import Wire
from netdsl.elaborate.values import BlockValue
from netdsl.ops.base import feature_axis
from netdsl.sizes.constraints import IMPOSSIBLE
from netdsl.sizes.dims import Dim, symbol
from netdsl.source import Place
from netdsl.syntax import ast
from netdsl.tensors import MOST_AXES, UNCLEAR, TensorType, fits

SHORT = {
    "int": "int64", "long": "int64", "i64": "int64", "integer": "int64", "integers": "int64", "ints": "int64",
    "float": "float32", "f32": "float32", "floats": "float32", "double": "float64", "half": "float16",
    "fp16": "float16", "boolean": "bool", "byte": "uint8",
}  # fmt: skip
"""Dtypes by the names they have elsewhere."""

DTYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")


def bind_inputs(builder: Builder, block: BlockValue, flow: Wire | None, env: Env) -> dict[str, Dim]:
    """Bind the sizes that a block's signature names; the names and their sizes."""
    signature = block.declaration.signature
    if signature is None:
        return {}
    at = block.module.place(signature.at)
    if flow is None:
        raise fault("no-value", f"`{block.name}` needs an input of {at.text}", at)
    bound = match(builder, signature.inputs, flow.type, env, at, flow.place)
    mark_features(flow, signature.features[0], at)
    return bound


def check_outputs(builder: Builder, block: BlockValue, result: Any, env: Env) -> None:
    """Check what a block gives against its signature."""
    signature = block.declaration.signature
    if signature is not None:
        wire = builder.one(result, block.module.place(signature.at))
        at = block.module.place(signature.at)
        match(builder, signature.outputs, wire.type, env, at, wire.place)
        marked = signature.features[1]
        if marked is not None and marked != _told(wire.type):
            raise _elsewhere(wire, marked, at)


def check_names(net: BlockValue, outputs: Iterable[str]) -> None:
    """Raise a fault where an input is called as an output is: those that have a name, or the result that has none."""
    body = net.declaration.body
    for statement in body.statements if isinstance(body, ast.Body) else ():
        if isinstance(statement, ast.Input) and statement.name.id in outputs:
            name, hint = statement.name.id, "name the input otherwise, or the result, by `output logits` at the end"
            message = f"the net's result is called `{name}`, as this input is"
            raise fault("duplicate-name", message, net.module.place(statement.name.at), hint)


def check_sizes(net: BlockValue, sizes: Iterable[str]) -> None:
    """Raise Fault for a size, given from outside, that is not a named size of a net's inputs."""
    declaration = net.declaration
    arguments = {p.name.id for p in declaration.parameters}
    body = declaration.body.statements if isinstance(declaration.body, ast.Body) else ()
    shapes = [item.id for s in body if isinstance(s, ast.Input) for item in s.shape if isinstance(item, ast.Name)]
    named = [n for n in dict.fromkeys(shapes) if n not in arguments and not _is_value(n, net.module)]
    for name in sizes:
        if name not in named:
            hint = did_you_mean(name, named) or f"its named sizes: {', '.join(named) or 'none'}"
            hint = f"`{name}` is an argument: `-p {name}=...`" if name in arguments else hint
            at = net.module.place(declaration.name.at)
            raise fault("unknown-size", f"the inputs of `{net.name}` have no size `{name}`", at, hint)


def match(
    builder: Builder,
    pattern: tuple[ast.Expr, ...],
    type: TensorType,
    env: Env,
    at: Place,
    origin: Place,
    part: bool = False,
) -> dict[str, Dim]:
    """Bind new names of a shape pattern to the sizes of a type, and check the rest. Raises Fault where they differ.

    `part`: of the input of a net that is used as a part, whose image may be larger or smaller than the declared one.
    """
    note = Label(f"{type} comes from here", origin)
    if len(pattern) != type.rank:
        raise fault("shape-mismatch", f"{len(pattern)} sizes are declared for a value of shape {type}", at, None, note)
    bound: dict[str, Dim] = {}
    for axis, (node, size) in enumerate(zip(pattern, type.shape, strict=True)):
        if isinstance(node, ast.Name) and node.id == "_":
            continue
        if isinstance(node, ast.Name) and node.id not in env.locals and not _is_value(node.id, env.module):
            bound[node.id] = env.locals[node.id] = size
            continue
        wanted = builder.size(node, env)
        if not (part and _is_side(axis, type, wanted)) and builder.assume.equal(size, wanted) == IMPOSSIBLE:
            written = "" if isinstance(node, ast.Number) else f" (`{env.place(node).text}`)"
            message = f"axis {axis} should be {wanted}{written}, found {size} in {type}"
            raise fault("shape-mismatch", message, env.place(node), _stride(size, wanted), note)
    return bound


def mark_features(wire: Wire, axis: int | None, at: Place) -> None:
    """Note on which axis a shape says that the features of what flows in are. Raises Fault where they are elsewhere."""
    if axis is None:
        return
    if wire.type.features not in (None, UNCLEAR, axis):
        raise _elsewhere(wire, axis, at)
    wire.type = wire.type.with_features(axis)


def _told(type: TensorType) -> int | None:
    """The axis on which the features of a value are; None where it can't be told."""
    return None if type.features == UNCLEAR else feature_axis(type)


def _elsewhere(wire: Wire, axis: int, at: Place) -> Fault:
    """The mistake of a value whose features are not on the axis that a shape marks."""
    kind, found = wire.type, _told(wire.type)
    note = Label(f"{kind.marked} comes from here", wire.place)
    if found is None:
        message = f"axis {axis} is marked for the features, and it is not known where {kind} has them"
        hint = "the signature of the block that takes this value may mark them"
    else:
        message = f"axis {axis} is marked for the features, and those of this {kind} are on axis {found}"
        rest = [i for i in range(kind.rank) if i != found]
        hint = f"`permute(({', '.join(map(str, (*rest[:axis], found, *rest[axis:])))}))` brings them there"
    return fault("feature-axis", message, at, hint, note)


def _stride(found: Dim, wanted: Dim) -> str | None:
    """A hint where a side of an image is so many times what is declared."""
    if isinstance(found, int) and isinstance(wanted, int) and 0 < wanted < found and found % wanted == 0:
        return f"`stride={found // wanted}` in the body would give {wanted}, or the signature says another size"
    return None


def _is_side(axis: int, type: TensorType, declared: Dim) -> bool:
    """Whether a declared size is a known side of an image."""
    return axis > 0 and type.rank > 2 and isinstance(declared, int)


def check_elements(node: ast.Input, type: TensorType, env: Env, origin: Place) -> None:
    """Raise Fault where the value given to a net has other elements than its input is declared with."""
    declared = node.dtype.id if node.dtype else "float32"
    if declared in DTYPES and type.dtype not in (declared, "unknown"):
        message = f"`{node.name.id}` is declared as {declared}, found {type}"
        note = Label(f"{type} comes from here", origin)
        raise fault("dtype-mismatch", message, env.place(node), f"`cast(dtype={declared})` before it converts", note)


def input_type(builder: Builder, node: ast.Input, env: Env) -> TensorType:
    """The declared type of a net's input. Names that are not known yet are new symbolic sizes."""
    _check_axes(node, env)
    shape: list[Dim] = []
    for item in node.shape:
        free = isinstance(item, ast.Name) and item.id not in env.locals and not _is_value(item.id, env.module)
        if isinstance(item, ast.Name) and free and item.id[:1].isupper():
            env.locals[item.id] = symbol(item.id)
        size = builder.size(item, env)
        _check_size(size, env.place(item))
        shape.append(size)
    dtype = node.dtype.id if node.dtype else "float32"
    if dtype not in DTYPES:
        assert node.dtype is not None
        hint = f"it is called `{SHORT[dtype]}` here" if dtype in SHORT else did_you_mean(dtype, DTYPES)
        hint = hint or f"one of {', '.join(DTYPES)}"
        raise fault("unknown-dtype", f"there is no dtype `{dtype}`", env.place(node.dtype), hint)
    return TensorType(tuple(shape), dtype).with_features(node.features)


def _check_axes(node: ast.Input, env: Env) -> None:
    if len(node.shape) > MOST_AXES:
        message = f"a sample of {len(node.shape):,} axes: a tensor has {MOST_AXES} at most, without the batch"
        raise fault("too-large", message, env.place(node.shape[MOST_AXES]))


def _check_size(size: Dim, at: Place) -> None:
    if isinstance(size, int) and size < 1:
        raise fault("bad-size", f"a size must be at least 1, found {size}", at)
    if not fits(size):
        raise fault("too-large", "this size is beyond 2**63, the largest of a tensor", at)


def _is_value(name: str, module: Module) -> bool:
    """Whether a name in a shape means a constant of the file. Blocks and nets are no sizes: their names stay free."""
    found = module.find(name)
    return found is not None and isinstance(found[1], ast.Constant)
