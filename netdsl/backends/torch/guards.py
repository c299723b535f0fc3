"""The first lines of a forward method: they name the sizes of the inputs and refuse wrong shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netdsl.backends.torch.layout import WIDTH, Layout
from netdsl.backends.torch.naming import python_names
from netdsl.backends.torch.quoting import template
from netdsl.backends.torch.sizes import express
from netdsl.backends.torch.tree import Node, Shape, Text, transform, walk
from netdsl.ir.model import Value
from netdsl.sizes.constraints import AtLeast, AtMost, Constraint, Either, OneOf, Required, Residues
from netdsl.sizes.dims import Dim, substitute, symbol, symbols

AXES = {1: "L", 2: "LD", 3: "CHW"}
"""What the axes of a sample are called, by rank."""


class Shapes:
    """The shapes of the inputs of a forward method: `variables` are their names, `taken` the names in use."""

    def __init__(self, inputs: Sequence[Value], variables: Sequence[str], taken: frozenset[str]) -> None:
        self.inputs = inputs
        self.variables = variables
        self.taken = set(taken)
        self.bound: dict[Shape, str] = {}
        named = {name for v in inputs for size in v.type.shape for name in symbols(size)}
        self.local = python_names(sorted(named), variables)
        """The variables of the named sizes."""

    def bind(self, trees: Sequence[Node], always: bool = False) -> list[str]:
        """Lines that name the sizes which these trees read, where there are several of them (or `always`)."""
        reads = [n for tree in trees for n in walk(tree) if isinstance(n, Shape) and n.index < len(self.inputs)]
        lines: list[str] = []
        for index, variable in enumerate(self.variables):
            own = [shape for shape in reads if shape.index == index]
            axes = {shape.axis for shape in own if shape not in self.bound}
            if axes and (len(own) > 1 or always):
                lines += self._unpacked(index, variable, axes)
        return lines

    def _unpacked(self, index: int, variable: str, axes: set[int]) -> list[str]:
        """The line that names these axes of an input: one alone, or the first of them and all that follow it."""
        first = min(axes)
        names = self._names(index)[first - 1 :]
        if not names or self.taken.intersection(names):
            return []
        shown = names[:1] if len(axes) == 1 else names
        self.bound |= {Shape(index, first + i): name for i, name in enumerate(shown)}
        self.taken.update(shown)
        return [f"{', '.join(shown)} = {variable}.shape[{first}{':' if len(shown) > 1 else ''}]"]

    def _names(self, index: int) -> list[str]:
        """Names for the axes of an input: their named sizes, or letters; empty where there is none."""
        shape = self.inputs[index].type.shape
        letters = AXES.get(len(shape), "")
        names = [self._letter(size, letter) for size, letter in zip(shape, letters, strict=bool(letters))]
        return names if len(set(names)) == len(set(zip(names, shape, strict=bool(letters)))) else []

    def _letter(self, size: Dim, letter: str) -> str:
        return self.local.get(str(size), letter)

    def text(self, shape: Shape, variable: str) -> Text:
        """How a size of a value is read."""
        return Text(self.bound.get(shape) or f"{variable}.shape[{shape.axis}]")

    def check(self, constraints: Sequence[Constraint], net: str) -> list[str]:
        """The lines that refuse sizes which break a constraint, saying what is needed and what was found."""
        used = sorted({name for c in constraints for name in sizes_of(c)})
        if not used:
            return []
        given = {i: v.type for i, v in enumerate(self.inputs)}
        trees = {name: express(symbol(name), given) for name in used}
        lines = self.bind(list(trees.values()), always=True)
        for name, tree in trees.items():
            text = self._plain(tree)
            lines += [f"{self.local[name]} = {text}"] if text != self.local[name] else []
        found = "found " + ", ".join(f"{n}={{{self.local[n]}}}" for n in used)
        for needs, facts in _told(constraints, net):
            broken = [_broken(c, self.local) for c in facts]
            lines += [*_any_of(broken), *_refuse(template(needs), found)]
        return lines

    def check_shapes(self) -> list[str]:
        """The lines that refuse inputs of another rank, or of other sizes than those that are declared."""
        lines: list[str] = []
        known: dict[str, str] = {}
        for value, variable in zip(self.inputs, self.variables, strict=True):
            shape = value.type.shape
            wrong, found = self._wrong_sizes(value, variable, known), f"found {{tuple({variable}.shape[1:])}}"
            if all(isinstance(size, int) for size in shape):
                wrong = [f"{variable}.shape[1:] != {tuple(shape)}"]
            text = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
            lines += [*_any_of(wrong), *_refuse(template(f"{value.name} must be {text}"), found)]
        return lines

    def _wrong_sizes(self, value: Value, variable: str, known: dict[str, str]) -> list[str]:
        """The conditions under which an input is not what is declared; `known` grows by where its sizes are read."""
        wrong = [f"{variable}.ndim != {value.type.rank + 1}"]
        for axis, size in enumerate(value.type.shape):
            text = f"{variable}.shape[{axis + 1}]"
            if isinstance(size, int):
                wrong.append(f"{text} != {size}")
            elif str(size) in self.local and str(size) not in known:
                known[str(size)] = text
            elif symbols(size) <= known.keys():
                wrong.append(f"{text} != {_named(size, known)}")
        return wrong

    def _plain(self, tree: Node) -> str:
        def named(node: Node) -> Node:
            return self.text(node, self.variables[node.index]) if isinstance(node, Shape) else node

        return Layout({}).flat(transform(tree, named))


def _told(constraints: Sequence[Constraint], net: str) -> list[tuple[str, list[Constraint]]]:
    """The conditions that a net's message names, each with its constraints: those of a `require` in its words, the rest
    together."""
    said = [c for c in constraints if isinstance(c, Required | Either) and c.message]
    rest = [c for c in constraints if not (isinstance(c, Required | Either) and c.message)]
    told: list[tuple[str, list[Constraint]]] = [(f"{net}: {c.message} (needs {c})", [c]) for c in said]
    texts = [f"({c})" if isinstance(c, Either) and len(rest) > 1 else str(c) for c in rest]
    return told + ([(f"{net} needs {' and '.join(texts)}", rest)] if rest else [])


def _any_of(conditions: Sequence[str]) -> list[str]:
    """The beginning of an `if` that asks whether one of several conditions holds."""
    one = f"if {' or '.join(conditions)}:"
    if len(one) + 8 <= WIDTH or len(conditions) == 1:
        return [one]
    return ["if (", f"    {conditions[0]}", *(f"    or {c}" for c in conditions[1:]), "):"]


def _refuse(needs: str, found: str) -> list[str]:
    """The statement that raises; `needs` and `found` are the inside of an f-string (see `quoting.template`)."""
    one = f'    raise ValueError(f"{needs}, {found}")'
    if len(one) + 8 <= WIDTH:
        return [one]
    row = f'        f"{needs}, {found}"'
    if len(row) + 8 <= WIDTH:
        return ["    raise ValueError(", row, "    )"]
    return ["    raise ValueError(", f'        f"{needs}, "', f'        f"{found}"', "    )"]


def sizes_of(constraint: Constraint) -> frozenset[str]:
    """The named sizes of which a constraint speaks."""
    if isinstance(constraint, Residues | AtLeast | AtMost | OneOf):
        return frozenset((constraint.symbol,))
    if isinstance(constraint, Either):
        return frozenset(name for option in constraint.options for fact in option for name in sizes_of(fact))
    return symbols(constraint.left) | symbols(constraint.right)


def _broken(constraint: Constraint, local: Mapping[str, str]) -> str:
    """The Python condition under which a constraint does not hold, over the variables of its sizes."""
    match constraint:
        case Residues(symbol, modulus, (0,)):
            return f"{local[symbol]} % {modulus}"
        case Residues(symbol, modulus, (residue,)):
            return f"{local[symbol]} % {modulus} != {residue}"
        case Residues(symbol, modulus, residues):
            return f"{local[symbol]} % {modulus} not in {residues}"
        case AtLeast(symbol, minimum):
            return f"{local[symbol]} < {minimum}"
        case AtMost(symbol, maximum):
            return f"{local[symbol]} > {maximum}"
        case OneOf(symbol, (value,)):
            return f"{local[symbol]} != {value}"
        case OneOf(symbol, values) if values[-1] - values[0] == len(values) - 1:
            low, name = values[0], local[symbol]
            return f"{name} > {values[-1]}" if low <= 1 else f"not {low} <= {name} <= {values[-1]}"
        case OneOf(symbol, values):
            return f"{local[symbol]} not in {values}"
        case Either(options):
            return _none_holds(options, local)
    opposite = {"==": "!=", "!=": "==", ">=": "<", "<=": ">", ">": "<=", "<": ">="}[constraint.op]
    return f"{_named(constraint.left, local)} {opposite} {_named(constraint.right, local)}"


def _none_holds(options: Sequence[Sequence[Constraint]], local: Mapping[str, str]) -> str:
    """The Python condition under which each of several options has a fact that does not hold."""
    broken = [" or ".join(_broken(fact, local) for fact in option) for option in options]
    return f"({' and '.join(f'({b})' if len(o) > 1 else b for b, o in zip(broken, options, strict=True))})"


def _named(size: Dim, local: Mapping[str, str]) -> str:
    """The Python text of a size over its variables."""
    return str(substitute(size, {name: symbol(local[name]) for name in symbols(size)}))
