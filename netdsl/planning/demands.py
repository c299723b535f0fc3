"""Requirements of a recipe that a net does not meet, each reported at the recipe's field.

Nothing here needs the data: `netdsl check` says it, and so does whatever plans or trains, before anything is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from netdsl.analysis.count import parameters, totals
from netdsl.diagnostics.diagnostic import Diagnostic, Fault, diagnostic, did_you_mean, fault
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.ops.dropout import AlphaDropout, DropConnect, Dropout, Dropout2d, GaussianDropout
from netdsl.ops.recurrent import Recurrent
from netdsl.planning.branch_scales import RESIDUAL, fixup_factors, multipliers
from netdsl.planning.groups import ROLES, Parameter, selector_mistakes
from netdsl.planning.images import image_mistakes, input_mistakes
from netdsl.planning.initialization import ASSIGNMENTS, READ, WEIGHTS, NetParameters
from netdsl.planning.net import PlannedNet
from netdsl.planning.outputs import output_mistakes
from netdsl.planning.rates import depth_rates
from netdsl.recipe.component import component_name
from netdsl.recipe.inits import Default, Fixup, Init, Pretrained, SkipInit, ZeroLastNorm
from netdsl.recipe.places import NOWHERE, Places
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Data, Text
from netdsl.weights.part import no_part, part


class AnyData(Data, frozen=True, tag="any"):
    """Data of which nothing is known."""

    sure = False
    gives = "anything"

    def input_count(self) -> None:
        return None


def demands(net: PlannedNet, recipe: Recipe, places: Places = NOWHERE, open_data: bool = False) -> Iterator[Diagnostic]:
    """Everything that does not fit between a recipe and a net: errors, and warnings of what is hardly meant.

    `open_data`: the recipe may be used with other data than it has; nothing is said about them.
    """
    recipe = replace(recipe, data=AnyData()) if open_data else recipe
    found = tuple(Parameter(p.path, p.role, p.shape) for p in parameters(net.checked.main))
    yield from selector_mistakes(recipe, found, places)
    yield from _links(net.checked, recipe, places)
    if recipe.init:
        yield from _initialisation(net, recipe, places)
    yield from _named_outputs(net.checked, recipe, places)
    yield from _dropout(net.checked, recipe, places)
    yield from _carried(net.checked, recipe, places)
    unfit = list(input_mistakes(net.checked, recipe, places))
    yield from unfit
    if not unfit:
        yield from output_mistakes(net.checked, recipe, places)
        yield from image_mistakes(net, recipe, places)


def refuse(net: PlannedNet, recipe: Recipe) -> None:
    """Raise Fault for the first error between a recipe and a net."""
    for found in demands(net, recipe):
        if found.severity == "error":
            raise Fault(found)


def no_residual_links() -> Fault:
    """The mistake of `drop_path` for a net without residual links."""
    return fault("no-residual-links", "`drop_path` drops residual links, and this net has none", None, RESIDUAL)


def _links(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """`drop_path` needs residual links, and as many as it gives rates for."""
    if recipe.drop_path is None:
        return
    links = totals(program.main).residual_links
    try:
        if not links:
            raise no_residual_links()
        depth_rates(recipe.drop_path, links)
    except Fault as mistake:
        yield _at(mistake.diagnostic, places, "drop_path")


def _dropout(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A rate of dropout needs layers that have one; recipes are written for families, of which some lack them."""
    grows = recipe.progressive is not None and recipe.progressive.dropout is not None
    if (recipe.dropout is not None or grows) and not any(isinstance(n.op, DROPPING) for n in flatten(program)):
        message = "`dropout` is the rate of dropout layers, and this net has none"
        at = places.at("progressive.dropout" if grows else "dropout")
        yield diagnostic("idle-option", message, at, "write them in the net: `dropout(0.1)`", severity="warning")


DROPPING = (Dropout, Dropout2d, GaussianDropout, AlphaDropout, DropConnect)
"""Layers whose rate a recipe's `dropout` sets."""


def _initialisation(net: PlannedNet, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """An `init` sets something of the net, in the way that it says."""
    if len(recipe.init) > 1:
        yield from _overwritten(recipe, net.parameters, places)
    for step in recipe.init:
        at = f"init.{component_name(step)}"
        if isinstance(step, Pretrained):
            yield from _by_name(step, net.checked, places)
        try:
            if type(step) in NEEDS:
                NEEDS[type(step)](net.parameters)
            assigned, _ = ASSIGNMENTS[step](step, net.parameters)
        except Fault as mistake:
            yield _at(mistake.diagnostic, places, at)
            continue
        roles = {*ROLES, "vector"}.intersection(step.selectors)
        if not assigned and not roles and not isinstance(step, (*READ, Default)):
            message = f"`{component_name(step)}` sets nothing of this net"
            yield diagnostic("idle-option", message, places.at(at), severity="warning")


def _overwritten(recipe: Recipe, known: NetParameters, places: Places) -> Iterator[Diagnostic]:
    """A component of `init` all of whose numbers are set again by later ones."""
    later: set[str] = set()
    for step in reversed(recipe.init):
        try:
            own, again = _sets(step, known)
        except Fault:
            return  # it is told on its own
        if own and later >= own:
            message = f"all that `{component_name(step)}` sets is set again by what follows it"
            at, hint = places.at(f"init.{component_name(step)}"), 'say of which layers: `only=["head"]`'
            yield diagnostic("idle-option", message, at, hint, severity="warning")
        later |= again


def _sets(step: Init, known: NetParameters) -> tuple[set[str], set[str]]:
    """The parameters that a component of `init` sets, and those of them that keep nothing of what they were."""
    found = ASSIGNMENTS[step](step, known)[0]
    again = {a.path for a in found if a.function != "mul_" and not a.square and a.rows is None}
    if isinstance(step, READ):
        return {p.path for p in known.parameters if p.role in WEIGHTS}, again
    return {a.path for a in found}, again


def _by_name(step: Pretrained, program: Program, places: Places) -> Iterator[Diagnostic]:
    """Check weights by name as far as that goes without asking the Hub."""
    from netdsl.weights.hub import looks_like_a_path, mistake_of

    reason = None if looks_like_a_path(step.name) else mistake_of(step.name)
    if reason is not None:
        hint = "names are as on huggingface.co, such as timm/resnet50.a1_in1k; a folder with the files will do too"
        yield diagnostic("unfit-weights", reason, places.at("init.pretrained.name"), hint)
    if step.into and part(program, step.into) is None:
        message, hint = no_part(step.into)
        yield diagnostic("unfit-weights", message, places.at("init.pretrained.into"), hint)


def _at(found: Diagnostic, places: Places, path: str) -> Diagnostic:
    """A diagnostic at the place of a field."""
    return diagnostic(found.code, found.message, places.at(path), found.hint, severity=found.severity)


def _zero_last_norm(net: NetParameters) -> None:
    if not net.branches:
        message = "`zero_last_norm` is for residual branches, and this net has none"
        raise fault("no-residual-links", message, None, RESIDUAL)
    if all(b.norm is None for b in net.branches):
        hint = "let a norm be the last layer of the branch, or leave it out"
        raise fault("unfit-branch", "`zero_last_norm` finds no norm at the end of a residual branch", None, hint)


NEEDS: dict[type[Init], Callable[[NetParameters], object]] = {
    Fixup: lambda net: fixup_factors(net.branches),
    SkipInit: lambda net: multipliers(net.branches),
    ZeroLastNorm: _zero_last_norm,
}
"""What an initialisation needs of a net: raises Fault where the net lacks it. Others need nothing."""


def _carried(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """`carry` needs recurrent layers that read a text from front to back."""
    if not isinstance(recipe.data, Text) or not recipe.data.carry:
        return
    found = [node.op for node in flatten(program) if isinstance(node.op, Recurrent)]
    at = places.at("data.carry")
    if not found:
        hint = "leave it out, or use `rnn`, `lstm` or `gru`"
        yield diagnostic("idle-option", "`carry` keeps states of recurrent layers, and this net has none", at, hint)
    elif any(op.bidirectional for op in found):
        message = "`carry` goes from window to window, and a layer of this net also reads backwards"
        yield diagnostic("conflicting-fields", message, at, "leave out `bidirectional`: it would see what it predicts")


def _named_outputs(program: Program, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    names = [o.name for o in program.main.outputs]
    kept = [o.name for o in program.main.outputs if not o.training]
    for name in recipe.outputs:
        if name not in names:
            hint = did_you_mean(name, names) or f"its outputs: {', '.join(names)}"
            yield diagnostic("unknown-output", f"the net has no output `{name}`", places.at(f"outputs.{name}"), hint)
    if recipe.outputs and all(recipe.outputs.get(n, 1 if n == kept[0] else 0) == 0 for n in names):
        message = "every output has the weight 0: nothing is learnt"
        yield diagnostic("bad-value", message, places.at("outputs"))
