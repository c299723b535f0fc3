"""Name resolution: the files a spec imports, and the names each one declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, Label, did_you_mean, fault
from netdsl.elaborate.bodies import check_bodies, check_it
from netdsl.source import Place, Source, Span
from netdsl.syntax import ast
from netdsl.syntax.parse import parse

DEPTH = 256
"""How many specs may import each other in a chain."""

_QUOTED = re.compile(r"`(\w+)`")


class Imported(Struct, frozen=True, eq=False):
    """A name that stands for one of another module."""

    module: Module
    name: str


def of_kind(
    declarations: Iterable[ast.Declaration], kind: type[ast.Node], keyword: str | None = None
) -> Iterator[ast.Node]:
    """The declarations of a kind, in order; with a keyword, the blocks that begin with it."""
    for declaration in declarations:
        if isinstance(declaration, ast.Block) and keyword not in (None, declaration.keyword):
            continue
        if isinstance(declaration, kind):
            yield declaration


class Module:
    """One parsed file and the names it knows. `unresolved` are names whose import failed, or that one
    which failed may have meant: it is reported there.

    Compared by identity. What it declares does not change once it is made.
    """

    def __init__(self, source: Source, file: ast.File) -> None:
        self.source = source
        self.file = file
        self.names: dict[str, ast.Named | Imported] = {}
        self.imports: dict[str, Module] = {}
        self.unresolved: set[str] = set()

    def place(self, span: Span) -> Place:
        return Place(self.source, span)

    def find(self, name: str) -> tuple[Module, ast.Named] | None:
        """The declaration a name means here, and the module it stands in."""
        found = self.names.get(name)
        if isinstance(found, Imported):
            return found.module.find(found.name)
        return None if found is None else (self, found)

    def declared(self, kind: type[ast.Node], keyword: str | None = None) -> Iterator[ast.Node]:
        """The file's own declarations of a kind, in order."""
        return of_kind(self.file.declarations, kind, keyword)

    def below(self) -> dict[str, Module]:
        """Every module that this one needs, by the name it is imported by."""
        found: dict[str, Module] = {}
        waiting, seen = [self], {self}
        while waiting:
            module = waiting.pop()
            found |= module.imports
            waiting += [m for m in module.imports.values() if m not in seen]
            seen.update(module.imports.values())
        return found

    @cached_property
    def nets(self) -> list[str]:
        """The names of the nets and variants declared here, in order."""
        return [d.name.id for d in self.file.declarations if is_net(d)]

    @cached_property
    def recipes(self) -> list[str]:
        """The names of the recipes declared here, in order."""
        return [d.name.id for d in self.file.declarations if isinstance(d, ast.Recipe)]

    @cached_property
    def experiments(self) -> list[str]:
        """The names of the experiments declared here, in order."""
        return [d.name.id for d in self.file.declarations if isinstance(d, ast.Experiment)]

    def is_net(self, name: str) -> bool:
        """Whether a name means a net here, an own or an imported one."""
        found = self.find(name)
        return found is not None and is_net(found[1])

    def is_recipe(self, name: str) -> bool:
        """Whether a name means a recipe here, an own or an imported one."""
        found = self.find(name)
        return found is not None and isinstance(found[1], ast.Recipe)


def imported(module: Module) -> list[Module]:
    """The modules whose declarations a module has by import, directly or through others."""
    found: dict[str, Module] = {}
    todo = [module]
    while todo:
        for name in todo.pop().names.values():
            if isinstance(name, Imported) and name.module.source.name not in found:
                found[name.module.source.name] = name.module
                todo.append(name.module)
    return list(found.values())


def is_net(node: ast.Declaration) -> TypeGuard[ast.Block | ast.Variant]:
    """Whether a declaration is a net or a variant of one."""
    return isinstance(node, ast.Variant) or (isinstance(node, ast.Block) and node.keyword == "net")


Reader = Callable[[str, Source], Source | None]
"""Gives the source that a dotted module name means, seen from an importing source; None where there is none."""


def resolve(source: Source, read: Reader) -> tuple[Module, tuple[Diagnostic, ...]]:
    """The module of a source with everything it imports, and all mistakes in names of declarations and imports."""
    resolver = _Resolver(read)
    module = resolver.module(source)
    return module, tuple(resolver.diagnostics)


class _Resolver:
    def __init__(self, read: Reader) -> None:
        self.read = read
        self.diagnostics: list[Diagnostic] = []
        self.modules: dict[str, Module] = {}
        self.open: list[str] = []

    def module(self, source: Source) -> Module:
        if source.name in self.modules:
            return self.modules[source.name]
        file, mistakes = parse(source)
        self.diagnostics.extend(mistakes)
        module = self.modules[source.name] = Module(source, file)
        self.diagnostics.extend(check_bodies(file, module.place))
        self.diagnostics.extend(check_it(source.text, file, module.place))
        self.open.append(source.name)
        for declaration in file.declarations:
            try:
                if isinstance(declaration, ast.Import):
                    self.do_import(module, declaration)
                elif not isinstance(declaration, ast.Expect):
                    self.declare(module, declaration.name, declaration)
            except Fault as mistake:
                self.diagnostics.append(mistake.diagnostic)
                if isinstance(declaration, ast.Import):
                    module.unresolved |= {(item.alias or item.name).id for item in declaration.names}
        self.open.pop()
        return module

    def do_import(self, module: Module, node: ast.Import) -> None:
        at = module.place(node.module_at)
        try:
            source = self.read(node.module, module.source)
        except Fault as unreadable:
            raise Fault(replace(unreadable.diagnostic, at=at)) from None
        if source is None:
            hint = (
                "a spec is imported by the name of its file, without `.net`: from this folder or the standard library"
            )
            raise fault("unknown-module", f"there is no spec `{node.module}`", at, hint)
        if source.name in self.open:
            chain = " -> ".join([*self.open[self.open.index(source.name) :], source.name])
            raise fault("cyclic-import", f"the import goes round in a circle: {chain}", at)
        if len(self.open) >= DEPTH:
            raise fault("too-deep", f"imports nest {DEPTH} deep, and continue", at)
        other = module.imports[node.module] = self.module(source)
        for item in node.names:
            if other.find(item.name.id) is None:
                near = did_you_mean(item.name.id, other.names)
                message = f"`{node.module}` declares no `{item.name.id}`"
                self.diagnostics.append(fault("unknown-name", message, module.place(item.name.at), near).diagnostic)
                module.unresolved |= {(item.alias or item.name).id, *_QUOTED.findall(near or "")}
                continue
            self.declare(module, item.alias or item.name, Imported(other, item.name.id))

    def declare(self, module: Module, name: ast.Name, declared: ast.Named | Imported) -> None:
        earlier = module.names.get(name.id)
        if earlier is not None:
            also = (
                () if isinstance(earlier, Imported) else (Label("first declared here", module.place(earlier.name.at)),)
            )
            raise fault("duplicate-name", f"`{name.id}` is declared twice", module.place(name.at), None, *also)
        module.names[name.id] = declared
