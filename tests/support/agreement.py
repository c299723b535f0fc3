"""Three that must agree on a program: the interpreter, the emitted module, onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import onnx
import torch
from generated_programs import LIBRARY, Writer
from interpreter import ExplodedError, Rounding, interpret, randomized, worst
from legal_ir import violations
from torch import Tensor

from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import choose

DOUBLE, SINGLE = 1e-9, 1e-4
"""How far the module may be from the interpreter in double precision; module and onnxruntime in single precision."""

UNITS = {DOUBLE: 2.0**-52, SINGLE: 2.0**-23}
"""The distance from 1 to the next number in each precision."""

LARGEST = 1e8
"""Numbers beyond which a program is no example: attention or normalisation makes chance of their last digits."""

ROUNDINGS = 10
"""How many times the effect of rounding every op once, or of single precision, is accepted where it is more."""

CHANCE = 1e-2
"""An accepted difference beyond which a program is no example: rounding alone decides what it computes."""


def generated(seed: int) -> Net:
    """The program of a seed. Its net may have diagnostics."""
    text = Writer(Random(seed)).spec()
    spec = Spec(Source(text, "generated.net"), lambda name, importer: Source(LIBRARY, "library.net"))
    return spec.net("Chosen" if "net Chosen" in text and seed % 2 else "Generated")


def agree(net: Net, seed: int, onnx: bool = True) -> bool:
    """Raise AssertionError where the three differ, at sizes and with weights that the seed draws.

    False where rounding alone decides what the net computes, in single precision at least.
    """
    program = net.checked
    assert violations(program) == []
    sizes = drawn_sizes(program, Random(seed))
    module = net.module(seed=seed).eval()
    state = randomized(module, seed)
    inputs = draw_inputs(program, 2, sizes, seed)
    given = [doubled(x) for x in inputs]
    weights = {k: doubled(v) for k, v in state.items()}
    try:
        wanted = interpret(program, weights, given, sizes, limit=LARGEST)
    except ExplodedError:
        return False
    with torch.inference_mode():
        single = module(*inputs)
        state = {k: v.clone() for k, v in state.items()}  # `double` changes the module's own
        double = module.double()(*given)

    def near(who: str, found: Any, gate: float) -> bool:
        apart = worst(found, wanted)
        if apart <= gate:
            return True
        moved = [interpret(program, weights, given, sizes, rounding=Rounding(UNITS[gate], i)) for i in range(3)]
        moved += [interpret(program, state, inputs, sizes)] if gate == SINGLE else []
        accepted = max(gate, ROUNDINGS * max(worst(tuple(m.values()), wanted) for m in moved))
        if accepted > CHANCE:
            return False
        assert apart <= accepted, f"{who} is {apart:.1e} from the interpreter at {sizes}, {accepted:.1e} accepted"
        return True

    agreed = [near("the module in double precision", double, DOUBLE), near("the module", single, SINGLE)]
    if onnx:
        weights_there = {k: v.numpy() for k, v in state.items()}
        agreed.append(near("onnxruntime", tuple(ran(net, weights_there, inputs, seed)), SINGLE))
    return all(agreed)


def doubled(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def ran(net: Net, weights: Mapping[str, Any], inputs: list[Tensor], seed: int) -> list[Tensor]:
    """The outputs of onnxruntime, with optimisations off or all on."""
    opset = (17, 18, 20, 21, 23)[seed % 5] if seed % 3 == 0 else 18
    model = net.onnx(weights, opset=opset, target=("onnxruntime", "portable", "openvino")[seed % 7 % 3])
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)  # raises where types do not agree
    session = Session(model.SerializeToString(), threads=1, optimised=seed % 2 == 0)
    names = [v.name for v in net.checked.main.inputs]
    feed = {n: x.numpy() for n, x in zip(names, inputs, strict=True) if n in session.inputs}
    return [torch.as_tensor(y) for y in session.run(feed).values()]


def drawn_sizes(program: Program, random: Random) -> dict[str, int]:
    """Small values of the named sizes that satisfy the constraints."""
    names = sorted(frozenset[str]().union(*(v.type.names for v in program.main.inputs)))
    for _ in range(60):
        sizes = {n: random.randint(3, 7) if n == "L" else random.randint(6, 14) for n in names}
        if all(c.holds(sizes) for c in program.constraints):
            return sizes
    return choose(program)[0].named
