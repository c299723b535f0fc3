"""A finished scope becomes a definition: scopes are spliced or nested, layers and values get their final names.

Names are the state dict's keys. A label names its layer; without one it is named after its kind (`conv`, or `conv1`,
`conv2` where there are several). A labelled chain of modules is numbered like `nn.Sequential`; a label on a loop, or
one met several times, numbers its members (`stages.0`).
"""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import fault
from netdsl.elaborate.scope import LayerBuilder, Scope, StepBuilder, Wire
from netdsl.elaborate.tables import fold_tables
from netdsl.ir.model import Definition, Layer, Output, Step, Value
from netdsl.ir.reserved import DICT, free_name
from netdsl.ops.base import Op


def freeze(scope: Scope) -> Definition:
    """The definition of a block's or a net's scope."""
    return _freeze(scope)[0]


def _freeze(scope: Scope) -> tuple[Definition, list[int]]:
    """The definition, and which of the scope's inputs it kept (a block keeps all)."""
    same: dict[Wire, Wire] = {}
    drafts = [nested for draft in _splice(scope, same) for nested in _nest(draft, same)]
    for draft in drafts:
        draft.inputs = [_find(w, same) for w in draft.inputs]
    outputs = _outputs(scope, same)
    drafts = fold_tables(scope, drafts, outputs)
    present = [d for d in drafts if d.callee is not None]
    kept = _kept(scope, present, outputs)
    inputs = [scope.inputs[i] for i in kept]
    chain = not scope.is_block and _is_chain(inputs, present, outputs)
    names, former = _named(drafts, chain, scope.passes)
    values = _Values(inputs)
    frozen_inputs = tuple(values.of(w) for w in inputs)
    steps = tuple(_step(d, names[d], values) for d in present)
    layers = _layers(present, steps, former)
    definition = Definition(
        scope.name, frozen_inputs, layers, steps,
        tuple(Output(n, values.of(w), t) for n, w, t in outputs),
        scope.place, scope.arguments, scope.doc, chain, scope.sizes,
    )  # fmt: skip
    return replace(definition, wraps=_wraps(scope, drafts, definition)), kept


def _kept(scope: Scope, drafts: list[StepBuilder], outputs: list[tuple[str, Wire, bool]]) -> list[int]:
    """The inputs that a definition has: all of a block's, and those of a labelled part that something reads."""
    used = {w for d in drafts for w in d.inputs} | {w for _, w, _ in outputs}
    return [i for i, w in enumerate(scope.inputs) if scope.is_block or w in used]


def _layers(drafts: list[StepBuilder], steps: tuple[Step, ...], former: dict[StepBuilder, str]) -> tuple[Layer, ...]:
    layers: dict[str, Layer] = {}
    for draft, step in zip(drafts, steps, strict=True):
        if step.layer is not None and step.layer not in layers:
            types = tuple(w.type for w in draft.inputs)
            layers[step.layer] = Layer(step.layer, step.callee, types, former[draft])
    return tuple(layers.values())


def _wraps(scope: Scope, drafts: list[StepBuilder], definition: Definition) -> bool:
    """Whether a block is nothing but a layer that the author did not name, whatever its conditions say."""
    if not scope.is_block or scope.varies or len(drafts) != 1 or not definition.layers:
        return False
    (draft,) = drafts
    if draft.layer is None or draft.layer.labelled or not _is_wrapper(definition):
        return False
    return isinstance(draft.callee, Definition) or _has_module(definition.steps[0])


def _named(
    drafts: list[StepBuilder], chain: bool, passes: bool
) -> tuple[dict[StepBuilder, str | None], dict[StepBuilder, str]]:
    """The layer name of each step that is there, and the path it had in the previous release."""
    present = [d for d in drafts if d.callee is not None]
    if chain:
        names = _number(present)
        before = _name_layers(present, former=True) if passes else names
    else:
        named = dict(zip(drafts, _name_layers(drafts), strict=True))
        names, before = [named[d] for d in present], _name_layers(present, former=True)
    paths = {d: _path(d, name) for d, name in zip(present, before, strict=True)}
    return dict(zip(present, names, strict=True)), paths


def _path(draft: StepBuilder, name: str | None) -> str:
    """The path of what a step calls, where its layer has this name."""
    inside = draft.layer.inside if draft.layer else ""
    return f"{name}.{inside}" if inside else name or ""


def _find(wire: Wire, same: dict[Wire, Wire]) -> Wire:
    while wire in same:
        wire = same[wire]
    return wire


def _outputs(scope: Scope, same: dict[Wire, Wire]) -> list[tuple[str, Wire, bool]]:
    if scope.is_block:
        return [(n, _find(w, same), t) for n, w, t in scope.outputs]
    return [(outer.name, _find(inner, same), outer.training) for inner, outer in scope.exports.items()]


def _splice(scope: Scope, same: dict[Wire, Wire]) -> list[StepBuilder]:
    """The steps of a scope with those of its inline scopes in their place."""
    drafts: list[StepBuilder] = []
    for draft in scope.drafts:
        inner = draft.callee
        if not (isinstance(inner, Scope) and inner.inline):
            drafts.append(draft)
            continue
        same.update(zip(inner.inputs, draft.inputs, strict=True))
        same.update({outer: wire for wire, outer in inner.exports.items()})
        spliced = _splice(inner, same)
        for layer in {d.layer: None for d in spliced if d.layer is not None and _inside(d.layer.scope, inner)}:
            container = free_name(inner.name)
            layer.base, layer.former = (f"{container}.{_member(n, layer, inner)}" for n in (layer.base, layer.former))
        drafts.extend(spliced)
    return drafts


def _member(name: str, layer: LayerBuilder, inner: Scope) -> str:
    """The name of a layer as a member of the container of an inline scope."""
    if name in DICT and layer.labelled:
        message = f"`{name}` cannot name a layer here: the layers of `{inner.name}` stand in an `nn.ModuleDict`"
        raise fault("reserved-name", message, inner.place, f"name it `{name}_`")
    return f"{name}_" if name in DICT else name


def _inside(scope: Scope | None, outer: Scope) -> bool:
    while scope is not None and scope is not outer:
        scope = scope.parent
    return scope is outer


def _nest(draft: StepBuilder, same: dict[Wire, Wire]) -> list[StepBuilder]:
    """A step whose callee is a scope, frozen: gone if it is empty, and its one step itself if it is single."""
    inner = draft.callee
    if not isinstance(inner, Scope):
        return [draft]
    definition, kept = _freeze(inner)
    exported = list(inner.exports.values())
    if not definition.steps:
        by_value = dict(zip(definition.inputs, kept, strict=True))
        same.update({o: draft.inputs[by_value[out.value]] for o, out in zip(exported, definition.outputs, strict=True)})
        return []
    draft.inputs = [draft.inputs[i] for i in kept]
    draft.outs = exported
    draft.callee = definition
    assert draft.layer is not None
    if len(definition.steps) == 1 and _is_wrapper(definition):
        draft.callee = definition.steps[0].callee
        inside = definition.layers[0].former if definition.layers else ""
        draft.layer.inside = inside.partition(".")[2]
    draft.layer.callee = draft.callee
    return [draft]


def _is_wrapper(definition: Definition) -> bool:
    """Whether the only step of a definition takes its inputs and gives its outputs as they are."""
    (step,) = definition.steps
    straight = step.inputs == definition.inputs and step.outs == tuple(o.value for o in definition.outputs)
    owned = len(definition.layers) == 1 and "." not in definition.layers[0].name
    return straight and not step.training and (owned or (isinstance(step.callee, Op) and _has_module(step)))


def _has_module(step: Step) -> bool:
    return isinstance(step.callee, Op) and step.callee.torch(*(v.type for v in step.inputs)).module is not None


def _is_chain(inputs: list[Wire], drafts: list[StepBuilder], outputs: list[tuple[str, Wire, bool]]) -> bool:
    """Whether the steps can stand in `nn.Sequential`."""
    if len(inputs) != 1 or len(outputs) != 1 or not drafts:
        return False
    layers = [d.layer for d in drafts if d.layer is not None]
    if len(set(layers)) < len(layers) or any(layer.labelled or "." in layer.base for layer in layers):
        return False
    flow = inputs[0]
    for draft in drafts:
        if draft.inputs != [flow] or len(draft.outs) != 1 or draft.training or not _is_module(draft):
            return False
        flow = draft.outs[0]
    return outputs[0][1] is flow


def _is_module(draft: StepBuilder) -> bool:
    if isinstance(draft.callee, Op):
        return draft.callee.torch(*(w.type for w in draft.inputs)).module is not None
    assert isinstance(draft.callee, Definition)
    return len(draft.callee.outputs) == 1


def _number(drafts: list[StepBuilder]) -> list[str | None]:
    return [str(i) for i in range(len(drafts))]


def _name_layers(drafts: list[StepBuilder], former: bool = False) -> list[str | None]:
    """The layer name of each step; the same for steps that share a layer. `former`: as in the previous release."""
    layers = list({d.layer: None for d in drafts if d.layer is not None})
    bases = {layer: layer.former if former else layer.base for layer in layers}
    count = Counter(bases.values())
    taken = {layer.base for layer in layers if layer.labelled}
    seen: Counter[str] = Counter()
    names: dict[LayerBuilder | None, str | None] = {None: None}
    for layer, base in bases.items():
        many = count[base] > 1
        if layer.labelled:
            names[layer] = f"{base}.{seen[base]}" if many or layer.member else base
        else:
            names[layer] = _automatic(base, many, seen, taken)
        seen[base] += 1
    return [names[d.layer] for d in drafts]


def _automatic(base: str, many: bool, seen: Counter[str], taken: set[str]) -> str:
    """The name of a layer that the author did not name; `taken` grows by it."""
    name = _free(base)
    if many or name in taken:
        while f"{base}{seen[base] + 1}" in taken:
            seen[base] += 1
        name = f"{base}{seen[base] + 1}"
    taken.add(name)
    return name


def _free(path: str) -> str:
    """The path of a layer, the last name of which it can have."""
    container, dot, name = path.rpartition(".")
    return f"{container}{dot}{free_name(name)}"


class _Values:
    """Values of a definition by wire, under unique names: the author's, or `x`, `x1`, `x2`."""

    def __init__(self, inputs: list[Wire]) -> None:
        self.by_wire: dict[Wire, Value] = {}
        self.taken: set[str] = set()
        self._next: dict[str, int] = {}
        for wire in inputs:
            self.by_wire[wire] = Value(self._fresh(wire.name or "x"), wire.type)

    def of(self, wire: Wire) -> Value:
        if wire not in self.by_wire:
            self.by_wire[wire] = Value(self._fresh(wire.name or "x"), wire.type)
        return self.by_wire[wire]

    def _fresh(self, name: str) -> str:
        fresh, number = name, len(self.taken) if name == "x" and self.taken else self._next.get(name, 1)
        while fresh in self.taken:
            fresh, number = f"{name}{number}", number + 1
        self._next[name] = number
        self.taken.add(fresh)
        return fresh


def _step(draft: StepBuilder, name: str | None, values: _Values) -> Step:
    assert draft.callee is not None and not isinstance(draft.callee, Scope)  # noqa: PT018
    inputs = tuple(values.of(w) for w in draft.inputs)
    outs = tuple(values.of(w) for w in draft.outs)
    return Step(outs, draft.callee, inputs, draft.written or draft.place, name, draft.training, draft.residual)
