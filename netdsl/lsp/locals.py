"""The names that a block or a net binds for itself, and what each was bound by."""

from __future__ import annotations

from netdsl.elaborate.modules import Module
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.occurrences import Occurrence
from netdsl.ops import REGISTRY
from netdsl.source import Span
from netdsl.syntax import ast

LONGEST = 80
"""Characters of a text that are shown."""


def local_text(found: Occurrence, analysis: Analysis) -> str:
    """Describe a local name by what binds it: an argument, a `share`, a loop or a size; empty where it is a
    value's, whose shape is told."""
    declaration = analysis.declaration(found.at.start)
    if found.target is None or not isinstance(declaration, ast.Block):
        return ""
    module, bound = found.target
    return next(
        filter(None, (_said(module, declaration, node, bound, found.name) for node in ast.walk(declaration))), ""
    )


def _said(module: Module, declaration: ast.Block, node: ast.Node, bound: Span, name: str) -> str:
    match node:
        case ast.Parameter() if node.name.at == bound:
            return f"argument `{module.place(node.at).text}` of `{declaration.name.id}`"
        case ast.Share() if node.name.at == bound:
            return f"`{_shown(module, node)}`: one set of weights, which every use of `{name}` applies"
        case ast.For() | ast.Clause() if any(_holds(target, bound) for target in node.targets):
            return f"`{name}`: from each item of `{_shown(module, node.iterable)}` in turn"
        case ast.Input() if any(item.at == bound for item in node.shape):
            return f"`{name}`: a size of the input, `{_shown(module, node)}`"
        case ast.Signature() if any(item.at == bound for item in (*node.inputs, *node.outputs)):
            return f"`{name}`: a size of what flows in, named by the signature `{_shown(module, node)}`"
    return ""


def _holds(target: ast.Target, bound: Span) -> bool:
    """Whether a name is among those that a loop binds."""
    return target.at == bound or (isinstance(target, ast.Targets) and any(_holds(t, bound) for t in target.items))


def _shown(module: Module, node: ast.Node) -> str:
    """The first line of a node."""
    first, _, rest = module.place(node.at).text.partition("\n")
    return f"{first[: LONGEST - 4].rstrip()} ..." if rest or len(first) > LONGEST else first


def shared_op(name: str, declaration: ast.Node | None) -> str:
    """The op of a layer that a `share` of a declaration names; empty for another name."""
    shares = (n for n in ast.walk(declaration) if isinstance(n, ast.Share)) if declaration is not None else ()
    made = next((s.value for s in shares if s.name.id == name), None)
    function = made.function if isinstance(made, ast.Call) else made
    return function.id if isinstance(function, ast.Name) and function.id in REGISTRY else ""
