"""How the nets of the zoo read as PyTorch, counted over all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from paths import SPECS

from netdsl.backends.torch.source import emit
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec

NUMBERED = {
    "Stage4": "the label `stage4` of GoogLeNet's spec",
    "C3": "the name of a layer in LeCun et al. (1998)",
}
"""The classes of the zoo with a number at their end, with the reason."""


LONGER = {"LeNet5_1998": "the bitmaps of its targets"}
"""Nets whose source takes more than 15 KiB, with the reason."""


@cache
def texts() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(SPECS.glob("*.net")):
        spec = Spec(load_source(path), read_import)
        for name in spec.nets:
            program = spec.net(name).program
            if program is not None:
                found[name] = emit(program, class_name=name)
    return found


@cache
def emitted() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, text in texts().items()}


def classes(helpers: bool = False) -> Iterator[tuple[str, ast.ClassDef]]:
    """The classes of each net; helpers of an op have no comment of where they are from, but come first."""
    for net, tree in emitted().items():
        for item in tree.body:
            if isinstance(item, ast.ClassDef) and (helpers or _is_block(item)):
                yield net, item


def _is_block(item: ast.ClassDef) -> bool:
    forward = [f for f in item.body if isinstance(f, ast.FunctionDef) and f.name == "forward"]
    return ast.unparse(item.bases[0]) == "nn.Module" and bool(forward) and forward[0].returns is not None


def test_no_class_is_told_from_another_by_a_number() -> None:
    found = {c.name for net, c in classes() if c.name[-1].isdigit() and c.name != net}
    assert found == NUMBERED.keys()


def test_no_comment_names_what_its_class_does_not_have() -> None:
    for net, item in classes():
        doc = ast.get_docstring(item) or ""
        named = set(re.findall(r"`([A-Za-z_]\w*)`", doc))
        body = item.body[1:] if doc else item.body
        text = "\n".join(map(ast.unparse, body))
        assert all(re.search(rf"\b{name}\b", text) for name in named), (net, item.name, doc)


def test_methods_have_type_hints() -> None:
    for net, item in classes():
        for method in item.body:
            if isinstance(method, ast.FunctionDef):
                bare = [a.arg for a in method.args.args[1:] if a.annotation is None]
                assert not bare, (net, item.name, bare)


def test_blocks_are_few() -> None:
    assert sum(1 for _ in classes()) <= 4 * len(texts())


def test_sources_are_short() -> None:
    assert {name for name, text in texts().items() if len(text.encode()) > 15 * 1024} == LONGER.keys()


def test_lines_fit_a_screen() -> None:
    long = {name: line for name, text in texts().items() for line in text.splitlines() if len(line) > 120}
    assert long.keys() <= {"GAT_Edges"}, long
