"""The method `init_weights`: the initialization of a recipe as PyTorch, by the types of modules as a person writes it.

A tensor is named by the innermost class all of whose instances set it in the same way: `nn.Conv2d`'s `weight` where
every convolution is drawn, `Bottleneck`'s `conv_bn3.bn.weight` where only the last norm of a block is, and
`self.head[5].weight` where it is the only one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from msgspec import Struct
from msgspec.structs import replace

from netdsl.analysis.count import join, parameters
from netdsl.backends.torch.classes import Classes
from netdsl.backends.torch.layout import INDENT, WIDTH, Layout
from netdsl.backends.torch.quoting import docstring, escaped
from netdsl.backends.torch.tree import Apply, Group, Node, Num, Text
from netdsl.ir.initial import Assignment, Initialization
from netdsl.ir.model import Definition, Layer, Program

NAME = "init_weights"
FEW = 3
"""More tensors than this that are set alike by their paths are set in a loop."""
BY_PATH = 6
"""If a step sets no more tensors than this, it names them by their paths."""

Calls = tuple[Assignment, ...]
"""What is done to a tensor; the paths of the assignments are empty."""


class Rule(Struct, frozen=True):
    """`attribute` (a path) is set in every instance of a class; `optional`: some instances have None there."""

    attribute: str
    calls: Calls
    optional: bool = False


class Modules:
    """The modules of a net by path, with their classes as the file calls them, base classes first.

    The net itself is the only instance of the class without a name.
    """

    def __init__(self, program: Program, classes: Classes, helpers: Sequence[str]) -> None:
        self.of = {i: found.name for i, (found, _) in classes.of.items()}
        self.forms = classes.forms
        self.helpers = {c.name: c for text in helpers for c in ast.parse(text).body if isinstance(c, ast.ClassDef)}
        self.parameters = [p.path for p in parameters(program.main)]
        self.kinds: dict[str, tuple[str, ...]] = {}
        self.instances: dict[str, list[str]] = {}
        self._walk(program.main, "")
        self._add("", ("",))

    def _walk(self, definition: Definition, path: str) -> None:
        for layer in definition.layers:
            inner = join(path, layer.name)
            if isinstance(layer.callee, Definition):
                name = self.of.get(id(layer.callee))
                self._add(inner, (name,) if name else ())
                self._walk(layer.callee, inner)
            else:
                self._layer(inner, self._constructor(layer))

    def _constructor(self, layer: Layer) -> str:
        """The class of an op's layer; empty where it has none."""
        assert not isinstance(layer.callee, Definition)
        form = self.forms.of(layer.callee, layer.inputs).module
        while form is not None and form.name.startswith("nn.utils."):
            form = form.args[0]
        return form.name if form is not None else ""

    def _layer(self, path: str, name: str) -> None:
        """A layer of a class of torch or of a helper, with the modules that a helper constructs."""
        kinds, found = [name] if name else [], self.helpers.get(name)
        while found is not None:
            for attribute, inner in _constructed(found):
                self._layer(join(path, attribute), inner)
            base = ast.unparse(found.bases[0])
            kinds += [base] if base != "nn.Module" else []
            found = self.helpers.get(base)
        self._add(path, tuple(reversed(kinds)))

    def _add(self, path: str, kinds: tuple[str, ...]) -> None:
        self.kinds[path] = kinds
        for kind in kinds:
            self.instances.setdefault(kind, []).append(path)

    def rules(self, assignments: Iterable[Assignment]) -> dict[str, list[Rule]]:
        """The assignments by class. Those without a class of their own are of the net, by their whole paths."""
        calls: dict[str, Calls] = {}
        for a in assignments:
            calls[a.path] = (*calls.get(a.path, ()), replace(a, path=""))
        if len(calls) <= BY_PATH:
            return {"": [Rule(path, own) for path, own in calls.items()]}
        known, covered = set(self.parameters), set[str]()
        found: dict[str, list[Rule]] = {}
        for path in calls:
            if path not in covered:
                kind, rule, paths = next(self._candidates(path, calls, known))
                found.setdefault(kind, []).append(rule)
                covered |= paths
        return found

    def _candidates(self, path: str, calls: dict[str, Calls], known: set[str]) -> Iterator[tuple[str, Rule, set[str]]]:
        """The classes by which a tensor can be named, the innermost first, with all tensors that are then set."""
        parts = path.split(".")
        for i in range(len(parts) - 1, -1, -1):
            attribute = ".".join(parts[i:])
            for kind in self.kinds.get(".".join(parts[:i]), ()):
                paths = {join(instance, attribute) for instance in self.instances[kind]}
                absent = paths - known
                alike = all(calls.get(p) == calls[path] for p in paths - absent)
                if alike and (not absent or _may_be_none(kind, attribute)):
                    yield kind, Rule(attribute, calls[path], bool(absent)), paths - absent


def _may_be_none(kind: str, attribute: str) -> bool:
    """Whether a tensor is None in some instances of one of PyTorch's own classes: a bias, or the gain of a norm."""
    return kind.startswith("nn.") and (attribute == "bias" or (attribute == "weight" and "Norm" in kind))


def _constructed(helper: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The attributes of a helper that are modules, with their classes."""
    for node in ast.walk(helper):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            names = [ast.unparse(n.func) for n in ast.walk(node.value) if isinstance(n, ast.Call)]
            modules = [n for n in names if n.rpartition(".")[2][:1].isupper() and n != "nn.Parameter"]
            if modules:
                yield node.targets[0].attr, modules[0]


def method_lines(steps: Sequence[Initialization], modules: Modules, layout: Layout) -> list[str]:
    """The lines of the method `init_weights` of a net."""
    lines = [f"{INDENT}@torch.no_grad()", f"{INDENT}def {NAME}(self) -> None:"]
    if len(steps) == 1:
        lines += docstring(f"Set the initial weights: {steps[0].text}.", INDENT * 2, WIDTH)
        return [*lines, *_step(steps[0], modules, layout)]
    lines.append(f'{INDENT * 2}"""Set the initial weights, one step after the other."""')
    for step in steps:
        lines += [f"{INDENT * 2}# {escaped(line)}" for line in wrap(step.text, WIDTH - 10)]
        lines += _step(step, modules, layout)
    return lines


def _step(step: Initialization, modules: Modules, layout: Layout) -> list[str]:
    rules = modules.rules(step.assignments)
    paths_first = next(iter(rules)) == ""
    own, loop = _by_path(rules.pop("", []), layout), _by_class(rules, modules, layout)
    return [*own, *loop] if paths_first else [*loop, *own]


def _by_class(rules: dict[str, list[Rule]], modules: Modules, layout: Layout) -> list[str]:
    """The loop over all modules; empty without rules for their classes."""
    alike: dict[tuple[tuple[str, Calls], ...], list[str]] = {}
    for kind, found in rules.items():
        alike.setdefault(tuple((r.attribute, r.calls) for r in found), []).append(kind)
    lines = [f"{INDENT * 2}for module in self.modules():"] if alike else []
    before = set[str]()
    for kinds in alike.values():
        paths = {path for kind in kinds for path in modules.instances[kind]}
        word = "elif" if before and not before & paths else "if"
        before |= paths
        lines += _of_kinds(word, kinds, [r for kind in kinds for r in rules[kind]], layout)
    return lines


def _of_kinds(word: str, kinds: Sequence[str], rules: Sequence[Rule], layout: Layout) -> list[str]:
    """The branch for the instances of some classes, which have equal rules."""
    asked: Node = Text(kinds[0]) if len(kinds) == 1 else Group(tuple(map(Text, kinds)))
    test = Apply("isinstance", (Text("module"), asked))
    optional = {r.attribute for r in rules if r.optional}
    own = rules[: len(rules) // len(kinds)]
    indent = INDENT * 4
    if len(own) == 1 and optional:
        target = _access("module", own[0].attribute)
        test = Apply("and", (test, Apply("is not", (Text(target), Num(None)))))
        return [*layout.lines(f"{word} ", test, ":", INDENT * 3), *_calls(target, own[0].calls, layout, indent)]
    lines = layout.lines(f"{word} ", test, ":", INDENT * 3)
    for rule in own:
        target = _access("module", rule.attribute)
        if rule.attribute in optional:
            lines.append(f"{indent}if {target} is not None:")
        lines += _calls(target, rule.calls, layout, indent + INDENT * (rule.attribute in optional))
    return lines


def _by_path(rules: list[Rule], layout: Layout) -> list[str]:
    """Tensors that are set by their paths in the net."""
    alike: dict[Calls, list[str]] = {}
    for rule in rules:
        alike.setdefault(rule.calls, []).append(_access("self", rule.attribute))
    lines: list[str] = []
    for calls, targets in alike.items():
        if len(targets) > FEW:
            lines += layout.lines("for tensor in ", Group(tuple(map(Text, targets))), ":", INDENT * 2)
            lines += _calls("tensor", calls, layout, INDENT * 3)
        else:
            lines += [line for target in targets for line in _calls(target, calls, layout, INDENT * 2)]
    return lines


def _calls(target: str, calls: Calls, layout: Layout, indent: str) -> list[str]:
    lines: list[str] = []
    for call in calls:
        rows = f": {target}.shape[1]" if call.square else f"{call.rows[0]}:{call.rows[1]}" if call.rows else ""
        tensor = Text(f"{target}[{rows}]" if rows else target)
        given = tuple((name, Num(value)) for name, value in call.arguments)
        if call.function == "mul_":
            tree = Apply(".mul_", (tensor, *(value for _, value in given)))
        else:
            tree = Apply(f"nn.init.{call.function}", (tensor,), given)
        lines += layout.lines("", tree, "", indent)
    return lines


def _access(owner: str, path: str) -> str:
    """A path as Python reads it: members of a sequence by their index."""
    return owner + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("."))
