"""The input of a lint of a file: the file with its elaborated nets; and the form of what lints say."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import takewhile

from netdsl.analysis.count import Memo, totals
from netdsl.checks.lint.flow import Flow
from netdsl.checks.lint.names import Names, names_of
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint, Label, diagnostic
from netdsl.elaborate.modules import Module, of_kind
from netdsl.ir.model import Definition, Program, Step
from netdsl.source import Place, Span
from netdsl.syntax import ast


class File:
    """A file without errors, and its nets. `declarations`: those that are looked at, with all that is connected with
    them through names; all of the file's by default."""

    def __init__(
        self, module: Module, programs: Iterable[Program], declarations: Sequence[ast.Declaration] | None = None
    ) -> None:
        self.module = module
        self.programs = tuple(programs)
        self.declarations = module.file.declarations if declarations is None else declarations

    def declared(self, kind: type[ast.Node], keyword: str | None = None) -> Iterator[ast.Node]:
        """The declarations of a kind that are looked at, in order."""
        return of_kind(self.declarations, kind, keyword)

    def owns(self, place: Place) -> bool:
        """Whether a place stands in this file: what it imports is checked on its own."""
        return place.source is self.module.source

    @cached_property
    def flow(self) -> Flow:
        return Flow(self.programs)

    @cached_property
    def mains(self) -> dict[Span, list[Definition]]:
        """The nets of this file by where they are declared."""
        found: dict[Span, list[Definition]] = {}
        for main in self.flow.mains:
            if self.owns(main.place):
                found.setdefault(main.place.span, []).append(main)
        return found

    @cached_property
    def named(self) -> list[tuple[ast.Declaration, Names]]:
        """The declarations, with the names in each."""
        return [(d, names_of(d)) for d in self.declarations]

    @cached_property
    def blocks(self) -> list[tuple[ast.Block, Names]]:
        """The blocks and nets, with the names in each."""
        return [(d, names) for d, names in self.named if isinstance(d, ast.Block)]

    @cached_property
    def used(self) -> frozenset[str]:
        """Every name of the file that some declaration uses."""
        return frozenset(n for _, names in self.named for n in names.free)

    @cached_property
    def _weighted(self) -> list[tuple[int, int]]:
        """Where layers with parameters are called, in order."""
        memo: Memo = {}
        steps = (s for d in self.flow.definitions for s in d.steps if self.owns(s.place) and _has_parameters(s, memo))
        return sorted({(s.place.span.start, s.place.span.end) for s in steps})

    def holds_weights(self, whole: Span) -> bool:
        """Whether a layer with parameters is called inside of a span."""
        behind = self._weighted[bisect_left(self._weighted, (whole.start, 0)) :]
        return any(end <= whole.end for start, end in takewhile(lambda span: span[0] <= whole.end, behind))

    def statements(self, place: Place) -> Iterator[ast.Node]:
        """The declaration and the statements around a place, from the outside in."""
        inside: list[ast.Node] = list(self.module.file.declarations)
        while inside:
            node = next((n for n in inside if n.at.start <= place.span.start and place.span.end <= n.at.end), None)
            if node is None:
                return
            yield node
            inside = ast.children(node)


def _has_parameters(step: Step, memo: Memo) -> bool:
    if step.layer is None:
        return False
    if isinstance(step.callee, Definition):
        return totals(step.callee, memo).params > 0
    return bool(step.callee.params(*(v.type for v in step.inputs)))


def warning(code: str, message: str, at: Place | None, hint: str | Hint | None = None, *labels: Label) -> Diagnostic:
    """A lint's diagnostic."""
    return diagnostic(code, message, at, hint, *labels, severity="warning")


def delete_lines(message: str, at: Place) -> Hint:
    """A hint that deletes what stands at a place, with its lines where nothing else stands on them."""
    text, span = at.source.text, at.span
    start = text.rfind("\n", 0, span.start) + 1
    newline = text.find("\n", span.end)
    end = len(text) if newline < 0 else newline + 1
    alone = not text[start : span.start].strip() and not text[span.end : end].strip()
    whole = Span(start, end) if alone else span
    return Hint(message, (Edit(Place(at.source, whole), ""),))


def delete_stage(message: str, before: Place, at: Place, safe: bool) -> Hint:
    """A hint that deletes a stage of a pipeline, where it stands right behind another; else words alone."""
    between = at.source.text[before.span.end : at.span.start] if before.source is at.source else ""
    if between.strip() != "->":
        return Hint(message)
    return Hint(message, (Edit(Place(at.source, Span(before.span.end, at.span.end)), ""),), safe)


def delete_last_stage(at: Place) -> Hint:
    """A hint that deletes the stage at a place with the arrow before it; words alone where there is none.

    It is not safe: the net gives something else without it.
    """
    before = at.source.text[: at.span.start].rstrip()
    if not before.endswith("->"):
        return Hint("leave it out")
    start = len(before.removesuffix("->").rstrip())
    return Hint("leave it out", (Edit(Place(at.source, Span(start, at.span.end)), ""),), safe=False)
