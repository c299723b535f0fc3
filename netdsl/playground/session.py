"""The session of one page: it checks texts, keeps what is known of the newest one, and answers questions about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from netdsl.checks.unchanged import Memory
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.fixes.suggest import Limit
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.choices import Choice
from netdsl.lsp.completion import completion
from netdsl.lsp.hints import glance_at, hints_of
from netdsl.lsp.hover import hover
from netdsl.lsp.lenses import lenses_of
from netdsl.pipeline import Net
from netdsl.playground.linked import Link, links
from netdsl.playground.offsets import Offsets
from netdsl.playground.shown import Problem, problem, summary_data
from netdsl.source import Source, Span
from netdsl.syntax import ast

SHOWN = 50
"""How many mistakes are shown; the others are counted."""


class Beside(Struct, frozen=True):
    """Text beside the source."""

    at: int
    text: str
    more: str


class Above(Struct, frozen=True):
    """Text above a declaration. A click on one with several `uses` shows the next of them."""

    at: int
    text: str
    name: str
    action: str


class Glance(Struct, frozen=True):
    """The hints beside one declaration, before the whole text is checked."""

    start: int
    end: int
    hints: list[Beside]


class Explained(Struct, frozen=True):
    """The explanation of a word, as Markdown, and its position."""

    start: int
    end: int
    text: str


class Torch(Struct, frozen=True):
    """PyTorch source, and the places that its lines come from."""

    text: str
    links: list[Link]


class Declared(Struct, frozen=True):
    """A net or recipe of the text, and where it stands."""

    name: str
    start: int
    end: int


class Checked(Struct, frozen=True):
    """The result of a check. `problems` counts all mistakes, `shown` are the first of them."""

    errors: int
    warnings: int
    shown: list[Problem]
    hints: list[Beside]
    lenses: list[Above]
    nets: list[Declared]
    recipes: list[Declared]


class Session:
    """The newest text of one page. `chosen`: which use of a block its hints show."""

    def __init__(self) -> None:
        self.analysis = Analysis(Source("", "spec.net"), {})
        self.good: Analysis | None = None
        self.chosen: dict[str, int] = {}
        self.memory = Memory()
        self.name = ""

    @property
    def offsets(self) -> Offsets:
        return Offsets(self.analysis.source.text)

    def check(self, text: str, name: str = "spec.net") -> Checked:
        """Take a new text: its mistakes, and what is shown beside it."""
        if name != self.name:
            self.name, self.memory = name, Memory()
        self.analysis = Analysis(Source(text, name), {}, self.memory).run()
        if self.analysis.is_readable:
            self.good = self.analysis
        return self.checked()

    def glance(self, text: str, at: int, name: str = "spec.net") -> Glance | None:
        """Show what stands beside the declaration at the cursor of a new text, which is checked later."""
        offsets = Offsets(text)
        found = glance_at(Analysis(Source(text, name), {}), offsets.characters(at), self.chosen)
        if found is None:
            return None
        span, hints = found
        beside = [Beside(offsets.units(h.offset), h.text, h.more) for h in hints]
        return Glance(offsets.units(span.start), offsets.units(span.end), beside)

    def next_use(self, name: str) -> Checked:
        """Show the next use of a block."""
        self.chosen[name] = self.chosen.get(name, 0) + 1
        return self.checked()

    def checked(self) -> Checked:
        """The result of checking the text."""
        analysis, offsets = self.analysis, self.offsets
        found = analysis.diagnostics
        errors, warnings = (sum(d.severity == severity for d in found) for severity in ("error", "warning"))
        shown = [problem(d, analysis, offsets) for d in found[:SHOWN]]
        if analysis.spec is None:
            return Checked(errors, warnings, shown, [], [], [], [])
        whole = Span(0, len(analysis.source.text))
        hints = [
            Beside(offsets.units(h.offset), h.text, h.more)
            for h in hints_of(analysis, self.good, whole, self.chosen)
        ]  # fmt: skip
        lenses = [
            Above(offsets.units(lens.at.start), lens.text, lens.name, lens.action)
            for lens in lenses_of(analysis, self.chosen)
        ]  # fmt: skip
        nets = [d for d in self._declared() if d.name in analysis.spec.nets]
        recipes = [d for d in self._declared() if d.name in analysis.spec.module.recipes]
        return Checked(errors, warnings, shown, hints, lenses, nets, recipes)

    def _declared(self) -> list[Declared]:
        offsets = self.offsets
        named = [d for d in self.analysis.checked.module.file.declarations if isinstance(d, ast.Named)]
        return [Declared(d.name.id, offsets.units(d.at.start), offsets.units(d.at.end)) for d in named]

    def fix(self, index: int, text: str) -> Problem | None:
        """One of the mistakes shown of a text, with edits in its hints where some are verified to fix it; None where
        another text has been checked since."""
        if text != self.analysis.source.text:
            return None
        return problem(self.analysis.mended(index, Limit()), self.analysis, self.offsets)

    def explain(self, at: int) -> Explained | None:
        """Explain the word at a place of the checked text."""
        found = hover(self.analysis, self.offsets.characters(at)) if self.analysis.spec is not None else None
        if found is None:
            return None
        text, span = found
        return Explained(self.offsets.units(span.start), self.offsets.units(span.end), text)

    def complete(self, text: str, at: int, name: str = "spec.net") -> list[Choice]:
        """Complete at a place of a text."""
        known = self.analysis if text == self.analysis.source.text else Analysis(Source(text, name), {}).read()
        return completion(known, self.good, Offsets(text).characters(at)) if known.spec is not None else []

    def summary(self, net: str) -> dict[str, Any]:
        """Summarise a net."""
        from netdsl.summary import summarize

        found = self._net(net)
        return summary_data(summarize(found.checked, found.name))

    def torch(self, net: str) -> Torch:
        """A net as PyTorch source, its lines linked with the text."""
        found, offsets = self._net(net), self.offsets
        text = found.source()
        linked = links(text, found.printer.found, self.analysis.source)
        return Torch(text, [Link(line, offsets.units(at.start), offsets.units(at.end)) for line, at in linked])

    def view(self, net: str, depth: int | None = None) -> str:
        """A net as an SVG image."""
        from netdsl.view import image

        found = self._net(net)
        return image(found.checked, found.name, depth)

    def page(self, net: str) -> str:
        """A net as a page to explore."""
        from netdsl.view import page

        found = self._net(net)
        return page(found.checked, found.name)

    def recipe(self, name: str) -> str:
        """Plan what a recipe will do, as `netdsl recipe` shows it."""
        from netdsl.planning.plan import plan
        from netdsl.planning.text import lines
        from netdsl.recipe.schema import training_size
        from netdsl.selection import select

        found = select(self.analysis.checked, name)
        if found.net is None or found.recipe is None:
            raise Refused(found.diagnostics)
        return "\n".join(lines(plan(found.net, found.recipe, training_size(found.recipe, None))))

    def format(self, text: str) -> str | None:
        """A text in the standard style; None where it cannot be read to its end."""
        from netdsl.syntax.format import format_source

        return format_source(Source(text, self.analysis.source.name))[0]

    def _net(self, name: str) -> Net:
        net = self.analysis.checked.net(name)
        if net.program is None:
            raise Refused(net.diagnostics)
        return net


class Refused(Exception):  # noqa: N818 - it carries the mistakes of a net
    """A question about a net that has mistakes."""

    def __init__(self, found: tuple[Diagnostic, ...]) -> None:
        super().__init__(found[0].message if found else "there are mistakes")


QUESTIONS: dict[str, Callable[..., Any]] = {
    "glance": Session.glance,
    "check": Session.check,
    "next_use": Session.next_use,
    "fix": Session.fix,
    "explain": Session.explain,
    "complete": Session.complete,
    "summary": Session.summary,
    "torch": Session.torch,
    "view": Session.view,
    "page": Session.page,
    "recipe": Session.recipe,
    "format": Session.format,
}
"""What can be asked, by name."""


def answer(session: Session, question: str, arguments: str) -> str:
    """The answer to a question with its arguments, all as JSON: `{"value": ...}`, or `{"refused": why}`."""
    try:
        return _said(value=QUESTIONS[question](session, **msgspec.json.decode(arguments)))
    except Refused as refused:
        return _said(refused=str(refused))
    except Fault as mistake:
        return _said(refused=mistake.diagnostic.message)
    except Exception as error:
        return _said(refused=f"netdsl failed on this text, which is a bug in netdsl: {type(error).__name__}")


def _said(**answer: Any) -> str:
    return msgspec.json.encode(answer).decode()
