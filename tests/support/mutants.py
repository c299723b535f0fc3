"""Mutation runs: small changes of the source, each of which some test should notice. `make mutants`, never in CI.

Each mutant changes one operator, comparison, constant, condition or statement of a file. It is run in a fork of one
warm process: the mutated source is loaded in place of the module, then the tests of that area that call the changed
function run until one fails. What survives is written down, with the line as it was and as it became, for somebody to
say why.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from reach import Chosen, Reach, Recorder
from replay import Replay

AREAS: dict[str, tuple[list[str], list[str], int | None]] = {
    "sizes": (["sizes"], ["tests/sizes"], None),
    "elaborate": (["elaborate"], ["tests/language", "tests/ops/test_op_errors.py", "tests/zoo/test_zoo.py"], 150),
    "conv": (["ops/conv"], ["tests/ops", "tests/language/test_laws.py", "tests/language/test_positions.py"], 150),
    "printer": (["backends/torch"], ["tests/torch", "tests/language/test_laws.py"], 150),
    "weights": (["weights"], ["tests/weights"], 60),
    "recipes": (["recipe/checks", "checks/recipes"], ["tests/recipes"], 150),
}
"""By name: the files or folders that are changed, the tests that should notice, and how many are drawn (none: all)."""

FEW_EXAMPLES, ALL_EXAMPLES = 30, 10_000
"""Of each law: most mutants fall to few, and those that do not are given all that the law asks for."""

SECONDS, ALL_SECONDS, WAIT, MEMORY = 10, 60, 600, 8 << 30
"""A mutant that computes longer in a test, waits longer or takes more memory loops; somebody would notice.
`ALL_SECONDS`: how many seconds of tests are asked, the cheapest first."""

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
    """Every field of a node that may be changed, but for annotations, texts for readers and what work costs."""
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

    def load(self, room: str = "netdsl") -> None:
        """Let the module be loaded from the changed tree; whoever imported it already imports it again."""
        name = ".".join(self.path.with_suffix("").parts)
        code = compile(self.tree, str(self.path), "exec")
        sys.meta_path.insert(0, _Finder(name, code))
        for loaded in [m for m in sys.modules if m == room or m.startswith(f"{room}.")]:
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


class Hasty:
    """A plugin of pytest that gives laws few examples, not shrunk; given all, the laws alone run."""

    def __init__(self, examples: int) -> None:
        self.examples = examples

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        laws = [item for item in items if hasattr(getattr(item, "obj", None), "hypothesis")]
        for item in laws:
            own = item.obj._hypothesis_internal_use_settings
            most = min(own.max_examples, self.examples)
            phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
            item.obj._hypothesis_internal_use_settings = hypothesis.settings(
                own, max_examples=most, phases=phases, database=None
            )
        if self.examples == ALL_EXAMPLES:
            items[:] = laws


OPTIONS = [
    "-x",
    "-q",
    "--tb=no",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore",
    "-m",
    "not slow",
    "--hypothesis-seed=0",
]


class Asked:
    """The tests of an area that can notice a change, run by pytest in forks of this process."""

    def __init__(self, files: list[Path], tests: list[str], seconds: float) -> None:
        self.seconds = seconds
        self.folder = Path(tempfile.mkdtemp())
        recorded = self.folder / "reach.json"
        for heavy in ("torch", "onnx", "onnxruntime", "sklearn.datasets", "rich", "netdsl.cli.main"):
            importlib.import_module(heavy)
        failed = _forked(lambda: pytest.main([*OPTIONS, *tests], [Recorder(files, recorded)]) == 0, limited=False)
        assert not failed, "the tests fail without any change"
        self.reach = Reach(recorded)

    def notice(self, mutant: Mutant) -> bool:
        """Whether one of them fails, or never ends: of laws few examples first, then all that a law asks for."""
        names = self.reach.of(mutant.path, mutant.line, self.seconds)
        if not names:
            return False
        for examples in (FEW_EXAMPLES, ALL_EXAMPLES):
            last = self.folder / "last"
            last.write_text("")
            if _forked(lambda examples=examples, last=last: self._passes(mutant, names, examples, last)):
                self.reach.killers.append(last.read_text())
                return True
        return False

    def _passes(self, mutant: Mutant, names: list[str], examples: int, last: Path) -> bool:
        mutant.load()
        files = sorted({name.split("::")[0] for name in names})
        plugins = [Hasty(examples), Chosen(names, SECONDS, last)]
        return pytest.main([*OPTIONS, *files], plugins) in (0, pytest.ExitCode.NO_TESTS_COLLECTED)


def _forked(passes: Callable[[], bool], limited: bool = True) -> bool:
    """Whether something does not pass, or never ends, in a process of its own."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        if limited:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(WAIT)
        os.environ["NETDSL_CACHE"] = "off"
        code = 1
        try:
            code = 0 if passes() else 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] != 0


def files_of(names: list[str]) -> list[Path]:
    """The files of an area."""
    paths = [Path("netdsl", name) for name in names]
    return [f for p in paths for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p.with_suffix(".py")])]


def _of_sizes() -> Callable[[Mutant], bool]:
    """Whether the tests of sizes, which need no pytest, notice a change."""
    replay = Replay(sorted(Path("tests/sizes").glob("test_*.py")), "netdsl.sizes")
    assert not _forked(replay.passes), "the tests fail without any change"
    return lambda mutant: _forked(lambda: (mutant.load(replay.room), replay.passes())[1])


def run(area: str, args: argparse.Namespace) -> None:
    """Run the mutants of one area, or of one file of it (`sizes/solve`); print the survivors and the share killed."""
    name, _, file = area.partition("/")
    names, tests, drawn = AREAS[name]
    seed, most, (part, parts) = args.seed, args.most, map(int, args.part.split("/"))
    found = mutants([f for f in files_of(names) if file in ("", f.stem)])
    count = most or drawn
    if count and count < len(found):
        found = sorted(random.Random(seed).sample(found, count))
    asked = ["-k", args.only, *(args.tests or tests)]
    noticed = _of_sizes() if name == "sizes" else Asked(files_of(names), asked, args.seconds).notice
    survivors, begun = [], time.monotonic()
    for i, made in enumerate(found[part::parts]):
        mutant = Mutant(*made)
        if not noticed(mutant):
            survivors.append(mutant.text)
            print(mutant.text, flush=True)
        if i % 20 == 19:
            print(f"  {i + 1} of {len(found)}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    count = len(found[part::parts])
    print(f"{area}: {count - len(survivors)} of {count} killed ({1 - len(survivors) / max(1, count):.1%}), seed {seed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", default=list(AREAS), help="areas (all), or files: `sizes/solve`")
    parser.add_argument("--seed", type=int, default=0, help="what the drawn mutants depend on")
    parser.add_argument("--most", type=int, help="how many mutants of each area")
    parser.add_argument("--part", default="0/1", help="every n-th mutant only: `0/2` and `1/2` are run side by side")
    parser.add_argument("--tests", nargs="+", help="ask these files instead of all tests of the area")
    parser.add_argument("--only", default="", help="of the tests, those that pytest's -k chooses")
    parser.add_argument("--seconds", type=float, default=ALL_SECONDS, help="of tests that a mutant is shown to")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for area in args.areas:
        run(area, args)


if __name__ == "__main__":
    main()
