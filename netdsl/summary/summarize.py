"""A program becomes a summary."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from netdsl.analysis.count import Memo, Totals, totals
from netdsl.analysis.receptive_field import receptive_field
from netdsl.budget import Budget, Exhausted
from netdsl.diagnostics.diagnostic import fault
from netdsl.ir.model import Program
from netdsl.sizes.constraints import Constraint, Residues
from netdsl.sizes.dims import Dim, Size, Symbol, substitute, symbol
from netdsl.summary.model import Port, Row, Summary
from netdsl.summary.rows import Rows


def summarize(program: Program, name: str, everything: bool = False) -> Summary:
    """The summary of a net. `everything`: with rows for what has no parameters, no MACs, and keeps the shape.

    Raises Fault where its numbers, as sums of products of named sizes, are too long to be worked out.
    """
    try:
        with Budget().open():
            return _summary(program, name, everything)
    except Exhausted:
        message = f"the numbers of `{name}` are too long to be written in terms of its named sizes"
        raise fault("too-much-work", message, None, "give some of them: `--size NAME=number`") from None


def _summary(program: Program, name: str, everything: bool) -> Summary:
    main = program.main
    return Summary(
        net=name,
        doc=program.doc,
        inputs=tuple(Port(v.name, v.type) for v in main.inputs),
        outputs=tuple(Port(o.name, o.value.type, o.training) for o in main.outputs),
        totals=totals_of(program),
        constraints=tuple(map(str, program.constraints)),
        receptive_field=receptive_field(program),
        rows=_simplified_rows(Rows(everything).of(main), _multiples(program.constraints)),
    )


def totals_of(program: Program, memo: Memo | None = None) -> Totals:
    """The totals of a net, as sums of products of its named sizes where its constraints allow it."""
    counted, known = totals(program.main, memo), _multiples(program.constraints)
    return replace(
        counted,
        macs=simplified(counted.macs, known),
        training_macs=simplified(counted.training_macs, known),
        activation_bytes=simplified(counted.activation_bytes, known),
    )


def _multiples(constraints: Iterable[Constraint]) -> dict[str, int]:
    """The named sizes that must be multiples of a number."""
    return {c.symbol: c.modulus for c in constraints if isinstance(c, Residues) and c.residues == (0,)}


def _simplified_rows(rows: tuple[Row, ...], known: dict[str, int]) -> tuple[Row, ...]:
    if not known:
        return rows
    return tuple(
        replace(row, macs=simplified(row.macs, known), children=_simplified_rows(row.children, known)) for row in rows
    )


def simplified(size: Dim, multiples: dict[str, int]) -> Dim:
    """The same size under the condition that its names are multiples: with `H % 4 == 0`, `8*(H//4)` is `2*H`.

    As it is where that does not make it an integer polynomial of the names.
    """
    if isinstance(size, int) or not multiples:
        return size
    scaled = substitute(size, {n: symbol(n) * m for n, m in multiples.items()})
    if isinstance(scaled, int):
        return scaled
    terms = []
    for monomial, coefficient in scaled.terms:
        if not all(isinstance(atom, Symbol) for atom in monomial):
            return size
        divisor = 1
        for atom in monomial:
            divisor *= multiples.get(atom.key, 1)
        if coefficient % divisor:
            return size
        terms.append((monomial, coefficient // divisor))
    return Size(tuple(terms))
