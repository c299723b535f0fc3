"""The missing part of a line: the value of a comparison, the rest of a name, a brace, what a layer usually has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from keyword import kwlist

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.calls import Call, parts
from netdsl.fixes.nearby import near_calls
from netdsl.fixes.quoted import Candidate
from netdsl.fixes.slips import line_of
from netdsl.source import Place
from netdsl.syntax.parse import GAP
from netdsl.syntax.words import words

_COMPARED = re.compile(r"[^\S\n]*compare\s+([\w.]+)\s+against\s+([\w.]+)\s*")
_EXPONENT = re.compile(r"(\d+(?:\.\d+)?)e(-?\d*\.\d+)")


def completed(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """The rest of a line that ends too early."""
    assert mistake.at is not None
    for call in near_calls(text, mistake):
        usual = _USUAL.get((call.name, mistake.code))
        yield from usual(call) if usual is not None else ()
    gap = GAP.match(text, mistake.at.span.end) if mistake.at.text == "residual" else None
    if gap is not None:
        yield "`{` ends the line of its head", [(*gap.span(), " ")], True
    if mistake.code == "syntax":
        first, last = line_of(text, mistake.at.span.start)
        yield from chain(_compared(text, first, last), _exponents(text, first, last), _begun(text, mistake.at))


def _compared(text: str, first: int, last: int) -> Iterator[Candidate]:
    """`compare m against depth`, and the same the other way round, with the first value that it has."""
    said = _COMPARED.fullmatch(text, first, last)
    for measure, path in ((said[1], said[2]), (said[2], said[1])) if said is not None else ():
        value = _first_value(text, path)
        if said is not None and value:
            code = f"{measure} against {path} = {value}"
            words_of = f"a measure is compared with one of the values: `compare {code}`"
            yield words_of, [(said.start(1), said.end(2), code)], False


def _first_value(text: str, path: str) -> str:
    """The first of the values that a path takes, as they are written; "" where they are not listed."""
    varied = re.search(rf"^\s*vary\s+{re.escape(path)}\s*=\s*\[([^\n]*)\]", text, re.MULTILINE)
    listed = parts(text, varied.start(1), varied.end(1), ",") if varied else []
    return text[slice(*listed[0])].strip() if listed else ""


def _exponents(text: str, first: int, last: int) -> Iterator[Candidate]:
    """`1e-3.5` as the number that it is."""
    for number in _EXPONENT.finditer(text, first, last):
        said = f"{float(number[1]) * 10 ** float(number[2]):.3g}"
        yield f"an exponent is a whole number: `{said}`", [(*number.span(), said)], True


def _begun(text: str, at: Place) -> Iterator[Candidate]:
    """A word of Python's that a name of the file begins with: `class` for `classes`."""
    if at.text in kwlist:
        names = sorted(n for n in words(text) if n.startswith(at.text) and n not in kwlist)
        yield from (("", [(at.span.start, at.span.end, name)], True) for name in names[:2])


def _kernel(call: Call) -> Iterator[Candidate]:
    if len(call.given) == 1:
        said = f"conv({call.given[0].text}, 3)"
        yield f"usual is `{said}`", [(call.start, call.end, said)], False


def _turned(call: Call) -> Iterator[Candidate]:
    """A kernel before the channels."""
    first, second = [*call.given[:2], *[None] * 2][:2]
    if first and second and first.text.isdigit() and second.text.isdigit() and int(first.text) < int(second.text):
        said = f"conv({second.text}, {first.text})"
        changes = [(first.start, first.end, second.text), (second.start, second.end, first.text)]
        yield f"channels stand before the kernel: `{said}`", changes, False


def _sloped(call: Call) -> Iterator[Candidate]:
    if len(call.given) == 1:
        said = f"leaky_relu({call.given[0].text})"
        yield f"a slope below 0 is that of `{said}`", [(call.start, call.end, said)], False


_USUAL: dict[tuple[str, str], Callable[[Call], Iterator[Candidate]]] = {
    ("conv", "missing-argument"): _kernel, ("conv", "even-kernel"): _turned, ("relu", "too-many-arguments"): _sloped,
}  # fmt: skip
"""What may be meant by a layer with a mistake of this code."""
