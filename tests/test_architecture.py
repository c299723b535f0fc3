"""The house rules: rooms, one-way dependencies, who may import what, how large a file or a function may be."""

from __future__ import annotations

import ast
import statistics
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "netdsl"
FILES = sorted(p for p in ROOT.rglob("*.py"))

RANKS = {
    "source": 0, "diagnostics": 0, "dims": 0, "constraints": 0, "tensors": 0,
    "ops": 1, "syntax": 1, "recipe": 2,
    "ir": 3, "passes": 4, "backends": 5, "pipeline": 6, "loader": 6, "delivery": 7,
    "summary": 7, "render": 8, "view": 8, "api": 9, "training": 9, "cli": 10, "lsp": 10,
}  # fmt: skip
"""An import may only point at the same rank or a lower one; within a rank, files must not import in circles."""

MAY_IMPORT = {
    "lark": ("syntax/",),
    "torch": (
        "training/",
        "cli/training.py",
        "backends/torch/module.py",
        "weights/read.py",
        "backends/verify",
        "api.py",
    ),
    "onnx": ("backends/onnx_",),
    "onnxruntime": ("backends/verify", "backends/onnx/session.py"),
    "rich": ("render/", "cli/", "training/"),
}


def room(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[tuple[str, bool]]:
    """Every imported module but those for types only, and whether it is imported when the file is."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, eager: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((a.name, eager) for a in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.extend((f"{child.module}.{a.name}", eager) for a in child.names)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            visit(child, eager and not function)

    visit(tree, True)
    return found


TREES = {p: ast.parse(p.read_text()) for p in FILES}


def target(name: str) -> Path | None:
    """The file of netdsl that an import means."""
    parts = name.split(".")
    while len(parts) > 1:
        base = ROOT.joinpath(*parts[1:])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        parts.pop()
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = RANKS.get(room(path), 99)
    for name, eager in imports(TREES[path]):
        found = target(name) if name.startswith("netdsl.") else None
        if found is not None and eager and room(found) in RANKS:
            assert RANKS[room(found)] <= own, f"{path.relative_to(ROOT)} imports {name} from a room above it"


def test_no_import_cycles() -> None:
    graph = {
        path: {
            t
            for name, eager in imports(tree)
            if eager and name.startswith("netdsl") and (t := target(name)) and t != path
        }
        for path, tree in TREES.items()
    }
    tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    for path, tree in TREES.items():
        relative = str(path.relative_to(ROOT))
        if any(name.split(".")[0] == library for name, _ in imports(tree)):
            assert relative.startswith(MAY_IMPORT[library]), f"{relative} imports {library}"


def functions() -> list[tuple[str, int]]:
    found = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.lineno
                found.append((f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - start + 1))
    return found


def test_sizes() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in FILES}
    assert not {p: n for p, n in lengths.items() if n > 400}
    assert statistics.median(lengths.values()) < 150
    sizes = functions()
    assert not [(n, s) for n, s in sizes if s > 50]
    assert statistics.median(s for _, s in sizes) < 10


def test_no_vague_file_names() -> None:
    vague = {"utils", "helpers", "core", "common", "misc"}
    assert not [p for p in FILES if p.stem in vague]


def test_reserved_names_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    from netdsl.elaborate.build import RESERVED

    public = {n for n in dir(torch.nn.Module()) if not n.startswith("_")}
    assert public <= RESERVED, sorted(public - RESERVED)
    assert sys.version_info >= (3, 11)
