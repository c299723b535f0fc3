"""Three that must agree on a program: the interpreter, the emitted module, onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from generated_programs import LIBRARY, Writer
from interpreter import ExplodedError, interpret, randomized, worst
from torch import Tensor

from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.ir.verify import violations
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import choose

DOUBLE = 1e-9
"""How far the module may be from the interpreter, both in double precision."""

SINGLE = 1e-4
"""How far onnxruntime may be from the interpreter in double precision."""

LARGEST = 1e8
"""Numbers beyond which a program is no example: attention or normalisation makes chance of their last digits."""

ROUNDINGS = 50
"""How many times the effect of rounding is accepted in a net where that is more."""


def generated(seed: int) -> Net:
    """The program of a seed. Its net may have diagnostics."""
    text = Writer(Random(seed)).spec()
    spec = Spec(Source(text, "generated.net"), lambda name, importer: Source(LIBRARY, "library.net"))
    return spec.net("Chosen" if "net Chosen" in text and seed % 2 else "Generated")


def agree(net: Net, seed: int, onnx: bool = True) -> None:
    """Raise AssertionError where the three differ, at sizes and with weights that the seed draws."""
    program = net.checked
    assert violations(program) == []
    sizes = drawn_sizes(program, Random(seed))
    module = net.module(seed=seed).eval()
    state = randomized(module, seed)
    inputs = draw_inputs(program, 2, sizes, seed)
    given = [x.double() if x.is_floating_point() else x for x in inputs]
    weights = {k: doubled(v) for k, v in state.items()}
    try:
        wanted = interpret(program, weights, given, sizes, limit=LARGEST)
    except ExplodedError:
        return
    with torch.inference_mode():
        single = module(*inputs)
        arrays = {k: v.numpy().copy() for k, v in state.items()}
        apart = worst(module.double()(*given), wanted)
    if apart > DOUBLE:
        moved = interpret(program, {k: nudged(v) for k, v in weights.items()}, [nudged(x) for x in given], sizes)
        accepted = max(DOUBLE, ROUNDINGS * worst(tuple(moved.values()), wanted))
        assert apart <= accepted, f"the module is {apart:.1e} from the interpreter at {sizes}, {accepted:.1e} accepted"
    if onnx:
        apart = worst(tuple(ran(net, arrays, inputs, seed)), wanted)
        accepted = max(SINGLE, ROUNDINGS * worst(single, wanted))
        assert apart <= accepted, f"onnxruntime is {apart:.1e} from the interpreter at {sizes}, {accepted:.1e} accepted"


def doubled(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def nudged(tensor: Tensor) -> Tensor:
    """The numbers moved by what a few roundings move them, up and down."""
    if not tensor.is_floating_point():
        return tensor
    up = torch.arange(tensor.numel()).reshape(tensor.shape) * 7 % 3 - 1
    return tensor * (1 + 1e-15 * up)


def ran(net: Net, weights: Mapping[str, Any], inputs: list[Tensor], seed: int) -> list[Tensor]:
    """The outputs of onnxruntime, with optimisations off or all on."""
    opset = (17, 18, 20, 21, 23)[seed % 5] if seed % 3 == 0 else 18
    model = net.onnx(weights, opset=opset, target=("onnxruntime", "portable", "openvino")[seed % 7 % 3])
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
