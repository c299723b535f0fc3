"""`expect Net: params == 25_557_032, output == [1000]`: expectations that `netdsl check` keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl.analysis import count
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Fault, Hint, diagnostic, fault
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.nets import other_net
from netdsl.ir.model import Program
from netdsl.sizes.dims import symbol
from netdsl.syntax import ast

if TYPE_CHECKING:
    from netdsl.checks.unchanged import Programs
    from netdsl.elaborate.elaborate import Elaborator


def check_expectations(module: Module, elaborator: Elaborator, programs: Programs) -> None:
    """Report every expectation of a file that its nets do not keep."""
    known: dict[str, dict[str, Any]] = {}
    for node in module.file.declarations:
        if isinstance(node, ast.Expect) and not programs.unchanged.skips("expectations", node):
            with elaborator.recording():
                _check(node, module, elaborator, programs, known)


def _check(
    node: ast.Expect, module: Module, elaborator: Elaborator, programs: Programs, known: dict[str, dict[str, Any]]
) -> None:
    """Report what a net does not keep of one expectation. `known`: the facts of nets that are known so far."""
    name = node.target.id
    at = module.place(node.target.at)
    if name in module.unresolved:
        raise Silent  # its import is the mistake
    if name not in module.nets:
        raise fault("unknown-net", f"there is no net `{name}`", at, other_net(name, module.nets))
    if name not in programs and _is_told(name, module, elaborator.diagnostics):
        raise Silent
    if name not in programs:
        raise fault("missing-argument", f"`{name}` needs arguments: nothing can be expected of it", at)
    program = programs[name]
    if program is None:
        return
    if name not in known:
        known[name] = facts(program)
    env = Env(module, known[name])
    for condition in node.conditions:
        with elaborator.recording():
            _check_names(condition, env)
            value = elaborator.evaluator.evaluate(condition, env)
            if not isinstance(value, bool):
                raise _no_condition(condition, value, env)
            if not value:
                elaborator.report(_broken(condition, name, env, elaborator))


def _is_told(name: str, module: Module, found: list[Diagnostic]) -> bool:
    """Whether a mistake stands in the declaration of a net itself."""
    own = (d for d in module.declared(ast.Variant) if isinstance(d, ast.Variant) and d.name.id == name)
    span = next((d.at for d in own), None)
    return span is not None and any(
        d.at is not None and d.at.source is module.source and span.start <= d.at.span.start < span.end for d in found
    )


def _check_names(condition: ast.Expr, env: Env) -> None:
    """Raise Fault for what is expected under the name that other tools give it."""
    first = condition.first if isinstance(condition, ast.Compare) else condition
    if isinstance(first, ast.Name) and first.id in ELSEWHERE and first.id not in env.locals:
        at, own = env.place(first), ELSEWHERE[first.id]
        hint = Hint(f"`{own}` {MEANING[own]}", (Edit(at, own),), safe=own != "macs")
        raise fault("unknown-name", f"nothing is called `{first.id}`", at, hint)


def facts(program: Program) -> dict[str, Any]:
    """The facts of a net that `expect` can name; the named sizes of its inputs stand for themselves."""
    main = program.main
    totals = count.totals(main)
    outputs = [o for o in main.outputs if not o.training]
    found: dict[str, Any] = {name: symbol(name) for v in main.inputs for name in v.type.names}
    found |= {v.name: v.type.shape for v in main.inputs}
    found |= {o.name: o.value.type.shape for o in main.outputs}
    found |= {"params": totals.params, "buffers": totals.buffers, "macs": totals.macs}
    return found | {"output": outputs[0].value.type.shape if outputs else ()}


ELSEWHERE = {
    "flops": "macs", "gflops": "macs", "mult_adds": "macs", "parameters": "params", "param_count": "params",
    "num_params": "params", "n_params": "params", "shape": "output", "output_shape": "output", "out": "output",
}  # fmt: skip
"""What can be expected, by its names in other tools."""

MEANING = {
    "macs": "counts multiply-accumulates, half the FLOPs",
    "params": "counts the parameters",
    "output": "is the shape of the first output",
}


def _no_condition(condition: ast.Expr, value: Any, env: Env) -> Fault:
    """The mistake of an expectation that holds whatever the net is: `params`, without what it should be."""
    at = env.place(condition)
    hint = None
    if isinstance(condition, ast.Name) and condition.id in env.locals:
        edit = Edit(at, f"{condition.id} == {_written(value)}")
        hint = Hint(f"if the net is as intended: `{edit.text}`", (edit,), safe=False)
    return fault("broken-expectation", f"`{at.text}` expects nothing: it is no comparison", at, hint)


def _broken(condition: ast.Expr, net: str, env: Env, elaborator: Elaborator) -> Diagnostic:
    at = env.place(condition)
    message = f"`{net}` does not meet this expectation"
    hint = None
    if isinstance(condition, ast.Compare):
        left = elaborator.evaluator.evaluate(condition.first, env)
        name = env.module.place(condition.first.at).text
        message += f": {name} is {_written(left)}"
        if condition.ops == ("==",) and isinstance(condition.rest[0], ast.Number | ast.ListExpr):
            edit = Edit(env.place(condition.rest[0]), _written(left))
            hint = Hint(f"if the net is as intended: `{name} == {edit.text}`", (edit,), safe=False)
    return diagnostic("broken-expectation", message, at, hint)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return f"{value:_}" if isinstance(value, int) else str(value)
