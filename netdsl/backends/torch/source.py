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
    return Printer(program, class_name).text(guard or program, header)


class Printer:
    """The classes of a program, found once and printed with different guards."""

    def __init__(self, program: Program, class_name: str) -> None:
        self.program = program
        self.class_name = class_name
        classes = Classes(program, class_name)
        self.found = classes.run()
        self.helpers = [helper.rstrip("\n") for helper in classes.forms.helpers]
        self.layout = Layout(classes.forms.signatures)
        self.inner = ["\n".join(self._lines(made)) for made in self.found[:-1]]
        self.opening = _opening(self.found[-1], self.layout)

    def text(self, guard: Program | None, header: str = "") -> str:
        """The whole file; without a guard the net computes and refuses nothing."""
        main = "\n".join([*self.opening, *self._forward(self.found[-1], guard)])
        body = "\n\n\n".join([*self.helpers, *self.inner, main])
        opening = "\n".join(docstring(header, "", WIDTH)) + "\n\n" if header else ""
        imports = "\n".join(line for line, name in IMPORTS if _uses(body, name))
        return f"{opening}{imports}\n\n\n{body}\n"

    def _lines(self, made: TorchClass) -> list[str]:
        return [*_opening(made, self.layout), *self._forward(made, None)]

    def _forward(self, made: TorchClass, guard: Program | None) -> list[str]:
        """The forward method, which begins by holding the inputs to the guard."""
        main = made.plans[0].body.definition is self.program.main
        forward = Forward(made, self.layout, main, guard)
        return forward_lines(forward.variables[0], forward.checks) if is_loop(made) else forward.lines()


def _uses(text: str, name: str) -> bool:
    import re

    return re.search(rf"(?<![\w.]){re.escape(name)}", text) is not None


def _opening(made: TorchClass, layout: Layout) -> list[str]:
    """The lines of a class before its forward method."""
    definition = made.plans[0].body.definition
    source = definition.place.source.name.rpartition("/")[2]
    origin = "" if source.startswith("<") else f"  # {comment(source)}:{definition.place.line}"
    lines = [f"class {made.name}(nn.Module):{origin}"]
    if made.doc:
        lines += [*docstring(made.doc, INDENT, WIDTH), ""]
    constructor = _constructor(made, layout)
    return [*lines, *constructor, *([""] if constructor else [])]


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
