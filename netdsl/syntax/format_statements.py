"""The formatter's text of statements and declarations: a method for each class of `netdsl.syntax.ast`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from netdsl.syntax import ast
from netdsl.syntax.document import Doc, Either, Hard, Line, box, group, hang, hard, joined, nest
from netdsl.syntax.format_expressions import CHOICE, PIPELINE, Expressions, comment_text, level


class Statements(Expressions):
    """Documents of statements and of what stands in braces."""

    # Braces

    def Body(self, node: ast.Body, _: bool) -> Doc:  # noqa: N802
        return self.braced(node, node.statements, node.at.start, self.statement)

    def braced(self, host: Any, items: Sequence[Any], start: int, write: Callable[[Any, int], Doc]) -> Doc:
        """Items in braces: on one line where there is one and the author wrote it so, otherwise each on its own."""
        hosts = self.placement.hosts(host)
        if not items:
            return box(["{", self.opened(host), nest(self.below(host)), Hard(), "}"]) if hosts else "{}"
        apart = hosts or len(items) > 1 or "\n" in self.text[start : items[0].at.start]
        widths = self.widths(items) if apart else {}
        docs = [write(item, widths.get(id(self.aligned_name(item)), 0)) for item in items]
        if not apart:
            return box(group(["{", nest([Line(), docs[0]]), Line(), "}"], hard(docs)))
        lines = self.lines(items, docs)
        return box(["{", self.opened(host), nest([Hard(), lines, self.below(host)]), Hard(), "}"])

    def lines(self, items: Sequence[Any], docs: list[Doc]) -> Doc:
        """Items on lines of their own, with the blank lines that the author left."""
        written: list[Doc] = []
        for place, (item, doc) in enumerate(zip(items, docs, strict=True)):
            blank = Hard() if place and self.blank_before(item) else ""
            written.append([blank, self.line(item, doc)])
        return joined(Hard(), written)

    def line(self, node: Any, doc: Doc) -> Doc:
        """An item on lines of its own, with its comments and the blank lines between them."""
        above = self.placement.above.get(id(node), [])
        after = [*above[1:], node]
        blanks = [Hard() if self.is_blank_above(after[i].at.start) else "" for i in range(len(above))]
        written = [[comment_text(c), Hard(), blank] for c, blank in zip(above, blanks, strict=True)]
        return [written, doc, self.beside(node)]

    def blank_before(self, node: Any) -> bool:
        """Whether a blank line stands before an item and the comments above it."""
        above = self.placement.above.get(id(node))
        return self.is_blank_above((above[0] if above else node).at.start)

    def is_blank_above(self, offset: int) -> bool:
        newlines, offset = 0, min(offset, len(self.text))  # an item that was put together stands in no text
        while offset and newlines < 2 and (before := self.text[offset - 1]) in " \t\f\r\n":
            newlines += before == "\n"
            offset -= 1
        return newlines == 2

    def widths(self, items: Sequence[Any]) -> dict[int, int]:
        """How wide the names on neighbouring lines are written, so that what follows them is aligned."""
        runs: list[list[ast.Name]] = [[]]
        for before, item in zip([None, *items], items, strict=False):
            name = self.aligned_name(item)
            if name is None or _aligns(before) is not _aligns(item) or self.blank_before(item):
                runs.append([])
            if name is not None:
                runs[-1].append(name)
        wide = [max((len(name.id) for name in run), default=0) for run in runs]
        return {id(name): width for run, width in zip(runs, wide, strict=True) for name in run}

    def aligned_name(self, item: Any) -> ast.Name | None:
        """The name that is aligned with those of its neighbours: fields, variants, expectations and short constants."""
        if isinstance(item, ast.Expect):
            return item.target
        if isinstance(item, ast.Constant) and (hard(self.expression(item.value)) or not self.text):
            return None
        if isinstance(item, ast.Vary):
            return item.path
        return item.name if isinstance(item, ast.Field | ast.Measure | ast.Variant | ast.Constant) else None

    def Residual(self, node: ast.Residual, _: bool) -> Doc:  # noqa: N802
        bare = not node.arguments and not self.placement.hosts(node)
        arguments = "" if bare else self.listed(node, node.arguments, "(", ")", end=node.body.at.start)
        return ["residual", arguments, " ", self.expression(node.body)]

    # Statements

    def statement(self, node: Any, _: int = 0) -> Doc:
        return self.written(node, False)

    def assigned(self, head: str, value: Any) -> Doc:
        """`head = value`; a pipeline that does not fit beside its name goes to the next line."""
        doc = self.expression(value)
        return [head, " = ", doc] if level(value) > CHOICE else [head, hang(doc)]

    def ExprStatement(self, node: ast.ExprStatement, _: bool) -> Doc:  # noqa: N802
        value = self.expression(node.value)
        return value if node.name is None else [value, f" as {node.name.id}"]

    def Assign(self, node: ast.Assign, _: bool) -> Doc:  # noqa: N802
        return self.assigned(", ".join(t.id for t in node.targets), node.value)

    def Share(self, node: ast.Share, _: bool) -> Doc:  # noqa: N802
        return self.assigned(f"share {node.name.id}", node.value)

    def Label(self, node: ast.Label, _: bool) -> Doc:  # noqa: N802
        return [node.name.id, ": ", self.statement(node.statement)]

    def For(self, node: ast.For, _: bool) -> Doc:  # noqa: N802
        iterable = self.expression(node.iterable, CHOICE)
        return ["for ", self.targets(node.targets), " in ", iterable, " ", self.expression(node.body)]

    def Repeat(self, node: ast.Repeat, _: bool) -> Doc:  # noqa: N802
        return ["repeat ", self.expression(node.count, CHOICE), " ", self.expression(node.body)]

    def If(self, node: ast.If, _: bool) -> Doc:  # noqa: N802
        parts: list[Doc] = []
        case: ast.If | ast.Body | None = node
        while isinstance(case, ast.If):
            parts += ["if ", self.expression(case.condition, CHOICE), " ", self.expression(case.body)]
            case = case.otherwise
            parts += [" else "] if case else []
        return [*parts, self.written(case, False)] if case else parts

    def Require(self, node: ast.Require, _: bool) -> Doc:  # noqa: N802
        condition = self.expression(node.condition)
        if node.message is None:
            return ["require ", condition]
        return group(["require ", condition, ",", nest([Line(), self.expression(node.message)])])

    def Input(self, node: ast.Input, _: bool) -> Doc:  # noqa: N802
        dtype = "" if node.dtype is None else f" {node.dtype.id}"
        return ["input ", node.name.id, " ", self.shape(node.shape, node.features), dtype]

    def shape(self, sizes: Sequence[Any], features: int | None) -> Doc:
        docs = [self.expression(size, free=True) for size in sizes]
        return ["[", joined(", ", [["*", doc] if i == features else doc for i, doc in enumerate(docs)]), "]"]

    def Output(self, node: ast.Output, _: bool) -> Doc:  # noqa: N802
        head = f"output {node.name.id}"
        doc = head if node.value is None else self.assigned(head, node.value)
        return [doc, " when training"] if node.training else doc


class Declarations(Statements):
    """Documents of declarations and of the file."""

    def file(self, node: ast.File) -> Doc:
        items = node.declarations
        widths = self.widths(items)
        docs = [self.declaration(item, widths.get(id(self.aligned_name(item)), 0)) for item in items]
        written: list[Doc] = []
        for place, (item, doc) in enumerate(zip(items, docs, strict=True)):
            gap = Hard() if place and self.gap(items[place - 1], item) else ""
            apart = [[comment_text(c), Hard()] for c in self.placement.apart.get(id(item), ())]
            written.append([gap, apart, Hard() if apart else "", self.line(item, doc)])
        below = self.placement.below.get(id(node), [])
        for place, comment in enumerate(below):
            blank = self.is_blank_above(comment.at.start) and (written or place)
            written.append([Hard() if blank else "", comment_text(comment)])
        return joined(Hard(), written)

    def gap(self, before: Any, node: Any) -> bool:
        """Whether a blank line stands between two declarations: as written, always around braces and after imports."""
        if _has_braces(before) or _has_braces(node) or isinstance(before, ast.Import) != isinstance(node, ast.Import):
            return True
        return self.blank_before(node) if self.text else type(before) is not type(node)

    def declaration(self, node: Any, width: int) -> Doc:
        if isinstance(node, ast.Constant):
            return self.assigned(f"{node.name.id:{width}}", node.value)
        if isinstance(node, ast.Expect):
            return self.expect(node, width + 1)
        if isinstance(node, ast.Variant):
            return self.assigned(f"net {node.name.id:{width}}", node.value)
        return self.written(node, False)

    def Import(self, node: ast.Import, _: bool) -> Doc:  # noqa: N802
        names = [n.name.id + (f" as {n.alias.id}" if n.alias else "") for n in node.names]
        docs = [
            self.item(n, name, "," if n is not node.names[-1] else Either(",", ""))
            for n, name in zip(node.names, names, strict=True)
        ]
        opening, closing = Either("(", ""), Either(")", "")
        inner = [self.opened(node), nest([Line(""), joined(Line(), docs), self.below(node)]), Line("")]
        return group([f"from {node.module} import ", opening, *inner, closing], self.placement.hosts(node))

    def Block(self, node: ast.Block, _: bool) -> Doc:  # noqa: N802
        head: Doc = [f"{node.keyword} {node.name.id}", self.parameters(node)]
        if node.signature is not None:
            head = [head, self.Signature(node.signature, False)]
        if isinstance(node.body, ast.Body):
            return [head, " ", self.expression(node.body)]
        return self.expressed(node, head, node.body)

    def expressed(self, node: ast.Block, head: Doc, value: Any) -> Doc:
        """A block in the form of an expression, which goes under a signature where the author wrote it there."""
        doc = self.expression(value)
        written = node.signature is not None and "\n" in self.text[node.signature.at.end : value.at.start]
        if id(node) in self.placement.opening or written:
            return [head, self.opened(node), nest([Hard(), "= ", doc])]
        return [head, " = ", doc] if level(value) > CHOICE else [head, hang(doc, under=node.signature is not None)]

    def parameters(self, node: ast.Block) -> Doc:
        """The formal arguments, if any; only a net in the form of an expression needs its brackets all the same."""
        if not node.parameters:
            return "()" if node.keyword == "net" and not isinstance(node.body, ast.Body) else ""
        last = node.parameters[-1]
        docs = [
            self.item(p, self.Parameter(p, True), "," if p is not last else Either(",", "")) for p in node.parameters
        ]
        commented = any(id(p) in s for p in node.parameters for s in (self.placement.above, self.placement.beside))
        comma = re.match(r"\s*,", self.text[last.at.end :]) is not None
        return group(["(", nest([Line(""), self.rows(node.parameters, docs, True)]), Line(""), ")"], commented or comma)

    def Parameter(self, node: ast.Parameter, _: bool) -> Doc:  # noqa: N802
        if node.default is None:
            return node.name.id
        return [node.name.id, self.equals(node.default), self.expression(node.default, free=True)]

    def Signature(self, node: ast.Signature, _: bool) -> Doc:  # noqa: N802
        given, result = node.features
        return [": ", self.shape(node.inputs, given), " -> ", self.shape(node.outputs, result)]

    def expect(self, node: ast.Expect, width: int) -> Doc:
        last = node.conditions[-1]
        docs = [self.item(c, self.expression(c), "" if c is last else ",") for c in node.conditions]
        head = f"expect {f'{node.target.id}:':{width}} "
        return group([head, nest(joined(Line(), docs))], self.placement.hosts(node))

    # Recipes

    def Recipe(self, node: ast.Recipe, _: bool) -> Doc:  # noqa: N802
        target = f" for {node.target.id}" if node.target else ""
        base = f" extends {node.base.id}" if node.base else ""
        header = node.base or node.target or node.name
        return [f"recipe {node.name.id}{target}{base} ", self.braced(node, node.entries, header.at.end, self.entry)]

    def entry(self, node: Any, width: int) -> Doc:
        return self.field(node, width) if isinstance(node, ast.Field) else self.written(node, False)

    def field(self, node: ast.Field, width: int) -> Doc:
        return self.assigned(f"{node.name.id:{width}}", node.value)

    def Group(self, node: ast.Group, _: bool) -> Doc:  # noqa: N802
        selectors = ", ".join(s.id for s in node.selectors)
        return [f"group {selectors} ", self.braced(node, node.fields, node.selectors[-1].at.end, self.field)]

    # Experiments

    def Experiment(self, node: ast.Experiment, _: bool) -> Doc:  # noqa: N802
        target = f" for {node.target.id}" if node.target else ""
        header = node.target or node.name
        return [f"experiment {node.name.id}{target} ", self.braced(node, node.entries, header.at.end, self.part)]

    def part(self, node: Any, width: int) -> Doc:
        if isinstance(node, ast.Vary):
            return self.assigned(f"vary {node.path.id:{width}}", node.values)
        if isinstance(node, ast.Measure):
            paths = self.listed(node, node.paths, "[", "]")
            return [f"{node.name.id:{width}} = ", paths]
        return self.entry(node, width)

    def Comparison(self, node: ast.Comparison, _: bool) -> Doc:  # noqa: N802
        return self.assigned(f"compare {node.measure.id} against {node.path.id}", node.value)

    def Plot(self, node: ast.Plot, _: bool) -> Doc:  # noqa: N802
        only = [part for o in node.only for part in (", ", self.assigned(_named(o), o.value))]
        return [
            f"plot {node.kind.id}",
            self.listed(node, node.arguments, "(", ")"),
            *([" where ", only[1:]] if only else []),
        ]

    def Freeze(self, node: ast.Freeze, _: bool) -> Doc:  # noqa: N802
        return f"freeze {', '.join(s.id for s in node.selectors)}"


def _has_braces(node: Any) -> bool:
    return isinstance(node, ast.Recipe | ast.Experiment) or (
        isinstance(node, ast.Block) and isinstance(node.body, ast.Body)
    )


def _named(argument: ast.Argument) -> str:
    return argument.name.id if argument.name else ""


def _aligns(item: Any) -> type:
    """The kind of items that an item is aligned with: its own; `measure` is written as a field."""
    return ast.Field if isinstance(item, ast.Measure) else type(item)


__all__ = ["PIPELINE", "Declarations"]
