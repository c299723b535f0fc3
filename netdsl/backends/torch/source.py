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


def emit(program: Program, *, class_name: str, header: str = "") -> str:
    """The whole text of `model.py`: the net is the class `class_name`; `header` opens the file as its docstring.

    Equal programs give equal texts. Raises Fault where a size cannot be computed from what flows through a block.
    """
    classes = Classes(program, class_name)
    found = classes.run()
    layout = Layout(classes.forms.signatures)
    parts = [helper.rstrip("\n").split("\n") for helper in classes.forms.helpers]
    parts += [print_class(made, program, layout, classes.forms.size_bound) for made in found]
    body = "\n\n\n".join("\n".join(lines) for lines in parts)
    newline = "\n"
    imports = [line for line, name in IMPORTS if _uses(body, name)]
    opening = "\n".join(docstring(header, "", WIDTH)) + "\n\n" if header else ""
    return f"{opening}{newline.join(imports)}\n\n\n{body}\n"


def _uses(text: str, name: str) -> bool:
    import re

    return re.search(rf"(?<![\w.]){re.escape(name)}", text) is not None


def print_class(made: TorchClass, program: Program, layout: Layout, size_bound: bool) -> list[str]:
    """The lines of one class."""
    definition = made.plans[0].body.definition
    main = definition is program.main
    source = definition.place.source.name.rpartition("/")[2]
    origin = "" if source.startswith("<") else f"  # {comment(source)}:{definition.place.line}"
    lines = [f"class {made.name}(nn.Module):{origin}"]
    if made.doc:
        lines += [*docstring(made.doc, INDENT, WIDTH), ""]
    constructor = _constructor(made, layout)
    forward = Forward(made, layout, main, size_bound)
    body = forward_lines() if is_loop(made) and not forward.checks else forward.lines()
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
