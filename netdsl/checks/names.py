"""Names and arguments that mean nothing in what elaboration did not reach: blocks that no net uses, and the rest of
statements with a mistake."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.elaborate.calls import op_fields, unknown_argument
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import unknown_name
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op
from netdsl.syntax import ast

if TYPE_CHECKING:
    from netdsl.checks.unchanged import Programs
    from netdsl.elaborate.elaborate import Elaborator

DECLARING: dict[type, tuple[str, ...]] = {
    ast.Assign: ("targets",), ast.Share: ("name",), ast.For: ("targets",), ast.Clause: ("targets",),
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


GIVEN = frozenset(("it", "_", *REGISTRY, *BUILTINS))
"""Names that mean something everywhere."""


def check_names(module: Module, elaborator: Elaborator, programs: Programs) -> None:
    """Report names and arguments that mean nothing in what elaboration did not reach.

    In a block that no net uses, that is every name. In a statement with a mistake, which elaboration leaves at the
    first one, it is the layers that are called, and their arguments.
    """
    mistaken = _mistaken(module, elaborator)
    for declaration in (d for d in module.file.declarations if isinstance(d, ast.Block)):
        reached = _is_reached(declaration, elaborator)
        if not reached and programs.unchanged.skips("names", declaration):
            continue
        mistakes = _unreported(module, declaration, mistaken, reached)
        if mistakes and not reached:
            programs.meet(declaration)
            if _is_reached(declaration, elaborator):
                mistakes = _unreported(module, declaration, mistaken, True)
        for mistake in mistakes:
            elaborator.report(mistake)


def _is_reached(declaration: ast.Block, elaborator: Elaborator) -> bool:
    """Whether a block was elaborated, with any arguments."""
    return id(declaration) in elaborator.elaborated


def _unreported(module: Module, declaration: ast.Block, mistaken: list[int], reached: bool) -> list[Diagnostic]:
    """Report names without a meaning in a block: in its statements with a mistake, or everywhere where no net has
    reached it."""
    nodes = list(_broken(declaration, mistaken)) if reached else [declaration]
    if not nodes:
        return []
    names = _Names(module, declaration, mistaken)
    return [
        mistake
        for node in nodes
        for mistake in (*names.unknown(_called(node, names.knows) if reached else _used(node)), *names.arguments(node))
    ]


def _mistaken(module: Module, elaborator: Elaborator) -> list[int]:
    """Where the mistakes that were found in the file begin, in order."""
    places = [d.at for d in elaborator.diagnostics if d.at is not None]
    return sorted(at.span.start for at in places if at.source is module.source)


class _Names:
    """The names that mean something in a declaration, and where mistakes are told already."""

    def __init__(self, module: Module, declaration: ast.Block, mistaken: list[int]) -> None:
        self.module = module
        self.inside = _declared(declaration)
        self.mistaken = mistaken

    def unknown(self, names: Iterable[ast.Name]) -> Iterator[Diagnostic]:
        """A mistake for each name that means nothing."""
        for name in names:
            if not self.knows(name.id) and not self._is_told(name.at.start):
                yield unknown_name(name.id, self.known, self.module.place(name.at)).diagnostic

    def _is_own(self, name: str) -> bool:
        return name in self.inside or name in self.module.names

    def knows(self, name: str) -> bool:
        """Whether a name means something."""
        return name in GIVEN or self._is_own(name) or name in self.module.unresolved

    def _is_told(self, start: int) -> bool:
        return bisect_left(self.mistaken, start) < bisect_right(self.mistaken, start)

    @cached_property
    def known(self) -> frozenset[str]:
        """All of them, where one is sought that was meant."""
        return frozenset((*GIVEN, *self.inside, *self.module.names, *self.module.unresolved))

    def arguments(self, node: ast.Node) -> Iterator[Diagnostic]:
        """A mistake for each argument that an op does not take."""
        for call in ast.walk(node):
            if not isinstance(call, ast.Call) or not isinstance(call.function, ast.Name):
                continue
            op = REGISTRY.get(call.function.id) if not self._is_own(call.function.id) else None
            if op is not None and not op.named_sizes:
                yield from self._of_call(call, op)

    def _of_call(self, call: ast.Call, op: type[Op]) -> Iterator[Diagnostic]:
        fields = list(op_fields(op))
        if op.variadic and any(self._is_told(argument.at.start) for argument in call.arguments):
            return  # values in a list, as other libraries take them: what follows is said in their words too
        for argument in call.arguments:
            if argument.name is None or isinstance(argument.value, ast.Weight) or self._is_told(argument.at.start):
                continue
            name = argument.name.id
            if name not in (*fields, *op.operands, *op.optional_operands):
                at = self.module.place(argument.at)
                yield unknown_argument(op.kind, fields, name, at, op.hints.get(name)).diagnostic


def _broken(node: ast.Node, mistaken: list[int]) -> Iterator[ast.Node]:
    """The innermost statements in which a mistake begins, at one of these offsets in order."""
    for statement in _statements(node):
        if bisect_left(mistaken, statement.at.end) > bisect_left(mistaken, statement.at.start):
            inner = list(_broken(statement, mistaken))
            yield from inner or [statement]


def _statements(node: ast.Node) -> Iterator[ast.Node]:
    """The nearest statements under a node."""
    for child in ast.children(node):
        if isinstance(child, ast.Body):
            yield from child.statements
        else:
            yield from _statements(child)


def _called(node: ast.Node, knows: Callable[[str], bool]) -> Iterator[ast.Name]:
    """Every name that stands for a layer: one that is called, or a stage of a chain. Not those in the arguments of a
    call that is unknown itself: `Bidirectional(LSTM(64))` is said as one, in other words."""
    if isinstance(node, ast.Call) and isinstance(node.function, ast.Name):
        yield node.function
        if not knows(node.function.id):
            return
    elif isinstance(node, ast.Pipeline):
        yield from (stage for stage in node.stages if isinstance(stage, ast.Name))
    for child in ast.children(node):
        yield from _called(child, knows)


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
