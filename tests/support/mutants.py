"""Mutation runs: small changes of the source, each of which some test should notice. `make mutants`, never in CI.

Each mutant changes one operator, comparison, constant, condition or statement of a file. It is run in a fork of one
warm process: the mutated source is loaded in place of the module, then the tests of that area run until one fails. What
survives is written down, with the line as it was and as it became, for somebody to say why.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - loaded once, before the forks
import pytest

AREAS: dict[str, tuple[list[str], list[str], int | None]] = {
    "sizes": (
        ["sizes/dims", "sizes/constraints", "sizes/solve", "sizes/axis", "sizes/interval"],
        ["tests/sizes"],
        None,
    ),
    "elaborate": (["elaborate"], ["tests/language", "tests/ops/test_op_errors.py", "tests/zoo/test_zoo.py"], 150),
    "conv": (["ops/conv"], ["tests/ops", "tests/language/test_laws.py"], 150),
    "printer": (["backends/torch"], ["tests/torch", "tests/language/test_laws.py"], 150),
    "recipes": (["recipe/checks", "checks/recipes"], ["tests/recipes"], 150),
}
"""By name: the files or folders that are changed, the tests that should notice, and how many are drawn (none: all)."""

SECONDS = 45
"""A mutant that runs longer loops; somebody would notice."""

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


FREE = ("spend", "__repr__")
"""Calls and functions that are left alone: what work costs is not behaviour."""


def sites(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every field of a node that may be changed, but for annotations, texts for people and what work costs."""
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or field in ("annotation", "returns", "decorator_list"):
                continue
            call = child.value if isinstance(child, ast.Expr) else child
            name = getattr(getattr(call, "func", None), "id", getattr(child, "name", ""))
            if name in FREE or isinstance(child, ast.JoinedStr | ast.Assert | ast.Raise | ast.Import | ast.ImportFrom):
                continue
            yield node, field, index
            yield from sites(child)


class Mutant:
    """One change of one file."""

    def __init__(self, path: Path, number: int, turn: int) -> None:
        self.path, self.number, self.turn = path, number, turn
        self.tree = ast.parse(path.read_text())
        parent, field, index = list(sites(self.tree))[number]
        old = getattr(parent, field) if index is None else getattr(parent, field)[index]
        new = ast.fix_missing_locations(ast.copy_location(changes(old)[turn], old))
        if index is None:
            setattr(parent, field, new)
        else:
            getattr(parent, field)[index] = new
        self.line = getattr(old, "lineno", getattr(parent, "lineno", 0))
        self.text = f"{self.path}:{self.line}: {_short(old)}  ->  {_short(new)}"

    def load(self) -> None:
        """Let the module be loaded from the changed tree; whoever imported it already imports it again."""
        name = ".".join(self.path.with_suffix("").parts)
        code = compile(self.tree, str(self.path), "exec")
        sys.meta_path.insert(0, _Finder(name, code))
        for loaded in [m for m in sys.modules if m == "netdsl" or m.startswith("netdsl.")]:
            del sys.modules[loaded]


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


def killed(mutant: Mutant, tests: list[str]) -> bool:
    """Whether a test fails (or never ends) with this change."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        signal.alarm(SECONDS)
        os.environ["NETDSL_CACHE"] = "off"
        mutant.load()
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--hypothesis-seed=0"]
        os._exit(0 if pytest.main([*options, *tests]) == 0 else 1)
    return os.waitpid(pid, 0)[1] != 0


def files_of(names: list[str]) -> list[Path]:
    """The files of an area."""
    paths = [Path("netdsl", name) for name in names]
    return [f for p in paths for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p.with_suffix(".py")])]


def run(area: str, seed: int, most: int | None) -> None:
    """Run the mutants of one area and print the survivors and the share that was killed."""
    names, tests, drawn = AREAS[area]
    found = mutants(files_of(names))
    count = most or drawn
    if count and count < len(found):
        found = sorted(random.Random(seed).sample(found, count))
    survivors, begun = [], time.monotonic()
    for i, made in enumerate(found):
        mutant = Mutant(*made)
        if not killed(mutant, tests):
            survivors.append(mutant.text)
            print(mutant.text, flush=True)
        if i % 50 == 49:
            print(f"  {i + 1} of {len(found)}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    share = 1 - len(survivors) / max(1, len(found))
    print(f"{area}: {len(found) - len(survivors)} of {len(found)} killed ({share:.1%}), seed {seed}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", default=list(AREAS), help="which areas (all)")
    parser.add_argument("--seed", type=int, default=0, help="what the drawn mutants depend on")
    parser.add_argument("--most", type=int, help="how many mutants of each area")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for area in args.areas:
        run(area, args.seed, args.most)


if __name__ == "__main__":
    main()
