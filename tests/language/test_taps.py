"""Nets as parts: their images may have any size; `taps` gives the values of their labels, with the net's own keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from netdsl.analysis.count import parameters
from netdsl.elaborate.taps import labels
from netdsl.loader import read_import, zoo
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.syntax import ast

PART = """
net Part(classes=3, deep=true) {
  input image [3, 8, 8]
  conv(4, 3, padding=1)
  stem: bn -> relu
  stages: for c in [6, 8, 10] { conv(c, 3, stride=2) -> relu }
  output aux = gap -> linear(2) when training
  if deep { last: conv(5, 1) } else { other: conv(7, 1) }
  conv(4, 1)
  head: flatten -> linear(classes)
}
"""


def net(body: str, head: str = "input image [3, H, W]", part: str = PART) -> Net:
    return Spec(Source(f"{part}\nnet N {{\n  {head}\n  {body}\n}}\n", "a.net"), read_import).net("N")


def watched(module: Any, names: list[str], x: torch.Tensor) -> list[torch.Tensor]:
    """What submodules give, by hooks on the whole net."""
    seen: dict[str, torch.Tensor] = {}
    handles = [module.get_submodule(n).register_forward_hook(lambda m, i, o, n=n: seen.update({n: o})) for n in names]
    module(x)
    for handle in handles:
        handle.remove()
    return [seen[n] for n in names]


def test_a_backbone_of_the_library_gives_its_stages() -> None:
    found = Spec(
        Source(
            "from resnet import ResNet18\nnet N {\n  input image [3, H, W]\n"
            '  backbone: c2, c3, c4, c5 = taps(ResNet18, "stages")\n'
            "  output c2 = c2\n  output c3 = c3\n  output c4 = c4\n  output c5 = c5\n}\n"
        ),
        read_import,
    ).net("N")
    module = found.module(seed=0).eval()
    whole = Spec(Source("from resnet import ResNet18\nnet W = ResNet18\n"), read_import).net("W").module(seed=1).eval()
    state = {k.removeprefix("backbone."): v for k, v in module.state_dict().items()}
    assert state.keys() == {k for k in whole.state_dict() if not k.startswith("head")}
    whole.load_state_dict(state, strict=False)
    x = torch.randn(1, 3, 224, 224)
    for got, want in zip(module(x), watched(whole, [f"stages.{i}" for i in range(4)], x), strict=True):
        torch.testing.assert_close(got, want)
    assert [tuple(y.shape) for y in module(torch.randn(1, 3, 96, 64))] == [
        (1, 64, 24, 16), (1, 128, 12, 8), (1, 256, 6, 4), (1, 512, 3, 2)
    ]  # fmt: skip


def test_single_rounds_and_labels_of_branches() -> None:
    found = net('a, b, c = taps(Part, "last", "stages.2", "stem")\n  output a = a\n  output b = b\n  output c = c')
    shapes = [str(o.value.type) for o in found.checked.main.outputs]
    assert shapes == ["[5, (H + 7)//8, (W + 7)//8]", "[10, (H + 7)//8, (W + 7)//8]", "[4, H, W]"]
    kept = {k.rpartition(".")[0] for k in found.module(seed=0).state_dict()}
    assert kept == {"part.conv1", "part.stem.0", "part.last", *(f"part.stages.{i}.0" for i in range(3))}


def test_unnamed_layers_keep_the_names_of_the_whole_net() -> None:
    whole = Spec(Source(PART), read_import).net("Part").module(seed=0).state_dict()
    tapped = net('taps(Part, "stem")').module(seed=0).state_dict()
    assert {k.removeprefix("part.") for k in tapped} == {k for k in whole if k.startswith(("conv1", "stem"))}


@pytest.mark.parametrize("name", ["FCN_ResNet50", "FCN_ResNet50_NoAux"])
def test_what_the_rest_of_the_net_reads_does_not_change_the_keys(name: str) -> None:
    """A stage from which an auxiliary head reads is no plain chain, whether that head is built or not."""
    text = f"from fcn import {name}\nnet W = {name}\nnet N {{\n  input image [3, H, W]\n"
    found = Spec(Source(f'{text}  part: taps({name}, "head")\n}}\n'), read_import)
    whole, tapped = ({p.path for p in parameters(found.net(n).checked.main)} for n in "WN")
    assert {k.removeprefix("part.") for k in tapped} == {k for k in whole if not k.startswith("aux_head")}


def test_what_stands_behind_the_last_tap_asks_for_nothing() -> None:
    """The head flattens an image of a known size; the tapped part takes any."""
    assert not net('taps(Part, "last")').checked.constraints
    assert net("Part").diagnostics[0].code == "symbolic-weight"


def test_shared_by_two_images_and_captured() -> None:
    found = net(
        'share tower = taps(Part(deep=false), "stem", "other")\n  a, b = one -> tower\n  c, d = two -> tower\n'
        "  output low = a - c\n  output high = b - d",
        "input one [3, H, W]\n  input two [3, H, W]",
    )
    x = torch.randn(1, 3, 16, 16)
    assert all(not y.any() for y in found.module(seed=0).eval()(x, x))


def test_images_of_a_part_may_have_any_size() -> None:
    part = "net Part {\n  input image [3, 8, 8]\n  conv(4, 3) -> gap -> linear(2)\n}\n"
    assert not net("Part", part=part).checked.constraints


@pytest.mark.parametrize(
    ("body", "head", "message"),
    [
        ('taps(Part, "stem", "stagse")', "input image [3, H, W]", "`Part` has no label `stagse`"),
        ('taps(Part, "stages.3")', "input image [3, H, W]", "`stages` of `Part` has 3 values, found `stages.3`"),
        ('taps(Part, "other")', "input image [3, 8, 8]", "`other` of `Part` has 0 values, found `other`"),
        ('taps(conv(4, 3), "a")', "input image [3, H, W]", "`taps`: the first is a net, found the layer `conv`"),
        ("taps(Part, 3)", "input image [3, H, W]", '`taps`: after the net come its labels, as in `taps(ResNet50, "'
         'stages.2", "stages.3")`'),
        ('taps(Part, "stem")', "input image [4, H, W]", "axis 0 should be 3, found 4 in [4, H, W]"),
        ('taps(Part, "stem")', "input image [3, H]", "3 sizes are declared for a value of shape [3, H]"),
        ('taps(Part, "stem")', "input image [3, H, W] int64", "`image` is declared as float32, found [3, H, W] int64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(body: str, head: str, message: str) -> None:
    assert [d.message for d in net(body, head).diagnostics] == [message]


def labels_of(module: Any, name: str) -> list[str]:
    """The labels of the net that a name of the library stands for, through its variants."""
    declaration = module.names[name]
    while isinstance(declaration, ast.Variant):
        value = declaration.value.function if isinstance(declaration.value, ast.Call) else declaration.value
        found = module.find(value.id) if isinstance(value, ast.Name) else None
        declaration = found[1] if found else None
    return list(dict.fromkeys(labels(declaration.body))) if isinstance(declaration, ast.Block) else []


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(zoo()))
def test_every_label_of_the_zoo_can_be_tapped(file: str) -> None:
    """What is tapped has the keys that it has in the whole net."""
    library = read_import(file, Source(""))
    assert library is not None
    spec = Spec(library, read_import)
    for name in list(spec.module.nets)[:3]:
        program = spec.net(name).program
        if program is None or len(program.main.inputs) != 1:
            continue
        keys = {p.path for p in parameters(program.main)}
        for label in labels_of(spec.module, name):
            text = f"from {file} import {name}\nnet N {{\n  input x {program.main.inputs[0].type}\n"
            found = Spec(Source(f'{text}  part: taps({name}, "{label}.0")\n}}\n'), read_import).net("N")
            if found.program is None:
                assert "it was not met with these arguments" in str(found.diagnostics[0].hint)
                continue
            assert {p.path.removeprefix("part.") for p in parameters(found.program.main)} <= keys, (name, label)
