"""Every op through the language: the emitted module computes what the interpreter's own rules say."""

from __future__ import annotations

import pytest
import torch
from interpreter import interpret, randomized, worst
from op_harness import Use, uses
from op_rules import RULES

from netdsl.ir.flatten import flatten
from netdsl.loader import read_import
from netdsl.ops import REGISTRY
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

USES = list(uses())
RESOLVED = {"dwconv", "patchify", "arange", "linspace"}
"""Ops that become another op as soon as their input is known, tables a constant."""


def net_of(use: Use) -> Net:
    """A net whose only op is the example's."""
    op = REGISTRY[use.given.kind]
    names = "xyzw"[: len(use.types)]
    inputs = [f"input {n} {t}" for n, t in zip(names, use.types, strict=True)] or ["input x [1]"]
    body = f"x -> {use.text}" if op.takes_it else use.text
    results = use.inferred()
    if isinstance(results, tuple):
        parts = [f"part{i}" for i in range(len(results))]
        named = f"{', '.join(parts)} = {body}" if len(parts) > 1 else f"part0 = {body}"
        body = "\n  ".join([named, *(f"output out{i} = {p}" for i, p in enumerate(parts))])
    text = "\n  ".join(["net A {", *inputs, body]) + "\n}\n"
    return Spec(Source(text, "a.net"), read_import).net("A")


def test_every_op_has_a_rule() -> None:
    assert set(RULES) | RESOLVED == set(REGISTRY)


@pytest.mark.parametrize("use", USES, ids=lambda u: u.name)
def test_module_is_what_the_rules_say(use: Use) -> None:
    program = net_of(use).checked
    module = net_of(use).module(seed=0).eval()
    inputs = use.values or [torch.zeros(2, 1)]
    state = randomized(module, seed=1)
    wanted = interpret(program, state, inputs, {})
    with torch.no_grad():
        found = module(*inputs)
    assert worst(tuple(found) if isinstance(found, list) else found, wanted) < 1e-5


def test_resolved_ops_become_others() -> None:
    kinds = {u.given.kind for u in USES for node in flatten(net_of(u).checked) if node.op.kind != u.given.kind}
    assert kinds == RESOLVED
