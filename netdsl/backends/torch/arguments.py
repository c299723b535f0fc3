"""The constructor arguments of a printed class: the columns of numbers that differ between its uses, each explained by
the author's own argument, by the width of the input, by simple arithmetic on those, or else by an argument of its
own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from msgspec.structs import replace

from netdsl.backends.torch.conditions import arithmetic, condition
from netdsl.backends.torch.known import MULTIPLE, PAIRED, WIDE, Argument, constants, given, renamed, sizes, varies
from netdsl.backends.torch.naming import python_name
from netdsl.backends.torch.tree import Apply, Node, Num, Slot, Text, walk
from netdsl.backends.torch.unify import Column, Misfit, Unifier
from netdsl.ir.model import Definition


class Arguments:
    """Arguments in order, found by their values. `wide`: the widths among them; `sizes`: all whole numbers."""

    def __init__(self, arguments: Iterable[Argument] = ()) -> None:
        self.each: list[Argument] = []
        self.sizes: list[Argument] = []
        self.wide: list[Argument] = []
        self._alike: dict[Any, list[Argument]] = {}
        for argument in arguments:
            self.add(argument)

    def __iter__(self) -> Iterator[Argument]:
        return iter(self.each)

    def __len__(self) -> int:
        return len(self.each)

    def add(self, argument: Argument) -> None:
        """Add an argument behind the others."""
        self.each.append(argument)
        self.sizes += [argument] if argument.is_size else []
        self.wide += [argument] if argument.is_wide else []
        self._alike.setdefault(_key(argument.kind, argument.values), []).append(argument)

    def alike(self, column: Column) -> list[Argument]:
        """Those of the kind and the values of a column."""
        return [a for a in self._alike.get(_key(column.kind, column.values), ()) if column.equals(a.values)]


def _key(kind: str, values: Sequence[Any]) -> Any:
    """Equal for arguments of equal values; for trees, which may be large, by their kind alone."""
    return (kind, *values) if kind == "number" else kind


class Explainer:
    """Finds the expression of each column; `used` are the arguments that the expressions need."""

    def __init__(
        self, definitions: Sequence[Definition], unifier: Unifier, taken: frozenset[str], behind: frozenset[str]
    ) -> None:
        self.behind = behind
        """The members that do not read the input of the block: its width is not theirs, unless by chance."""
        self.definitions = definitions
        self.unifier = unifier
        named = given(definitions)
        self.given = Arguments(renamed(named, taken))
        self.names = {a.name: own.name for a, own in zip(named, self.given, strict=True)}
        """What the author's arguments are called here."""
        alike = constants(definitions)
        self.constants = Arguments(renamed(alike, taken | {a.name for a in self.given}))
        self.names |= {a.name: own.name for a, own in zip(alike, self.constants, strict=True) if a.is_width}
        self.sizes = sizes(definitions)
        self.own = Arguments()
        self.optional: set[str] = set()
        """The arguments that only what some definitions lack asks for."""
        self.taken = {*taken} | {a.name for a in self.given if a.kind != "word"}
        self._numbers: Counter[str] = Counter()
        """How many arguments of the emitter's own begin with a name."""
        self.used: dict[str, Argument] = {}
        self._found: dict[int, Node] = {}
        self._turns: Counter[Any] = Counter()

    def expression(self, index: int) -> Node:
        """The expression of a column in terms of arguments."""
        if index not in self._found:
            column = self.unifier.columns[index]
            known = self if column.rows is None else _Restricted(self, column.rows)
            tree = known._number if column.kind == "number" else known._thing
            alike = column.kind == "number" and column.rows is None and not varies(column.values)
            self._found[index] = self._constant(column) if alike else tree(column)
        return self._found[index]

    def explain_functions(self) -> None:
        """Let what some uses call be an argument before what only few of them have asks for it."""
        functions = [(i, c) for i, c in enumerate(self.unifier.columns) if c.kind == "function"]
        if any(c.rows is not None for _, c in functions):
            for i, _ in (f for f in functions if f[1].rows is None):
                self.expression(i)

    def shape(self, index: int) -> Node | None:
        """A number of a forward method as a size of an input, where it is none of the author's own numbers."""
        column = self.unifier.columns[index]
        if not self._may_be_shape(column):
            return None
        found = ((_factor(size, column), shape) for shape, size in self.sizes)
        sizes = [(abs(factor), factor, shape) for factor, shape in found if factor]
        if not sizes:
            return self._area(column)
        nearest = [s for s in sizes if s[0] == min(size for size, _, _ in sizes)]
        turn = self._turns[column.call, column.values]  # of a square image: the height first, then the width
        self._turns[column.call, column.values] += 1
        _, factor, shape = nearest[turn % len(nearest)]
        if abs(factor) == 1:
            return shape
        return Apply("*", (Num(factor), shape)) if factor > 0 else Apply("//", (shape, Num(-factor)))

    def _may_be_shape(self, column: Column) -> bool:
        if column.kind != "number" or column.rows is not None:
            return False
        return not any(a.rank[0] == 1 and column.equals(a.values) for a in self.given)

    def _area(self, column: Column) -> Node | None:
        """A number as the product of two sizes of an input."""
        for (one, a), (two, b) in combinations(self.sizes, 2):
            if column.equals([m * n for m, n in zip(a.values, b.values, strict=True)]):
                return Apply("*", (one, two))
        return None

    def _constant(self, column: Column) -> Node:
        """A number that is the same in all uses, as an argument of the author's or as a multiple of a width."""
        exact = self.constants.alike(column)
        if exact:
            return self._use(max(exact, key=lambda a: (a.name == column.hint, a.is_width)))
        wide = [(b, _factor(b, column)) for b in self.constants if b.is_width]
        base, factor = next(((b, f) for b, f in wide if 1 < f <= MULTIPLE), (None, 0))
        return Apply("*", (Num(factor), self._use(base))) if base else self._written(column)

    def _written(self, column: Column) -> Node:
        """A number that is the same in all uses, by the author's arithmetic on arguments."""
        wide = {a.name: a for a in self.constants if a.is_width}
        names = {name: own for name, own in self.names.items() if own in wide}
        tree = next(tree for tree, values in arithmetic(self.definitions, names) if column.equals(values))
        for own in {node.code for node in walk(tree) if isinstance(node, Text)}:
            self._use(wide[own])
        return tree

    def _number(self, column: Column) -> Node:
        exact = self._alike(column)
        if exact:
            return self._use(max(exact, key=lambda a: self._fit(column.hint, a.name)))
        if all(isinstance(v, bool) for v in column.values) and (tree := self._condition(column)):
            return tree
        found = self._padding(column) or self._match_own(column) or self._arithmetic(column) or self._fraction(column)
        return found or self._new(column, column.hint or "size")

    def _alike(self, column: Column) -> list[Argument]:
        """The arguments that may be a number; of a member behind others not the width of the input, if another is."""
        exact = self.given.alike(column)
        others = [a for a in exact if a.rank[0]] if column.member in self.behind else []
        return others or exact

    def _condition(self, column: Column) -> Node | None:
        """A truth as the author's own condition, or as a number of the author's that is 0 where it does not hold."""
        found = condition(self.definitions, column.values, self.names)
        if found is None:
            return self._switch(column)
        used = {node.code for node in walk(found) if isinstance(node, Text)}
        for argument in (*self.given, *self.constants):
            if argument.name in used:
                self._use(argument)
        return found

    def _switch(self, column: Column) -> Node | None:
        """A truth as a number that is 0, or an argument that is not given, where it does not hold."""
        switches = [a for a in self.given.sizes if column.equals([v != 0 for v in a.values])]
        return self._use(switches[0]) if switches else self._presence(column)

    def _presence(self, column: Column) -> Node | None:
        """A truth as whether an argument is given that only some definitions need."""
        for argument in (a for a in self.own if a.name in self.optional):
            words = {True: "is not", False: "is"}
            found = [words[on] for on in words if column.equals([t == on for t in argument.given_where])]
            if found:
                return Apply(found[0], (self._use(argument), Num(None)))
        return None

    def _fit(self, hint: str, name: str) -> tuple[bool, bool, int]:
        """How well an argument that has the right values suits: by its name, and by being needed anyway."""
        return (hint == name, name in self.used, affinity(hint, name))

    def _thing(self, column: Column) -> Node:
        name = column.hint or "layer"
        word = next((a.name for a in self.given if a.kind == "word" and _same_pattern(a.values, column.values)), None)
        shared = None if column.kind == "module" else self._match_own(column)  # two layers never share one module
        return shared or self._new(column, word or name)

    def _use(self, argument: Argument) -> Text:
        self.used[argument.name] = argument
        return Text(argument.name)

    def _match_own(self, column: Column) -> Node | None:
        own = self.own.alike(column)
        return self._use(own[0]) if own else None

    def _new(self, column: Column, name: str) -> Node:
        name = fresh = python_name(name)
        while fresh in self.taken:
            self._numbers[name] += 1
            fresh = f"{name}{self._numbers[name] + 1}"
        rank = 0 if fresh in ("in_channels", "in_features") else 3  # as layers of PyTorch have it, first
        argument = Argument(fresh, column.kind, self._values(column), (rank, len(self.own)))
        self.taken.add(fresh)
        self.optional |= {fresh} if column.rows is not None else set()
        self.own.add(argument)
        return self._use(argument)

    def _values(self, column: Column) -> tuple[Any, ...]:
        """The values of a column for all definitions: nothing for those that lack its place."""
        if column.rows is None:
            return column.values
        if column.kind == "function":
            raise Misfit
        found: list[Any] = [None if column.kind == "number" else Num(None)] * len(self.definitions)
        for row, value in zip(column.rows, column.values, strict=True):
            found[row] = value
        return tuple(found)

    def _padding(self, column: Column) -> Node | None:
        """A padding that keeps the image's size: `kernel_size // 2`, or as the dilation has it."""
        if column.hint != "padding" or not all(isinstance(v, int) for v in column.values):
            return None
        call = self.unifier.calls[column.call]
        kernel, kernels = self._argument(call, "kernel_size", len(column.values))
        dilation, dilations = self._argument(call, "dilation", len(column.values))
        if not all(isinstance(v, int) for v in (*kernels, *dilations)):
            return None
        if column.equals([k // 2 for k in kernels]):
            return Apply("//", (kernel, Num(2)))
        if column.equals([d * (k - 1) // 2 for k, d in zip(kernels, dilations, strict=True)]):
            reach = kernels[0] // 2 if len(set(kernels)) == 1 else None
            if reach is not None:
                return dilation if reach == 1 else Apply("*", (Num(reach), dilation))
            return Apply("//", (Apply("*", (dilation, Apply("-", (kernel, Num(1))))), Num(2)))
        return None

    def _argument(self, call: Node, name: str, count: int) -> tuple[Node, tuple[Any, ...]]:
        """An argument of a call: its expression, and its value for each definition."""
        names = self.unifier.signatures[call.function].names if isinstance(call, Apply) else ()
        if name not in names:
            return Num(None), (None,)
        assert isinstance(call, Apply)
        node = call.args[names.index(name)]
        if isinstance(node, Slot):
            return self.expression(node.index), self.unifier.columns[node.index].values
        return node, (node.value if isinstance(node, Num) else None,) * count

    def _arithmetic(self, column: Column) -> Node | None:
        """A width as arithmetic on one or two others: `4 * c`, `c // 4`, `a + b`, `a * b`."""
        if not all(type(v) is int for v in column.values) or max(column.values) <= WIDE:
            return None
        wide = (*self.given.wide, *self.own.wide)
        found = [(factor, base) for base in wide if (factor := _factor(base, column))]
        if found:
            factor, base = min(found, key=lambda f: abs(f[0]))
            self._use(base)
            return (
                Apply("*", (Num(factor), Text(base.name)))
                if factor > 0
                else Apply("//", (Text(base.name), Num(-factor)))
            )
        for a, b in _pairs((*self.given.sizes, *self.own.sizes)):
            if tree := _product_or_sum(a, b, column):
                self._use(a)
                self._use(b)
                return tree
        return None

    def _fraction(self, column: Column) -> Node | None:
        """A fraction by the author's arithmetic on arguments and on the width of the input: `C ** -0.5`."""
        if not all(isinstance(v, float) for v in column.values):
            return None
        named = {a.name: a for a in self.given}
        first = self.definitions[0].sizes
        sizes = {n: a.name for n, _ in first for a in named.values() if self._is_size(n, a)}
        for tree, values in arithmetic(self.definitions, sizes | self.names):
            if column.equals(values):
                for own in {node.code for node in walk(tree) if isinstance(node, Text)}:
                    self._use(named[own])
                return tree
        return None

    def _is_size(self, name: str, argument: Argument) -> bool:
        """Whether an argument is what the signature of the block calls `name`."""
        return argument.values == tuple(dict(d.sizes).get(name) for d in self.definitions)


class _Restricted(Explainer):
    """Explains what only some of the definitions have, by the arguments that all have."""

    def __init__(self, outer: Explainer, rows: Sequence[int]) -> None:
        self.unifier, self.behind = outer.unifier, outer.behind
        self.outer = outer
        self.full = {a.name: a for a in (*outer.given, *outer.own)}
        self.given, self.own = (
            Arguments(replace(a, values=tuple(a.values[r] for r in rows)) for a in arguments)
            for arguments in (outer.given, outer.own)
        )
        self.used = outer.used

    def expression(self, index: int) -> Node:
        return self.outer.expression(index)

    def _condition(self, column: Column) -> Node | None:
        return None

    def _number(self, column: Column) -> Node:
        if varies(column.values):
            return super()._number(column)
        equal = [*self.given.alike(column), *self.own.alike(column)]
        named = [a for a in equal if a.name == column.hint]
        wide = [a for a in equal if a.is_wide]
        if not named and len(wide) != 1:
            return Num(column.values[0])
        return self._use((named or wide)[0])  # one width is no coincidence, two are

    def _use(self, argument: Argument) -> Text:
        return self.outer._use(self.full[argument.name])

    def _new(self, column: Column, name: str) -> Node:
        return self.outer._new(column, name)


def affinity(hint: str, name: str) -> int:
    """How well an argument's name fits the place where it would stand."""
    if hint == name:
        return 3
    if hint.startswith(name) or name.startswith(hint or "?"):
        return 2
    return 1 if hint.rpartition("_")[2].startswith(name[:1]) and not hint.startswith("in_") else 0


def _same_pattern(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two columns tell the same definitions apart."""
    pairs = list(zip(a, b, strict=True))
    return all((x == u) == (y == v) for x, y in pairs for u, v in pairs)


def _factor(base: Argument, column: Column) -> int:
    """By what a width is multiplied to give the column; negative where it is divided; 0 for neither."""
    a, b = base.values[0], column.values[0]
    if a and b % a == 0 and column.equals([v * (b // a) for v in base.values]):
        return int(b // a)
    if b and a % b == 0 and column.equals([v // (a // b) for v in base.values]):
        return -int(a // b)
    return 0


def _pairs(bases: Sequence[Argument]) -> Iterator[tuple[Argument, Argument]]:
    if len(bases) > PAIRED:
        return iter(())
    return ((a, b) for a, b in combinations(bases, 2) if a.is_wide or b.is_wide)


def _product_or_sum(a: Argument, b: Argument, column: Column) -> Node | None:
    """A product or, where enough values speak for it, a sum of two arguments."""
    x, y = Text(a.name), Text(b.name)
    rows = list(zip(a.values, b.values, strict=True))
    if column.equals([m * n for m, n in rows]):
        return Apply("*", (x, y))
    if a.is_wide and b.is_wide and len(set(rows)) > 2 and column.equals([m + n for m, n in rows]):
        return Apply("+", (x, y))
    if min(b.values) > 0 and column.equals([m // n for m, n in rows]):
        return Apply("//", (x, y))
    return None
