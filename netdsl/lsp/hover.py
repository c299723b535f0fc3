"""Hover: what the word under the cursor means, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from netdsl.analysis.count import Memo, totals
from netdsl.analysis.receptive_field import receptive_field
from netdsl.elaborate.arithmetic import TAKES
from netdsl.elaborate.modules import Module
from netdsl.elaborate.trace import Passed
from netdsl.lsp import costs
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.experiments import entry_text, measure_text
from netdsl.lsp.hints import shape
from netdsl.lsp.locals import local_text, shared_op
from netdsl.lsp.occurrences import Occurrence, block, given_by
from netdsl.ops import REGISTRY
from netdsl.planning.groups import ROLES
from netdsl.plugins.known import loaded
from netdsl.recipe.reference import ComponentEntry, Entry, FieldEntry, fields
from netdsl.render.numbers import grouped, plural, scaled
from netdsl.render.reference import Page, page, pages
from netdsl.sizes.dims import Dim
from netdsl.source import Span
from netdsl.syntax import ast

MOST = 6
"""How many uses of a block are shown."""

VALUE = "`it`: the value that flows here, from the statement or the arrow before"

FENCE = "```netdsl\n{}\n```"

op_page = cache(page)


def op_pages() -> dict[str, Page]:
    """The reference of every op by name, without worked examples."""
    return _op_pages(_plugins())


def recipe_fields() -> dict[str, FieldEntry]:
    """The reference of the fields of recipes by name."""
    return _recipe_fields(_plugins())


def _plugins() -> tuple[str, ...]:
    return tuple(known.name for known in loaded())


@cache
def _op_pages(plugins: tuple[str, ...]) -> dict[str, Page]:
    return {found.name: found for found in pages()}


@cache
def _recipe_fields(plugins: tuple[str, ...]) -> dict[str, FieldEntry]:
    return fields()


def hover(analysis: Analysis, offset: int) -> tuple[str, Span] | None:
    """Describe what is under the cursor as Markdown, with its span; None where nothing is known of it."""
    found = analysis.occurrence(offset)
    if found is None:
        return None
    parts = [part for part in (_meaning(found, analysis), _flow(found, analysis)) if part]
    return ("\n\n".join(parts), found.at) if parts else None


def _meaning(found: Occurrence, analysis: Analysis) -> str:
    name = found.name
    if found.kind in ("block", "net", "constant", "recipe", "experiment"):
        return declared_text(found, analysis) if found.target is not None else ""
    if found.kind == "component":
        component = component_of(found.owner, name)
        return component_text(component) if component else ""
    if found.kind == "argument":
        op = shared_op(found.owner, analysis.declaration(found.at.start))
        return _argument(found, op or found.owner, analysis.checked.module)
    if found.kind == "local":
        return local_text(found, analysis)
    said = _SAID.get(found.kind)
    return said(name) if said is not None else ""


def _field(name: str) -> str:
    """Describe a field of a recipe; in a group, a setting of the optimizer."""
    if name in recipe_fields():
        return field_text(name, recipe_fields()[name])
    arguments = (a for c in recipe_fields()["optimizer"].components for a in c.arguments)
    setting = next((a for a in arguments if a.name == name), None)
    return f"`{name}` of these parameters alone: {setting.accepts}. {setting.doc}".strip() if setting else ""


def _selector(name: str) -> str:
    if name == "vector":
        return "`vector`: parameters with one axis, such as biases and the scales of norms"
    if name in ROLES:
        return f"`{name}`: parameters whose role is `{name}`"
    return f"`{name}`: parameters below the label or path `{name}`"


_SAID: dict[str, Callable[[str], str]] = {
    "op": lambda name: op_text(op_page(name)),
    "field": _field,
    "entry": entry_text,
    "measure": measure_text,
    "selector": _selector,
    "builtin": lambda name: f"`{name}` takes {TAKES[name]}" if name in TAKES else VALUE,
    "output": lambda name: f"output `{name}`: what the net or block gives under this name",
    "label": lambda name: f"label `{name}`: the submodule of that name, and the prefix of its keys in the state dict",
}
"""The meaning of a name by its kind, where that is all it depends on."""


def op_text(found: Page) -> str:
    """The reference of an op."""
    lines = [FENCE.format(found.signature), found.doc]
    rows = [f"| `{a.name}` | {_cell(a.type)} | {'required' if a.default is None else f'`{a.default}`'} |"
            for a in found.arguments]  # fmt: skip
    if rows:
        lines.append("\n".join(["| argument | type | default |", "|---|---|---|", *rows]))
    examples = [f"- `{text}` on {', '.join(i)} gives {', '.join(o)}" for text, i, o in found.examples]
    return "\n\n".join([*lines, "\n".join(examples)] if examples else lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def declared_text(found: Occurrence, analysis: Analysis) -> str:
    """The head and documentation of what a file declares; a net with its parameters."""
    assert found.target is not None
    module, span = found.target
    named = (d for d in module.file.declarations if isinstance(d, ast.Named))
    node = next((d for d in named if d.name.at == span), None)
    if node is None:
        return ""
    lines = [FENCE.format(head(module, node)), node.doc.strip()]
    if module is not analysis.checked.module:
        lines.append(f"declared in `{module.source.name}`")
    if found.kind == "net" and module is analysis.checked.module:
        lines.append(_net(found.name, analysis))
    return "\n\n".join(filter(None, lines))


def head(module: Module, node: ast.Node) -> str:
    """The first line of a declaration, without the brace that opens its body."""
    text = module.place(node.at).text
    if isinstance(node, ast.Recipe | ast.Experiment):
        text = text.partition("{")[0]
    elif isinstance(node, ast.Block):
        text = text[: node.body.at.start - node.at.start] if isinstance(node.body, ast.Body) else text
    return re.split(r"[\r\n]", text.strip())[0].rstrip(" {=")


def _net(name: str, analysis: Analysis) -> str:
    program = analysis.program(name)
    if program is None:
        return ""
    counted = totals(program.main)
    field = receptive_field(program)
    text = f"{grouped(counted.params)} parameters, {scaled(counted.macs)} MACs"
    return text + (f", receptive field {field.size} pixels" if field and field.size else "")


def field_text(name: str, field: FieldEntry) -> str:
    """Describe a field of a recipe: what it accepts and means."""
    return "\n\n".join([FENCE.format(f"{name} = {field.entry.accepts}"), field.entry.doc, _default(field.entry)])


def _default(entry: Entry) -> str:
    return "required" if entry.written is None else f"default: `{entry.written}`"


def component_of(owner: str, name: str) -> ComponentEntry | None:
    """A component by the field (`optimizer`, or `component.argument`) that it stands in."""
    candidates = [recipe_fields()[owner]] if owner in recipe_fields() else list(recipe_fields().values())
    return next((c for f in candidates for c in f.components if c.name == name), None)


def component_text(found: ComponentEntry) -> str:
    """Describe a component: what it means, its arguments and its source."""
    inside = ", ".join(a.name if a.written is None else f"{a.name}={a.written}" for a in found.arguments)
    rows = [f"- `{a.name}`: {a.accepts}; {a.doc}" if a.doc else f"- `{a.name}`: {a.accepts}" for a in found.arguments]
    source = f"source: {found.source}" if found.source else ""
    return "\n\n".join(filter(None, [FENCE.format(f"{found.name}({inside})"), found.doc, "\n".join(rows), source]))


def _argument(found: Occurrence, owner: str, module: Module) -> str:
    """Describe an argument of an op, a component or a block."""
    if owner in REGISTRY and (said := _of_op(found.name, owner)):
        return said
    component = component_of("", owner)
    for entry in component.arguments if component else ():
        if entry.name == found.name:
            return f"argument `{entry.name}` of `{owner}`: {entry.accepts}. {entry.doc}"
    known = block(module, owner)
    named = [p for p in known[1].parameters if p.name.id == found.name] if known else []
    return f"argument `{known[0].place(named[0].at).text}` of `{owner}`" if known and named else ""


def _of_op(name: str, op: str) -> str:
    """Describe an argument of an op, or a tensor that it takes by name."""
    for a in op_pages()[op].arguments:
        if a.name == name:
            default = "required" if a.default is None else f"default `{a.default}`"
            return f"argument `{a.name}` of `{op}`: {a.type}, {default}"
    is_tensor = name in (*REGISTRY[op].operands, *REGISTRY[op].optional_operands)
    return f"`{name}` of `{op}`: a tensor that it takes beside the one that flows in" if is_tensor else ""


def _flow(found: Occurrence, analysis: Analysis) -> str:
    """Shapes and cost of a layer or a block where it is used, or of the value that a name stands for."""
    if found.kind not in ("op", "block", "net", "local", "label", "output"):
        return ""
    declaration = analysis.declaration(found.at.start)
    if declaration is not None:
        analysis.meet(declaration)
    distinct = list(dict.fromkeys(filter(None, _lines(found, analysis))))
    shown = [f"- `{line}`" for line in distinct[:MOST]]
    more = [f"- and {plural(len(distinct) - MOST, 'other')}"] if len(distinct) > MOST else []
    return "\n".join([*shown, *more])


def _lines(found: Occurrence, analysis: Analysis) -> list[str]:
    """A line for each run of the statement that a name is about."""
    memo: Memo = {}
    if found.kind == "local":
        return [_value(passed, memo) for passed in _given(found, analysis)]
    around = [s for s in analysis.passed if s.start <= found.at.start and found.at.end <= s.end]
    passes = analysis.passed[min(around, key=lambda s: s.end - s.start)] if around else []
    if found.kind in ("label", "output"):
        return [_value(passed, memo) for passed in passes]
    return [_use(found, passed, memo) for passed in passes]


def _given(found: Occurrence, analysis: Analysis) -> Sequence[Passed]:
    """The runs of the statement that gave a local name its value: its own, or the last one before it."""
    around = analysis.declaration(found.at.start)
    spans = [
        span for span, passes in analysis.passed.items()
        if around is not None and around.at.start <= span.start <= found.at.start
        and any(name.id == found.name and (span.end <= found.at.start or name.at == found.at)
                for name in given_by(passes[0].node))
    ]  # fmt: skip
    return analysis.passed[max(spans, key=lambda span: span.start)] if spans else ()


def _value(passed: Passed, memo: Memo) -> str:
    """The shape of what a statement names, and its parameters."""
    if isinstance(passed.node, ast.Input):
        return next((w.type.marked for w in passed.root.inputs if w.name == passed.node.name.id), "")
    text = shape(passed)
    return text and text + _costs(costs.parameters(passed.drafts, memo), 0)


def _use(found: Occurrence, passed: Passed, memo: Memo) -> str:
    """The types that a layer takes and gives where a name calls it, in one run of its statement."""
    part = Span(found.at.start, passed.node.at.end)
    drafts = [d for d in costs.among(passed, (part,))[0] if d.place.span.start == found.at.start]
    if not drafts:
        return ""
    before = ", ".join(w.type.marked for w in drafts[0].inputs)
    after = ", ".join(w.type.marked for w in drafts[-1].outs)
    return f"{before} -> {after}{_costs(costs.parameters(drafts, memo), costs.macs(drafts, memo))}"


def _costs(params: int, macs: Dim) -> str:
    return (f", {params:,} parameters" if params else "") + (f", {scaled(macs)} MACs" if macs != 0 else "")
