"""The house rules: rooms, one-way dependencies, who may import what, how large and how branched a function may be.

Every kind of import counts: eager, inside a function, and for type checking only.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from netdsl.diagnostics.packages import REQUIREMENTS

ROOT = Path(__file__).parent.parent / "netdsl"
FILES = sorted(p for p in ROOT.rglob("*.py"))

FLOORS = (
    ("version", "source", "cache", "budget", "garbage"),
    ("sizes",),
    ("tensors", "diagnostics"),
    ("ops", "syntax"),
    ("ir", "recipe"),
    ("analysis", "backends/torch", "backends/onnx"),
    ("elaborate", "weights"),
    ("planning",),
    ("checks",),
    ("loader", "pipeline", "revision"),
    ("checked", "selection", "fixes", "plugins"),
    ("summary",),
    ("render", "verify", "view"),
    ("diff", "lift"),
    ("inference",),
    ("training",),
    ("probe", "records", "experiment", "precision", "publish"),
    ("api",),
    ("cli", "lsp", "notebook", "highlight", "playground"),
    ("__init__", "__main__"),
)
"""The rooms from the ground up. A room may import those below it and those on its own floor."""

RANKS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

MAY_IMPORT = {
    "lark": ("syntax/",),
    "pygls": ("lsp/",),
    "pygments": ("highlight/",),
    "lsprotocol": ("lsp/",),
    "torch": (
        "training/",
        "cli/training.py",
        "backends/torch/module.py",
        "weights/",
        "verify/",
        "precision/",
        "probe/",
        "lift/exported.py",
        "api.py",
    ),
    "onnx": ("backends/onnx/", "verify/", "precision/", "weights/initializers.py", "lift/"),
    "onnxruntime": ("verify/", "precision/", "backends/onnx/session.py"),
    "rich": ("render/", "cli/", "training/"),
}

COMPLEX: dict[str, int] = {
    "analysis/stages:_walk": 14,
    "backends/onnx/targets:_sink": 16,
    "backends/torch/arguments:_padding": 13,
    "backends/torch/containers:_chain": 14,
    "backends/torch/guards:bind": 13,
    "backends/torch/known:given": 13,
    "backends/torch/layout:_flat": 17,
    "backends/torch/layout:_open": 13,
    "backends/torch/loops:is_loop": 14,
    "backends/torch/sizes:_sum": 14,
    "backends/torch/unify:_unify": 21,
    "elaborate/build:_is_chain": 15,
    "elaborate/elaborate:block": 14,
    "elaborate/expressions:_block_call": 13,
    "elaborate/signature:check_sizes": 15,
    "ops/cropping:_sides": 14,
    "ops/windowbias:onnx": 13,
    "planning/plan:_fields": 14,
    "planning/plan:_memory": 13,
    "planning/plan:_notes": 13,
    "recipe/bind:bind": 15,
    "recipe/checks:_optimizer": 14,
    "recipe/text:shown": 15,
    "sizes/dims:_reduced_floor": 14,
    "syntax/document:lines": 15,
    "syntax/mistakes:_expected": 15,
    "syntax/mistakes:_region": 15,
    "syntax/placement:_between": 14,
    "syntax/placement:_place": 13,
    "training/data/fit:fit": 13,
    "training/kernels/cpu_convolutions:uses_channels_last": 13,
    "training/readers/mixing:read_mixing": 13,
    "training/report/svg:curves": 15,
    "training/trainer:__init__": 13,
    "verify/compare:_difference": 13,
}
"""Functions whose cyclomatic complexity is above LIMIT, and by how much. This list only shrinks."""

LIMIT = 12


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


def room(path: Path) -> str:
    parts = name_of(path).split("/")
    return "/".join(parts[:2]) if parts[0] == "backends" else parts[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def runtime_nodes(path: Path) -> list[ast.AST]:
    """The nodes of a file but for what is imported for type checking only."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            found.append(node)
            waiting += ast.iter_child_nodes(node)
    return found


@cache
def imports(path: Path, types: bool = True) -> tuple[str, ...]:
    """Every module or member that a file imports, wherever in the file; `types` counts those for type checking only."""
    found: list[str] = []
    for node in ast.walk(tree(path)) if types else runtime_nodes(path):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} has a relative import"
            found += [f"{node.module}.{a.name}" for a in node.names]
    return tuple(found)


def file_of(name: str) -> Path | None:
    """The file of netdsl that an import means."""
    parts = name.split(".")
    while parts and parts[0] == "netdsl":
        base = ROOT.joinpath(*parts[1:])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        parts.pop()
    return None


def imported(path: Path) -> set[Path]:
    return {found for name in imports(path) if (found := file_of(name)) is not None and found != path}


def test_every_room_has_a_floor() -> None:
    rooms = {room(p) for p in FILES if p.parent.name != "backends"}
    assert rooms == set(RANKS), "a new room is listed in FLOORS, and one that is gone is taken out"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    for other in imported(path):
        if other == ROOT / "__init__.py":
            raise AssertionError(f"{name_of(path)} imports the package itself")
        assert RANKS[room(other)] <= RANKS[room(path)], f"{name_of(path)} imports {name_of(other)} from a room above"


def test_no_import_circles() -> None:
    try:
        TopologicalSorter({path: imported(path) for path in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(name_of(p) for p in error.args[1]))


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    for path in FILES:
        relative = str(path.relative_to(ROOT))
        if any(name.split(".")[0] == library for name in imports(path, types=False)):
            assert relative.startswith(MAY_IMPORT[library]), f"{relative} imports {library}"


SAYS = {"args", "parser", "print", "print_json", "Failure", "Refused", "argparse", "sys"}
"""Names in a function that parses, prints or refuses."""
MOST_ELSE = 11
"""Statements of a function of the command line that does none of these: words for what is printed."""


def test_the_command_line_parses_prints_and_exits() -> None:
    """What it decides stands below, where the API and the language server find it: `cli/` has no classes but those of
    its failures, starts no programs, and what neither sees the arguments nor says something is short."""
    for path in (p for p in FILES if room(p) == "cli" and p.stem != "files"):
        own = tree(path).body
        classes = [node.name for node in own if isinstance(node, ast.ClassDef)]
        assert not classes or name_of(path) == "cli/failure", f"{name_of(path)} has classes: {classes}"
        assert not {"subprocess", "msgspec.Struct"} & set(imports(path)), f"{name_of(path)} does work"
        for node in (n for n in own if isinstance(n, ast.FunctionDef)):
            inside = list(ast.walk(node))
            named = {n.id for n in inside if isinstance(n, ast.Name)}
            named |= {n.arg for n in inside if isinstance(n, ast.arg)}
            count = sum(isinstance(n, ast.stmt) and not isinstance(n, ast.ImportFrom) for n in inside) - 1
            assert named & SAYS or count <= MOST_ELSE, f"{name_of(path)}: {node.name} belongs to a room below"


BROUGHT = {"httpx": "huggingface-hub", "pyarrow": "datasets"}
"""Packages that come with another one."""
HOSTS = {"pygments"}
"""Imported only by code that runs inside them."""
ALWAYS = {"lark", "msgspec"}
"""Without these there is no installation."""


def test_what_is_imported_is_declared_and_explained() -> None:
    """And where it is missing, a command can name it. A package that comes with another one may go with it."""
    about = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    lists = [about["dependencies"], *about["optional-dependencies"].values()]
    declared = {re.split(r"[><=]", entry)[0] for entries in lists for entry in entries}
    bounded = {entry for entries in lists for entry in entries if "<" in entry}
    assert {r for r in REQUIREMENTS.values() if "<" in r} == {e for e in bounded if not e.startswith("lark")}
    roots = {name.split(".")[0] for path in FILES for name in imports(path)}
    foreign = roots - set(sys.stdlib_module_names) - {"netdsl"} - HOSTS
    assert foreign - ALWAYS <= set(REQUIREMENTS)
    assert {BROUGHT.get(name, REQUIREMENTS.get(name, name)).partition(">")[0] for name in foreign} <= declared
    page = (ROOT.parent / "docs" / "dependencies.md").read_text().lower()
    assert [n for n in declared if n.replace("-skinny", "") not in page and n.replace("-", "_") not in page] == []


def test_no_reaching_into_private_members() -> None:
    """`other._name` belongs to `self`, `cls`, or the file that defines it."""
    private = {path: {n for n in defined(path) if n.startswith("_") and not n.startswith("__")} for path in FILES}
    ours = set().union(*private.values())
    found = [
        f"{name_of(path)}:{node.lineno}: .{node.attr}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ours - private[path] and not _is_self(node.value)
    ]
    assert not found


OTHERS = {
    "training/python_data.py", "training/user_functions.py",
    "training/report/live.py", "training/report/trackers.py", "training/kernels/memory.py",
    "training/readers/tables.py", "training/data/prefetch.py", "training/data/preprocessing.py",
    "training/distributed/shards.py", "training/distributed/process_group.py", "syntax/mistakes.py",
    "weights/unwrap.py", "render/reference.py", "plugins/calls.py", "plugins/loading.py", "plugins/known.py",
    "plugins/checks.py", "cli/main.py", "cli/training.py", "cli/foreign.py",
}  # fmt: skip
"""Files that look at values of other packages, or of a user's: what these have is asked of them. It only shrinks."""


def test_own_values_are_not_asked_for_what_they_have() -> None:
    """`getattr(node, "name", None)` of a value of ours hides which classes have it: `isinstance` says it. An op's
    argument by name: `ops.base.argument`."""
    asking = {
        name_of(path)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr")
        if isinstance(node.args[1], ast.Constant)
        and not (isinstance(node.args[0], ast.Name) and node.args[0].id == "os")
    }
    assert {f"{name}.py" for name in asking} == OTHERS


def defined(path: Path) -> set[str]:
    """The functions, classes and attributes that a file defines."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def functions() -> list[tuple[str, ast.FunctionDef]]:
    nodes = [(path, node) for path in FILES for node in ast.walk(tree(path))]
    return [(f"{name_of(path)}:{node.name}", node) for path, node in nodes if isinstance(node, ast.FunctionDef)]


def length(node: ast.FunctionDef) -> int:
    start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.lineno
    return (node.end_lineno or 0) - start + 1


def complexity(node: ast.FunctionDef) -> int:
    """McCabe's number: one more than the branches; each `and`, `or`, comprehension, handler and case is one."""
    count = 1
    for inner in ast.walk(node):
        if isinstance(inner, ast.If | ast.IfExp | ast.For | ast.While | ast.ExceptHandler | ast.Assert):
            count += 1
        elif isinstance(inner, ast.BoolOp):
            count += len(inner.values) - 1
        elif isinstance(inner, ast.comprehension):
            count += 1 + len(inner.ifs)
        elif isinstance(inner, ast.match_case):
            count += 1
    return count


def test_sizes() -> None:
    lengths = {name_of(p): len(p.read_text().splitlines()) for p in FILES}
    assert not {p: n for p, n in lengths.items() if n > 400}
    assert statistics.median(lengths.values()) < 150
    sizes = [(name, length(node)) for name, node in functions()]
    assert not [(n, s) for n, s in sizes if s > 50]
    assert statistics.median(s for _, s in sizes) < 10


def test_complexity() -> None:
    found: dict[str, int] = {}
    for name, node in functions():
        if (value := complexity(node)) > LIMIT:
            found[name] = max(value, found.get(name, 0))
    new = {n: v for n, v in found.items() if v > COMPLEX.get(n, LIMIT)}
    assert not new, "split these functions"
    gone = {n: v for n, v in COMPLEX.items() if found.get(n, 0) < v}
    assert not gone, "the list of exceptions only shrinks: lower or delete these entries"


def test_no_vague_file_names() -> None:
    vague = {"utils", "helpers", "core", "common", "misc"}
    assert not [p for p in FILES if p.stem in vague]


def test_reserved_names_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    from netdsl.ir.reserved import DICT, RESERVED

    public = {n for n in dir(torch.nn.Module()) if not n.startswith("_")}
    assert public <= RESERVED, sorted(public - RESERVED)
    assert {n for n in dir(torch.nn.ModuleDict()) if not n.startswith("_")} == public | DICT
    assert sys.version_info >= (3, 11)


def test_the_page_names_places_that_exist() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    for row in (line for line in page.splitlines() if line.startswith("| ")):
        named = re.findall(r"`([\w/]+(?:\.\w+|/))`", row)
        homes = (ROOT, ROOT.parent, ROOT.parent / "website")
        bases = [*homes, *(home / name for home in homes for name in named)]
        assert [p for p in named if not any((base / p).exists() for base in bases)] == [], row
    assert {room for rooms in FLOORS for room in rooms if (ROOT / room).is_dir() and f"`{room}/`" not in page} == set()
