"""Trees as lines of Python, broken at 100 columns the way a person breaks them."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from netdsl.backends.torch.quoting import quoted
from netdsl.backends.torch.signatures import Signature
from netdsl.backends.torch.tree import Apply, Cycle, Group, Members, Node, Num, Power, Progress, Run, Text, varies, walk

WIDTH = 100
INDENT = "    "
COMPARISONS = dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "is", "is not"), 3)
ARITHMETIC = {"|": 4, "&": 5, "+": 6, "-": 6, "*": 7, "/": 7, "//": 7, "%": 7, "@": 7, "~": 8, "**": 9}
STRENGTH = {"if": 0, "or": 1, "and": 2} | COMPARISONS | ARITHMETIC
"""How tightly operators bind; a call or a name binds with 10, a sign with 8."""
TABLE = 12
"""Of more numbers than this in a row several stand on one line."""
LOOSE, CHOICE, SUM, SIGN, TIGHT = 0, 1, 6, 8, 10


class Item(NamedTuple):
    """One thing in a bracket: the text before it, and how tightly what stands around it binds."""

    lead: str
    tree: Node
    strength: int = LOOSE


Items = list[Item]
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
        return quoted(value)
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


def _is_plain_call(node: Node) -> bool:
    """Whether a tree is the call of a function, and no operator."""
    return isinstance(node, Apply) and isinstance(node.function, str) and node.function not in (*STRENGTH, "[]", ":")


def _is_long(node: Node) -> bool:
    """Whether a tree has more in a bracket than a line has characters, which nobody needs to print to know."""
    return any(isinstance(n, Group) and len(n.items) > WIDTH for n in walk(node))


def is_method(node: Node) -> bool:
    return isinstance(node, Apply) and isinstance(node.function, str) and node.function.startswith(".")


class Layout:
    """Prints trees; `signatures` say which arguments are given by name and which are left out."""

    def __init__(self, signatures: dict[str, Signature]) -> None:
        self.signatures = signatures

    def lines(
        self, before: str, node: Node, after: str = "", indent: str = INDENT * 2, strength: int = LOOSE
    ) -> list[str]:
        """`before node after` at an indentation, over as many lines as it takes.

        `strength`: how tightly the text around the node binds. A tree that is broken over lines stands in a bracket of
        its own, so that only one that fits on a line may need another.
        """
        opened = self._opened(before, node, after, indent, strength)
        if isinstance(opened, str):
            return [opened]
        start, items, separator, end = opened
        if not before and after == "," and not separator and (start, end) == ("(", ")") and strength == LOOSE:
            chain = self._items(items, "", indent)
            return [*chain[:-1], f"{chain[-1]},"]
        row = indent + INDENT + ", ".join(map(self._item, items[:WIDTH]))
        if separator and len(row) <= WIDTH and not _is_column(node):
            return [f"{indent}{before}{start}", row, f"{indent}{end}{after}"]
        inner = self._rows(items, separator, indent + INDENT)
        return [f"{indent}{before}{start}", *inner, f"{indent}{end}{after}"]

    def _opened(self, before: str, node: Node, after: str, indent: str, strength: int) -> Opened | str:
        """The bracket of a tree that does not fit on a line, or the line."""
        opened = self._open(node, strength) if _is_long(node) else None
        one = "" if opened else f"{indent}{before}{self.flat(node, strength)}{after}"
        return opened or (self._open(node, strength) if len(one) > WIDTH else None) or one

    def _rows(self, items: Items, separator: str, indent: str) -> list[str]:
        """Items one to a line, or those of a long table of numbers as many as fit."""
        if len(items) <= TABLE or not all(isinstance(i.tree, Num) and not i.lead for i in items):
            return self._items(items, separator, indent)
        lines = [indent]
        for text in (f"{self._item(i)}{separator}" for i in items):
            joined = f"{lines[-1]} {text}" if lines[-1].strip() else indent + text
            lines[-1:] = [joined] if len(joined) <= WIDTH else [lines[-1], indent + text]
        return lines

    def _items(self, items: Items, after: str, indent: str) -> list[str]:
        return [line for i in items for line in self.lines(i.lead, i.tree, after, indent, i.strength)]

    def _item(self, item: Item) -> str:
        return item.lead + self.flat(item.tree, item.strength)

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
                return "{" + ", ".join(f"{literal_text(n)}: {self.flat(item)}" for n, item in pairs) + "}", TIGHT
            case Run():
                return self._run(node), TIGHT
            case Progress() | Power() | Cycle():
                return self._counted(node)
            case Apply():
                return self._apply(node)
        raise AssertionError(node)

    def _run(self, run: Run) -> str:
        if run.count == Num(1):
            return self.flat(run.child)
        return f"*[{self.flat(run.child)} {self._loop(run)}]"

    def _loop(self, run: Run) -> str:
        name = "i" if varies(run) else "_"
        return f"for {name} in range({self.flat(run.count)})"

    def _progress(self, start: Node, step: Node) -> str:
        grown = "i" if step == Num(1) else f"{self.flat(step, STRENGTH['*'])} * i"
        return grown if start == Num(0) else f"{self.flat(start, SUM)} + {grown}"

    def _counted(self, node: Progress | Power | Cycle) -> tuple[str, int]:
        """A literal that changes along a run."""
        if isinstance(node, Progress):
            strength = SUM if node.start != Num(0) else TIGHT if node.step == Num(1) else STRENGTH["*"]
            return self._progress(node.start, node.step), strength
        if isinstance(node, Power):
            index = f" ** (i % {node.period.value})" if node.period.value else "**i"
            power = f"{node.factor.value}{index}"
            return (power, STRENGTH["**"]) if node.start == Num(1) else (f"{node.start.value} * {power}", STRENGTH["*"])
        even, odd = node.even, node.odd
        match even, odd:  # by identity: 1 and 0 are equal to truth values, and are none
            case Num(True), Num(False):
                return "i % 2 == 0", STRENGTH["=="]
            case Num(False), Num(True):
                return "i % 2 == 1", STRENGTH["=="]
        return f"{self.flat(even, CHOICE)} if i % 2 == 0 else {self.flat(odd, CHOICE)}", LOOSE

    def _apply(self, call: Apply) -> tuple[str, int]:
        name, args = call.function, call.args
        if name == "if":
            value, condition, otherwise = (self.flat(a, CHOICE) for a in args)
            return f"{value} if {condition} else {otherwise}", LOOSE
        if name in STRENGTH:
            return self._operator(call)
        if name == ":":
            return self._slice(*("" if a == Num(None) else self.flat(a, SUM) for a in args)), LOOSE
        if name == "[]":
            return f"{self.flat(args[0], TIGHT)}[{', '.join(map(self.flat, args[1:]))}]", TIGHT
        target, items = self._arguments(call)
        return f"{target}({', '.join(map(self._item, items))})", TIGHT

    def _operator(self, call: Apply) -> tuple[str, int]:
        name, args = call.function, call.args
        if len(args) == 1:
            return f"{name}{self.flat(args[0], SIGN)}", SIGN
        left, right = _around(call)
        space = "" if name == "**" and all(isinstance(a, Num | Text) for a in args) else " "
        return f"{self.flat(args[0], left)}{space}{name}{space}{self.flat(args[1], right)}", STRENGTH[name]

    def _slice(self, start: str, stop: str) -> str:
        """`start:stop`, with spaces around the colon where a bound is more than a name or a number."""
        if all(re.fullmatch(r"-?\w*", bound) for bound in (start, stop)):
            return f"{start}:{stop}"
        return f"{start} : {stop}".strip()

    def _arguments(self, call: Apply) -> tuple[str, Items]:
        """The text of the function, and the arguments with the text before each."""
        args, kwargs = call.args, call.kwargs
        name = call.function.code if isinstance(call.function, Text) else call.function
        if name in self.signatures and not kwargs:
            args, kwargs = self.signatures[name].spell(args)
        items = [Item("", a) for a in args] + [Item(f"{n}=", v) for n, v in kwargs]
        if name.startswith("."):
            return self.flat(args[0], TIGHT) + name, items[1:]
        return name, items

    def _open(self, node: Node, strength: int = LOOSE) -> Opened | None:
        """A tree as a bracket to be broken over lines, or None where it has none.

        An operator that binds less tightly than what is around it has a bracket around all of it.
        """
        match node:
            case Group((Run(count, child) as run,), "[") if count != Num(1):
                return "[", [Item("", child), Item(self._loop(run), Text(""))], "", "]"
            case Group(items, bracket):
                return bracket, [Item("", item) for item in items], ",", "]" if bracket == "[" else ")"
            case Members(names, items):
                return "{", [Item(f"{literal_text(n)}: ", i) for n, i in zip(names, items, strict=True)], ",", "}"
            case Run(count, child) if count == Num(1):
                return self._open(child)
            case Run(count, child):
                return "*[", [Item("", child), Item(self._loop(node), Text(""))], "", "]"
            case Apply("if", (value, condition, otherwise)):
                tail = f"if {self.flat(condition, CHOICE)} else "
                return "(", [Item("", value, CHOICE), Item(tail, otherwise, CHOICE)], "", ")"
            case Apply(name, (_, _)) if name in STRENGTH:
                return self._open_last(node, strength) or ("(", self._operands(node), "", ")")
            case Apply(name) if name not in (*STRENGTH, "[]", ":"):
                return self._open_call(node)
        return None

    def _bracketed(self, node: Node) -> Opened | None:
        """A tree as a bracket that a method can be called on."""
        if isinstance(node, Apply) and len(node.args) == 2 and node.function in STRENGTH:
            return "(", self._operands(node), "", ")"
        return self._open(node)

    def _operands(self, node: Apply) -> Items:
        """The operands of operators that bind as tightly, each with the one before it."""
        left, right = node.args
        before, after = _around(node)
        inner = isinstance(left, Apply) and len(left.args) == 2 and STRENGTH.get(left.function) == before
        first = self._operands(left) if inner and before == STRENGTH[node.function] else [Item("", left, before)]
        return [*first, Item(f"{node.function} ", right, after)]

    def _open_last(self, node: Apply, strength: int) -> Opened | None:
        """An operator between something short and a call as the bracket of the call, where it needs none around it."""
        left, right = node.args
        if (
            STRENGTH[node.function] < strength
            or not isinstance(left, Num | Text)
            or is_method(right)
            or not _is_plain_call(right)
        ):
            return None
        opened = self._open(right)
        lead = f"{self.flat(left, _around(node)[0])} {node.function} "
        return (f"{lead}{opened[0]}", *opened[1:]) if opened else None

    def _chain(self, call: Node) -> Items:
        """A chain of methods, one to a line. What the first is called on binds as tightly as its dot."""
        if not is_method(call):
            return [Item("", call, TIGHT)]
        assert isinstance(call, Apply)
        target, own = self._arguments(call)
        arguments = ", ".join(map(self._item, own))
        if isinstance(call.args[0], Text):
            return [Item("", Text(f"{target}({arguments})"))]
        return [*self._chain(call.args[0]), Item("", Text(f"{call.function}({arguments})"))]

    def _is_long(self, node: Node) -> bool:
        """Whether a call fills more than half a line."""
        return isinstance(node, Apply) and len(self.flat(node)) > WIDTH // 2

    def _open_call(self, call: Apply) -> Opened | None:
        if is_method(call) and is_method(call.args[0]):
            return "(", self._chain(call), "", ")"
        target, items = self._arguments(call)
        if is_method(call) and self._is_long(call.args[0]) and (opened := self._bracketed(call.args[0])):
            start, inner, separator, end = opened
            return start, inner, separator, f"{end}{call.function}({', '.join(map(self._item, items))})"
        if not items:
            return None
        return f"{target}(", items, ",", ")"


def _around(call: Apply) -> tuple[int, int]:
    """How tightly an operator binds what stands before it and after it."""
    name, own = call.function, STRENGTH[call.function]
    apart = name == "**" or name in COMPARISONS or (name == "*" and is_call(call.args[0], "//"))
    return own + apart, SIGN if name == "**" else own + 1  # `a ** -b` needs no brackets
