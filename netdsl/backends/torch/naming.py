"""The author's names as Python names: one that means something else in the emitted file gets a `_` at its end."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from keyword import iskeyword

from netdsl.ir.model import Definition, Program
from netdsl.ops.base import Op

MODULES = ("torch", "nn", "F", "Tensor", "Callable", "math")
"""What the file imports."""
BUILTINS = ("super", "range", "len", "enumerate", "float", "tuple", "max", "min", "sum", "zip", "ValueError")
"""What the printer calls; a test looks for others in the nets of the zoo."""
INSIDE = ("self", "i", "_")
"""What methods and comprehensions call their own."""
SHADOWED = frozenset(name for name in dir(builtins) if name.islower() and not name.startswith("_"))
"""What Python has under names that a variable would hide."""
HINTS = ("int", "bool", "str")
"""Types that hints name, next to those that are called."""
RESERVED = frozenset((*MODULES, *BUILTINS, *HINTS, *INSIDE))

DEFINED = re.compile(r"^(?:class|def) (\w+)", re.M)


def python_name(name: str, taken: Iterable[str] = ()) -> str:
    """A name that stands for nothing else, and that no class changes (as Python does with `__name`)."""
    taken = {*RESERVED, *taken}
    hidden = name.startswith("__")
    while iskeyword(name) or name in taken or (hidden and not name.endswith("___")):
        name += "_"
    return name


def python_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Distinct Python names for several names."""
    names = list(names)
    plain = {name: name for name in names if python_name(name, taken) == name}
    found = dict(plain)
    for name in names:
        if name not in plain:
            found[name] = python_name(name, {*taken, *found.values()})
    return found


def class_name(program: Program, name: str) -> str:
    """The class of a net: its own name, where no helper and nothing in Python bears it."""
    return python_name(name, helper_names(program))


def helper_names(program: Program) -> frozenset[str]:
    """The classes and functions of the helpers that a program's ops bring."""
    found: set[str] = set()
    known: set[int] = set()
    stack = [program.main]
    while stack:
        definition = stack.pop()
        if id(definition) in known:
            continue
        known.add(id(definition))
        for step in definition.steps:
            if isinstance(step.callee, Definition):
                stack.append(step.callee)
            elif isinstance(step.callee, Op) and (helper := step.callee.torch(*(v.type for v in step.inputs)).helper):
                found.update(DEFINED.findall(helper))
    return frozenset(found)


def camel(name: str) -> str:
    """The name of a class after a label: `Stage4` for `stage4`; names that begin with a capital stay."""
    made = name if name[:1].isupper() else "".join(w[:1].upper() + w[1:] for w in name.split("_"))
    return made if made.isidentifier() else f"Block{made}"
