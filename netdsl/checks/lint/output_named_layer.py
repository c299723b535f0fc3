"""`output softmax`: the value that flows is given a name that a layer has, and the layer is not applied."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.activations import ACTIVATIONS
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.source import Place, Span
from netdsl.syntax import ast

LAYERS = frozenset((*ACTIVATIONS, "gap", "gmp", "flatten", "layernorm", "rmsnorm", "bn", "l2_normalize", "argmax"))
"""Layers that need no arguments and end a net."""


def check(file: File) -> Iterator[Diagnostic]:
    """A name that the file gives to something else is no layer's there."""
    for _, names in file.blocks:
        for node in names.outputs:
            if _is_layer(node, file):
                name, at = node.name.id, file.module.place(node.name.at)
                end = Place(at.source, Span(at.span.end, at.span.end))
                hint = Hint(f"`output {name} = {name}` applies it", (Edit(end, f" = {name}"),), safe=False)
                message = f"this names the value that flows `{name}`, and applies no `{name}`"
                yield warning("output-named-layer", message, at, hint)


def _is_layer(node: ast.Output, file: File) -> bool:
    return node.value is None and node.name.id in LAYERS and node.name.id not in file.module.names
