"""The reference of the ops, from the registry: what each takes, what it says of itself, what its examples give."""

from __future__ import annotations

import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from netdsl.ir.text import literal
from netdsl.ops import REGISTRY
from netdsl.ops.base import Example, Op
from netdsl.pipeline import Spec
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import Cell, columns
from netdsl.source import Source


class Argument(Struct, frozen=True):
    """An argument of an op as the language writes it; `default` is None for a required one."""

    name: str
    type: str
    default: str | None


class Page(Struct, frozen=True):
    """The reference of one op. `inputs`: the values it takes, `it` first; `examples`: text, inputs, results."""

    name: str
    family: str
    doc: str
    inputs: tuple[str, ...]
    arguments: tuple[Argument, ...]
    is_layer: bool
    examples: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]

    @property
    def signature(self) -> str:
        given = [a.name if a.default is None else f"{a.name}={a.default}" for a in self.arguments]
        operands = [i for i in self.inputs if i != "it"]
        beside = ["**sizes"] if REGISTRY[self.name].named_sizes else []
        inside = ", ".join([*operands, *given, *beside])
        return f"{self.name}({inside})" if inside else self.name


RESULTS = ("", "a, b = ", "a, b, c = ", "a, b, c, d = ")
"""How the results of an example are named, where there are several."""


def pages() -> tuple[Page, ...]:
    """All ops, by family and name, without examples."""
    found = [_page(op, ()) for op in REGISTRY.values()]
    return tuple(sorted(found, key=lambda p: (p.family, p.name)))


def page(name: str) -> Page:
    """One op with its examples worked out. Raises KeyError for an unknown one."""
    op = REGISTRY[name]
    return _page(op, op.examples)


def _page(op: type[Op], examples: tuple[Example, ...]) -> Page:
    operands = (*op.operands, *(f"[{o}]" for o in op.optional_operands), *(["..."] if op.variadic else []))
    return Page(
        op.kind,
        op.__module__.rpartition(".")[2],
        " ".join((op.__doc__ or "").split()),
        (*(["it"] if op.takes_it else []), *operands),
        tuple(
            Argument(f.name, type_text(f.type), None if f.required else literal(f.default))
            for f in msgspec.structs.fields(op)
            if f.name != op.named_sizes
        ),
        op.is_layer,
        tuple((e.text, e.inputs, _result(op, e)) for e in examples),
    )


def _result(op: type[Op], example: Example) -> tuple[str, ...]:
    """The types that an example gives."""
    inputs = "\n".join(f"input {n} {t}" for n, t in zip("xyzw", example.inputs, strict=False))
    flow = "x -> " if op.takes_it else ""
    for names in RESULTS:
        body = f"{inputs}\n{names}{flow}{example.text}\n{'a' if names else ''}\n"
        program = Spec(Source(f"net Example {{\n{body}}}\n"), lambda module, importer: None).net("Example").program
        if program is not None:
            return tuple(str(o.type) for o in program.main.steps[-1].outs)
    return ()


def type_text(annotation: Any) -> str:
    """A type in the words of a reference: `int >= 1 or a tuple of it`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *metas = get_args(annotation)
        return f"{type_text(base)}{''.join(map(_bounds, metas))}"
    if origin is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(type_text, get_args(annotation))))
    if origin in (tuple, list):
        inside = [a for a in get_args(annotation) if a is not Ellipsis]
        return f"({', '.join(map(type_text, inside))}{', ...' if Ellipsis in get_args(annotation) else ''})"
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _bounds(meta: Any) -> str:
    marks = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
    return "".join(f" {mark} {getattr(meta, n)}" for n, mark in marks if getattr(meta, n, None) is not None)


def render_page(found: Page, paint: Paint = PLAIN) -> str:
    """One op as text."""
    parts = [paint(found.signature, "bold"), _wrapped(found.doc)]
    if found.arguments:
        rows = [(Cell(a.name, "bold"), a.type, "required" if a.default is None else a.default) for a in found.arguments]
        header = (Cell("argument", "dim"), Cell("type", "dim"), Cell("default", "dim"))
        parts.append(columns([header, *rows], "<<<", paint))
    if found.examples:
        lines = [
            (text, Cell("on", "dim"), ", ".join(i), Cell("gives", "dim"), ", ".join(o)) for text, i, o in found.examples
        ]
        parts.append(columns(lines, "<<<<<", paint))
    return "\n\n".join(parts)


def render_index(found: tuple[Page, ...], paint: Paint = PLAIN) -> str:
    """All ops, a line each, by family."""
    lines: list[str] = []
    for family in dict.fromkeys(p.family for p in found):
        rows = [(Cell(p.name, "bold"), _brief(p.doc)) for p in found if p.family == family]
        lines += [paint(family, "dim"), columns(rows, "<<", paint), ""]
    return "\n".join([*lines, "`netdsl ops NAME` says more of one."])


def _brief(doc: str) -> str:
    """The first sentence without its sources, at most about a line."""
    sentence = doc.partition(". ")[0].partition(": `")[0].rstrip(".")
    sentence = re.sub(r" \([^()]*\d{4}\)|,? as torch\.[\w./]+", "", sentence)
    return sentence if len(sentence) <= 90 else f"{sentence[:87].rpartition(' ')[0]} ..."


def _wrapped(text: str) -> str:
    from textwrap import wrap

    return "\n".join(wrap(text, 100))
