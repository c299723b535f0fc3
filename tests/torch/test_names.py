"""Any name works in any place where one can stand, from the spec to the state dict, or `check` refuses it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from names import BLOCK_HOLES, HOLES, NAMES, OUTER_HOLES, PLACES, spec, together
from torch_reference import inputs, paths

from netdsl.analysis.count import parameters
from netdsl.backends.torch.module import build
from netdsl.backends.torch.naming import python_name, python_names
from netdsl.ir.reserved import RESERVED
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

torch.set_num_threads(1)

QUICK = ("F", "super", "half", "_", "_1", "__class__", "layer")
"""Names tried everywhere in the quick test: an import, a builtin, attributes, what methods call their own."""
OF_THE_NET = {"net", "net with a size"}
SIZES = {"size", "two sizes"}
REFUSALS = {
    "syntax", "reserved-name", "argument-type", "operator-types", "not-a-size", "unknown-name", "duplicate-name",
    "duplicate-argument",
}  # fmt: skip


def read(text: str) -> Spec:
    return Spec(Source(text, "test.net"), read_import)


def run(place: str, name: str) -> list[Any] | None:
    """What the net of a spec gives for fixed weights and inputs; None where `check` refuses the spec."""
    found = read(spec(place, name))
    if refused := [d for d in found.diagnostics if d.severity == "error"]:
        codes = {d.code for d in refused}  # `False(4)` and `not(4)` are refused too, where a block is no such name
        assert codes <= REFUSALS or codes <= {"syntax", "not-callable", "not-a-layer", "operator-types"}, refused
        return None
    return outputs(found.net(name if place in OF_THE_NET else "Big"))


def outputs(net: Net) -> list[Any]:
    """What a net gives for fixed weights and inputs."""
    program = net.checked
    module = build(net.source(), net.class_name, seed=0)
    state = module.state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == paths(program)
    generator = torch.Generator().manual_seed(3)
    for tensor in state.values():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    sizes = {str(s): 4 for v in program.main.inputs for s in v.type.shape if not isinstance(s, int)}
    module.half().float().train().to("cpu").type(torch.float32).zero_grad()
    with torch.no_grad():
        results = module.eval()(*inputs(program, **sizes))
    return list(results) if isinstance(results, tuple) else [results]


def agrees(place: str, name: str) -> bool:
    """Whether a net computes with a name what it computes with a plain one; True where it is refused."""
    plain, found = run(place, "P" if place in SIZES else "plain"), run(place, name)
    assert plain is not None
    return found is None or all(torch.equal(a, b) for a, b in zip(plain, found, strict=True))


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("place", PLACES)
def test_unlucky_names(place: str, name: str) -> None:
    assert agrees(place, name)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_name_in_every_place(place: str) -> None:
    assert not [name for name in NAMES if not agrees(place, name)]


def crowd(random: Random) -> dict[int, str]:
    """Unlucky names in every place at once, or a few that differ by case or by a `_` in many places."""
    names = [n for n in NAMES if n != "it"]
    if random.random() < 0.5:
        return dict(enumerate(random.sample(names, HOLES)))
    few = random.sample(names, 4)
    made = list(dict.fromkeys([*few, *(n + "_" for n in few), *map(str.lower, few), *map(str.capitalize, few)]))
    outer = dict(zip(random.sample(OUTER_HOLES, len(made)), made, strict=True))
    return outer | dict(zip(BLOCK_HOLES, random.sample(made, 4), strict=True))


def crowded(seed: int) -> list[Any]:
    """What a net with a crowd of names gives; the names that `check` refuses make room for plain ones."""
    random = Random(seed)
    chosen = crowd(random)
    while True:
        text, name = together(chosen)
        found = read(text)
        if not any(d.severity == "error" for d in found.diagnostics):
            return outputs(found.net(name))
        blamed = {d.at.text for d in found.diagnostics if d.at is not None}
        refused = [i for i, n in chosen.items() if n in blamed] or [random.choice([*chosen])]
        chosen = {i: n for i, n in chosen.items() if i not in refused}


def test_a_crowd_of_unlucky_names() -> None:
    text, name = together({})
    plain = outputs(read(text).net(name))
    for seed in range(4):
        assert all(torch.equal(a, b) for a, b in zip(plain, crowded(seed), strict=True)), seed


@pytest.mark.slow
def test_many_crowds_of_unlucky_names() -> None:
    text, name = together({})
    plain = outputs(read(text).net(name))
    for seed in range(4, 400):
        assert all(torch.equal(a, b) for a, b in zip(plain, crowded(seed), strict=True)), seed


@pytest.mark.parametrize("place", PLACES)
def test_only_what_flows_is_called_it(place: str) -> None:
    """Labels and outputs may be: nothing refers to them by a bare name. A size of that name is no size."""
    found = {d.code for d in read(spec(place, "it")).diagnostics if d.severity == "error"}
    free = place.startswith(("label", "output", "only output"))
    if free:
        assert not found
    else:
        assert ("not-a-size" if place in SIZES else "reserved-name") in found


@pytest.mark.parametrize("place", [p for p in PLACES if p.startswith(("label", "share", "parameter"))])
def test_what_becomes_a_path_is_refused_with_another_name(place: str) -> None:
    for name, free in (("half", "half_"), ("training", "training_"), ("_modules", "modules_")):
        found = [d for d in read(spec(place, name)).diagnostics if d.code == "reserved-name"]
        assert len(found) == 1
        assert found[0].at is not None
        assert found[0].at.text == name
        assert found[0].hint == f"name it `{free}`"
        assert run(place, free) is not None


def test_names_of_a_module_dict_are_refused_where_one_is_made() -> None:
    place = "label beside a share"
    (found,) = read(spec(place, "keys")).diagnostics
    assert found.code == "reserved-name"
    assert "nn.ModuleDict" in found.message
    assert run(place, "keys_") is not None
    assert run("label", "keys") is not None


def net(text: str, name: str = "Big") -> Net:
    return read(text).net(name)


def test_what_is_only_a_name_in_source_gets_an_underscore_there() -> None:
    source = net(spec("argument", "range")).source()
    assert "def __init__(self, in_channels: int, range_: int) -> None:" in source
    assert "class super_(nn.Module)" in net(spec("net", "super"), "super").source()
    assert "def forward(self, torch_: Tensor) -> Tensor:" in net(spec("input", "torch")).source()


def test_names_that_would_meet_stay_apart() -> None:
    assert python_names(["self", "self_", "self__"]) == {"self": "self___", "self_": "self_", "self__": "self__"}
    assert python_name("Attention", {"Attention"}) == "Attention_"
    text = """
net Big { input x [4, 4, 4]
  torch = conv(4, 1)
  torch_ = conv(4, 1)
  it * torch + torch_ * torch
}
"""
    program = net(text).checked
    module = build(net(text).source(), "Big", seed=0).eval()
    (given,) = inputs(program)
    first, second = module.conv1(given), module.conv2(given)
    torch.testing.assert_close(module(given), given * first + second * first)


@pytest.mark.parametrize(("width", "shape"), [("in_features", "32"), ("dim", "3, 32"), ("in_channels", "32, 4, 4")])
def test_an_argument_called_as_the_width_of_the_input_is_another_number(width: str, shape: str) -> None:
    layer, kernel = ("conv", ", 1") if width == "in_channels" else ("linear", "")
    text = f"block B({width}) {{ {layer}(2 * {width}{kernel}, bias=true) -> relu -> {layer}({width}{kernel}) }}\n"
    made = net(f"{text}net Big {{ input x [{shape}]\n B(8) }}")
    wanted = {p.path: p.shape for p in parameters(made.checked.main)}
    assert {name: tuple(p.shape) for name, p in made.module().named_parameters()} == wanted


def test_automatic_names_make_room_for_labels() -> None:
    """A label that is called as another layer would be by itself does not make the two one layer."""
    found = net("net Big { input x [4, 4, 4]\n conv1: conv(4, 1)\n conv(4, 1) -> conv(4, 1)\n half_: Half\n Half }"
                "\nblock Half = conv(4, 1) -> bn\n").checked  # fmt: skip
    names = [layer.name for layer in found.main.layers]
    assert len(set(names)) == len(names) == 5


def test_a_size_has_a_variable_of_its_own() -> None:
    text = "net Big { input N [3, N, 4]\n conv(4, 1) -> maxpool(2) }"
    module = build(net(text).source(), "Big").eval()
    assert module(torch.zeros(1, 3, 6, 4)).shape == (1, 4, 3, 2)
    with pytest.raises(ValueError, match="found N=1"):
        module(torch.zeros(1, 3, 1, 4))
    text = "net Big { input x [3, C, 4]\n conv(4, 1) -> reshape((4, 2 * C, 2)) -> conv(4, 1) -> reshape((4, 4 * C)) }"
    assert build(net(text).source(), "Big").eval()(torch.zeros(1, 3, 6, 4)).shape == (1, 4, 24)


@pytest.mark.parametrize("place", [p for p in PLACES if "input" in p or "output" in p])
def test_onnx_keeps_the_authors_names(place: str) -> None:
    for name in ("torch", "super", "type"):
        made = net(spec(place, name))
        state = build(made.source(), made.class_name, seed=0).state_dict()
        graph = made.onnx({k: v.numpy() for k, v in state.items()}).graph
        shown = [v.name for v in (*graph.input, *graph.output)]
        main = made.checked.main
        assert shown == [*(v.name for v in main.inputs), *(o.name for o in main.outputs if not o.training)]
        assert any(n.rstrip("0") == name for n in shown) or "training" in place or place == "output of a block"


def test_a_label_is_free_to_be_anything_else() -> None:
    assert not RESERVED & {"stem", "head", "items", "keys", "norm", "input", "output", "weight"}
