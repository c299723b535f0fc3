"""Elaboration: a net, its arguments and its input sizes become a program of typed definitions.

A block is elaborated once for each distinct (block, arguments, input types); every further use is a look-up, so the
cost follows the number of distinct blocks, not the depth of the net, and a mistake inside one is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.budget import Budget, Exhausted, deep, spend
from netdsl.diagnostics.diagnostic import Diagnostic, Fault, Label, fault, shortened
from netdsl.elaborate.apply import Applier
from netdsl.elaborate.build import freeze
from netdsl.elaborate.builder import Context, Options
from netdsl.elaborate.calls import Given, bind, is_complete, missing
from netdsl.elaborate.captured import captured, release, typed
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.scope import LayerBuilder, Scope, StepBuilder, Wire, snake
from netdsl.elaborate.signature import bind_inputs, check_names, check_outputs, check_sizes
from netdsl.elaborate.statements import Runner
from netdsl.elaborate.taps import Taps, prune
from netdsl.elaborate.trace import Trace
from netdsl.elaborate.values import BROKEN, BlockArrow, BlockValue, Captured, Several, describe
from netdsl.elaborate.variants import Variants
from netdsl.elaborate.weight import too_much_work
from netdsl.ir.flatten import MOST_CALLS, count_calls
from netdsl.ir.model import Definition, Program
from netdsl.ir.reserved import free_name
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, Size
from netdsl.source import Place
from netdsl.syntax import ast
from netdsl.tensors import TensorType

DEPTH = 64
"""How often a block may stand within itself."""

NESTED = 400
"""How deep blocks of any kind may nest."""

DEFINITION = 100
"""What a definition costs of the budget of work, or a nested scope."""


class Made(Struct, frozen=True, eq=False):
    """The result of elaborating a block: None where it has a mistake."""

    definition: Definition | None


RUNNING = Made(None)
"""What stands for a block while it is being elaborated."""


class Elaborator:
    """Elaborates nets of one set of modules; what they share is elaborated once.

    `diagnostics` holds every mistake found so far, each once.
    """

    def __init__(
        self, options: Options | None = None, budget: Budget | None = None, trace: Trace | None = None
    ) -> None:
        self.options = options or Options()
        self.trace = trace
        self.budget = budget or Budget()
        self.evaluator = Evaluator()
        self._applier = Applier(self)
        self._runner = Runner(self)
        self.diagnostics: list[Diagnostic] = []
        self.assume = Assumptions()
        self._reported: set[tuple[str, str, int]] = set()
        self._made: dict[Any, Made] = {}
        self._symbolic: dict[Any, Made] = {}
        self._variants = Variants()
        self._applied: dict[tuple[int, TensorType | None], tuple[BlockArrow, Definition]] = {}
        self._calls: list[tuple[BlockValue, Place]] = []
        self.elaborated: set[int] = set()
        """The declarations of blocks that were run, by identity."""

    @property
    def computed(self) -> list[Place]:
        """Where closed arrows with weights were computed as items or arguments."""
        return self._runner.computed

    @property
    def followed(self) -> list[tuple[Place, int]]:
        """Layers along features that are elsewhere than the rank says, and the axis that it says, from the end."""
        return self._applier.followed

    def net(self, module: Module, name: str, arguments: Mapping[str, Any], sizes: Mapping[str, int]) -> Program | None:
        """The program of a net of a module; None where a mistake was found (see `diagnostics`)."""
        self.assume = Assumptions()
        self._symbolic = {}
        self._applied = {}
        before = len(self.diagnostics)
        with deep(), self.recording():
            arrow = self._net_arrow(module, name, arguments)
            definition = self._main(arrow, name, sizes)
            if definition is not None and len(self.diagnostics) == before:
                check_names(arrow.block, [o.name for o in definition.outputs])
                _check_length(name, definition)
                said = module.names.get(name)
                doc = said.doc if isinstance(said, ast.Named) else ""
                return Program(definition, self.assume.constraints(), doc or arrow.block.declaration.doc)
        return None

    def _net_arrow(self, module: Module, name: str, arguments: Mapping[str, Any]) -> BlockArrow:
        found = module.find(name)
        at = module.place(found[1].at) if found and found[0] is module else module.place(module.file.at)
        value = self.evaluator.lookup(name, Env(module, {}), at)
        if not isinstance(value, BlockArrow):
            raise fault("not-a-net", f"`{name}` is not a net", at)
        if arguments:
            value = bind(value, [Given(k, v, at) for k, v in arguments.items()], at)
        assert isinstance(value, BlockArrow)
        if missing(value):
            names = ", ".join(f"`{n}`" for n in missing(value))
            raise fault(
                "missing-argument", f"`{name}` needs {names}", at, "give it with `-p name=value`, or name a variant"
            )
        return value

    def _main(self, arrow: BlockArrow, name: str, sizes: Mapping[str, int]) -> Definition | None:
        check_sizes(arrow.block, sizes)
        scope = Scope(name, arrow.at)
        scope.sizes = tuple(sizes.items())
        return self._fill(scope, arrow.block, dict(arrow.arguments), None)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Turns a mistake into a diagnostic; what was being done is given up."""
        try:
            with self.budget.open():
                yield
        except (Fault, Silent, RecursionError) as mistake:
            self.record(mistake)
        except Exhausted as end:
            if self._calls:
                raise  # nothing around it can continue either
            self._report_end(end)

    def _report_end(self, end: Exhausted) -> None:
        """Report that the budget is spent: once, however much is still tried."""
        if not any(d.code == "too-much-work" for d in self.diagnostics):
            self.report(too_much_work(end))

    def record(self, mistake: Fault | Silent | RecursionError) -> None:
        """Make a diagnostic of a mistake that was just caught; a silent one is known already."""
        if isinstance(mistake, Fault):
            self.report(mistake.diagnostic)
        elif isinstance(mistake, RecursionError):
            at = self._calls[-1][1] if self._calls else None
            self.report(Diagnostic("too-deep", "this is nested too deeply", at))

    def report(self, found: Diagnostic) -> None:
        """Record a mistake, unless the same one at the same place is known already."""
        at = found.at
        key = (found.code, at.source.name if at else "", at.span.start if at else 0)
        if key in self._reported:
            return
        self._reported.add(key)
        labels = found.labels
        if self._calls and at is not None and all(n.at.span != self._calls[-1][1].span for n in labels):
            block, call = self._calls[-1]
            labels = (*labels, Label(f"`{block.name}` is used here", call))
        names = [block.name for block, _ in self._calls]
        path = ".".join(names if len(names) <= 8 else [*names[:3], "...", *names[-2:]])
        self.diagnostics.append(shortened(replace(found, labels=labels, path=path)))

    def apply(self, arrow: Any, flow: Any, context: Context) -> Any:
        return self._applier.apply(arrow, flow, context)

    def run(self, statements: tuple[ast.Statement, ...], env: Env, flow: Any, context: Context) -> Any:
        return self._runner.run(statements, env, flow, context)

    def share(self, layer: LayerBuilder, declared: Any) -> None:
        self._applier.shared.declared[layer] = declared

    def again(self, arrow: BlockArrow, flow: Wire) -> Definition | None:
        """The definition of a block value that was applied to this type before."""
        known = self._applied.get((id(arrow), flow.type))
        return known[1] if known else None

    def block(
        self, arrow: BlockArrow, flow: Wire | None, context: Context, apart: bool = False
    ) -> tuple[Definition, list[Wire]]:
        """The definition of a block for these arguments and this input, and the wires to give it."""
        spend(10 + 3 * self.evaluator.weights.of(arrow))
        arguments, wires = captured(arrow.arguments, apart)
        types = tuple(w.type for w in ([flow] if flow else []) + wires)
        key = (arrow.block, typed(arguments), flow is not None, types, arrow.taps)
        made = self._made.get(key) or self._symbolic.get(key)
        if made is None:
            memory = self._symbolic if any(t.names for t in types) else self._made
            memory[key] = RUNNING
            try:
                made = Made(self._variants.one_of(key, types, self._define(arrow, dict(arguments), flow, wires)))
            finally:
                memory[key] = made or Made(None)
        if made is RUNNING:
            hint = "a block that uses itself needs an argument that grows smaller, and an `if` that ends it"
            raise fault("endless-recursion", f"`{arrow.block.name}` uses itself on the same input", arrow.at, hint)
        if made.definition is None:
            raise Silent
        if not wires:
            self._applied[id(arrow), flow.type if flow else None] = (arrow, made.definition)
        inputs = ([flow] if flow else []) + [context.scope.bring(w) for w in wires]
        return made.definition, inputs

    def _define(
        self, arrow: BlockArrow, arguments: dict[str, Any], flow: Wire | None, wires: list[Wire]
    ) -> Definition | None:
        scope = Scope(arrow.block.name, arrow.block.module.place(arrow.block.declaration.at))
        start = scope.add_input(flow.type, flow.place) if flow else None
        taken = [scope.add_input(w.type, w.place) for w in wires]
        own_names = {v.index: n for n, v in reversed(arguments.items()) if isinstance(v, Captured)}
        for i, (wire, outer) in enumerate(zip(taken, wires, strict=True)):
            wire.name = own_names.get(i, outer.name)
        own = {n: release(v, taken) for n, v in arguments.items()}
        with self._inside(arrow):
            return self._fill(scope, arrow.block, own, start, Taps(arrow, self._runner.untaken) if arrow.taps else None)

    def _fill(
        self, scope: Scope, block: BlockValue, arguments: dict[str, Any], flow: Wire | None, taps: Taps | None = None
    ) -> Definition | None:
        """The definition of a block whose body is run in `scope`."""
        before = len(self.diagnostics)
        with self.recording():
            scope.doc = block.declaration.doc
            result = self.run_block(scope, block, arguments, flow, Context(scope, scope, taps=taps))
            if taps is not None:
                return self._tapped(scope, taps) if len(self.diagnostics) == before else None
            if result is BROKEN or len(self.diagnostics) > before:
                return None
            if all(training for _, _, training in scope.outputs):
                scope.outputs.insert(0, ("output", self.one(result, scope.place), False))
            return freeze(scope)
        return None

    def _tapped(self, scope: Scope, taps: Taps) -> Definition | None:
        """The definition of a net that gives the values of its labels."""
        wires = taps.results()
        if wires is None:
            return None
        prune(scope.drafts, wires)
        scope.outputs = [(f"tap{i}", scope.bring(w), False) for i, w in enumerate(wires)]
        return freeze(scope)

    def run_block(
        self, scope: Scope, block: BlockValue, arguments: dict[str, Any], flow: Wire | None, context: Context
    ) -> Any:
        """Bind a block's arguments and sizes, and run its body; gives the value that flows out."""
        self.elaborated.add(id(block.declaration))
        env = self._runner.inside(Env(block.module, dict(scope.sizes)), context)
        self._bind_parameters(block, arguments, env)
        scope.arguments = tuple((n, v) for n, v in env.locals.items() if isinstance(v, int | float | str | tuple))
        env.locals.update(arguments)
        bound = bind_inputs(self, block, flow, env)
        scope.sizes = (*scope.sizes, *bound.items())
        body = block.declaration.body
        if isinstance(body, ast.Body):
            result = self.run(body.statements, env, flow, context)
        else:
            waiting, before = self._runner.untaken.before(body, env, scope), len(scope.drafts)
            arrow = self.evaluator.arrow(body, env)
            if flow is None and isinstance(arrow, BlockArrow) and arrow.block.is_net and is_complete(arrow):
                return self.run_block(scope, arrow.block, dict(arrow.arguments), None, context)  # with its inputs
            result = self.apply(arrow, flow, context)
            self._runner.trace(body, env, result, context, 0)
            self._runner.untaken.keep(waiting, body, scope, before)
        if context.taps is None and result is not BROKEN:
            self._check_result(scope, block, result, env)
        return result

    def _bind_parameters(self, block: BlockValue, arguments: dict[str, Any], env: Env) -> None:
        """Bind the parameters of a block, or their defaults; `arguments` keeps what is no parameter: inputs."""
        for parameter in block.declaration.parameters:
            name, default = parameter.name.id, parameter.default
            if name not in arguments:
                assert default is not None
                arguments[name] = self.evaluator.settled(default, env)
            env.locals[name] = arguments.pop(name)

    def _check_result(self, scope: Scope, block: BlockValue, result: Any, env: Env) -> None:
        """Hold what a block gives to its signature, where it declares no outputs."""
        if not all(training for _, _, training in scope.outputs):
            return
        if result is None:
            raise fault("no-value", f"`{block.name}` gives no value", block.module.place(block.declaration.name.at))
        check_outputs(self, block, result, env)

    def inline(self, arrow: BlockArrow, flow: Wire | None, context: Context) -> Any:
        """Run a block that is given a shared layer inside the scope that calls it."""
        child = self.nested(free_name(snake(arrow.block.name)), arrow.at, flow, context)
        child.inline = True
        start = child.inputs[0] if flow else None
        with self._inside(arrow):
            result = self.run_block(child, arrow.block, dict(arrow.arguments), start, context.inside(child))
        return self.leave(child, result)

    @contextmanager
    def _inside(self, arrow: BlockArrow) -> Iterator[None]:
        """Run a block inside those that are being run. Raises Fault where they nest too deep."""
        spend(DEFINITION)
        name = arrow.block.name
        if sum(block is arrow.block for block, _ in self._calls) >= DEPTH:
            hint = "a block that uses itself needs an argument that grows smaller, and an `if` that ends it"
            raise fault("endless-recursion", f"`{name}` nests {DEPTH} deep and continues", arrow.at, hint)
        if len(self._calls) >= NESTED:
            raise fault("too-deep", f"`{name}` lies within {NESTED} other blocks", arrow.at)
        self._calls.append((arrow.block, arrow.at))
        try:
            yield
        finally:
            self._calls.pop()

    def nested(self, name: str, at: Place, flow: Wire | None, context: Context, member: bool = False) -> Scope:
        """A new scope inside the present one, with the step that calls it."""
        spend(DEFINITION)
        parent = context.scope
        child = Scope(name, at, parent)
        layer = LayerBuilder(parent, name, child, labelled=True, member=member)
        child.call = StepBuilder(child, [flow] if flow else [], [], at, layer, context.training)
        if flow:
            child.add_input(flow.type, flow.place).training = flow.training
        parent.drafts.append(child.call)
        return child

    def labelled(
        self,
        name: str,
        at: Place,
        flow: Any,
        context: Context,
        run: Callable[[Any, Context], Any],
        member: bool = False,
    ) -> Any:
        """The result of what is run in a scope of that name. Where several tensors flow, they stay outside of it."""
        if flow is BROKEN or isinstance(flow, tuple):
            return run(flow, context)
        child = self.nested(name, at, None if isinstance(flow, Several) else flow, context, member)
        start = child.inputs[0] if child.inputs else flow
        result = run(start, context.inside(child))
        if child.inputs and result is start:
            child.passes = True
            return flow  # it only passes by
        return result if isinstance(result, Several) else self.leave(child, result)

    def leave(self, child: Scope, result: Any) -> Any:
        """The value that a nested scope gives to the one around it."""
        if isinstance(result, tuple):
            return tuple(self.leave(child, r) for r in result)
        if result is None or result is BROKEN:
            return result
        return child.give(child.bring(result))

    def one(self, result: Any, at: Place) -> Wire:
        """The single tensor of a result. Raises Fault for several, Silent for a broken one."""
        if result is BROKEN:
            raise Silent
        if isinstance(result, tuple):
            hint = "name them: `a, b = ...`"
            raise fault("several-values", f"{len(result)} tensors flow here, where one is needed", at, hint)
        if isinstance(result, Several):
            message = "the net has several inputs: none of them flows by itself"
            raise fault("no-value", message, at, result.hint())
        if not isinstance(result, Wire):
            raise fault("no-value", "no value flows here", at, "begin with an `input`, or with a named tensor")
        return result

    def size(self, node: ast.Node, env: Env) -> Dim:
        """The size an expression stands for. Raises Fault for anything else."""
        value = self.evaluator.evaluate(node, env)
        if isinstance(value, bool) or not isinstance(value, int | Size):
            raise fault("not-a-size", f"a size is needed here, found {describe(value)}", env.place(node))
        return value


def _check_length(name: str, main: Definition) -> None:
    """Raise Fault for a net that comes to more op calls than anything can go through one by one."""
    count = count_calls(main)
    if count > MOST_CALLS:
        message = f"`{name}` would compute {count:,} ops one after another, more than {MOST_CALLS:,}"
        hint = "a block that uses another twice doubles what is inside it"
        raise fault("too-large", message, main.place, hint)
