"""The law of lifting: `lift(export(net))` has the net's parameters, MACs and outputs, in few lines.

Run as a script, it prints a table over the zoo: `python tests/support/lift_laws.py [SPEC[:NET] ...]`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from msgspec import Struct

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import UserError
from netdsl.lift.lift import Lift, lift_model
from netdsl.loader import library, load_source, read_import, zoo
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.syntax import ast
from netdsl.syntax.format import format_file
from netdsl.syntax.parse import parse


class Compared(Struct, frozen=True):
    """One net, there and back. `reason`: why it was not lifted."""

    name: str
    nodes: int = 0
    definitions: tuple[int, int] = (0, 0)
    lines: tuple[int, int] = (0, 0)
    params: tuple[int, int] = (0, 0)
    macs: tuple[str, str] = ("", "")
    difference: float = 0.0
    seconds: float = 0.0
    reason: str = ""

    @property
    def ratio(self) -> float:
        return self.lines[0] / max(self.lines[1], 1)

    @property
    def is_equal(self) -> bool:
        return not self.reason and self.params[0] == self.params[1] and self.macs[0] == self.macs[1]


def there_and_back(name: str, folded: bool = False) -> tuple[Net, Lift]:
    """A net of the zoo by `spec:Net`, and what is lifted from its ONNX file."""
    file, _, declared = name.partition(":")
    net = Spec(load_source(f"{library()}/{file}.net"), read_import).net(declared or None)
    state = {k: v.numpy() for k, v in net.module(0).eval().state_dict().items()}
    model: Any = net.onnx(state, folded=folded)
    del model.metadata_props[:]
    return net, lift_model(model)


def compared(name: str) -> Compared:
    start = time.process_time()
    try:
        net, found = there_and_back(name)
    except UserError as error:
        return Compared(name, reason=error.message)
    theirs, ours = totals(net.checked.main), totals(found.net.checked.main)
    file, _, _ = name.partition(":")
    hand, lifted = written(load_source(f"{library()}/{file}.net"), net.name), written(Source(found.text), "Net")
    return Compared(
        name,
        found.nodes,
        (lifted[0], hand[0]),
        (lifted[1], hand[1]),
        (ours.params, theirs.params),
        (str(ours.macs), str(theirs.macs)),
        max(c.difference for c in found.proof),
        round(time.process_time() - start, 1),
    )


def written(source: Source, net: str) -> tuple[int, int]:
    """How many declarations a net reaches, in how many formatted lines."""
    found: dict[tuple[str, str], str] = {}
    _reach(source, net, found)
    lines = [line for text in found.values() for line in text.splitlines() if line.strip()]
    return len(found), len(lines)


def _reach(source: Source, name: str, found: dict[tuple[str, str], str]) -> None:
    file, _ = parse(source)
    for declared in file.declarations:
        if isinstance(declared, ast.Import):
            if any((n.alias or n.name).id == name for n in declared.names):
                _imported(source, declared, name, found)
            continue
        if _name_of(declared) != name or (source.name, name) in found:
            continue
        found[source.name, name] = format_file(_only(file, declared))
        for other in _names(declared):
            if other != name:
                _reach(source, other, found)


def _name_of(declared: Any) -> str:
    name = getattr(declared, "name", None)
    return name.id if isinstance(name, ast.Name) and not isinstance(declared, ast.Recipe | ast.Expect) else ""


def _only(file: Any, declared: Any) -> Any:
    from msgspec.structs import replace

    bare = replace(declared, doc="") if "doc" in declared.__struct_fields__ else declared
    return replace(file, declarations=(bare,), comments=(), doc="")


def _names(node: Any) -> set[str]:
    """The names that a declaration mentions."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Node):
        return set().union(*(_names(getattr(node, f)) for f in node.__struct_fields__ if f != "at"))
    return set().union(*map(_names, node)) if isinstance(node, tuple) else set()


def _imported(source: Source, declared: Any, name: str, found: dict[tuple[str, str], str]) -> None:
    other = read_import(declared.module, source)
    if other is not None:
        _reach(other, name, found)


def row(found: Compared) -> str:
    if found.reason:
        return f"| {found.name} | {found.reason[:110]} |"
    equal = "equal" if found.is_equal else f"params {found.params}, macs {found.macs}"
    lines = f"{found.lines[0]} / {found.lines[1]} = {found.ratio:.2f}"
    definitions = f"{found.definitions[0]} / {found.definitions[1]}"
    agreement = f"{equal}, {found.difference:.0e}"
    return f"| {found.name} | {found.nodes} | {definitions} | {lines} | {agreement} | {found.seconds} |"


if __name__ == "__main__":
    print("| net | nodes | definitions | lines lifted / hand-written | params, MACs, outputs | CPU s |", flush=True)
    for wanted in sys.argv[1:] or zoo():
        try:
            print(row(compared(wanted)), flush=True)
        except Exception as error:  # the table goes on
            print(f"| {wanted} | {type(error).__name__}: {str(error)[:150]} |", flush=True)
