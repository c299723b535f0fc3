"""Terms as the text of a spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from netdsl.lift.term import Term, is_default, items, shared_name
from netdsl.ops import REGISTRY

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
WIDTH = 100
"""A chain that would be longer is broken after layers that end a step."""


SOME = 6
"""How many numbers are better said by an expression."""


class Parameter(Struct, frozen=True):
    """An argument of a block; `default`: what it mostly is, or None."""

    name: str
    default: Any = None


class Block(Struct, frozen=True, eq=False):
    """A block of the lifted spec."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Term


def literal(value: Any) -> str:
    """A value as it is written; a name times a number is an expression."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        inside = ", ".join(map(literal, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return str(value)


def text_value(value: Any) -> str:
    """An argument's value: words of choices stay bare, patterns and operators are quoted."""
    if isinstance(value, str) and not value.isidentifier():
        return f'"{value}"'
    return literal(value)


def powers(rows: Sequence[tuple[Any, ...]]) -> str:
    """Numbers that double, and begin again with 1 after some, as an expression; nothing for others or a few."""
    values = [row[0] for row in rows]
    if len(rows) < SOME or len(rows[0]) > 1 or any(type(v) is not int or v < 1 for v in values):
        return ""
    first, end = values[0].bit_length() - 1, len(values) + values[0].bit_length() - 1
    for period in range(1, end + 1):
        if values == [2 ** (i % period) for i in range(first, end)]:
            power = "i" if period == end else f"(i % {period})"
            return f"2 ** {power} for i in range({first}, {end})"
    return ""


class Writer:
    """Writes terms. `blocks`: by name, whose arguments are printed as they differ from their defaults."""

    def __init__(self, blocks: Mapping[str, Block]) -> None:
        self.blocks = blocks

    def statements(self, found: Term, indent: str = "  ") -> str:
        """A sequence as lines: a chain is one line, names and blocks in braces have their own."""
        lines: list[str] = []
        chain: list[str] = []
        signed = False
        for item in items(found) or (found,):
            if item.head == "let" and item.kids[0].head == "it" and chain and not signed:
                chain[-1] += f" as {item.fields[0][1][0]}"
                lines += self._ended(chain, indent)
            elif item.head in ("let", "for", "repeat", "output", "label", "share"):
                lines += self._ended(chain, indent)
                lines.append(indent + self._statement(item, indent))
            else:
                if item.head == "ref" or (chain and sum(map(len, chain)) > WIDTH - len(indent)):
                    lines += self._ended(chain, indent)
                chain.append(self.expression(item, indent))
                signed = item.head == "op:scalar" or item.head[3:] in SIGNS
        return "\n".join(lines + self._ended(chain, indent))

    @staticmethod
    def _ended(chain: list[str], indent: str) -> list[str]:
        text = [indent + " -> ".join(chain)] if chain else []
        chain.clear()
        return text

    def _statement(self, item: Term, indent: str) -> str:
        fields = dict(item.fields)
        if item.head == "let":
            return f"{', '.join(fields['names'])} = {self._inline(item.kids[0], indent)}"
        if item.head == "share":
            return f"share {fields['name']} = {self._inline(item.kids[0], indent)}"
        if item.head == "output":
            return f"output {fields['name']} = {self._inline(item.kids[0], indent)}"
        if item.head == "label":
            return f"{fields['name']}: {self._labelled(item.kids[0], indent)}"
        if item.head == "repeat":
            return f"repeat {literal(fields['count'])} {self._braced(item.kids[0], indent)}"
        names = ", ".join(fields["names"])
        table = powers(fields["rows"]) or ", ".join(self._row(r) for r in fields["rows"])
        return f"for {names} in [{table}] {self._braced(item.kids[0], indent)}"

    def _labelled(self, found: Term, indent: str) -> str:
        if found.head in ("for", "repeat"):
            return self._statement(found, indent)
        return self._inline(found, indent)

    @staticmethod
    def _row(row: tuple[Any, ...]) -> str:
        return literal(row[0]) if len(row) == 1 else literal(row)

    def _is_plain(self, found: Term) -> bool:
        return all(i.head not in ("let", "for", "repeat", "output") for i in items(found)) and not any(
            i.head == "ref" for i in items(found)[1:]
        )

    def _braced(self, found: Term, indent: str) -> str:
        """A sequence in braces: on one line where it is a short chain."""
        if self._is_plain(found):
            text = self._inline(found, indent)
            if len(text) + len(indent) < WIDTH and "\n" not in text:
                return f"{{ {text} }}"
        return f"{{\n{self.statements(found, indent + '  ')}\n{indent}}}"

    def chain(self, found: Term) -> str:
        """A sequence as one expression, if it is a chain; otherwise nothing."""
        text = self._inline(found, "") if self._is_plain(found) else ""
        return "" if "\n" in text else text

    def _inline(self, found: Term, indent: str) -> str:
        """A term inside of an expression."""
        if found.head == "seq" and not self._is_plain(found):
            return self._braced(found, indent)
        if found.head in ("for", "repeat", "let"):
            return self._braced(found, indent)
        return " -> ".join(self.expression(i, indent) for i in items(found)) or "it"

    def _operand(self, found: Term, indent: str) -> str:
        """A term beside an operator: a chain stands in brackets."""
        text = self._inline(found, indent)
        bare = found.head in ("it", "ref") or found.head.startswith("use:") or (
            found.head.startswith("op:") and found.head[3:] not in SIGNS and found.head != "op:scalar"
        )  # fmt: skip
        return text if bare or text.startswith("{") else f"({text})"

    def expression(self, found: Term, indent: str = "") -> str:
        """One item of a chain."""
        kind = found.head.partition(":")[2]
        fields = dict(found.fields)
        if found.head == "it":
            return "it"
        if found.head == "ref":
            return str(fields["name"])
        if shared_name(found):
            return self._shared(kind, found, indent)
        if found.head == "residual":
            shortcut, branch = found.kids
            said = "" if shortcut.head == "it" else f"(shortcut={self._inline(shortcut, indent)})"
            return f"residual{said} {self._braced(branch, indent)}"
        if found.head.startswith("use:"):
            return self._use(kind, fields)
        if kind in SIGNS:
            a, b = (self._operand(k, indent) for k in found.kids)
            return f"{a} {SIGNS[kind]} {b}"
        if kind == "scalar":
            number, sign = literal(fields["value"]), fields["operator"]
            return f"{number} {sign} it" if fields["reverse"] else f"it {sign} {number}"
        return self._op(kind, found, indent)

    def _use(self, name: str, fields: Mapping[str, Any]) -> str:
        given = []
        named = False
        for parameter in self.blocks[name].parameters:
            value = fields[parameter.name]
            if parameter.default is not None and value == parameter.default:
                named = True
                continue
            given.append(f"{parameter.name}={literal(value)}" if named else literal(value))
        return f"{name}({', '.join(given)})" if given else name

    def _shared(self, name: str, found: Term, indent: str) -> str:
        """A use of a shared layer, with what else it reads."""
        operands = dict(found.fields).get("given", ())
        given = [f"{n}={self._inline(k, indent)}" for n, k in zip(operands, found.kids, strict=True)]
        return f"{name}({', '.join(given)})" if given else name

    def _op(self, kind: str, found: Term, indent: str) -> str:
        op = REGISTRY[kind]
        positional = () if kind == "concat" else op.__struct_fields__[: op.positional]
        given = [] if op.takes_it else [self._inline(k, indent) for k in found.kids]
        for name, value in found.fields:
            if not is_default(op, name, value):
                text = text_value(value)
                given.append(text if name in positional else f"{name}={text}")
        if op.takes_it:
            operands = (*op.operands, *op.optional_operands)
            given += [f"{n}={self._inline(k, indent)}" for n, k in zip(operands, found.kids, strict=False)]
        return f"{kind}({', '.join(given)})" if given else kind
