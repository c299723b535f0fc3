"""The law of foreign weights: every net of the zoo takes every layout known of it, whatever the order of the file, and
never wrongly."""

from __future__ import annotations

import random
from time import process_time

import pytest
from layouts import layouts, registered, scrambled, shuffled, truth, wrong
from msgspec.structs import replace
from zoo_tables import net

from netdsl.analysis.count import parameters
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source as Text
from netdsl.weights.mapping import declared
from netdsl.weights.match import Matching, match
from netdsl.weights.slots import Slot, Source, slots

REFUSED = {
    ("gat:GAT_Cora", "hand/gat_cora"): "two score vectors of one shape, and no word in common",
    ("gat:GAT_CoraNoBias", "hand/gat_cora_pygat"): "two score vectors of one shape, and no word in common",
}
"""Layouts that stay open, and why; a mapping decides them."""

PREFIXES = ("", "module.", "model.", "net.backbone.0.", "_orig_mod.student.")


def matched(own: str, layout: str, seed: int) -> Matching:
    """The matching of a shuffled file, its keys behind some prefix."""
    prefix = random.Random(seed).choice(PREFIXES)
    file = [Slot(prefix + s.key, s.shape, s.constant) for s in shuffled(layout, seed)]
    found = match(net(own).checked, file, hints=declared(net(own).spec.constant("weights")))
    return found if not prefix else _without(found, prefix)


def _without(found: Matching, prefix: str) -> Matching:
    matches = (replace(m, foreign=_bare(m.foreign, prefix)) for m in found.matches)
    return replace(found, matches=tuple(matches))


def _bare(source: Source, prefix: str) -> Source:
    return replace(source, key=source.key.removeprefix(prefix), inputs=tuple(_bare(s, prefix) for s in source.inputs))


@pytest.mark.parametrize(("own", "layout"), layouts(), ids=[f"{o}-{n}" for o, n in layouts()])
def test_every_layout_of_the_zoo_is_taken(own: str, layout: str) -> None:
    found = matched(own, layout, 0)
    assert found.complete or (own, layout) in REFUSED, found.open or found.reasons or found.missing
    assert not wrong(found, truth(own, layout))


@pytest.mark.slow
def test_no_order_of_a_file_is_taken_wrongly() -> None:
    """Thousands of files: keys shuffled, behind a prefix. What is taken is right; at most 2% are refused."""
    cases = [(own, layout, seed) for own, layout in layouts() for seed in range(1, 21)]
    refused = 0
    for own, layout, seed in cases:
        found = matched(own, layout, seed)
        refused += not found.complete
        assert not wrong(found, truth(own, layout)), (own, layout, seed)
    assert refused <= len(cases) * 0.02


def renamed(own: str, layout: str, numbers: bool, seed: int) -> Matching:
    """The matching of a shuffled file whose names are words without meaning, back in the names of the layout."""
    file = shuffled(layout, seed)
    names = scrambled([s.key for s in file], f"{layout} {seed}", numbers)
    back = {new: old for old, new in names.items()}
    found = match(net(own).checked, [Slot(names[s.key], s.shape, s.constant) for s in file])
    return replace(found, matches=tuple(replace(m, foreign=_named(m.foreign, back)) for m in found.matches))


def _named(source: Source, names: dict[str, str]) -> Source:
    inputs = tuple(_named(s, names) for s in source.inputs)
    return replace(source, key=names.get(source.key, source.key), inputs=inputs)


@pytest.mark.parametrize("numbers", [True, False])
def test_names_without_meaning_are_never_taken_wrongly(numbers: bool) -> None:
    """What only words could tell is refused. With numbers left, shapes and structure decide most files."""
    cases = layouts()[:: 4 if numbers else 8]
    found = {(own, layout): renamed(own, layout, numbers, 0) for own, layout in cases}
    assert not any(wrong(m, truth(*case)) for case, m in found.items())
    assert sum(m.complete for m in found.values()) >= (0.8 if numbers else 0) * len(cases)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [True, False])
def test_no_file_without_names_is_taken_wrongly(numbers: bool) -> None:
    for own, layout in layouts():
        for seed in range(1, 4):
            assert not wrong(renamed(own, layout, numbers, seed), truth(own, layout)), (own, layout, seed)


def test_every_net_takes_its_own_keys() -> None:
    """In any order, and behind a prefix."""
    for own in list(dict.fromkeys(own for own, _ in layouts()))[::4]:
        mine = list(slots(net(own).checked.main))
        file = [Slot(f"module.{s.key}", s.shape, s.constant) for s in random.Random(own).sample(mine, len(mine))]
        found = match(net(own).checked, file)
        assert found.complete
        assert all(f"module.{m.own.key}" == m.foreign.key for m in found.matches)


def test_the_largest_layout_takes_little_time() -> None:
    program, file = net("nasnet:NASNet_A_Large").checked, shuffled("timm/nasnetalarge", 3)
    start = process_time()
    match(program, file)
    assert process_time() - start < 2


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
