"""The printed PyTorch source: it computes what the program says, has the program's paths as keys, and reads well."""

from __future__ import annotations

import inspect
import io
import linecache
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import SPECS
from torch import nn
from torch.nn import functional as F
from torch_reference import evaluate, inputs, paths, randomize

from netdsl.backends.torch.module import build
from netdsl.backends.torch.signatures import torch_signatures
from netdsl.backends.torch.sizes import found_in
from netdsl.backends.torch.source import emit
from netdsl.diagnostics.diagnostic import Fault
from netdsl.ir.model import Program
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.sizes.dims import evaluate as evaluate_size
from netdsl.sizes.dims import floordiv, symbol
from netdsl.source import Source
from netdsl.tensors import TensorType

torch.set_num_threads(1)


def program_of(text: str, net: str | None = None) -> Program:
    found = Spec(Source(text, "test.net"), read_import).net(net)
    assert found.program is not None, [d.message for d in found.diagnostics]
    return found.program


def of_file(name: str, net: str) -> Program:
    found = Spec(load_source(SPECS / name), read_import).net(net).program
    assert found is not None
    return found


def outputs(module: nn.Module, given: list[torch.Tensor]) -> list[Any]:
    result = module(*given)
    return list(result) if isinstance(result, tuple) else [result]


def check(program: Program, name: str = "Net", **sizes: int) -> str:
    """Hold the printed source to the program: keys, shapes, outputs in both modes, gradients. Returns the source."""
    source = emit(program, class_name=name)
    assert source == emit(program, class_name=name)
    module = build(source, name)
    state = module.state_dict()
    wanted = paths(program)
    assert {k: tuple(v.shape) for k, v in state.items()} == wanted
    randomize(module)
    given = inputs(program, **sizes)
    initial = {k: v.clone() for k, v in state.items()}
    with torch.no_grad():
        same(outputs(module.eval(), given), evaluate(program, initial, given, training=False))
    torch.manual_seed(0)
    trained = outputs(module.train(), given)
    torch.manual_seed(0)
    same(trained, evaluate(program, initial, given, training=True))
    if wanted and all(t.dtype.is_floating_point for t in trained):
        sum(t.square().sum() for t in trained).backward()
        assert any(p.grad is not None for p in module.parameters())
    assert not [line for line in source.splitlines() if len(line) > 100]
    return source


def same(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


RESNET = """
block ConvBN(c, k, stride=1) = conv(c, k, stride=stride, bias=false) -> bn
# The identity, or a projection.
block Shortcut(c, stride): [cin, H, W] -> [c, _, _] {
  if stride != 1 or cin != c { ConvBN(c, 1, stride) }
}
block Bottleneck(c, stride=1) {
  residual(shortcut=Shortcut(4 * c, stride)) {
    ConvBN(c, 1) -> relu
    ConvBN(c, 3, stride) -> relu
    ConvBN(4 * c, 1)
  }
  relu
}
net Small {
  input image [3, 32, 32]
  stem: ConvBN(8, 7, stride=2) -> relu -> maxpool(3, stride=2, padding=1)
  stages: for i, depth in enumerate([1, 3, 2]) {
    for j in range(depth) { Bottleneck(8 * 2**i, stride = 2 if i > 0 and j == 0 else 1) }
  }
  head: gap -> linear(10)
}
"""


def test_blocks_that_differ_in_numbers_are_one_class() -> None:
    source = check(program_of(RESNET), "Small")
    assert re.findall(r"^class (\w+)", source, re.M) == ["GlobalAvgPool2d", "ConvBN", "Bottleneck", "Small"]
    assert "def __init__(self, in_channels: int, c: int, k: int, stride: int = 1) -> None:" in source
    assert "nn.Conv2d(in_channels, c, k, stride=stride, padding=k // 2, bias=False)" in source
    assert "self.conv_bn3 = ConvBN(c, 4 * c, 1)" in source
    assert "self.shortcut = nn.Identity() if shortcut is None else shortcut" in source
    assert "*[Bottleneck(64, 16) for _ in range(2)]" in source
    assert "return F.relu(self.shortcut(x) + self.conv_bn3(y))" in source
    assert "class ConvBN(nn.Module):  # test.net:2" in source
    assert "class Shortcut" not in source
    assert "import torch\n" not in source


def test_resnet50_is_shorter_than_torchvisions() -> None:
    source = emit(of_file("resnet.net", "ResNet50"), class_name="ResNet50")
    assert len(source.splitlines()) < 110
    assert re.findall(r"^class (\w+)", source, re.M) == ["GlobalAvgPool2d", "ConvBN", "Bottleneck", "ResNet50"]


def test_keys_come_in_the_order_of_the_paths() -> None:
    for file, net in (("resnet.net", "ResNet50"), ("convnext.net", "ConvNeXt_T"), ("hourglass.net", "Hourglass2")):
        program = of_file(file, net)
        source = emit(program, class_name=net)
        with torch.device("meta"):
            module = build(source, net)
        parameters = {n: tuple(p.shape) for n, p in module.named_parameters()}
        wanted = {k: v for k, v in paths(program).items() if k in parameters}
        assert list(parameters.items()) == list(wanted.items())


@pytest.mark.parametrize(
    ("file", "net", "sizes"),
    [
        ("lenet.net", "LeNet5", {}),
        ("mlp.net", "MLP", {}),
        ("unet.net", "UNet", {"H": 32, "W": 16}),
        ("resnet.net", "ResNet18", {}),
    ],
)
def test_shipped_specs(file: str, net: str, sizes: dict[str, int]) -> None:
    check(of_file(file, net), net, **sizes)


def test_recursive_block_is_given_its_inner_level() -> None:
    source = check(
        program_of("""
block Double(c) { repeat 2 { conv(c, 3, bias=false) -> bn -> relu } }
block Level(c, depth) {
  Double(c)
  if depth > 0 {
    skip = it
    maxpool(2) -> Level(2 * c, depth - 1) -> upconv(c, 2, stride=2)
    concat(skip, it)
    Double(c)
  }
}
net UNet { input image [1, H, W]
  Level(4, 3)
  head: conv(2, 1) }
"""),
        "UNet",
        H=16,
        W=24,
    )
    assert "level=Level(4, 8, level=Level(8, 16, level=Level(16, 32)))" in source
    assert "skip = self.double1(x)" in source
    module = build(source, "UNet").eval()
    module(torch.zeros(1, 1, 8, 16))
    with pytest.raises(ValueError, match=r"UNet needs H % 8 == 0 and W % 8 == 0, found H=12, W=16"):
        module(torch.zeros(1, 1, 12, 16))


def test_outputs_that_exist_only_while_training() -> None:
    program = program_of("""
block Aux(n) = gap -> dropout(0.5) -> linear(n)
net Net { input image [3, 8, 8]
  stem: conv(8, 3) -> relu
  stage: {
    conv(8, 3) -> relu
    output aux1 = Aux(5) when training
    conv(12, 3) -> relu
  }
  output aux2 = Aux(5) when training
  head: gap -> linear(5)
}
""")
    source = check(program)
    module = build(source, "Net")
    image = torch.randn(2, 3, 8, 8)
    assert module.eval()(image).shape == (2, 5)
    assert len(module.train()(image)) == 3
    assert "if self.training else None" in source
    assert "x, aux1 = self.stage(x)" in source


def test_layers_that_are_used_twice_are_one() -> None:
    source = check(
        program_of("""
block Cell(c) = conv(c, 3) -> bn -> tanh
net Net { input image [4, 6, 6]
  share f = Cell(4)
  share g = linear(4)
  f -> f
  x = it + f
  x -> f -> g -> relu -> g
}
""")
    )
    assert source.count("= Cell(") == 1
    assert source.count("self.f(") == 4


def test_a_shared_op_without_weights_is_an_expression() -> None:
    source = check(program_of("net Net { input x [4]\n share f = l2_normalize\n f -> linear(4) -> f }"))
    assert "F.normalize(self.linear(F.normalize(x)))" in source


def test_a_net_that_does_nothing_is_a_class() -> None:
    check(program_of("net Net { input x [4]\n output y }"))


def test_a_shared_layer_that_is_tapped() -> None:
    check(
        program_of("""
net Net { input image [4, 6, 6]
  layers: for i in range(3) { conv(4, 3) -> relu }
  a = it
  share f = conv(4, 1)
  b = f
  a * (b -> sigmoid) + (b -> f)
}
""")
    )


def test_members_of_a_loop_whose_values_are_tapped() -> None:
    source = check(
        program_of(
            """
net Net { input image [4, 6, 6]
  taps = [it]
  blocks: for i in range(3) { conv(4, 3) -> bn -> relu }
  parts: for i in range(2) { residual { conv(4, 3) -> bn } }
  output y = it
  parts2: for i in range(2) { tap = conv(4, 3)
    it + tap }
}
""".replace("  taps = [it]\n", "")
        )
    )
    assert "nn.Sequential(" in source


def test_members_that_need_other_values_are_called_by_index() -> None:
    source = check(
        program_of("""
net Net { input image [4, 6, 6]
  first = conv(4, 3)
  parts: for i in range(3) { (it + first) -> conv(4, 3) -> bn -> relu }
  head: gap -> linear(2)
}
""")
    )
    assert "nn.ModuleList([Part() for _ in range(3)])" in source
    assert "for layer in self.parts:\n            x = layer(x, first)" in source


def test_the_last_call_of_a_loop_is_in_it_though_its_result_is_read_once() -> None:
    source = check(
        program_of("""
net Net { input words [3, 8]
  input memory [5, 8]
  words
  layers: repeat 3 { residual { cross_attention(2, context=memory) } }
  norm: layernorm
}
""")
    )
    assert "for layer in self.layers:\n            x = layer(x, memory)\n        return self.norm(x)" in source


COLLECTING = """
net Net {{ input image [4, 6, 6]
  stem: conv(4, 1) -> relu
  first = it
  heard = []
  layers: for i in range(4) {{
    y = {layer}
    heard = [*heard, y -> conv(3, 1)]
    {rest}
  }}
  {read}
  head: conv(2, 1)
}}
"""


@pytest.mark.parametrize(
    ("layer", "rest", "read", "lines"),
    [
        ("conv(4, 3) -> tanh", "it + y", "last = it\n  sum(heard) + (last -> conv(3, 1))", "sum(heard)"),
        ("conv(4, 3) -> tanh", "it + y", "x = it\n  concat(*heard, x)", "torch.cat([*heard, x], dim=1)"),
        ("conv(4, 3) -> tanh", "it + y", "x = it\n  concat(concat(*heard), x)", "torch.cat(heard, dim=1)"),
        ("(it + first) -> conv(4, 3)", "it * y", "(it -> conv(3, 1)) * sum(heard)", "= layer(x, first)"),
        ("conv(4, 3)", "if i < 3 { it + y }", "sum(heard)", "for layer in self.layers[:-1]:"),
    ],
)
def test_values_that_a_loop_collects_are_a_list(layer: str, rest: str, read: str, lines: str) -> None:
    source = check(program_of(COLLECTING.format(layer=layer, rest=rest, read=read)))
    assert "heard.append(" in source
    assert lines in source


def test_values_of_a_loop_that_are_read_elsewhere_too_are_written_out() -> None:
    text = COLLECTING.format(
        layer="conv(4, 3)", rest="it + y", read="it + y\n  (it -> conv(3, 1)) + sum(heard) * heard[0]"
    )
    assert "append" not in check(program_of(text))


@pytest.mark.parametrize("at", range(4))
def test_what_flows_through_a_loop_that_collects_may_be_read_elsewhere(at: int) -> None:
    kept = f"if i == {at} {{ it + y as kept }} else {{ it + y }}"
    text = COLLECTING.format(layer="conv(4, 3)", rest=kept, read="last = it\n  concat(*heard, last, kept)")
    assert ("append" in check(program_of(text))) == (at >= 2)


def test_members_without_numbers_are_called_by_name() -> None:
    source = check(
        program_of("""
net Net { input image [4, 6, 6]
  share f = conv(4, 1)
  body: { f -> conv(6, 3) -> bn -> relu
    gain = param((6,), init=1)
    it * gain
    conv(4, 1) -> f
  }
  inner: { outer: { f -> conv(4, 3) } }
  f
}
""")
    )
    assert "nn.ModuleDict({" in source
    assert 'self.body["bn"]' in source


def test_a_shared_block_is_one_whatever_the_size_it_meets() -> None:
    check(
        program_of("""
block Pool(c): [C, H, W] -> [_, _] = conv(c, 1) -> reshape((c, H * W)) -> softmax(axis=-1)
net Net { input image [4, 6, 6]
  share f = Pool(5)
  small = it -> maxpool(2)
  concat(f, small -> f, axis=-1)
}
""")
    )


def test_a_shared_block_that_would_be_two_is_refused() -> None:
    program = program_of("""
block Pool: [C, H, W] -> [_] = conv(3, 1) -> leaky_relu(1 / H) -> gap
net Net { input image [4, 6, 6]
  share f = Pool
  small = it -> maxpool(2)
  f + (small -> f)
}
""")
    with pytest.raises(Fault, match="`f` is shared, but on"):
        emit(program, class_name="Net")


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.net")), ids=lambda p: p.stem)
def test_every_spec_on_the_meta_device(path: Path) -> None:
    spec = Spec(load_source(path), read_import)
    if not spec.nets:
        pytest.skip("no net is complete")
    program = spec.net(spec.nets[0]).program
    assert program is not None
    with torch.device("meta"):
        module = build(emit(program, class_name=spec.nets[0]), spec.nets[0])
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == paths(program)
    names = {str(s) for v in program.main.inputs for s in v.type.shape if not isinstance(s, int)}
    allowed = (dict.fromkeys(names, side) for side in (256, 64))
    sizes = next(sizes for sizes in allowed if all(c.holds(sizes) for c in program.constraints))
    given = [x.to("meta") for x in inputs(program, 2, **sizes)]
    wanted = [[evaluate_size(s, sizes) for s in o.value.type.shape] for o in program.main.outputs if not o.training]
    assert [list(o.shape[1:]) for o in outputs(module.eval(), given)] == wanted
    assert len(outputs(module.train(), given)) == len(program.main.outputs)


def test_a_dense_stage_is_a_loop_over_growing_widths() -> None:
    source = check(
        program_of("""
block Dense(growth) = concat(it, bn -> relu -> conv(growth, 3, bias=false))
net Net { input image [8, 6, 6]
  stage: repeat 5 { Dense(4) }
  features: { conv(16, 1)
    repeat 4 { Dense(8) } }
  head: gap -> linear(3)
}
""")
    )
    assert "for i in range(" in source


def test_what_the_author_passes_as_a_block_is_an_argument() -> None:
    source = check(
        program_of("""
block Unit(c, k, act) = conv(c, k, bias=false) -> bn -> act
block Wide(c, act) {
  residual { Unit(2 * c, 1, act) -> Unit(2 * c, 3, act) -> conv(c, 1) }
}
net Net { input image [4, 8, 8]
  Wide(4, relu) -> Unit(6, 3, hardswish) -> Wide(6, hardswish) -> Unit(8, 1, relu) -> Unit(8, 5, relu)
}
""")
    )
    assert re.findall(r"^class (\w+)", source, re.M) == ["Unit", "Wide", "Net"]
    assert "act=F.hardswish" in source


def test_layers_given_by_the_caller_are_never_shared() -> None:
    source = check(
        program_of("""
block Twice(c, unit) = unit(c) -> relu -> unit(c)
block Plain(c) = conv(c, 1)
block Normed(c) = conv(c, 1) -> bn
block Choice(c, deep) { if deep { Normed(c) -> relu -> Plain(c) } else { Plain(c) } }
block Pair(c, deep) { residual { Choice(c, deep) -> relu -> Choice(c, deep) } }
net Net { input image [4, 8, 8]
  Twice(4, Plain) -> Twice(4, Normed)
  Pair(4, true) -> Pair(4, false)
}
""")
    )
    assert "choice1" in source


def test_several_inputs_and_outputs() -> None:
    source = check(
        program_of("""
block Join(other) = concat(it, other -> conv(4, 1))
net Net {
  input image [3, 8, 8]
  input mask [2, 8, 8]
  a = image -> conv(4, 3) -> Join(mask)
  b, c = a -> chunk(2)
  output first = b -> conv(2, 1)
  output second = b * c -> gap
}
"""),
    )
    assert "def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:" in source
    assert "return first, second" in source


@pytest.mark.parametrize(
    ("body", "returned"),
    [
        ("output y", "return x"),
        ("output y = x", "return x"),
        ("relu\n output y = x", "return x"),
        ("output y = x\n output z = relu", "return x, z"),
        ("output y = x\n output z = x", "return x, x"),
    ],
)
def test_an_input_that_is_an_output_keeps_its_name(body: str, returned: str) -> None:
    """`module(x=...)` and the message about its shape refer to the author's input."""
    source = check(program_of(f"net Net {{\n input x [3, 8, 8]\n {body}\n}}\n"))
    assert "def forward(self, x: Tensor)" in source
    assert returned in source


def test_names_that_python_or_the_file_takes() -> None:
    source = check(
        program_of("""
block nn(c) = conv(c, 1)
block F(c) = conv(c, 3)
net Net { input torch [3, G, 8]
  i = nn(3)
  self = i -> F(4)
  training_: conv(4, 1) -> relu
  type_: conv(4, 1) -> relu
  it + self
}
"""),
        G=6,
    )
    compile(source, "names", "exec")


def test_numbers_that_forward_needs_become_attributes() -> None:
    source = check(
        program_of("""
block Mix(c, slope) = conv(c, 1) -> leaky_relu(slope) -> reshape((c // 4, 4, 36)) -> reduce_mean(axis=1) -> flatten
net Net { input image [4, 6, 6]
  a = Mix(8, 0.1)
  b = Mix(16, 0.2)
  concat(a, b)
}
""")
    )
    assert "self.slope = slope" in source
    assert "self.slope" in source.split("def forward")[1]
    module = build(source, "Net")
    with pytest.raises(ValueError, match=r"image must be \(4, 6, 6\), found \(4, 12, 12\)"):
        module(torch.zeros(1, 4, 12, 12))


def test_named_sizes_are_read_off_the_input() -> None:
    check(
        program_of("""
block Tokens(c): [C, H, W] -> [_, _] = conv(c, 2, stride=2, padding=0)
  -> reshape((c, (H // 2) * (W // 2))) -> permute((1, 0)) -> linear(c)
net Net { input image [3, H, W]
  conv(4, 3, stride=2) -> Tokens(8) -> layernorm }
"""),
        H=8,
        W=12,
    )


def test_sizes_are_expressed_in_what_is_at_hand() -> None:
    h, w = symbol("H"), symbol("W")
    types = {0: TensorType((4, floordiv(h, 2), floordiv(w - 1, 3) + 1)), 5: TensorType((floordiv(h + 1, 4),))}
    for size in (
        floordiv(h, 4),
        3 * floordiv(h, 2) + 1,
        floordiv(h, 2) * (floordiv(w - 1, 3) + 1),
        floordiv(floordiv(h, 2) + 1, 2) * 5,
        floordiv(h, 2) + floordiv(w - 1, 3),
        floordiv(floordiv(h, 2) - floordiv(h + 1, 4), 2),
    ):
        assert found_in(size, types) is not None
    assert found_in(h, types) is None


def test_tracebacks_show_the_source_and_state_dicts_survive_saving() -> None:
    source = emit(program_of(RESNET), class_name="Small", header="Small, made for a test.\n\nBy hand.")
    assert source.startswith('"""Small, made for a test.\n')
    module = build(source, "Small")
    try:
        module(torch.zeros(1, 3, 32, 32, dtype=torch.int64))
    except RuntimeError as error:
        frames = traceback.extract_tb(error.__traceback__)
        shown = [f.line for f in frames if f.filename.startswith("<netdsl Small")]
    assert shown
    assert all(shown)
    assert linecache.getline(frames[-1].filename, 1) or linecache.getline(frames[1].filename, 1)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    build(source, "Small").load_state_dict(torch.load(buffer, weights_only=True))


def test_the_source_needs_nothing_but_torch() -> None:
    imports = re.findall(r"^(?:import|from) (\S+)", emit(program_of(RESNET), class_name="Small"), re.M)
    assert set(imports) <= {"torch", "torch.nn", "collections.abc"}


def test_emitting_imports_no_torch_and_is_the_same_in_every_process() -> None:
    script = f"""
import sys
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.backends.torch.source import emit
program = Spec(load_source({str(SPECS / "googlenet.net")!r}), read_import).net("GoogLeNet").program
print(emit(program, class_name="GoogLeNet"))
assert not {{"torch", "onnx", "numpy", "rich"}} & sys.modules.keys()
"""
    texts = set()
    for seed in ("0", "1"):
        run = [sys.executable, "-c", script]
        done = subprocess.run(
            run, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}, check=True
        )
        texts.add(done.stdout)
    assert len(texts) == 1


@pytest.mark.parametrize("name", sorted(torch_signatures()))
def test_signatures_are_torchs(name: str) -> None:
    own = torch_signatures()[name]
    module, _, function = name.partition(".")
    described = "_pool" not in function
    real = dict(inspect.signature(getattr({"nn": nn, "F": F}[module], function)).parameters) if described else {}
    if not real:  # functions that torch does not describe have the arguments of their layers
        layer = "".join(word.title() for word in function.split("_")).replace("1D", "1d").replace("2D", "2d")
        real = {"input": inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY)}
        real |= inspect.signature(getattr(nn, layer.replace("3D", "3d"))).parameters
    assert [n for n in real if n in own.names] == list(own.names) or name in ("nn.Upsample",)
    required = [n for n, p in real.items() if p.default is inspect.Parameter.empty]
    assert [n for n in own.names if n not in dict(own.defaults)] == required
    for argument, default in own.defaults:
        assert getattr(default, "value", default) == real[argument].default
