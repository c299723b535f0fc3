"""The IR as text, for people and golden files: each definition once, callees before those that call them.

def Basic(x: [64, 56, 56]) -> [64, 56, 56]:  # c=64, stride=1
  x1: [64, 56, 56] = conv_bn1: ConvBN(x)
  x2: [64, 56, 56] = relu(x1)
  ...
  return x6
"""

from __future__ import annotations

from netdsl.ir.model import Definition, Program, Step


def program_text(program: Program) -> str:
    """The text of a program; equal programs have equal texts."""
    names = _names(program.main)
    parts = [_definition(d, names) for d in names]
    constraints = "".join(f"require {c}\n" for c in program.constraints)
    return "\n\n".join([*parts, constraints] if constraints else parts).rstrip("\n") + "\n"


def _names(main: Definition) -> dict[Definition, str]:
    """Every definition under a unique name, callees first."""
    names: dict[Definition, str] = {}
    taken: set[str] = set()

    def visit(definition: Definition) -> None:
        if definition in names:
            return
        for step in definition.steps:
            if isinstance(step.callee, Definition):
                visit(step.callee)
        name, number = definition.name, 1
        while name in taken:
            number += 1
            name = f"{definition.name}.{number}"
        taken.add(name)
        names[definition] = name

    visit(main)
    return names


def _definition(definition: Definition, names: dict[Definition, str]) -> str:
    inputs = ", ".join(f"{v.name}: {v.type}" for v in definition.inputs)
    outputs = ", ".join(str(o.value.type) for o in definition.outputs)
    said = ", ".join(f"{k}={v}" for k, v in definition.arguments if isinstance(v, int | float | str))
    lines = [f"def {names[definition]}({inputs}) -> {outputs}:" + (f"  # {said}" if said else "")]
    lines += [f"  {_step(step, names)}" for step in definition.steps]
    returned = ", ".join((f"{o.value.name} when training" if o.training else o.value.name) for o in definition.outputs)
    return "\n".join([*lines, f"  return {returned}"])


def _step(step: Step, names: dict[Definition, str]) -> str:
    outs = ", ".join(f"{v.name}: {v.type}" for v in step.outs)
    layer = f"{step.layer}: " if step.layer else ""
    marks = [w for w, on in (("training", step.training), ("residual", step.residual)) if on]
    return f"{outs} = {layer}{_callee(step, names)}" + (f"  # {', '.join(marks)}" if marks else "")


def _callee(step: Step, names: dict[Definition, str]) -> str:
    inputs = ", ".join(v.name for v in step.inputs)
    if isinstance(step.callee, Definition):
        return f"{names[step.callee]}({inputs})"
    fields = [f"{f}={_plain(getattr(step.callee, f))}" for f in step.callee.__struct_fields__]
    return f"{step.callee.kind}({', '.join([inputs, *fields] if inputs else fields)})"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_plain, value))})"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
