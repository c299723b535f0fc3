"""Trees as lines of Python, broken at 100 columns the way a person breaks them."""

from __future__ import annotations

import math
from typing import Any

from netdsl.backends.torch.signatures import Signature
from netdsl.backends.torch.tree import Apply, Group, Members, Node, Num, Progress, Run, Text, walk

WIDTH = 100
INDENT = "    "
COMPARISONS = dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 3)
ARITHMETIC = {"|": 4, "&": 4, "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6, "@": 6, "~": 7, "**": 8}
STRENGTH = {"if": 0, "or": 1, "and": 2} | COMPARISONS | ARITHMETIC
"""How tightly operators bind; a call or a name binds with 10, a sign with 7."""
LOOSE, SIGN, TIGHT = 0, 7, 10

Items = list[tuple[str, Any]]
"""Things in a bracket, each with the text before it."""
Opened = tuple[str, Items, str, str]
"""A bracket that is broken over lines: what opens it, its items, what separates them, what closes it."""


def literal_text(value: Any) -> str:
    """A literal as a person writes it: `1e-6`, double quotes."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return f'float("{value}")'
        mantissa, _, exponent = f"{value:e}".partition("e")
        short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return short if float(short) == value and len(short) < len(repr(value)) else repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return repr(value)


def is_call(node: Node, function: str) -> bool:
    return isinstance(node, Apply) and node.function == function


def _is_column(node: Node) -> bool:
    """Whether a bracket reads better with one item to a line."""
    return not isinstance(node, Apply) or node.function in (
        "nn.Sequential",
        "nn.ModuleList",
        "nn.ModuleDict",
        "torch.cat",
    )


def is_method(node: Node) -> bool:
    return isinstance(node, Apply) and isinstance(node.function, str) and node.function.startswith(".")


class Layout:
    """Prints trees; `signatures` say which arguments are given by name and which are left out."""

    def __init__(self, signatures: dict[str, Signature]) -> None:
        self.signatures = signatures

    def lines(self, before: str, node: Node, after: str = "", indent: str = INDENT * 2) -> list[str]:
        """`before node after` at an indentation, over as many lines as it takes."""
        one = f"{indent}{before}{self.flat(node)}{after}"
        opened = self._open(node) if len(one) > WIDTH else None
        if opened is None:
            return [one]
        start, items, separator, end = opened
        if not before and after == "," and not separator and start == "(":
            chain = [line for lead, item in items for line in self.lines(lead, item, "", indent)]
            return [*chain[:-1], f"{chain[-1]},"]
        row = indent + INDENT + ", ".join(lead + self.flat(item) for lead, item in items)
        if separator and len(row) <= WIDTH and not _is_column(node):
            return [f"{indent}{before}{start}", row, f"{indent}{end}{after}"]
        inner = [line for lead, item in items for line in self.lines(lead, item, separator, indent + INDENT)]
        return [f"{indent}{before}{start}", *inner, f"{indent}{end}{after}"]

    def flat(self, node: Node, strength: int = LOOSE) -> str:
        """A tree on one line, in brackets where what is around it binds tighter."""
        text, own = self._flat(node)
        return text if own >= strength else f"({text})"

    def _flat(self, node: Node) -> tuple[str, int]:
        match node:
            case Num(value):
                negative = isinstance(value, int | float) and not isinstance(value, bool) and value < 0
                return literal_text(value), SIGN if negative else TIGHT
            case Text(code):
                return code, TIGHT
            case Group((Run(count) as run,), "[") if count != Num(1):
                return self._run(run)[1:], TIGHT
            case Group(items, bracket):
                inner = ", ".join(self.flat(item) for item in items)
                comma = "," if len(items) == 1 and bracket == "(" else ""
                return f"{bracket}{inner}{comma}{']' if bracket == '[' else ')'}", TIGHT
            case Members(names, items):
                pairs = zip(names, items, strict=True)
                return "{" + ", ".join(f'"{n}": {self.flat(item)}' for n, item in pairs) + "}", TIGHT
            case Run():
                return self._run(node), TIGHT
            case Progress(start, step):
                return self._progress(start, step), STRENGTH["+"]
            case Apply():
                return self._apply(node)
        raise AssertionError(node)

    def _run(self, run: Run) -> str:
        if run.count == Num(1):
            return self.flat(run.child)
        return f"*[{self.flat(run.child)} {self._loop(run)}]"

    def _loop(self, run: Run) -> str:
        name = "i" if any(isinstance(n, Progress) for n in walk(run.child)) else "_"
        return f"for {name} in range({self.flat(run.count)})"

    def _progress(self, start: Node, step: Node) -> str:
        grown = "i" if step == Num(1) else f"{self.flat(step, STRENGTH['*'])} * i"
        return grown if start == Num(0) else f"{self.flat(start)} + {grown}"

    def _apply(self, call: Apply) -> tuple[str, int]:
        name, args = call.function, call.args
        if name == "if":
            value, condition, otherwise = (self.flat(a, 1) for a in args)
            return f"{value} if {condition} else {otherwise}", LOOSE
        if name in STRENGTH and len(args) == 2:
            own = STRENGTH[name]
            apart = name == "**" or name in COMPARISONS or (name == "*" and is_call(args[0], "//"))
            left = self.flat(args[0], own + apart)
            right = self.flat(args[1], own + (name != "**"))
            return f"{left} {name} {right}", own
        if name in STRENGTH:
            return f"{name}{self.flat(args[0], SIGN)}", SIGN
        if name == "[]":
            return f"{self.flat(args[0], TIGHT)}[{', '.join(map(self.flat, args[1:]))}]", TIGHT
        target, items = self._arguments(call)
        return f"{target}({', '.join(lead + self.flat(item) for lead, item in items)})", TIGHT

    def _arguments(self, call: Apply) -> tuple[str, Items]:
        """What is called, and its arguments with what stands before each."""
        args, kwargs = call.args, call.kwargs
        name = call.function.code if isinstance(call.function, Text) else call.function
        if name in self.signatures and not kwargs:
            args, kwargs = self.signatures[name].spell(args)
        items = [("", a) for a in args] + [(f"{n}=", v) for n, v in kwargs]
        if name.startswith("."):
            return self.flat(args[0], TIGHT) + name, items[1:]
        return name, items

    def _open(self, node: Node) -> Opened | None:
        """A tree as a bracket to be broken over lines, or None where it has none."""
        match node:
            case Group((Run(count, child) as run,), "[") if count != Num(1):
                return "[", [("", child), (self._loop(run), Text(""))], "", "]"
            case Group(items, bracket):
                return bracket, [("", item) for item in items], ",", "]" if bracket == "[" else ")"
            case Members(names, items):
                return "{", [(f'"{n}": ', item) for n, item in zip(names, items, strict=True)], ",", "}"
            case Run(count, child):
                return (
                    self._open(child)
                    if count == Num(1)
                    else ("*[", [("", child), (self._loop(node), Text(""))], "", "]")
                )
            case Apply("if", args):
                tail = f"if {self.flat(args[1], 1)} else "
                return "(", [("", args[0]), (tail, args[2])], "", ")"
            case Apply(name, (left, right)) if name in STRENGTH:
                return "(", [("", left), (f"{name} ", right)], "", ")"
            case Apply(name) if name not in STRENGTH and name != "[]":
                return self._open_call(node)
        return None

    def _chain(self, call: Node) -> Items:
        """A chain of methods, one to a line."""
        if not is_method(call):
            return [("", call)]
        assert isinstance(call, Apply)
        target, own = self._arguments(call)
        arguments = ", ".join(lead + self.flat(item) for lead, item in own)
        if isinstance(call.args[0], Text):
            return [("", Text(f"{target}({arguments})"))]
        return [*self._chain(call.args[0]), ("", Text(f"{call.function}({arguments})"))]

    def _open_call(self, call: Apply) -> Opened | None:
        if is_method(call) and is_method(call.args[0]):
            return "(", self._chain(call), "", ")"
        target, items = self._arguments(call)
        if not items:
            return None
        lead, first = items[0]
        if not lead and (isinstance(first, Members) or (isinstance(first, Group) and first.bracket == "[")):
            rest = "".join(f", {lead}{self.flat(item)}" for lead, item in items[1:])
            opened = self._open(first)
            assert opened is not None
            return f"{target}({opened[0]}", opened[1], ",", f"{opened[3]}{rest})"
        return f"{target}(", items, ",", ")"
