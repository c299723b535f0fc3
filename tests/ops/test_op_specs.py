"""Every example of every op as a spec of its own, through the whole compiler, with the sizes of images left open.

What onnxruntime computes is what the emitted module computes, at the sizes of the example and at others.
"""

from __future__ import annotations

import pytest
from onnx_nets import module_of
from op_harness import Use, types_of, uses

from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.weights import ExportError
from netdsl.ir.model import Program
from netdsl.pipeline import Spec
from netdsl.sizes.dims import evaluate
from netdsl.source import Source
from netdsl.verify.compare import compared
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import At, choose
from netdsl.verify.stress import state_of, stress

USES = [u for u in uses() if u.types]


def spec_of(use: Use, named: bool) -> tuple[str, dict[str, int]]:
    """The example as a net, and the numbers for which its sizes stand."""
    sizes: dict[str, int] = {}
    lines = ["net Net {"]
    for name, t in zip("xyzw", use.types, strict=False):
        shape = [str(n) for n in t.shape]
        for axis in range(1, t.rank) if named else ():
            if t.shape[axis] == 1:
                continue
            letter = next((k for k, v in sizes.items() if v == t.shape[axis]), f"S{len(sizes)}")
            sizes[letter] = t.shape[axis]
            shape[axis] = letter
        lines.append(f"  input {name} [{', '.join(shape)}] {t.dtype if t.dtype != 'float32' else ''}")
    outputs = use.inferred() if isinstance(use.inferred(), tuple) else ()
    names = [f"out{i}" for i in range(len(outputs))]
    flow = f"x -> {use.text}" if use.given.takes_it and use.types else use.text
    if len(names) > 1:
        lines += [f"  {', '.join(names)} = {flow}", *(f"  output o{n} = {n}" for n in names)]
    else:
        lines.append(f"  output result = {flow}")
    return "\n".join([*lines, "}", ""]), sizes


def compiled(use: Use, named: bool) -> tuple[Program | None, dict[str, int]]:
    text, sizes = spec_of(use, named)
    found = Spec(Source(text), lambda name, importer: None).net("Net")
    if found.program is None and not named:
        raise AssertionError([(d.code, d.message, d.hint) for d in found.diagnostics])
    return found.program, sizes


@pytest.mark.parametrize("use", USES, ids=[u.name for u in USES])
def test_example_as_a_spec(use: Use) -> None:
    """With named sizes if it has a meaning with them, otherwise with numbers."""
    for named in (True, False):
        program, sizes = compiled(use, named)
        if program is not None and agrees(use, program, sizes):
            return


def agrees(use: Use, program: Program, sizes: dict[str, int]) -> bool:
    """Whether it can be exported; then shapes and values are what they must be."""
    outputs = [tuple(evaluate(s, sizes) for s in o.value.type.shape) for o in program.main.outputs]
    assert outputs == [t.shape for t in types_of(use.inferred())]
    assert all(c.holds(sizes) for c in program.constraints)
    twin = stress(program, module_of(program), draw_inputs(program, 2, sizes, seed=99))
    try:
        model = export(program, state_of(twin))
    except ExportError:
        if sizes:
            return False
        raise
    points = [At(2, tuple(sizes.items()))] + ([choose(program)[0]] if sizes else [])
    for case in compared(program, twin, model, points, "real", 1e-5):
        assert case.ok, case
    return True
