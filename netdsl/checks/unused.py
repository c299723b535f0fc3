"""Names in blocks that no net of the file uses: a library's blocks are checked too, as far as names go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import diagnostic, did_you_mean
from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import ALIASES
from netdsl.ops import REGISTRY
from netdsl.syntax import ast

if TYPE_CHECKING:
    from netdsl.elaborate.elaborate import Elaborator

DECLARING: dict[type, tuple[str, ...]] = {
    ast.Assign: ("targets",), ast.Share: ("name",), ast.For: ("targets",), ast.Comprehension: ("targets",),
    ast.Input: ("name",), ast.Parameter: ("name",), ast.ExprStatement: ("name",),
    ast.Label: (), ast.Output: (), ast.Argument: (), ast.Block: (),
}  # fmt: skip
"""Fields that declare a name."""

SILENT: dict[type, tuple[str, ...]] = {
    ast.Label: ("name",),
    ast.Labelled: ("name",),
    ast.Output: ("name",),
    ast.Argument: ("name",),
    ast.Block: ("name",),
    ast.Input: ("dtype",),
}
"""Fields whose names are neither declared nor used here."""


def check_names(module: Module, elaborator: Elaborator) -> None:
    """Report names that mean nothing, in blocks that were not elaborated."""
    done = {id(block.declaration) for block in elaborator.elaborated}
    everywhere = {"it", "_", *module.names, *module.unresolved, *REGISTRY, *BUILTINS}
    for declaration in module.file.declarations:
        if isinstance(declaration, ast.Block) and id(declaration) not in done:
            own = _declared(declaration)
            for name in _used(declaration):
                if name.id not in everywhere and name.id not in own:
                    hint = f"it is called `{ALIASES[name.id.lower()]}` here" if name.id.lower() in ALIASES else None
                    hint = hint or did_you_mean(name.id, everywhere | own)
                    at = module.place(name.at)
                    elaborator.report(diagnostic("unknown-name", f"nothing is called `{name.id}`", at, hint))


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, tuple):
        yield from (("", item) for item in node)
    elif isinstance(node, Struct):
        yield from ((f, getattr(node, f)) for f in node.__struct_fields__ if f != "at")


def _declared(node: Any) -> set[str]:
    """Every name that is bound somewhere inside a block: arguments, sizes, tensors, loop variables."""
    names: set[str] = set()
    if isinstance(node, ast.Signature):
        names |= {n.id for n in (*node.inputs, *node.outputs) if isinstance(n, ast.Name)}
    if isinstance(node, ast.Input):
        names |= {n.id for n in node.shape if isinstance(n, ast.Name)}
    for field, child in _children(node):
        if field in DECLARING.get(type(node), ()):
            names |= {n.id for n in _used(child)}
        names |= _declared(child)
    return names


def _used(node: Any) -> Iterator[ast.Name]:
    """Every name that is read inside a block. A bare word as a named argument may be a word of the op's."""
    if isinstance(node, ast.Name):
        yield node
        return
    skipped = (*DECLARING.get(type(node), ()), *SILENT.get(type(node), ()))
    for field, child in _children(node):
        is_word = isinstance(node, ast.Argument) and node.name is not None and isinstance(child, ast.Name)
        if field not in skipped and not is_word:
            yield from _used(child)
