"""The PyTorch lowering: a program as the text of a `model.py` that imports nothing but torch and reads as if written
by hand."""

from __future__ import annotations

import textwrap

from netdsl.backends.torch.classes import Classes, TorchClass
from netdsl.backends.torch.forward import Forward
from netdsl.backends.torch.layout import INDENT, WIDTH, Layout, literal_text
from netdsl.backends.torch.loops import constructor_lines, forward_lines, is_loop
from netdsl.backends.torch.quoting import comment, docstring
from netdsl.backends.torch.tree import Num
from netdsl.ir.model import Program

IMPORTS = (
    ("import torch", "torch."),
    ("from torch import nn", "nn."),
    ("from torch.nn import functional as F", "F."),
)


def emit(program: Program, *, class_name: str, header: str = "", guard: Program | None = None) -> str:
    """The whole text of `model.py`: the net is the class `class_name`; `header` opens the file as its docstring.

    The net refuses inputs that `guard` does not take: the same net with names for the sizes that it is not made for
    (see `freedom`); without it, all declared sizes are held. Equal programs give equal texts. Raises Fault where a
    size cannot be computed from what flows through a block.
    """
    opening = "\n".join(docstring(header, "", WIDTH)) + "\n\n" if header else ""
    return opening + printed(program, class_name, guard or program)


def printed(program: Program, class_name: str, guard: Program | None) -> str:
    """The text without its header; without a guard, what computes and nothing else."""
    classes = Classes(program, class_name, guard)
    found = classes.run()
    layout = Layout(classes.forms.signatures)
    parts = [helper.rstrip("\n").split("\n") for helper in classes.forms.helpers]
    parts += [print_class(made, program, layout) for made in found]
    body = "\n\n\n".join("\n".join(lines) for lines in parts)
    newline = "\n"
    imports = [line for line, name in IMPORTS if _uses(body, name)]
    return f"{newline.join(imports)}\n\n\n{body}\n"


def _uses(text: str, name: str) -> bool:
    import re

    return re.search(rf"(?<![\w.]){re.escape(name)}", text) is not None


def print_class(made: TorchClass, program: Program, layout: Layout) -> list[str]:
    """The lines of one class."""
    definition = made.plans[0].body.definition
    main = definition is program.main
    source = definition.place.source.name.rpartition("/")[2]
    origin = "" if source.startswith("<") else f"  # {comment(source)}:{definition.place.line}"
    lines = [f"class {made.name}(nn.Module):{origin}"]
    if made.doc:
        lines += [*docstring(made.doc, INDENT, WIDTH), ""]
    constructor = _constructor(made, layout)
    forward = Forward(made, layout, main)
    body = forward_lines(forward.variables[0], forward.checks) if is_loop(made) else forward.lines()
    return [*lines, *constructor, *([""] if constructor else []), *body]


def _constructor(made: TorchClass, layout: Layout) -> list[str]:
    if not made.members and not made.state:
        return []
    arguments = ["self", *(_formal(a.name, a.default) for a in made.arguments)]
    one = f"{INDENT}def __init__({', '.join(arguments)}):"
    lines = [one] if len(one) <= WIDTH else [f"{INDENT}def __init__(", *_wrapped(arguments), f"{INDENT}):"]
    lines.append(f"{INDENT * 2}super().__init__()")
    if is_loop(made):
        return [*lines, *constructor_lines(made, layout)]
    for name, tree in (*made.state, *made.members):
        lines += layout.lines(f"self.{name} = ", tree)
    return lines


def _wrapped(arguments: list[str]) -> list[str]:
    return textwrap.wrap(", ".join(arguments) + ",", WIDTH, initial_indent=INDENT * 2, subsequent_indent=INDENT * 2)


def _formal(name: str, default: object) -> str:
    return f"{name}={literal_text(default.value)}" if isinstance(default, Num) else name
