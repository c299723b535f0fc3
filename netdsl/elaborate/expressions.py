"""Expressions to values: Python's arithmetic on plain values, arrows kept as data.

Nothing of a spec is ever executed as Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from netdsl.budget import Exhausted, spend
from netdsl.diagnostics.diagnostic import did_you_mean, fault
from netdsl.elaborate import calls, hints
from netdsl.elaborate.arithmetic import (
    BUILTINS,
    LIMIT,
    NUMERIC,
    OPERATORS,
    ORDERS,
    SAFE,
    SMALL,
    binary,
    call,
    check_term,
    compare,
    counts,
    is_mask,
    joined,
    truth,
    unary,
)
from netdsl.elaborate.comprehensions import rounds
from netdsl.elaborate.declared import Declared
from netdsl.elaborate.hints import not_a_layer
from netdsl.elaborate.names import Env, Silent, item_places, of_head, refused_layer_name, unknown_name, up_to
from netdsl.elaborate.templates import text_of
from netdsl.elaborate.tied import shared_weight
from netdsl.elaborate.values import (
    BROKEN,
    LINK_OPTIONS,
    ArithArrow,
    BlockArrow,
    BodyArrow,
    Builtin,
    It,
    LabelArrow,
    OpArrow,
    PipeArrow,
    ResidualArrow,
    Shared,
    Tensor,
    describe,
    is_arrow,
    is_closed,
)
from netdsl.elaborate.weight import CONSTRUCTS, HEAVIEST, HOLDERS, Weights
from netdsl.ops import REGISTRY
from netdsl.sizes.dims import Size
from netdsl.source import Place
from netdsl.syntax import ast

PLAIN = frozenset((int, float, bool, str, type(None)))


class Evaluator:
    """Evaluates expressions. `declared`: what the names of files stand for."""

    def __init__(self) -> None:
        self.declared = Declared(self.evaluate)
        self._bound: dict[Any, tuple[Any, Any]] = {}
        self._free: dict[int, frozenset[str]] = {}
        self.weights = Weights()
        self._rules: dict[type, Callable[[Any, Env], Any]] = {
            ast.Number: lambda node, env: node.value,
            ast.String: lambda node, env: node.value,
            ast.Template: lambda node, env: text_of([(self.evaluate(p, env), env.place(p)) for p in node.parts]),
            ast.Literal: lambda node, env: node.value,
            ast.Name: self._name,
            ast.Weight: lambda node, env: shared_weight(self._name(node.name, env), env.place(node)),
            ast.ListExpr: self._items,
            ast.TupleExpr: self._items,
            ast.Comprehension: self._comprehension,
            ast.Call: self._call,
            ast.Index: self._index,
            ast.Unary: self._unary,
            ast.Binary: self._binary,
            ast.Compare: self._compare,
            ast.Conditional: self._conditional,
            ast.Pipeline: self._pipeline,
            ast.Residual: self._residual,
            ast.Body: self._body,
            ast.Labelled: self._labelled,
        }

    def evaluate(self, node: ast.Node, env: Env) -> Any:
        """The value of an expression. Raises Fault for a mistake, Silent for one already reported."""
        rule = self._rules.get(type(node))
        if rule is None:
            hint = "units and `|` belong in recipes"
            raise fault("misplaced", "this has no meaning here", env.place(node), hint)
        try:
            spend(1)
            value = rule(node, env)
            if type(value) in HOLDERS and type(node) is not ast.Name and self.weights.of(value) > HEAVIEST:
                raise fault("too-large", f"this holds more than {HEAVIEST:,} items, all told", env.place(node))
        except Exhausted as end:
            if type(node) in CONSTRUCTS:
                end.blame(CONSTRUCTS[type(node)], env.place(node))
            raise
        return value

    def _name(self, node: ast.Name, env: Env) -> Any:
        value = env.locals.get(node.id)
        if value is not None and value is not BROKEN:
            return Shared(value.layer, env.place(node)) if type(value) is Shared else value
        value = self.lookup(node.id, env, env.place(node))
        if value is BROKEN or (value is None and node.id in env.module.unresolved):
            raise Silent
        if value is None and node.id not in env.locals and env.module.find(node.id) is None:
            known = [*env.locals, *of_head(env.module, node), *env.module.names, *REGISTRY, *BUILTINS]
            raise unknown_name(node.id, known, env.place(node))
        return value

    def lookup(self, name: str, env: Env, at: Place) -> Any:
        """Look up the value of a name; None where it is unknown."""
        if name in env.locals:
            return env.locals[name]
        if name == "it":
            return It(at)
        found = env.module.find(name)
        if found is not None:
            return self.declared.value(*found, at)
        if name in REGISTRY:
            return OpArrow(REGISTRY[name], (), (), at)
        return Builtin(name, BUILTINS[name]) if name in BUILTINS else None

    def _items(self, node: ast.ListExpr | ast.TupleExpr, env: Env) -> tuple[Any, ...]:
        return tuple(self.spread(node.items, env))

    def spread(self, items: Iterable[ast.Node], env: Env) -> list[Any]:
        """The values of items, with `*list` spread out."""
        values: list[Any] = []
        for item in items:
            if isinstance(item, ast.Splat):
                spread = self.sequence(item.value, env)
                spend(len(spread))
                values.extend(spread)
            else:
                values.append(self.settled(item, env))
        return values

    def settled(self, node: ast.Node, env: Env) -> Any:
        """The value of an item or an argument: what takes nothing from the flow is computed here, once."""
        value = self.evaluate(node, env)
        if env.compute is None or not is_arrow(value) or isinstance(value, Tensor):
            return value
        closed = is_closed(value) and calls.is_complete(value)
        return env.compute(value, env.place(node)) if closed else value

    def sequence(self, node: ast.Node, env: Env) -> tuple[Any, ...]:
        """The items of a list. Raises Fault for anything else."""
        value = self.evaluate(node, env)
        if not isinstance(value, tuple):
            raise fault("not-a-list", f"a list is needed here, found {describe(value)}", env.place(node))
        return value

    def items(self, node: ast.Node, env: Env) -> Iterator[tuple[Any, Place]]:
        """The items of a list, and where each is written; of a list that is not written out, where the list is."""
        values = self.sequence(node, env)
        return zip(values, item_places(node, len(values), env), strict=False)

    def _comprehension(self, node: ast.Comprehension, env: Env) -> tuple[Any, ...]:
        inner = Env(env.module, dict(env.locals), env.compute)

        def bind(clause: ast.Clause, item: Any) -> None:
            self.assign(clause.targets, item, inner, inner.place(clause.iterable))

        each = rounds(node.clauses, lambda n: self.sequence(n, inner), bind, lambda n: self.truth(n, inner))
        return tuple([self.settled(node.item, inner) for _ in each])

    def assign(self, targets: tuple[ast.Target, ...], value: Any, env: Env, at: Place) -> None:
        """Bind one name to a value, or several to its items."""
        if len(targets) == 1 and isinstance(targets[0], ast.Name):
            env.locals[targets[0].id] = value
            return
        if not isinstance(value, tuple) or len(value) != len(targets):
            found = f"{len(value)} values" if isinstance(value, tuple) else describe(value)
            hint = hints.of_parts(value, len(targets), at.text)
            raise fault("unpack", f"{len(targets)} names for {found}", at, hint)
        for target, item in zip(targets, value, strict=True):
            self.assign((target,) if isinstance(target, ast.Name) else target.items, item, env, at)

    def truth(self, node: ast.Node, env: Env) -> bool:
        return truth(self.evaluate(node, env), env.place(node))

    def _call(self, node: ast.Call, env: Env) -> Any:
        function = self.evaluate(node.function, env)
        if isinstance(function, Builtin):
            return self._builtin(function, node, env)
        if isinstance(function, Shared):
            name = env.place(node.function).text
            return calls.shared_call(function, name, self._arguments(node, None, env), env.place(node))
        if not isinstance(function, OpArrow | BlockArrow):
            raise calls.not_callable(function, node.function, env.place(node))
        if isinstance(function, BlockArrow):
            return self._block_call(node, function, env)
        if function.op.kind in NUMERIC and not function.operands and len(node.arguments) == 1:
            value = self._of_number(function.op.kind, node.arguments[0], env)
            if value is not None:
                return value
        return calls.bind(function, self._arguments(node, function, env), env.place(node))

    def _of_number(self, name: str, argument: ast.Argument, env: Env) -> Any:
        """`sqrt(2)`: a layer of one value as a function of a number; None for an argument that is no number."""
        if argument.name is not None or isinstance(argument.value, ast.Splat):
            return None
        value = self.evaluate(argument.value, env)
        if isinstance(value, bool) or not isinstance(value, int | float | Size):
            return None
        return call(name, NUMERIC[name], [value], env.place(argument))

    def _block_call(self, node: ast.Call, function: BlockArrow, env: Env) -> Any:
        """A block with arguments. One call met again with the same plain arguments, in a loop, is the same value."""
        if any(isinstance(a.value, ast.Splat) for a in node.arguments):
            return calls.bind(function, self._arguments(node, function, env), env.place(node))
        values = [self.settled(a.value, env) for a in node.arguments]
        types = tuple([type(v) for v in values])
        key = (id(node), id(function.block), types, *values) if PLAIN.issuperset(types) else None
        known = self._bound.get(key) if key else None
        spend(self.weights.of(function))
        if known is not None and known[0] == function.arguments:
            return known[1]
        names = [a.name.id if a.name else None for a in node.arguments]
        given = [calls.Given(n, v, env.place(a)) for n, v, a in zip(names, values, node.arguments, strict=True)]
        bound = calls.bind(function, given, env.place(node))
        if key:
            self._bound[key] = (function.arguments, bound)
        return bound

    def _arguments(self, node: ast.Call, function: OpArrow | BlockArrow | None, env: Env) -> list[calls.Given]:
        given: list[calls.Given] = []
        for argument in node.arguments:
            at = env.place(argument)
            if isinstance(argument.value, ast.Splat):
                given += [calls.Given(None, v, at) for v in self.sequence(argument.value.value, env)]
                continue
            name = argument.name.id if argument.name else None
            lookup = partial(self.lookup, env=env, at=at)
            value = calls.word(function, name or calls.next_field(function, given), argument.value, lookup)
            read = self.evaluate if isinstance(function, OpArrow) else self.settled
            given.append(calls.Given(name, read(argument.value, env) if value is None else value, at))
        return given

    def _builtin(self, function: Builtin, node: ast.Call, env: Env) -> Any:
        values = []
        for argument in node.arguments:
            if argument.name is not None:
                message = f"`{function.name}` takes no named arguments"
                raise fault("unknown-argument", message, env.place(argument))
            values += self.spread([argument.value], env)
        spend(sum(map(self.weights.of, values)) * (4 if function.name == "sorted" else 1))
        return call(function.name, function.function, values, env.place(node))

    def _index(self, node: ast.Index, env: Env) -> Any:
        value = self.evaluate(node.value, env)
        if not isinstance(value, tuple | str):
            raise hints.no_items(value, env.place(node))
        if isinstance(node.index, ast.Slice):
            bounds = (node.index.start, node.index.stop, node.index.step)
            start, stop, step = (None if b is None else self._integer(b, env) for b in bounds)
            if step == 0:
                raise fault("bad-index", "a step of 0 leads nowhere", env.place(node.index))
            return value[start:stop:step]
        index = self._integer(node.index, env)
        if not -len(value) <= index < len(value):
            hint = f"the first is number 0, the last number {len(value) - 1}" if value else None
            raise fault("bad-index", f"there is no item {index} in a list of {len(value)}", env.place(node.index), hint)
        return value[index]

    def _integer(self, node: ast.Node, env: Env) -> int:
        value = self.evaluate(node, env)
        if not isinstance(value, int):
            message, at = f"a whole number is needed here, found {describe(value)}", env.place(node)
            raise fault("not-a-number", message, at, hints.of_number(value, at.text))
        return value

    def count(self, node: ast.Node, env: Env) -> int:
        """How often to repeat something. Raises Fault unless it is a sensible number."""
        value = self._integer(node, env)
        if not 0 <= value <= LIMIT:
            code, hint = ("not-a-number", None) if value < 0 else ("too-large", f"the limit is {LIMIT:,}")
            raise fault(code, f"cannot repeat {value:,} times", env.place(node), hint)
        return value

    def _unary(self, node: ast.Unary, env: Env) -> Any:
        value = self.evaluate(node.operand, env)
        if is_arrow(value) and node.op == "-":
            at = env.place(node)
            return ArithArrow(value, (("*", -1, at),), at)
        return unary(node.op, value, env.place(node))

    def _binary(self, node: ast.Binary, env: Env) -> Any:
        value = self.evaluate(node.first, env)
        if node.ops[0] in ("and", "or"):
            return self._logic(node, value, env)
        terms: list[tuple[str, Any, Place]] = []
        for op, written in zip(node.ops, node.rest, strict=True):
            right = self.evaluate(written, env)
            if terms or is_arrow(value) or is_arrow(right):
                if not terms:
                    check_term(value, env.place(node.first))
                check_term(right, env.place(written))
                terms.append((op, right, up_to(node, written, env)))
            elif type(value) is int and type(right) is int and 0 <= value < SMALL and 0 <= right <= SAFE.get(op, -1):
                value = OPERATORS[op](value, right)
            else:
                value = binary(op, value, right, up_to(node, written, env))
        return ArithArrow(value, tuple(terms), env.place(node)) if terms else value

    def _logic(self, node: ast.Binary, value: Any, env: Env) -> Any:
        """Python's `and` and `or`: the first value that decides, else the last."""
        before, op = node.first, node.ops[0]
        for written in node.rest:
            true = value if isinstance(value, bool) else counts(value, env.place(before))
            if true == (op == "or") and not is_mask(value):
                return value
            before, value = written, joined(op, value, partial(self.evaluate, written, env), env.place(node))
        return value

    def _compare(self, node: ast.Compare, env: Env) -> bool:
        left = self.evaluate(node.first, env)
        for op, right_node in zip(node.ops, node.rest, strict=True):
            right = self.evaluate(right_node, env)
            if type(left) is int and type(right) is int and op in ORDERS:
                holds = ORDERS[op](left, right)
            else:
                spend(self.weights.of(left) + self.weights.of(right))
                holds = compare(op, left, right, env.place(node))
            if not holds:
                return False
            left = right
        return True

    def _conditional(self, node: ast.Conditional, env: Env) -> Any:
        otherwise: ast.Expr = node
        while isinstance(otherwise, ast.Conditional):
            spend(1)
            if self.truth(otherwise.condition, env):
                return self.evaluate(otherwise.then, env)
            otherwise = otherwise.otherwise
        return self.evaluate(otherwise, env)

    def _pipeline(self, node: ast.Pipeline, env: Env) -> PipeArrow:
        stages = tuple(self.arrow(stage, env) for stage in node.stages)
        for written, stage in zip(node.stages[1:], stages[1:], strict=True):
            if isinstance(stage, Tensor):
                hint = "a tensor has no input: add, multiply or join it, as in `concat(it, ...)`"
                raise fault("not-a-layer", "a layer is needed here, found a tensor", env.place(written), hint)
        return PipeArrow(stages, env.place(node))

    def arrow(self, node: ast.Node, env: Env) -> Any:
        """The arrow an expression stands for. Raises Fault for a plain value."""
        value = self.evaluate(node, env)
        if not is_arrow(value):
            raise not_a_layer(value, env.place(node))
        return value

    def _labelled(self, node: ast.Labelled, env: Env) -> LabelArrow:
        value = self.evaluate(node.value, env)
        if not is_arrow(value):
            name, text = node.name.id, env.place(node.value).text
            message = f"`{name}:` labels a layer, found {describe(value)}"
            raise fault("not-a-layer", message, env.place(node), f"an argument is given with `=`: `{name}={text}`")
        refused = refused_layer_name(node.name, env)
        if refused is not None:
            raise refused
        return LabelArrow(node.name.id, value, env.place(node))

    def _residual(self, node: ast.Residual, env: Env) -> ResidualArrow:
        options: dict[str, Any] = {"shortcut": None, "scale": None, "drop_path": None, "when": True}
        for argument in node.arguments:
            name = argument.name.id if argument.name else ""
            if name not in options:
                hint = did_you_mean(name, options) or "it takes `shortcut=`, `scale=`, `drop_path=` and `when=`"
                found = f"no argument `{name}`" if name else "only named arguments"
                raise fault("unknown-argument", f"`residual` takes {found}", env.place(argument), hint)
            value = options[name] = self.evaluate(argument.value, env)
            wanted, fits = LINK_OPTIONS[name]
            if value is not None and not fits(value):
                message = f"`{name}` must be {wanted}, found {describe(value)}"
                raise fault("argument-value", message, env.place(argument))
        return ResidualArrow(self._body(node.body, env), at=env.place(node), **options)

    def _body(self, node: ast.Body, env: Env) -> BodyArrow:
        free = self._free.get(id(node))
        if free is None:
            free = self._free[id(node)] = frozenset(ast.names(node))
        captured = tuple((n, v) for n, v in env.locals.items() if n in free)
        return BodyArrow(node, env.module, captured, env.place(node))
