"""The occurrences of every name of a file: the one table behind hover, definition, references, rename and colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.elaborate.modules import Module
from netdsl.ops import REGISTRY
from netdsl.source import Span
from netdsl.syntax import ast


class Occurrence(Struct, frozen=True, eq=False):
    """A name at a place. `kind` is one of: block, net, constant, recipe, experiment, local, label, output, op,
    builtin, argument, field, component, selector, type, word, entry, measure, unknown.

    `target` tells equal names apart: the file and the place of the declaration it means, where a spec declares it.
    `owner` is the op, block or component whose argument it is, or the field that a component stands in.
    """

    name: str
    at: Span
    kind: str
    target: tuple[Module, Span] | None = None
    owner: str = ""
    declares: bool = False


BINDERS: dict[type, tuple[str, ...]] = {
    ast.Assign: ("targets",), ast.Share: ("name",), ast.For: ("targets",), ast.Clause: ("targets",),
    ast.Input: ("name", "shape"), ast.Parameter: ("name",), ast.ExprStatement: ("name",),
    ast.Signature: ("inputs", "outputs"),
}  # fmt: skip
"""The fields that bind a name inside a block; a shape binds the names that are nothing else."""

TOP: dict[type, str] = {
    ast.Constant: "constant", ast.Variant: "net", ast.Recipe: "recipe", ast.Experiment: "experiment",
}  # fmt: skip


def occurrences(module: Module) -> tuple[Occurrence, ...]:
    """Every name that a file writes, in order of place."""
    found: list[Occurrence] = []
    for declaration in module.file.declarations:
        found += _Reader(module, declaration).read()
    return tuple(sorted(found, key=lambda o: o.at.start))


def kind_of(declared: ast.Node) -> str:
    """The kind of what a declaration declares."""
    return declared.keyword if isinstance(declared, ast.Block) else TOP.get(type(declared), "unknown")


def bound(declaration: ast.Node, module: Module) -> dict[str, Span]:
    """The names that a declaration binds inside, by where each is bound first."""
    found: dict[str, Span] = {}
    for node in ast.walk(declaration):
        for field in BINDERS.get(type(node), ()):
            for name in _names(getattr(node, field)):
                sized = field in ("shape", "inputs", "outputs")
                if name.id != "_" and not (sized and name.id in module.names):
                    known = found.get(name.id)
                    if known is None or name.at.start < known.start:
                        found[name.id] = name.at
    return found


def given_by(statement: ast.Node) -> Iterator[ast.Name]:
    """The names that a statement gives a value."""
    for field in BINDERS.get(type(statement), ()):
        if field in ("targets", "name"):
            yield from _names(getattr(statement, field))


def _names(value: Any) -> Iterator[ast.Name]:
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, ast.Name):
            yield item
        elif isinstance(item, ast.Targets):
            yield from _names(item.items)


class _Reader:
    """Reads the names of one declaration."""

    def __init__(self, module: Module, declaration: ast.Node) -> None:
        self.module = module
        self.declaration = declaration
        inside = isinstance(declaration, ast.Block)
        self.locals = bound(declaration, module) if inside else {}
        self.found: list[Occurrence] = []

    def read(self) -> list[Occurrence]:
        rules = {
            ast.Import: self._import, ast.Recipe: self._recipe, ast.Expect: self._expect,
            ast.Experiment: self._experiment,
        }  # fmt: skip
        rule = rules.get(type(self.declaration))
        if rule is not None:
            rule(self.declaration)
        else:
            name = self.declaration.name  # type: ignore[attr-defined]
            self._declare(name, kind_of(self.declaration))
            for child in ast.children(self.declaration):
                if child is not name:
                    self._walk(child)
        return self.found

    def _add(self, name: ast.Name, kind: str, target: tuple[Module, Span] | None = None, **more: Any) -> None:
        self.found.append(Occurrence(name.id, name.at, kind, target, **more))

    def _declare(self, name: ast.Name, kind: str) -> None:
        self._add(name, kind, (self.module, name.at), declares=True)

    def _import(self, node: Any) -> None:
        other = self.module.imports.get(node.module)
        for item in node.names:
            found = other.find(item.name.id) if other else None
            target = (found[0], found[1].name.at) if found else None
            kind = kind_of(found[1]) if found else "unknown"
            self._add(item.name, kind, target)
            if item.alias is not None:
                self._add(item.alias, kind, target)

    def _expect(self, node: Any) -> None:
        self._use(node.target)
        for condition in node.conditions:
            self._walk(condition)

    def _recipe(self, node: Any) -> None:
        self._declare(node.name, "recipe")
        for name in (node.target, node.base):
            if name is not None:
                self._use(name)
        for entry in node.entries:
            if isinstance(entry, ast.Field):
                self._field(entry)
                continue
            for selector in entry.selectors:
                self._add(selector, "selector")
            if isinstance(entry, ast.Group):
                for field in entry.fields:
                    self._field(field)

    def _field(self, node: Any) -> None:
        self._add(node.name, "field")
        self._components(node.value, node.name.id)

    def _experiment(self, node: Any) -> None:
        self._declare(node.name, "experiment")
        if node.target is not None:
            self._use(node.target)
        for path, measured in _paths(node):
            self._path(path, node, measured)
        for entry in node.entries:
            if isinstance(entry, ast.Vary):
                self._components(entry.values, entry.path.id.partition(".")[0])
            elif isinstance(entry, ast.Field | ast.Measure):
                self._add(entry.name, "entry")
            if isinstance(entry, ast.Field):
                self._components(entry.value, entry.name.id)

    def _path(self, name: ast.Name, node: Any, measured: bool) -> None:
        """Record what varies or is measured: an argument of the net, a field of the recipe, or a measure."""
        first = name.id.partition(".")[0]
        net = node.target.id if node.target is not None else ""
        parameter = self._parameter(net, name.id)
        varied = any(isinstance(e, ast.Vary) and e.path.id == name.id for e in node.entries)
        if parameter is not None:
            self._add(name, "argument", parameter, owner=net)
        elif varied or not measured:
            self._add(ast.Name(Span(name.at.start, name.at.start + len(first)), first), "field")
        else:
            self._add(name, "measure")

    def _components(self, node: ast.Node, owner: str) -> None:
        """The names of a field's value: components, their arguments and words, or constants of the file."""
        if isinstance(node, ast.Name):
            self._use(node, "component", owner)
        elif isinstance(node, ast.Call) and isinstance(node.function, ast.Name):
            self._use(node.function, "component", owner)
            for argument in node.arguments:
                if argument.name is not None:
                    self._add(argument.name, "argument", None, owner=node.function.id)
                self._components(argument.value, f"{node.function.id}.{argument.name.id if argument.name else ''}")
        else:
            for child in ast.children(node):
                self._components(child, owner)

    def _use(self, name: ast.Name, otherwise: str = "unknown", owner: str = "") -> None:
        """A name that is read."""
        if name.id in self.locals:
            self._add(name, "local", (self.module, self.locals[name.id]), declares=name.at == self.locals[name.id])
            return
        found = self.module.find(name.id)
        if found is not None:
            self._add(name, kind_of(found[1]), (found[0], found[1].name.at))
        elif name.id in REGISTRY and otherwise != "component":
            self._add(name, "op")
        elif name.id in BUILTINS or name.id == "it":
            self._add(name, "builtin")
        else:
            self._add(name, otherwise, owner=owner)

    def _walk(self, node: ast.Node) -> None:
        if isinstance(node, ast.Name):
            self._use(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Label | ast.Labelled):
            self._add(node.name, "label", declares=True)
            self._walk(node.statement if isinstance(node, ast.Label) else node.value)
        elif isinstance(node, ast.Output):
            self._add(node.name, "output", declares=True)
            if node.value is not None:
                self._walk(node.value)
        else:
            dtype = node.dtype if isinstance(node, ast.Input) else None
            if dtype is not None:
                self._add(dtype, "type")
            for child in ast.children(node):
                if child is not dtype:
                    self._walk(child)

    def _call(self, node: ast.Call) -> None:
        self._walk(node.function)
        function = node.function.id if isinstance(node.function, ast.Name) else ""
        for argument in node.arguments:
            if argument.name is None:
                self._walk(argument.value)
                continue
            self._add(argument.name, "argument", self._parameter(function, argument.name.id), owner=function)
            value = argument.value
            if isinstance(value, ast.Name):
                self._use(value, "word", function)
            else:
                self._walk(value)

    def _parameter(self, function: str, name: str) -> tuple[Module, Span] | None:
        """The parameter of a block that an argument names."""
        found = block(self.module, function)
        if found is None:
            return None
        module, declared = found
        return next(((module, p.name.at) for p in declared.parameters if p.name.id == name), None)


def _paths(node: ast.Experiment) -> Iterator[tuple[ast.Name, bool]]:
    """The paths in the entries of an experiment, and whether each can be a measure."""
    for entry in node.entries:
        if isinstance(entry, ast.Vary):
            yield entry.path, False
        elif isinstance(entry, ast.Measure):
            yield from ((path, True) for path in entry.paths)
        elif isinstance(entry, ast.Comparison):
            yield entry.measure, True
            yield entry.path, False
        elif isinstance(entry, ast.Plot):
            yield from _plotted(entry)


def _plotted(node: ast.Plot) -> Iterator[tuple[ast.Name, bool]]:
    axes = [(a.name.id, a.value) for a in node.arguments if a.name is not None]
    yield from ((v, n != "color") for n, v in axes if n in ("x", "y", "color") and isinstance(v, ast.Name))
    yield from ((a.name, False) for a in node.only if a.name is not None)


def block(module: Module, name: str) -> tuple[Module, ast.Block] | None:
    """The block or net that a name means here, through variants: `net ResNet50 = ResNet(...)` is `ResNet`."""
    for _ in range(8):
        found = module.find(name)
        if found is None:
            return None
        module, declared = found
        if isinstance(declared, ast.Block):
            return module, declared
        if not isinstance(declared, ast.Variant):
            return None
        function = declared.value.function if isinstance(declared.value, ast.Call) else declared.value
        if not isinstance(function, ast.Name):
            return None
        name = function.id
    return None
