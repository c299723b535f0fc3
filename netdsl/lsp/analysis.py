"""Everything that one text of a spec amounts to, computed once: its mistakes, its names, and what passed where."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from time import monotonic

from netdsl.checks.unchanged import Memory
from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.elaborate.modules import Module
from netdsl.elaborate.scope import Scope
from netdsl.elaborate.trace import Passed
from netdsl.fixes.suggest import Limit, is_beyond, suggested, untried
from netdsl.garbage import uncollected
from netdsl.ir.model import Program
from netdsl.loader import read_import
from netdsl.lsp.occurrences import Occurrence, occurrences
from netdsl.pipeline import Spec
from netdsl.planning.groups import Parameter
from netdsl.planning.plan import Plan
from netdsl.planning.recipes import Family
from netdsl.source import Place, Source, Span
from netdsl.syntax import ast
from netdsl.syntax.words import WORD

UNREADABLE = ("syntax", "too-large")
"""The mistakes of a text that could not be read to its end."""


Use = tuple[str, str, str]


class Analysis:
    """One text and what is known of it. `unsaved` are the texts of the editor by the real paths of their files.

    `memory` holds what need not be checked again; `passed` what went through each statement of the nets that were
    elaborated, by its span (see `meet`); `seconds` is how long the check took.
    `run` does the work, in any one thread; `cancel`, called from another one, makes it end soon.
    """

    def __init__(self, source: Source, unsaved: Mapping[str, Source], memory: Memory | None = None) -> None:
        self.source = source
        self.memory = memory
        self.unsaved = unsaved
        self.addresses: Mapping[str, str] = {}
        """The URIs of the editor's texts by the real paths of their files."""
        self.cancelled = False
        self.spec: Spec | None = None
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.plans: dict[str, tuple[Plan, tuple[Parameter, ...]] | None] = {}
        self.seconds = 0.0
        self.looked = False
        self._mended: dict[int, Diagnostic] = {}
        self.passed: dict[Span, list[Passed]] = defaultdict(list)
        self._placed: list[tuple[int, int, Span]] = []
        """The statements of `passed` by where they begin, and their numbers there."""
        self._uses: dict[Scope, Use] = {}

    def run(self) -> Analysis:
        """Check the text. A fault of netdsl's own is a diagnostic too: the editor and the next edit continue."""
        begun = monotonic()
        try:
            with uncollected():
                self.diagnostics = self._opened().diagnostics
        except Exception as error:
            message = f"netdsl failed on this text, which is a bug in netdsl: {type(error).__name__}"
            hint = "please report it with the spec; `netdsl check` with NETDSL_DEBUG=1 shows where it happened"
            self.diagnostics = (diagnostic("internal-error", message, Place(self.source, Span(0, 0)), hint),)
        self.seconds = monotonic() - begun
        return self

    def read(self) -> Analysis:
        """Find out only what the text says, without a check: its declarations and their names."""
        with suppress(Exception):  # the check says what is wrong
            self._opened()
        return self

    def look(self, offset: int) -> ast.Block | None:
        """Find out only what is beside the block or net at an offset, by the first net that uses it: a small part of
        the work of `run`, and no check. Gives the declaration; None where nothing can be said of it."""
        self.looked = True
        try:
            spec = self._opened()
            declaration = self.declaration(offset)
            if self.is_readable and isinstance(declaration, ast.Block):
                for net in spec.nets:
                    if declaration.name.id in _reached(spec.module, net):
                        spec.elaborator.net(spec.module, net, {}, {})
                        if self.cancelled or self._met(declaration):
                            break
                return declaration if not self.cancelled and self._met(declaration) else None
        except Exception:
            pass  # the check says what is wrong
        return None

    def _opened(self) -> Spec:
        self.spec = Spec(self.source, self._read, self._trace, self.memory)
        if self.cancelled:
            self.cancel()
        return self.spec

    def cancel(self) -> None:
        """Make the check end soon; what it then says is worthless."""
        self.cancelled = True
        if self.spec is not None:
            self.spec.elaborator.budget.cancel()

    def _read(self, module: str, importer: Source) -> Source | None:
        return read_import(module, importer, self.unsaved)

    def _trace(self, passed: Passed) -> None:
        if passed.module.source is self.source:
            self.passed[passed.node.at].append(passed)

    @property
    def checked(self) -> Spec:
        """The spec, once `run` is done."""
        assert self.spec is not None
        return self.spec

    @property
    def is_readable(self) -> bool:
        """Whether the syntax has no mistakes."""
        return self.spec is not None and not any(d.code in UNREADABLE for d in self.spec.mistakes)

    def mended(self, index: int, limit: Limit) -> Diagnostic:
        """One of the diagnostics, with edits in its hint where a change is verified to fix it within a limit."""
        if index in self._mended:
            return self._mended[index]
        found = self.diagnostics
        if self._is_beyond or limit.is_spent:
            return untried((found[index],))[0]
        made = suggested(self.source, found, found[index], self._everything, limit)
        if not limit.is_spent:  # else another request may find more
            self._mended[index] = made
        return made

    @cached_property
    def family(self) -> Family:
        """The recipes of the spec, each found out once; after `run`."""
        return Family(self.checked.elaborator.evaluator)

    @cached_property
    def _is_beyond(self) -> bool:
        return is_beyond(self.source, self.diagnostics)

    def _everything(self, source: Source) -> tuple[Diagnostic, ...]:
        return Spec(source, self._read).diagnostics

    @cached_property
    def occurrences(self) -> tuple[Occurrence, ...]:
        """Every name that is written in the file, in order."""
        return occurrences(self.checked.module)

    def occurrence(self, offset: int) -> Occurrence | None:
        """The name at an offset, or ending there."""
        found = [o for o in self.occurrences if o.at.start <= offset <= o.at.end]
        return min(found, key=lambda o: o.at.end - o.at.start, default=None)

    def instances(self, declaration: ast.Node) -> list[Scope]:
        """The ways in which a block or net is used, each once, in the order in which they were met."""
        self.meet(declaration)
        return self._met(declaration)

    def _met(self, declaration: ast.Node) -> list[Scope]:
        found: dict[Use, Scope] = {}
        for span in self.within(declaration.at):
            for p in self.passed[span]:
                found.setdefault(self.use(p.root), p.root)
        return list(found.values())

    def use(self, scope: Scope) -> Use:
        """Tell one use of a block from another: by a net's name, or a block's arguments and input types."""
        if scope not in self._uses:
            self._uses[scope] = scope.name, str(scope.arguments), ", ".join(str(w.type) for w in scope.inputs)
        return self._uses[scope]

    def within(self, at: Span) -> list[Span]:
        """The statements inside a span through which something passed, in the order in which they were met."""
        if len(self._placed) != len(self.passed):
            self._placed = sorted((span.start, i, span) for i, span in enumerate(self.passed))
        first, last = bisect_left(self._placed, (at.start,)), bisect_left(self._placed, (at.end + 1,))
        return [span for _, _, span in sorted(self._placed[first:last], key=lambda p: p[1]) if span.end <= at.end]

    def meet(self, declaration: ast.Node) -> None:
        """Elaborate the nets that may use a declaration and that the check has skipped; none, where only a look was
        asked for: their programs are those of the whole check."""
        if not self.looked:
            self.checked.programs.meet(declaration)

    def program(self, name: str) -> Program | None:
        """A net of the file that needs no arguments, elaborated; None where it has mistakes."""
        return None if self.checked.mistakes else self.checked.programs.get(name)

    def import_of(self, at: Place) -> Place | None:
        """The import through which the file of a place is reached."""
        module = self.checked.module
        for node in module.file.declarations:
            other = module.imports.get(node.module) if isinstance(node, ast.Import) else None
            if other is not None and any(m.source is at.source for m in (other, *other.below().values())):
                return module.place(node.at)
        return None

    def declaration(self, offset: int) -> ast.Declaration | None:
        """The declaration around an offset."""
        for declaration in self.checked.module.file.declarations:
            if declaration.at.start <= offset <= declaration.at.end:
                return declaration
        return None


def _reached(module: Module, net: str) -> set[str]:
    """The declarations of a file that a net names, directly or through others; itself included."""
    named = {d.name.id: d for d in module.file.declarations if isinstance(d, ast.Block | ast.Variant | ast.Constant)}
    reached: set[str] = set()
    waiting = [net]
    while waiting:
        name = waiting.pop()
        if name in named and name not in reached:
            reached.add(name)
            waiting += WORD.findall(module.place(named[name].at).text)
    return reached
