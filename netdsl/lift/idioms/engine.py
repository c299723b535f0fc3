"""Matching and replacing: a pattern is a nested tuple of kinds; a rule tells what a call is instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.model import Call, Lifted
from netdsl.ops.base import Op, OpError
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

COMMUTES = ("add", "mul", "maximum", "minimum")
MOST_PASSES = 6

Rule = Callable[["Net", Call], "list[Call] | None"]
"""What a call is instead: calls of which the last gives the call's results; None where the idiom is not there."""


class Net:
    """The calls while they are rewritten."""

    def __init__(self, net: Lifted) -> None:
        self.net = net
        self.calls = list(net.calls)
        self.made: dict[str, Call] = {v.name: c for c in self.calls for v in c.outputs}
        self.uses = Counter(v.name for c in self.calls for v in c.inputs)
        self.uses.update(o.value.name for o in net.outputs)
        self.readers: dict[str, list[Call]] = {}
        for call in self.calls:
            for value in call.inputs:
                self.readers.setdefault(value.name, []).append(call)
        self.place = {v.name: i for i, c in enumerate(self.calls) for v in c.outputs}
        self.fresh = 0

    def source(self, value: Value, kind: str = "") -> Call | None:
        """The call that computes a value, if it is of this kind."""
        call = self.made.get(value.name)
        return call if call is not None and kind in ("", call.kind) else None

    def is_single(self, value: Value) -> bool:
        """Whether one call alone reads a value."""
        return self.uses[value.name] == 1

    def call(self, op: Op, *inputs: Value, weights: Mapping[str, Any] | None = None, like: Call) -> Call:
        """A new call, with results of its own. Raises OpError where the op does not take these values."""
        types = tuple(v.type for v in inputs)
        found = op.resolve(*types).infer(Assumptions(), *types)
        self.fresh += 1
        results = found if isinstance(found, tuple) else (found,)
        made = tuple(Value(f"{like.outputs[0].name}~{self.fresh}.{i}", t) for i, t in enumerate(results))
        return Call(op, inputs, made, weights or {}, like.node, like.origin)

    def match(self, value: Value, pattern: Any, found: dict[str, Any], inner: bool = False) -> bool:
        """Whether a value is computed as a pattern says; names in it are bound in `found`, also to calls.

        A pattern is a name, or `(kind, inputs, test, name)`: `test` is asked of the op, the call is bound to `name`.
        """
        if isinstance(pattern, str):
            return bool(found.setdefault(pattern, value).name == value.name)
        kind, inputs, test, name = (*pattern, None, None)[:4]
        call = self.source(value, kind)
        if call is None or (inner and not self.is_single(value)) or len(call.outputs) > 1:
            return False
        if len(inputs) != len(call.inputs) or (test is not None and not test(call.op)):
            return False
        bindings = dict(found)
        if not self._match_inputs(call, inputs, bindings):
            return False
        found.update(bindings, **({name: call} if name else {}))
        return True

    def _match_inputs(self, call: Call, patterns: Sequence[Any], found: dict[str, Any]) -> bool:
        """Whether the inputs of a call match, in either order where that is the same."""
        orders = (call.inputs, call.inputs[::-1]) if call.kind in COMMUTES else (call.inputs,)
        for order in orders:
            trial = dict(found)
            if all(self.match(v, p, trial, inner=True) for v, p in zip(order, patterns, strict=True)):
                found.update(trial)
                return True
        return False


def pattern_rule(pattern: Any, make: Callable[[Net, Call, dict[str, Any]], list[Call] | None]) -> Rule:
    """A rule of a pattern and what it becomes."""

    def rule(net: Net, call: Call) -> list[Call] | None:
        found: dict[str, Any] = {}
        return make(net, call, found) if net.match(call.outputs[0], pattern, found) else None

    return rule


def becomes(op: Op) -> Callable[[Net, Call, dict[str, Any]], list[Call]]:
    """The idiom is one op of the value `x`."""
    return lambda net, call, found: [replace(call, op=op, inputs=(found["x"],), weights={})]


def rewritten(net: Lifted, rules: Mapping[str, tuple[Rule, ...]]) -> Lifted:
    """The net with all rules applied until none is."""
    for _ in range(MOST_PASSES):
        again = _once(net, rules)
        if again is None:
            break
        net = again
    return net


def _once(net: Lifted, rules: Mapping[str, tuple[Rule, ...]]) -> Lifted | None:
    """One pass: each call is changed at most once, and what nothing reads any more is left out."""
    state = Net(net)
    calls: list[Call] = []
    changed = False
    for call in state.calls:
        made = _applied(state, call, rules)
        changed |= made is not None
        for new in made or [call]:
            calls.append(new)
            state.made.update((v.name, new) for v in new.outputs)
    return live(replace(net, calls=tuple(calls))) if changed else None


def _applied(state: Net, call: Call, rules: Mapping[str, tuple[Rule, ...]]) -> list[Call] | None:
    for rule in rules.get(call.kind, ()):
        try:
            made = rule(state, call)
            if made is not None and _types(made[-1]) == tuple(v.type for v in call.outputs):
                return [*made[:-1], replace(made[-1], outputs=call.outputs)]
        except OpError:  # the op that the idiom would be does not take these values
            continue
    return None


def _types(call: Call) -> tuple[TensorType, ...]:
    """The types that a call gives, which are those of the call that it replaces, or it is no idiom of it."""
    found = call.op.resolve(*call.types).infer(Assumptions(), *call.types)
    return found if isinstance(found, tuple) else (found,)


def without_identities(net: Lifted) -> Lifted:
    """The net without calls that give the value itself."""
    same: dict[str, Value] = {}
    kept: list[Call] = []
    for call in net.calls:
        inputs = tuple(same.get(v.name, v) for v in call.inputs)
        if call.kind == "identity":
            same[call.outputs[0].name] = inputs[0]
        else:
            kept.append(replace(call, inputs=inputs))
    outputs = tuple(replace(o, value=same.get(o.value.name, o.value)) for o in net.outputs)
    return replace(net, calls=tuple(kept), outputs=outputs)


def live(net: Lifted) -> Lifted:
    """The net without calls that no output depends on."""
    net = without_identities(net)
    needed = {o.value.name for o in net.outputs}
    kept = []
    for call in reversed(net.calls):
        if any(v.name in needed for v in call.outputs):
            needed.update(v.name for v in call.inputs)
            kept.append(call)
    return replace(net, calls=tuple(reversed(kept)))
