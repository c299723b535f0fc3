"""An imported block or constant that its file never uses."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, delete_lines, warning
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.source import Place, Span
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """Nets and recipes may be imported to be trained from here, and a file without blocks may pass names on."""
    if not any(isinstance(d, ast.Block) for d in file.module.file.declarations):
        return
    for node in file.declared(ast.Import):
        assert isinstance(node, ast.Import)
        for item in node.names:
            name = item.alias or item.name
            if name.id not in file.used and _is_part(file, name.id):
                message = f"nothing uses the imported `{name.id}`"
                yield warning("unused-import", message, file.module.place(name.at), _removal(file, node, item))


def _is_part(file: File, name: str) -> bool:
    """Whether a name stands for a block or a constant, which only blocks can use."""
    found = file.module.find(name)
    declared = None if found is None else found[1]
    return isinstance(declared, ast.Constant) or (isinstance(declared, ast.Block) and declared.keyword == "block")


def _removal(file: File, node: ast.Import, item: ast.ImportName) -> Hint:
    """The import without one of its names, or without itself."""
    if len(node.names) == 1:
        return delete_lines("delete the import", file.module.place(node.at))
    i = node.names.index(item)
    span = Span(item.at.start, node.names[i + 1].at.start) if i == 0 else Span(node.names[i - 1].at.end, item.at.end)
    return Hint(f"do not import `{item.name.id}`", (Edit(Place(file.module.source, span), ""),))
