"""Completion: what can stand at the cursor, with what it means."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.loader import beside, read_import, zoo
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.context import Typing, bound_before, typing
from netdsl.lsp.documents import Document
from netdsl.lsp.experiments import possible
from netdsl.lsp.hover import component_of, component_text, field_text, op_pages, op_text, recipe_fields
from netdsl.lsp.occurrences import block, kind_of
from netdsl.ops import REGISTRY
from netdsl.planning.groups import ROLES
from netdsl.recipe.annotations import Kind, arguments
from netdsl.recipe.schema import Recipe
from netdsl.syntax import ast

KINDS = types.CompletionItemKind
TOP = ("block", "net", "recipe", "expect", "experiment", "from")
STATEMENTS = ("for", "repeat", "if", "else", "residual", "share", "input", "output", "require", "it", "true", "false")
PLAIN = ("int", "float", "bool", "none")
MEASURES = ("params", "macs", "buffers", "output")
TARGETS = {
    "block": KINDS.Class, "net": KINDS.Class, "constant": KINDS.Constant, "recipe": KINDS.Struct,
    "experiment": KINDS.Event,
}  # fmt: skip


def completion(document: Document, analysis: Analysis, offset: int) -> list[types.CompletionItem]:
    """What can stand at an offset."""
    now = typing(document.source.text, offset)
    found = {item.label: item for item in reversed(list(_items(now, document, analysis, offset)))}
    return list(found.values())[::-1]


def _items(now: Typing, document: Document, analysis: Analysis, offset: int) -> Iterator[types.CompletionItem]:
    line = now.line.strip()
    if now.line.lstrip().startswith("from "):
        yield from _imports(line, document, analysis)
    elif now.declaration == "recipe":
        yield from _recipe(now, analysis)
    elif now.declaration == "experiment":
        found = possible(now, analysis, document.source.text[:offset])
        yield from (item(text, kind, detail) for text, kind, detail in found)
    elif now.declaration == "expect":
        names = analysis.checked.module.nets if ":" not in line else MEASURES
        yield from (item(n, KINDS.Property) for n in names)
    elif not now.declaration and not line:
        yield from (item(word, KINDS.Keyword) for word in TOP)
    else:
        yield from _arguments(now, analysis)
        yield from _names(document, analysis, offset)


def item(
    label: str, kind: types.CompletionItemKind, detail: str = "", doc: str = "", text: str | None = None
) -> types.CompletionItem:
    """One thing to choose."""
    content = types.MarkupContent(types.MarkupKind.Markdown, doc) if doc else None
    return types.CompletionItem(label, kind=kind, detail=detail or None, documentation=content, insert_text=text)


def _imports(line: str, document: Document, analysis: Analysis) -> Iterator[types.CompletionItem]:
    """Specs after `from`, and the names of one after `import`."""
    words = line.split()
    if "import" in words and len(words) > 1:
        source = read_import(words[1], document.source, analysis.unsaved)
        if source is not None:
            from netdsl.syntax.parse import parse

            for declaration in parse(source)[0].declarations:
                name = getattr(declaration, "name", None)
                if isinstance(name, ast.Name):
                    yield item(name.id, TARGETS.get(kind_of(declaration), KINDS.Variable), kind_of(declaration))
        return
    yield from (item(name, KINDS.Module, "beside this file") for name in beside(document.name))
    yield from (item(name, KINDS.Module, "standard library") for name in zoo())


def _arguments(now: Typing, analysis: Analysis) -> Iterator[types.CompletionItem]:
    """The arguments of the op or block that is being called, and the words that the named one takes."""
    if now.call in REGISTRY:
        yield from _op_arguments(now)
        return
    known = block(analysis.checked.module, now.call)
    if known is not None and not now.named:
        for p in known[1].parameters:
            yield item(f"{p.name.id}=", KINDS.Field, known[0].place(p.at).text)


def _op_arguments(now: Typing) -> Iterator[types.CompletionItem]:
    for a in op_pages()[now.call].arguments:
        if now.named == a.name:
            words = [w for w in a.type.split(" | ") if w.isidentifier() and w not in PLAIN]
            yield from (item(w, KINDS.EnumMember, f"for `{a.name}`") for w in words)
        elif not now.named:
            default = "required" if a.default is None else f"= {a.default}"
            yield item(f"{a.name}=", KINDS.Field, f"{a.type} {default}")


def _names(document: Document, analysis: Analysis, offset: int) -> Iterator[types.CompletionItem]:
    """Everything that can be named in a body: tensors and sizes, blocks, ops, functions, words of the language."""
    module = analysis.checked.module
    good = document.good.checked.module if document.good is not None else module
    yield from (item(n, KINDS.Variable, "here") for n in bound_before(document.source.text, offset))
    for name in dict.fromkeys((*module.names, *good.names)):
        found = module.find(name) or good.find(name)
        if found is not None and not isinstance(found[1], ast.Recipe | ast.Experiment):
            kind = kind_of(found[1])
            yield item(name, TARGETS[kind], kind, getattr(found[1], "doc", ""))
    for name in REGISTRY:
        yield item(name, KINDS.Function, op_pages()[name].signature, op_text(op_pages()[name]))
    yield from (item(name, KINDS.Function, "function of numbers and lists") for name in BUILTINS)
    yield from (item(word, KINDS.Keyword) for word in STATEMENTS)


def _recipe(now: Typing, analysis: Analysis) -> Iterator[types.CompletionItem]:
    """The fields of a recipe, what a field accepts, the arguments of a component, or selectors."""
    line = now.line.strip()
    if line.startswith(("group", "freeze")) and "{" not in line:
        yield from _selectors(analysis)
    elif line.startswith("recipe"):
        nets = [*analysis.checked.module.nets, *analysis.checked.module.recipes]
        yield from (item(n, KINDS.Class) for n in (*nets, "for", "extends"))
    elif now.call:
        yield from _accepted(_argument_kind(now)) if now.named else _component_arguments(now)
    elif "=" in line or line.startswith(("->", "|")):
        argument = arguments(Recipe).get(now.field)
        yield from _accepted(argument.kind if argument else None)
    else:
        yield from _fields()


def _selectors(analysis: Analysis) -> Iterator[types.CompletionItem]:
    """Roles of parameters, and the labels of the file."""
    yield from (item(role, KINDS.EnumMember, "role of parameters") for role in (*ROLES, "vector"))
    labels = dict.fromkeys(o.name for o in analysis.occurrences if o.kind == "label")
    yield from (item(label, KINDS.EnumMember, "label") for label in labels)


def _component_arguments(now: Typing) -> Iterator[types.CompletionItem]:
    found = component_of(now.field, now.call)
    for a in found.arguments if found else ():
        yield item(f"{a.name}=", KINDS.Field, a.accepts, a.doc)


def _fields() -> Iterator[types.CompletionItem]:
    for name, field in recipe_fields().items():
        yield item(name, KINDS.Property, field.entry.accepts, field_text(name, field), f"{name} = ")
    yield from (item(word, KINDS.Keyword) for word in ("group", "freeze"))


def _argument_kind(now: Typing) -> Kind | None:
    """The kind of the argument that is being given by name to a component."""
    field = arguments(Recipe).get(now.field)
    cls = (field.kind.item or field.kind).components.get(now.call) if field else None
    found = arguments(cls).get(now.named) if cls is not None else None
    return found.kind if found else None


def _accepted(kind: Kind | None) -> Iterator[types.CompletionItem]:
    """The components and words that a kind accepts."""
    if kind is None:
        return
    inner = kind.item or kind
    for name in inner.components:
        found = component_of("", name)
        yield item(name, KINDS.Constructor, "", component_text(found) if found else "")
    yield from (item(word, KINDS.EnumMember) for word in (*kind.choices, *(inner.choices if inner is not kind else ())))
    if bool in kind.plain:
        yield from (item(word, KINDS.Keyword) for word in ("true", "false"))
    if kind.accepts_none:
        yield item("none", KINDS.Keyword)
