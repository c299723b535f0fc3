"""The PyTorch lowering: a program as the text of a `model.py` that imports nothing but torch and reads as if written
by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

from netdsl.backends.torch.classes import Classes, TorchClass
from netdsl.backends.torch.forward import Forward
from netdsl.backends.torch.growth import simplified
from netdsl.backends.torch.hints import argument, fitting, method
from netdsl.backends.torch.initial import NAME, Modules, method_lines
from netdsl.backends.torch.layout import INDENT, LOOSE, TIGHT, WIDTH, Layout, is_call
from netdsl.backends.torch.locals import Locals
from netdsl.backends.torch.loops import constructor_lines, forward_lines, is_loop
from netdsl.backends.torch.naming import class_name
from netdsl.backends.torch.quoting import comment, docstring
from netdsl.backends.torch.supply import supplied
from netdsl.backends.torch.tree import Apply, Node, Num, Text, children
from netdsl.ir.initial import Initialization
from netdsl.ir.model import Program

STANDARD = (("import math", "math."), ("from collections.abc import Callable", "Callable"))
IMPORTS = (
    ("import torch", "torch."),
    ("from torch import Tensor, nn", ""),
    ("from torch.nn import functional as F", "F."),
)


def emit(program: Program, *, class_name: str, header: str = "", guard: Program | None = None) -> str:
    """The whole text of `model.py`: the net is the class `class_name`; `header` opens the file as its docstring.

    The net refuses inputs that `guard` does not take: the same net with names for the sizes that it is not made for
    (see `freedom`); without it, all declared sizes are held. Equal programs give equal texts. Raises Fault where a
    size cannot be computed from what flows through a block.
    """
    return Printer(program, class_name).text(guard or program, header)


def printer(program: Program, name: str) -> Printer:
    """The classes of a net of this name: the main one has it too, unless a helper or Python has."""
    return Printer(program, class_name(program, name))


class Printer:
    """The classes of a program, found once and printed with different guards."""

    def __init__(self, program: Program, class_name: str) -> None:
        self.program = program = supplied(program)
        self.class_name = class_name
        self.classes = classes = Classes(program, class_name)
        self.found = classes.run()
        constructed = (tree for made in self.found for _, tree in (*made.state, *made.members))
        self.helpers = [helper.strip("\n") for helper in classes.forms.helpers(constructed)]
        self.layout = Layout(classes.forms.signatures)
        self.inner = ["\n".join(self._lines(made)) for made in self.found[:-1]]
        self.opening = _opening(self.found[-1], self.layout)

    def text(self, guard: Program | None, header: str = "", init: Sequence[Initialization] = ()) -> str:
        """The whole file; without a guard the net computes and refuses nothing. `init`: how its weights start."""
        first = self._with_init(init) if init else self.opening
        main = "\n".join([*first, *self._forward(self.found[-1], guard)])
        body = "\n\n\n".join([*self.helpers, *self.inner, main])
        opening = "\n".join(docstring(header, "", WIDTH)) + "\n\n" if header else ""
        imports = "\n".join(line for line, name in IMPORTS if _uses(body, name))
        standard = "\n".join(line for line, name in STANDARD if _uses(body, name))
        imports = f"{standard}\n\n{imports}" if standard else imports
        needed = "\n".join(f"import {name}  # needed by the layers of a plug-in" for name in self.classes.forms.imports)
        imports = f"{imports}\n\n{needed}" if needed else imports
        return f"{opening}{imports}\n\n\n{body}\n"

    def _with_init(self, init: Sequence[Initialization]) -> list[str]:
        """The net's lines before its forward method, with the method `init_weights`, which the constructor calls."""
        modules = Modules(self.program, self.classes, self.helpers)
        lines = method_lines(init, modules, self.layout)
        return [*self.opening[:-1], f"{INDENT * 2}self.{NAME}()", "", *lines, ""]

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


def _words(lines: list[str]) -> set[str]:
    import re

    return set(re.findall(r"\w+", "\n".join(lines)))


def _opening(made: TorchClass, layout: Layout) -> list[str]:
    """The lines of a class before its forward method."""
    definition = made.plans[0].body.definition
    source = definition.place.source.name.rpartition("/")[2]
    origin = "" if source.startswith("<") else f"  # {comment(source)}:{definition.place.line}"
    lines = [f"class {made.name}(nn.Module):{origin}"]
    constructor = _constructor(made, layout)
    doc = fitting(made.doc, {*_words(constructor), *(v.name for v in definition.inputs)})
    if doc:
        lines += [*docstring(doc, INDENT, WIDTH), ""]
    return [*lines, *constructor, *([""] if constructor else [])]


def _constructor(made: TorchClass, layout: Layout) -> list[str]:
    if not made.members and not made.state:
        return []
    lines = [*method("__init__", map(argument, made.arguments), "None"), f"{INDENT * 2}super().__init__()"]
    if is_loop(made):
        return [*lines, *constructor_lines(made, layout)]
    states = _states(made)
    members = [(_branch(tree, states), name, tree) for name, tree in (*made.state, *made.members)]
    groups = [(branch, list(found)) for branch, found in groupby(members, lambda m: m[0])]
    branches = [None, *(branch for branch, _ in groups), None]
    taken = [a.name for a in made.arguments]
    for (branch, found), before, after in zip(groups, branches, branches[2:], strict=False):
        named = [(name, tree) for _, name, tree in found]
        if branch is not None:
            lines += _conditional(branch, named, made.optional, _is_otherwise(before, branch), after, layout, taken)
            continue
        lines += _assigned(named, layout, taken)
    return lines


def _states(made: TorchClass) -> dict[Node, Node]:
    """The attributes that a class keeps, by the expressions whose values they have."""
    return {tree: Text(f"self.{name}") for name, tree in reversed(made.state) if isinstance(tree, Apply)}


def _assigned(
    members: Iterable[tuple[str, Node]], layout: Layout, taken: Collection[str], indent: str = INDENT * 2
) -> list[str]:
    """The lines that set members. `taken`: what values that they need more than once cannot be called."""
    lines: list[str] = []
    for name, tree in members:
        found = Locals(simplified(tree), (*taken, *layout.signatures))
        named = [*found.assigned, (f"self.{name}", found.tree)]
        lines += [line for own, value in named for line in layout.lines(f"{own} = ", value, "", indent)]
    return lines


Branch = tuple[bool, Node]
"""A condition, and whether it holds."""


def _branch(tree: Node, states: Mapping[Node, Node]) -> Branch | None:
    """The branch in which a member is constructed; None for one that is constructed in every use."""
    if not is_call(tree, "if") or Num(None) not in children(tree):
        return None
    value, condition, _ = children(tree)
    return value != Num(None), states.get(condition, condition)


def _is_otherwise(before: Branch | None, branch: Branch | None) -> bool:
    """Whether a branch is the other one of the condition before."""
    return before is not None and branch is not None and before == (not branch[0], branch[1])


def _conditional(
    branch: Branch,
    members: list[tuple[str, Node]],
    optional: Collection[str],
    is_otherwise: bool,
    after: Branch | None,
    layout: Layout,
    taken: Collection[str],
) -> list[str]:
    """The members of one branch of a condition. Those that are `optional` are None where it does not hold."""
    there, condition = branch
    if all(name in optional for name, _ in members) and not _is_otherwise(branch, after):
        lines = _assigned(members, layout, taken)
        if len(lines) == len(members):
            return lines
    lines = [f"{INDENT * 2}self.{name} = None" for name, _ in members if name in optional]
    text = layout.flat(condition, LOOSE if there else TIGHT)
    lines.append(f"{INDENT * 2}else:" if is_otherwise else f"{INDENT * 2}if {'' if there else 'not '}{text}:")
    inner = [(name, children(tree)[0 if there else 2]) for name, tree in members]
    return [*lines, *_assigned(inner, layout, taken, INDENT * 3)]
