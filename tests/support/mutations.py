"""Small changes of a source file: one operator, comparison, constant, condition or statement each."""

from __future__ import annotations

import ast
import copy
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Add], ast.FloorDiv: [ast.Mult], ast.Mod: [ast.FloorDiv],
    ast.Div: [ast.Mult], ast.Pow: [ast.Mult], ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And], ast.USub: [ast.UAdd],
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil", "sorted": "list"}


def changes(node: ast.AST) -> list[ast.AST]:
    """What may stand in place of a node."""
    made: list[ast.AST] = []

    def add(**fields: Any) -> None:
        other = copy.copy(node)
        vars(other).update(fields)
        made.append(other)

    if isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp):
        for kind in OPERATORS.get(type(node.op), []):
            add(op=kind())
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            made.append(node.operand)
    elif isinstance(node, ast.Compare):
        for kind in OPERATORS.get(type(node.ops[0]), []):
            add(ops=[kind(), *node.ops[1:]])
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        add(value=not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        add(func=ast.copy_location(ast.Name(CALLS[node.func.id], ast.Load()), node.func))
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        add(test=ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test))
    elif isinstance(node, ast.AugAssign):
        for kind in OPERATORS.get(type(node.op), []):
            add(op=kind())
    elif isinstance(node, ast.Continue | ast.Break):
        made.append(ast.copy_location(ast.Break() if isinstance(node, ast.Continue) else ast.Continue(), node))
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        add(value=ast.copy_location(ast.Constant(None), node))
    return made


FREE = ("spend", "__repr__", "TYPE_CHECKING")
"""Calls, functions and conditions that are left alone: what work costs is not behaviour."""


LEFT = (ast.JoinedStr, ast.Assert, ast.Raise, ast.Import, ast.ImportFrom)
"""What is left alone, as is `strict` of a `zip`, which asserts."""


def sites(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every field of a node that may be changed, but for annotations, texts for readers and what work costs."""
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or field in ("annotation", "returns", "decorator_list"):
                continue
            call = child.value if isinstance(child, ast.Expr) else child
            name = getattr(getattr(call, "func", getattr(child, "test", None)), "id", getattr(child, "name", ""))
            if name in FREE or isinstance(child, LEFT) or getattr(child, "arg", "") == "strict":
                continue
            yield node, field, index
            yield from sites(child)


class Mutant:
    """One change of one file.

    `owner`: the qualified name of the outermost function that is changed, None where the change is outside of
    functions. `begin`: the lines on which that function begins: a test that reaches none of them can't notice. `lines`:
    those of the statement.
    """

    def __init__(self, path: Path, number: int, turn: int) -> None:
        self.path, self.number, self.turn = path, number, turn
        self.tree = ast.parse(path.read_text())
        parent, field, index = list(sites(self.tree))[number]
        old = getattr(parent, field) if index is None else getattr(parent, field)[index]
        new = ast.fix_missing_locations(ast.copy_location(changes(old)[turn], old))
        self.owner, self.begin, self.lines = _place(self.tree, old)
        if index is None:
            setattr(parent, field, new)
        else:
            getattr(parent, field)[index] = new
        self.line = getattr(old, "lineno", getattr(parent, "lineno", 0))
        self.text = f"{self.path}:{self.line}: {_short(old)}  ->  {_short(new)}"
        self.key = f"{number}.{turn} {self.text}"

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts)

    def load(self, *rooms: str) -> None:
        """Let the module be loaded from the changed tree; what was imported from these packages is imported again."""
        sys.meta_path.insert(0, _Finder(self.module, compile(self.tree, str(self.path), "exec")))
        for loaded in [m for m in sys.modules if f"{m}.".startswith(tuple(f"{r}." for r in rooms))]:
            del sys.modules[loaded]

    def put(self, functions: dict[tuple[str, str, int], list[FunctionType]]) -> bool:
        """Give the functions of this process, by file, qualified name and line, the changed code; whether that is all.

        It is not where the change is outside of functions.
        """
        found = 0
        for code in _codes(compile(self.tree, str(self.path.absolute()), "exec")):
            if self.owner and f"{code.co_qualname}.".startswith(f"{self.owner}."):
                for function in functions.get((code.co_filename, code.co_qualname, code.co_firstlineno), ()):
                    function.__code__ = code
                    found += code.co_qualname == self.owner
        return found > 0


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _place(tree: ast.Module, node: ast.AST) -> tuple[str | None, set[int], set[int]]:
    """The outermost function around a node, where it begins, and the lines of the statement around the node."""
    names: list[str] = []
    owner: str | None = None
    begin: set[int] = set()
    parts, statement = tree.body, None
    while inner := next((s for s in parts if any(n is node for n in ast.walk(s))), None):
        statement = inner
        parts = [s for s in ast.walk(inner) if isinstance(s, ast.stmt) and s is not inner]
        parts = [s for s in parts if not any(s is not o and s in ast.walk(o) for o in parts)]
        if owner is None and isinstance(inner, ast.FunctionDef | ast.ClassDef):
            names.append(inner.name)
            if isinstance(inner, ast.FunctionDef) and any(n is node for s in inner.body for n in ast.walk(s)):
                owner = ".".join(names)
                begin = set(range(min([inner.lineno, *(d.lineno for d in inner.decorator_list)]), inner.lineno + 1))
    assert statement is not None
    ends = min((s.lineno - 1 for s in parts), default=statement.end_lineno or statement.lineno)
    lines = set(range(statement.lineno, max(statement.lineno, ends) + 1))
    first = getattr(node, "lineno", statement.lineno)
    return owner, begin, lines | set(range(first, getattr(node, "end_lineno", first) + 1))


def _short(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0][:90]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, name: str, code: Any) -> None:
        self.name, self.code = name, code

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: Any) -> None:
        exec(self.code, module.__dict__)


def mutants(files: list[Path]) -> list[tuple[Path, int, int]]:
    """Every mutant of these files, as what `Mutant` is made of."""
    found = []
    for path in files:
        tree = ast.parse(path.read_text())
        for number, (parent, field, index) in enumerate(sites(tree)):
            node = getattr(parent, field) if index is None else getattr(parent, field)[index]
            found += [(path, number, turn) for turn in range(len(changes(node)))]
    return found
