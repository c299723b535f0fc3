"""Names and arguments that mean nothing, where elaboration did not come by: blocks that no net uses, statements that
it left at their first mistake."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic, did_you_mean
from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.elaborate.calls import op_fields, unknown_argument
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
    """Report names and arguments that mean nothing where elaboration did not come by.

    In a block that no net uses, that is every name. In a statement with a mistake, which elaboration leaves at the
    first one, it is the layers that are called, and their arguments.
    """
    done = {id(block.declaration) for block in elaborator.elaborated}
    places = [d.at for d in elaborator.diagnostics if d.at is not None]
    mistaken = sorted(at.span.start for at in places if at.source is module.source)
    known = frozenset(("it", "_", *module.names, *module.unresolved, *REGISTRY, *BUILTINS))
    for declaration in module.file.declarations:
        if not isinstance(declaration, ast.Block):
            continue
        names = _Names(module, known | _declared(declaration), frozenset(mistaken))
        if id(declaration) not in done:
            found = chain(names.unknown(_used(declaration)), names.arguments(declaration))
        else:
            broken = list(_broken(declaration, mistaken))
            found = chain.from_iterable(chain(names.unknown(_called(node)), names.arguments(node)) for node in broken)
        for mistake in found:
            elaborator.report(mistake)


class _Names:
    """The names that mean something in a declaration, and where mistakes are told already."""

    def __init__(self, module: Module, known: frozenset[str], told: frozenset[int]) -> None:
        self.module = module
        self.known = known
        self.told = told

    def unknown(self, names: Iterable[ast.Name]) -> Iterator[Diagnostic]:
        """A mistake for each name that means nothing."""
        for name in names:
            if name.id not in self.known and name.at.start not in self.told:
                alias = ALIASES.get(name.id.lower())
                hint = f"it is called `{alias}` here" if alias else did_you_mean(name.id, self.known)
                at = self.module.place(name.at)
                yield diagnostic("unknown-name", f"nothing is called `{name.id}`", at, hint)

    def arguments(self, node: ast.Node) -> Iterator[Diagnostic]:
        """A mistake for each argument that an op does not take."""
        for call in _calls(node):
            op = REGISTRY.get(call.function.id) if isinstance(call.function, ast.Name) else None
            if op is None or op.named_sizes or op.kind in self.module.names:
                continue
            fields = list(op_fields(op))
            for argument in call.arguments:
                name = argument.name.id if argument.name else None
                taken = (*fields, *op.operands, *op.optional_operands)
                is_open = not isinstance(argument.value, ast.Weight) and argument.at.start not in self.told
                if name and name not in taken and is_open:
                    at = self.module.place(argument.at)
                    yield unknown_argument(op.kind, fields, name, at, op.hints.get(name)).diagnostic


def _broken(node: Any, mistaken: list[int]) -> Iterator[ast.Node]:
    """The innermost statements in which a mistake begins, at one of these offsets in order."""
    for statement in _statements(node):
        if bisect_left(mistaken, statement.at.end) > bisect_left(mistaken, statement.at.start):
            inner = list(_broken(statement, mistaken))
            yield from inner or [statement]


def _statements(node: Any) -> Iterator[ast.Node]:
    """The nearest statements under a node."""
    for _, child in _children(node):
        if isinstance(child, ast.Body):
            yield from child.statements
        else:
            yield from _statements(child)


def _called(node: Any) -> Iterator[ast.Name]:
    """Every name that stands for a layer: one that is called, or a stage of a chain."""
    if isinstance(node, ast.Call) and isinstance(node.function, ast.Name):
        yield node.function
    if isinstance(node, ast.Pipeline):
        yield from (stage for stage in node.stages if isinstance(stage, ast.Name))
    for _, child in _children(node):
        yield from _called(child)


def _calls(node: Any) -> Iterator[ast.Call]:
    if isinstance(node, ast.Call):
        yield node
    for _, child in _children(node):
        yield from _calls(child)


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
