"""Layers times how often they are meant to stand: `Block(64) * depth` scales what one of them gives."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.syntax import ast

COUNTS = ("depth", "layers", "blocks", "repeat", "stages")
"""Parts of what a number of layers is called."""


def check(file: File) -> Iterator[Diagnostic]:
    """Only products that are all of a statement or a stage, by an argument that is called a number of layers; those of
    a block with layers by a whole number too, as no scale of the zoo is one."""
    for block, _ in file.blocks:
        arguments = {p.name.id for p in block.parameters}
        for product in _products(block):
            made, count = product.first, product.rest[0]
            if isinstance(made, ast.Number) or (isinstance(made, ast.Name) and made.id in arguments):
                made, count = count, made
            if (_is_count(count, arguments) or (_is_whole(count) and _is_block(file, made))) and file.holds_weights(
                made.at
            ):
                times = file.module.place(count.at).text
                message = f"this multiplies what the layers give by `{times}`: they stand once"
                hint = f"in a row they stand as `repeat {times} {{ ... }}`"
                yield warning("multiplied-block", message, file.module.place(product.at), hint)


def _products(block: ast.Block) -> Iterator[ast.Binary]:
    """The products of two that are a statement, or a stage of one."""
    for node in ast.walk(block):
        values = [node.value] if isinstance(node, ast.ExprStatement | ast.Assign | ast.Output) else []
        values += node.stages if isinstance(node, ast.Pipeline) else []
        yield from (v for v in values if isinstance(v, ast.Binary) and v.ops == ("*",))


def _is_count(node: ast.Node, arguments: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in arguments and any(part in node.id.lower() for part in COUNTS)


def _is_whole(node: ast.Node) -> bool:
    return isinstance(node, ast.Number) and isinstance(node.value, int) and node.value > 1


def _is_block(file: File, node: ast.Node) -> bool:
    called = node.function if isinstance(node, ast.Call) else node
    found = file.module.find(called.id) if isinstance(called, ast.Name) else None
    return found is not None and isinstance(found[1], ast.Block | ast.Variant)
