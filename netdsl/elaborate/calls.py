"""Arguments of ops and blocks: given by position or by name, all at once or a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Fault, did_you_mean, fault
from netdsl.elaborate.hints import TOGETHER, bracketed, of_recipes, of_weight
from netdsl.elaborate.made import make
from netdsl.elaborate.positions import Written, refusal, words
from netdsl.elaborate.tied import tied
from netdsl.elaborate.values import (
    BlockArrow,
    Builtin,
    CallPlace,
    OpArrow,
    PipeArrow,
    Shared,
    SharedCall,
    SharedWeight,
    Tensor,
    TiedArrow,
    describe,
    is_arrow,
)
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op
from netdsl.source import Place
from netdsl.syntax import ast


class Given(Struct, frozen=True):
    """An argument as it was written."""

    name: str | None
    value: Any
    at: Place


@cache
def op_fields(op: type[Op]) -> dict[str, bool]:
    """The arguments of an op in order, and whether each is required; not the one that collects further ones."""
    return {f.name: f.required for f in msgspec.structs.fields(op) if f.name != op.named_sizes}


@cache
def block_parameters(arrow: Any) -> dict[str, bool]:
    """The arguments of a block in order, and whether each is required; a net's inputs may be given by name too."""
    declaration = arrow.declaration
    names = {p.name.id: p.default is None for p in declaration.parameters}
    if isinstance(declaration.body, ast.Body) and declaration.keyword == "net":
        inputs = [s.name.id for s in declaration.body.statements if isinstance(s, ast.Input)]
        names |= {n: False for n in inputs if n not in names}
    return names


def positional_fields(op: type[Op]) -> tuple[str, ...]:
    """The arguments of an op that may be given by position."""
    return tuple(op_fields(op))[: op.positional]


def is_complete(value: Any) -> bool:
    """Whether an arrow can be applied: an op or block still waiting for arguments cannot."""
    return not missing(value)


def missing(value: Any) -> list[str]:
    """The required arguments that an op or a block still waits for."""
    if isinstance(value, OpArrow):
        return _missing_of_op(value)
    if isinstance(value, BlockArrow):
        given = {n for n, _ in value.arguments}
        return [n for n, required in block_parameters(value.block).items() if required and n not in given]
    return []


def explained(arrow: Any, waiting: list[str]) -> str | None:
    """The hint that an op has for an argument that it lacks; None where it has none."""
    hints = arrow.op.hints if isinstance(arrow, OpArrow) else {}
    return next((hints[name] for name in waiting if name in hints), None)


def completed(written: str, waiting: list[str]) -> str | None:
    """A call on one line with the arguments that it lacks, as a hint: `` `linear(out_features=...)` ``."""
    if "\n" in written or "->" in written:
        return None
    name, _, given = written.removesuffix(")").partition("(")
    said = [part for part in (given.strip().rstrip(","), *(f"{n}=..." for n in waiting)) if part]
    return f"`{name.strip()}({', '.join(said)})`"


def _missing_of_op(arrow: OpArrow) -> list[str]:
    """The same of an op: of the operands that may be left out it needs as many from the first as are given."""
    op, operands = arrow.op, {n for n, _ in arrow.operands}
    given = operands | {n for n, _ in arrow.arguments}
    needed = [n for n, required in op_fields(op).items() if required]
    required = () if op.variadic and operands else op.operands
    optional = op.optional_operands[: sum(n in given for n in op.optional_operands)]
    return [n for n in (*required, *optional, *needed) if n not in given]


def unpacked(value: Any) -> Any:
    """A value that several names are given to: where an op at its end has further results, they are asked for."""
    if isinstance(value, PipeArrow):
        return replace(value, stages=(*value.stages[:-1], unpacked(value.stages[-1])))
    if not isinstance(value, OpArrow) or not value.op.unpacked:
        return value
    return replace(value, arguments=tuple(sorted({**dict(value.arguments), value.op.unpacked: True}.items())))


def not_callable(value: Any, written: ast.Node, at: Place) -> Fault:
    """The mistake of a call of what takes no arguments; perhaps of a layer whose name something else took."""
    if isinstance(written, ast.Name) and written.id in REGISTRY:
        hint = "give that another name: the layer of this name is hidden by it"
        return fault("not-callable", f"`{written.id}` is {describe(value)} here, which cannot be called", at, hint)
    hint = "a name or a number takes no arguments" if not is_arrow(value) else "write `->` to apply a layer"
    if isinstance(value, Tensor):
        name = written.id if isinstance(written, ast.Name) else "x"
        hint = f"rows of a tensor are `{name} -> gather(index=...)`, a layer is applied as `x -> layer`"
    return fault("not-callable", f"{describe(value)} cannot be called", at, hint)


def shared_call(shared: Shared, name: str, given: list[Given], at: Place) -> SharedCall:
    """A shared layer with further tensors. Raises Fault for an argument, which it was declared with."""
    if not given:
        raise fault("not-callable", "a shared layer cannot be called", at, "write `->` to apply it")
    for item in given:
        if item.name is None or not is_arrow(item.value):
            message = f"a shared layer has its arguments already, found {describe(item.value)}"
            hint = "further tensors are given by name, as in `cell(h0=h, c0=c)`"
            if item.name is None and isinstance(item.value, Tensor):
                hint = f"write `{item.at.text} -> {name}`"
            raise fault("not-callable", message, item.at, hint)
    places = {item.name: item.at for item in given if item.name}
    return SharedCall(shared, tuple((item.name or "", item.value) for item in given), CallPlace(at, places))


def next_field(function: OpArrow | BlockArrow | None, given: list[Given]) -> str | None:
    """The argument of an op that one more value by position would be."""
    if not isinstance(function, OpArrow):
        return None
    taken = {n for n, _ in function.arguments}
    open_fields = [f for f in positional_fields(function.op) if f not in taken]
    before = (g for g in given if g.name is None and not is_arrow(g.value))
    return next((f for f in open_fields if next(before, None) is None), None)


def word(
    function: OpArrow | BlockArrow | None, name: str | None, node: ast.Node, lookup: Callable[[str], Any]
) -> str | None:
    """The word that a bare name means as an argument of an op (`padding=same`), where nothing else bears that name; of
    one that takes words alone (`role=bias`) also where a tensor, a layer or a number does."""
    if not isinstance(node, ast.Name) or not isinstance(function, OpArrow) or name is None:
        return None
    op, found = function.op, lookup(node.id)
    if name not in op_fields(op):  # the argument is told, whatever its value was to be
        return node.id if found is None and not _is_operand(op, name) else None
    choices, nothing_else = words(function.op, name)
    if node.id in choices:
        meant = _is_free(node.id, found) or (nothing_else and not isinstance(found, str))
    else:
        meant = nothing_else and found is None
    return node.id if meant else None


def _is_operand(op: type[Op], name: str) -> bool:
    """Whether a name may be that of an operand, a size or a tied weight."""
    return bool(op.named_sizes) or name in (*op.operands, *op.optional_operands, "weight")


def _is_free(name: str, found: Any) -> bool:
    """Whether a name means nothing but what the language gives it."""
    return found is None or isinstance(found, Builtin) or (isinstance(found, OpArrow) and found.op.kind == name)


def bind(function: OpArrow | BlockArrow, given: list[Given], at: Place) -> OpArrow | BlockArrow | TiedArrow:
    """The function with more of its arguments given. Raises Fault for one it does not take."""
    weights = [(g.name, g.value, g.at) for g in given if isinstance(g.value, SharedWeight)]
    if weights and isinstance(function, OpArrow):
        rest = _bind_op(function, [g for g in given if not isinstance(g.value, SharedWeight)], at)
        return tied(rest, weights, CallPlace(at, _places(rest.at)))
    return _bind_op(function, given, at) if isinstance(function, OpArrow) else _bind_block(function, given, at)


def _bind_block(arrow: BlockArrow, given: list[Given], at: Place) -> BlockArrow:
    names = list(block_parameters(arrow.block))
    own = [p.name.id for p in arrow.block.declaration.parameters]
    arguments = dict(arrow.arguments)
    now: dict[str, Place] = {}
    named = {g.name for g in given}
    by_position = iter([n for n in own if n not in arguments and n not in named])
    for item in given:
        name = item.name or next(by_position, None)
        if name is None:
            raise _nothing_left(arrow, own, item)
        if name not in own:
            _require_input(arrow, name, item)
        _place_argument(arrow.block.name, names, name, item, now, arguments)
    ordered = tuple((n, arguments[n]) for n in names if n in arguments)
    return BlockArrow(arrow.block, ordered, CallPlace(at, _places(arrow.at) | now), arrow.taps)


def _require_input(arrow: BlockArrow, name: str, item: Given) -> None:
    """Raises Fault for a name that is no argument of a block, unless it is an input that is given a tensor."""
    known = list(block_parameters(arrow.block))
    if name not in known:
        sole = f"it may mean `{known[0]}`, the only argument of `{arrow.block.name}`" if len(known) == 1 else None
        raise unknown_argument(arrow.block.name, known, name, item.at, did_you_mean(name, known) or sole)
    if not is_arrow(item.value):
        message = f"`{name}` is an input of `{arrow.block.name}`, found {describe(item.value)}"
        raise fault("argument-type", message, item.at)


def _nothing_left(arrow: BlockArrow, own: list[str], item: Given) -> Fault:
    """The mistake of a value for which a block has no argument, or none that is still open."""
    name, given = arrow.block.name, [n for n, _ in arrow.arguments if n in own]
    if not given:
        return fault("too-many-arguments", f"`{name}` takes {_count(len(own))}", item.at)
    listed = ", ".join(f"`{n}`" for n in given)
    message = f"`{name}` has nothing left to bind: {listed} {_are(given)} given already"
    return fault("too-many-arguments", message, item.at, f"give another value by name: `{given[0]}=`")


def _bind_op(arrow: OpArrow, given: list[Given], at: Place) -> OpArrow:
    op = arrow.op
    fields = [*op.operands, *op.optional_operands, *op_fields(op)]
    arguments, operands = dict(arrow.arguments), dict(arrow.operands)
    now: dict[str, Place] = {}
    named = {g.name for g in given}
    for item in given:
        operand = _operand(op, item, operands, named)
        if operand is not None:
            _place(operand, item, now, operands)
            continue
        open_fields = (f for f in positional_fields(op) if f not in arguments and f not in named)
        name = item.name or next(open_fields, None)
        if name is None:
            raise _refused(arrow, given, item)
        if op.named_sizes and name not in fields:
            sizes = dict(arguments.get(op.named_sizes, ()))
            _place_argument(op.kind, [name], name, item, now, sizes)
            arguments[op.named_sizes] = tuple(sizes.items())
            continue
        _place_argument(op.kind, fields, name, item, now, arguments, _hint(op, name, item))
    places = CallPlace(at, _places(arrow.at) | now)
    bound = OpArrow(op, tuple(sorted(arguments.items())), tuple(operands.items()), places)
    if is_complete(bound):
        make(bound)
    return bound


def _hint(op: type[Op], name: str, item: Given) -> str | None:
    """The words of an op on an argument that it does not have."""
    return op.hints.get(name) or of_weight(name, item.at.text, isinstance(item.value, Shared))


def _operand(op: type[Op], item: Given, taken: dict[str, Any], named: set[str | None]) -> str | None:
    """The operand that an item is: by its name, or the next one for an arrow by position that is not given by name;
    None for an argument."""
    if item.name in op.operands or item.name in op.optional_operands:
        if not is_arrow(item.value):
            message = f"`{item.name}` of `{op.kind}` must be a tensor, found {describe(item.value)}"
            raise fault("argument-type", message, item.at)
        return item.name
    if item.name is not None or not is_arrow(item.value):
        return None
    if op.variadic:
        return f"x{len(taken)}"
    return next((n for n in op.operands if n not in taken and n not in named), None)


def _place_argument(
    function: str,
    known: list[str],
    name: str,
    item: Given,
    now: dict[str, Place],
    arguments: dict[str, Any],
    hint: str | None = None,
) -> None:
    if name not in known:
        raise unknown_argument(function, known, name, item.at, hint)
    _place(name, item, now, arguments)


def _place(name: str, item: Given, now: dict[str, Place], arguments: dict[str, Any]) -> None:
    if name in now:
        raise fault("duplicate-argument", f"`{name}` is given twice", item.at)
    arguments[name] = item.value
    now[name] = item.at


def unknown_argument(function: str, known: list[str], name: str, at: Place, hint: str | None = None) -> Fault:
    """The mistake of an argument that a function does not have, by name."""
    taken = ", ".join(f"`{k}`" for k in known)
    hint = hint or of_recipes(name) or did_you_mean(name, known)
    hint = hint or (f"it takes {taken}" if known else "it takes no arguments")
    return fault("unknown-argument", f"`{function}` takes no argument `{name}`", at, hint)


def _places(at: Place) -> dict[str, Place]:
    return dict(at.arguments) if isinstance(at, CallPlace) else {}


def _refused(arrow: OpArrow, given: list[Given], item: Given) -> Fault:
    """The mistake of a value that an op does not take by position: a tensor for one that is given by name, or more."""
    op, already = arrow.op, [f"`{g.name}`" for g in given if g.name in arrow.op.operands]
    if not already or not is_arrow(item.value):
        return _refused_position(arrow, given, item)
    message = f"`{op.kind}` has nothing left to bind: {', '.join(already)} {_are(already)} given by name"
    return fault("too-many-arguments", message, item.at, f"`{item.at.text} -> {op.kind}(...)`" if op.takes_it else None)


def _refused_position(arrow: OpArrow, given: list[Given], item: Given) -> Fault:
    """The mistake of an argument that an op does not take by position, with what it would mean in PyTorch."""
    op, fields = arrow.op, tuple(op_fields(arrow.op))
    plain = [g for g in given if not is_arrow(g.value)]
    by_position = [g for g in plain if g.name is None]
    together = _together(op, by_position)
    if together is not None:
        return fault(
            "too-many-arguments",
            f"`{op.kind}` takes {_count(1)}{' by position' * (len(fields) > 1)}",
            item.at,
            together,
        )
    named = tuple(g.at.text for g in plain if g.name is not None)
    written = tuple(Written(g.at.text, g.value) for g in by_position) if not arrow.arguments else ()
    message, hint = refusal(op, fields, written, named)
    return fault("too-many-arguments", message, item.at, hint)


def _together(op: type[Op], given: list[Given]) -> str | None:
    """A hint for the numbers of one argument that are given one by one; None where they are nothing such."""
    numbers = [g.value for g in given]
    if op.positional != 1 or not all(isinstance(n, int) for n in numbers):
        return None
    if len(op_fields(op)) == 1:
        return bracketed(op.kind, numbers)
    if len(numbers) == 1 or not _takes_list(op):
        return None
    return f"{TOGETHER}: `({', '.join(g.at.text for g in given)})`"


def _takes_list(op: type[Op]) -> bool:
    """Whether the first argument of an op is several numbers, and never one."""
    return get_origin(next(iter(msgspec.structs.fields(op))).type) is tuple


def _are(listed: list[str]) -> str:
    return "is" if len(listed) == 1 else "are"


def _count(number: int) -> str:
    return f"{number} argument{'s' if number != 1 else ''}"
