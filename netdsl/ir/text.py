"""The IR as text, for reading: one paragraph per definition, callees first.

ConvBN.1(x [3, 224, 224])
  conv: x1 [64, 112, 112] = conv(out_channels=64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=false) x
  bn: x2 [64, 112, 112] = bn x1
  -> output x2
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from netdsl.ir.model import Definition, Program, Step, Value
from netdsl.ops.base import Op


def program_text(program: Program) -> str:
    """The whole program; it ends with a newline."""
    names = _names(program.main)
    parts = ["\n".join(_definition(d, names)) for d in names]
    if program.constraints:
        parts.insert(0, "\n".join(f"require {c}" for c in program.constraints))
    return "\n\n".join(parts) + "\n"


def _names(main: Definition) -> dict[Definition, str]:
    """Every definition, callees first, with a name of its own: those of one block are numbered."""
    order: dict[Definition, None] = {}

    def visit(d: Definition) -> None:
        if d not in order:
            for step in d.steps:
                if isinstance(step.callee, Definition):
                    visit(step.callee)
            order[d] = None

    visit(main)
    count = Counter(d.name for d in order)
    seen: Counter[str] = Counter()
    names = {}
    for d in order:
        seen[d.name] += 1
        names[d] = f"{d.name}.{seen[d.name]}" if count[d.name] > 1 else d.name
    return names


def _definition(d: Definition, names: dict[Definition, str]) -> Iterator[str]:
    yield f"{names[d]}({', '.join(map(_value, d.inputs))})"
    for step in d.steps:
        yield f"  {_step(step, names)}"
    for output in d.outputs:
        yield f"  -> {output.name} {output.value.name}" + (" when training" if output.training else "")


def _step(step: Step, names: dict[Definition, str]) -> str:
    callee = names[step.callee] if isinstance(step.callee, Definition) else op_text(step.callee)
    label = f"{step.layer}: " if step.layer else ""
    outs = ", ".join(map(_value, step.outs))
    given = "".join(f" {v.name}" for v in step.inputs)
    marks = "".join(f"  # {m}" for m, on in (("residual", step.residual), ("training", step.training)) if on)
    return f"{label}{outs} = {callee}{given}{marks}"


def _value(value: Value) -> str:
    return f"{value.name} {value.type}"


def op_text(op: Op) -> str:
    """An op with the arguments that are not its defaults."""
    given = []
    for field in _fields(type(op)):
        value = getattr(op, field.name)
        if field.required or value != field.default:
            given.append(f"{field.name}={literal(value)}")
    return f"{op.kind}({', '.join(given)})" if given else op.kind


@cache
def _fields(op: type[Op]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(op)


def literal(value: Any) -> str:
    """A value as the language writes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"({', '.join(map(literal, value))})" if isinstance(value, tuple) else str(value)
