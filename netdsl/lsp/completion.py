"""Completion: what can stand at the cursor, with what it means."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.loader import beside, read_import, zoo
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.choices import Choice, Kinds
from netdsl.lsp.context import Typing, bound_before, typing
from netdsl.lsp.experiments import possible
from netdsl.lsp.hover import component_of, component_text, field_text, op_pages, op_text, recipe_fields
from netdsl.lsp.occurrences import block, kind_of
from netdsl.ops import REGISTRY
from netdsl.planning.groups import ROLES
from netdsl.recipe.annotations import Kind, arguments
from netdsl.recipe.schema import Recipe
from netdsl.syntax import ast

TOP = ("block", "net", "recipe", "expect", "experiment", "from")
STATEMENTS = ("for", "repeat", "if", "else", "residual", "share", "input", "output", "require", "it", "true", "false")
PLAIN = ("int", "float", "bool", "none")
MEASURES = ("params", "macs", "buffers", "output")
TARGETS = {
    "block": Kinds.Class, "net": Kinds.Class, "constant": Kinds.Constant, "recipe": Kinds.Struct,
    "experiment": Kinds.Event,
}  # fmt: skip


def completion(analysis: Analysis, good: Analysis | None, offset: int) -> list[Choice]:
    """Complete at an offset. `good`: the newest analysis of a text that could be read to its end."""
    now = typing(analysis.source.text, offset)
    found = {item.label: item for item in reversed(list(_items(now, analysis, good, offset)))}
    return list(found.values())[::-1]


def _items(now: Typing, analysis: Analysis, good: Analysis | None, offset: int) -> Iterator[Choice]:
    line = now.line.strip()
    if now.line.lstrip().startswith("from "):
        yield from _imports(line, analysis)
    elif now.declaration == "recipe":
        yield from _recipe(now, analysis)
    elif now.declaration == "experiment":
        found = possible(now, analysis, analysis.source.text[:offset])
        yield from (Choice(text, kind, detail) for text, kind, detail in found)
    elif now.declaration == "expect":
        names = analysis.checked.module.nets if ":" not in line else MEASURES
        yield from (Choice(n, Kinds.Property) for n in names)
    elif not now.declaration and not line:
        yield from (Choice(word, Kinds.Keyword) for word in TOP)
    else:
        yield from _arguments(now, analysis)
        yield from _names(analysis, good, offset)


def _imports(line: str, analysis: Analysis) -> Iterator[Choice]:
    """Specs after `from`, and the names of one after `import`."""
    words = line.split()
    if "import" in words and len(words) > 1:
        source = read_import(words[1], analysis.source, analysis.unsaved)
        if source is not None:
            from netdsl.syntax.parse import parse

            for declaration in parse(source)[0].declarations:
                if isinstance(declaration, ast.Named):
                    kind = kind_of(declaration)
                    yield Choice(declaration.name.id, TARGETS.get(kind, Kinds.Variable), kind)
        return
    yield from (Choice(name, Kinds.Module, "beside this file") for name in beside(analysis.source.name))
    yield from (Choice(name, Kinds.Module, "standard library") for name in zoo())


def _arguments(now: Typing, analysis: Analysis) -> Iterator[Choice]:
    """The arguments of the op or block that is being called, and the words that the named one takes."""
    if now.call in REGISTRY:
        yield from _op_arguments(now)
        return
    known = block(analysis.checked.module, now.call)
    if known is not None and not now.named:
        for p in known[1].parameters:
            yield Choice(f"{p.name.id}=", Kinds.Field, known[0].place(p.at).text)


def _op_arguments(now: Typing) -> Iterator[Choice]:
    for a in op_pages()[now.call].arguments:
        if now.named == a.name:
            words = [w for w in a.type.split(" | ") if w.isidentifier() and w not in PLAIN]
            yield from (Choice(w, Kinds.EnumMember, f"for `{a.name}`") for w in words)
        elif not now.named:
            default = "required" if a.default is None else f"= {a.default}"
            yield Choice(f"{a.name}=", Kinds.Field, f"{a.type} {default}")


def _names(analysis: Analysis, good: Analysis | None, offset: int) -> Iterator[Choice]:
    """Everything that can be named in a body: tensors and sizes, blocks, ops, functions, words of the language."""
    module = analysis.checked.module
    readable = good.checked.module if good is not None else module
    yield from (Choice(n, Kinds.Variable, "here") for n in bound_before(analysis.source.text, offset))
    for name in dict.fromkeys((*module.names, *readable.names)):
        found = module.find(name) or readable.find(name)
        if found is not None and isinstance(found[1], ast.Constant | ast.Block | ast.Variant):
            kind = kind_of(found[1])
            yield Choice(name, TARGETS[kind], kind, found[1].doc)
    for name in REGISTRY:
        yield Choice(name, Kinds.Function, op_pages()[name].signature, op_text(op_pages()[name]))
    yield from (Choice(name, Kinds.Function, "function of numbers and lists") for name in BUILTINS)
    yield from (Choice(word, Kinds.Keyword) for word in STATEMENTS)


def _recipe(now: Typing, analysis: Analysis) -> Iterator[Choice]:
    """The fields of a recipe, what a field accepts, the arguments of a component, or selectors."""
    line = now.line.strip()
    if line.startswith(("group", "freeze")) and "{" not in line:
        yield from _selectors(analysis)
    elif line.startswith("recipe"):
        nets = [*analysis.checked.module.nets, *analysis.checked.module.recipes]
        yield from (Choice(n, Kinds.Class) for n in (*nets, "for", "extends"))
    elif now.call:
        yield from _accepted(_argument_kind(now)) if now.named else _component_arguments(now)
    elif "=" in line or line.startswith(("->", "|")):
        argument = arguments(Recipe).get(now.field)
        yield from _accepted(argument.kind if argument else None)
    else:
        yield from _fields()


def _selectors(analysis: Analysis) -> Iterator[Choice]:
    """Roles of parameters, and the labels of the file."""
    yield from (Choice(role, Kinds.EnumMember, "role of parameters") for role in (*ROLES, "vector"))
    labels = dict.fromkeys(o.name for o in analysis.occurrences if o.kind == "label")
    yield from (Choice(label, Kinds.EnumMember, "label") for label in labels)


def _component_arguments(now: Typing) -> Iterator[Choice]:
    found = component_of(now.field, now.call)
    for a in found.arguments if found else ():
        yield Choice(f"{a.name}=", Kinds.Field, a.accepts, a.doc)


def _fields() -> Iterator[Choice]:
    for name, field in recipe_fields().items():
        yield Choice(name, Kinds.Property, field.entry.accepts, field_text(name, field), f"{name} = ")
    yield from (Choice(word, Kinds.Keyword) for word in ("group", "freeze"))


def _argument_kind(now: Typing) -> Kind | None:
    """The kind of the argument that is being given by name to a component."""
    field = arguments(Recipe).get(now.field)
    cls = (field.kind.item or field.kind).components.get(now.call) if field else None
    found = arguments(cls).get(now.named) if cls is not None else None
    return found.kind if found else None


def _accepted(kind: Kind | None) -> Iterator[Choice]:
    """The components and words that a kind accepts."""
    if kind is None:
        return
    inner = kind.item or kind
    for name in inner.components:
        found = component_of("", name)
        yield Choice(name, Kinds.Constructor, "", component_text(found) if found else "")
    yield from (
        Choice(word, Kinds.EnumMember) for word in (*kind.choices, *(inner.choices if inner is not kind else ()))
    )
    if bool in kind.plain:
        yield from (Choice(word, Kinds.Keyword) for word in ("true", "false"))
    if kind.accepts_none:
        yield Choice("none", Kinds.Keyword)
