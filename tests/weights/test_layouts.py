"""The law of foreign weights: every net of the zoo takes every layout known of it, whatever the order of the file, and
never wrongly."""

from __future__ import annotations

from collections import Counter

import pytest
from layouts import layouts, registered, shuffled, wrong
from weight_laws import KINDS, OWN, SCRAMBLED, cases, every, outcome
from work import lines_run
from zoo_tables import net

from netdsl.analysis.count import parameters
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source as Text
from netdsl.weights.match import match

REFUSED = {
    ("gat:GAT_Cora", "hand/gat_cora"): "two score vectors of one shape, and no word in common",
    ("gat:GAT_CoraNoBias", "hand/gat_cora_pygat"): "two score vectors of one shape, and no word in common",
}
"""Layouts that stay open, and why; a mapping decides them."""

FILES = [kind for kind in KINDS if kind not in SCRAMBLED]


@pytest.mark.parametrize(("own", "layout"), layouts(), ids=[f"{o}-{n}" for o, n in layouts()])
def test_every_layout_of_the_zoo_is_taken(own: str, layout: str) -> None:
    found = outcome(own, layout, "prefixed", 0)
    assert not found.refused or (own, layout) in REFUSED, found.refused
    assert not found.wrong


SMALL = [
    ("resnet:ResNet18", "torchvision/resnet18"), ("swin:Swin_T", "timm/swin_tiny_patch4_window7_224"),
    ("vit:DeiT_Ti", "timm/deit_tiny_patch16_224"), ("mobilenet_v3:MobileNetV3_Small", OWN),
]  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("own", "layout"), SMALL)
def test_every_kind_of_file_is_taken(own: str, layout: str, kind: str) -> None:
    found = outcome(own, layout, kind, 0)
    assert not found.refused
    assert not found.wrong


@pytest.mark.slow
@pytest.mark.parametrize(("own", "layout"), every(), ids=[f"{o}-{n}" for o, n in every()])
def test_no_file_is_taken_wrongly(own: str, layout: str) -> None:
    """Files in every order, behind prefixes, wrapped and in shards; only words without meaning may be refused."""
    found = list(cases(own, layout, [*KINDS], range(1, 4)))
    assert not [o for o in found if o.wrong]
    assert not [o for o in found if o.refused and o.kind in FILES] or (own, layout) in REFUSED


@pytest.mark.parametrize("kind", SCRAMBLED)
def test_names_without_meaning_are_never_taken_wrongly(kind: str) -> None:
    """What only words could tell is refused. With numbers left, shapes and structure decide most files."""
    found = [outcome(own, layout, kind, 0) for own, layout in layouts()[:: 4 if kind == "numbers alone" else 8]]
    assert not any(o.wrong for o in found)
    taken = Counter(not o.refused for o in found)[True]
    assert taken >= (0.8 if kind == "numbers alone" else 0.3) * len(found)


def test_every_net_takes_its_own_keys() -> None:
    """In any order, and behind a prefix."""
    for own in list(dict.fromkeys(own for own, _ in layouts()))[::4]:
        found = outcome(own, OWN, "prefixed", 0)
        assert not found.refused
        assert not found.wrong


def test_the_largest_layout_takes_little_work() -> None:
    """In lines that run, of which 10 million take about a second."""
    program, file = net("nasnet:NASNet_A_Large").checked, shuffled("timm/nasnetalarge", 3)
    assert lines_run(lambda: match(program, file)) < 2_500_000


def flat_resnet(depths: list[int], shortcut_first: bool) -> str:
    """ResNet of basic blocks as one list of statements, without blocks or labels."""
    lines = ["conv(64, 7, stride=2, bias=false) -> bn -> relu -> maxpool(3, stride=2, padding=1)"]
    for i, j in ((i, j) for i, depth in enumerate(depths) for j in range(depth)):
        c, stride = 64 * 2**i, 2 if i and not j else 1
        branch = f"y{i}{j} = x{i}{j} -> conv({c}, 3, stride={stride}, bias=false) -> bn -> relu"
        both = [f"{branch} -> conv({c}, 3, bias=false) -> bn"]
        both += [f"s{i}{j} = x{i}{j} -> conv({c}, 1, stride={stride}, bias=false) -> bn"] if stride > 1 else []
        end = f"(y{i}{j} + {'s' if stride > 1 else 'x'}{i}{j}) -> relu"
        lines += [f"x{i}{j} = it", *(both[::-1] if shortcut_first else both), end]
    return "\n  ".join(["net Flat {", "input image [3, 224, 224]", *lines, "gap -> linear(1000)"]) + "\n}\n"


@pytest.mark.parametrize("shortcut_first", [True, False])
def test_a_net_without_blocks_takes_a_file_of_blocks(shortcut_first: bool) -> None:
    """Nothing of the net's own names helps, and its statements may stand in another order than the file's layers."""
    layout = "torchvision/resnet18"
    program = Spec(Text(flat_resnet([2, 2, 2, 2], shortcut_first), "flat.net"), read_import).net("Flat").checked
    blocks: dict[str, list[str]] = {}
    for key, _ in registered(layout):
        blocks.setdefault(".".join(key.split(".")[: 2 if key.startswith("layer") else 1]), []).append(key)
    used = [
        k for b in blocks.values() for k in sorted(b, key=lambda k: "downsample" in k and shortcut_first, reverse=True)
    ]
    found = match(program, shuffled(layout, 0))
    assert found.complete
    assert not wrong(found, dict(zip((p.path for p in parameters(program.main)), used, strict=True)))
