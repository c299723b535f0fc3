"""Names and orders: what numbers and words say, and the orders of parts against all permutations."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product
from random import Random
from types import SimpleNamespace

import pytest
from trees import leaves
from work import lines_run

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.weights import orders
from netdsl.weights.align import Search
from netdsl.weights.match import Mapping, Matching, match
from netdsl.weights.names import comes_before, concepts, earlier, is_final, is_repeated, lettered, stamp, tokens
from netdsl.weights.orders import MOST_ORDERS, MOST_PARTS, Exhausted, Order, Orders, Rule, family
from netdsl.weights.slots import Shape, Slot, Unit, spelled, units
from netdsl.weights.tree import Node


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("conv1", "conv2"), ("conv9", "conv10"), ("conv1_2", "conv2_1"), ("conv_a", "conv_b"),
        ("Conv2d_1a_3x3", "Conv2d_2a"), ("conv2_x", "conv2_y"),
        ("conv2", "conv2b"), ("conv2b", "conv2c"), ("dense", "dense_1"), ("conv2d", "conv2d_3"),
        ("batch_normalization", "batch_normalization_10"), ("stage_1_unit_2", "stage_1_unit_3"), ("0", "1"),
        ("9", "10"),
    ],
)  # fmt: skip
def test_numbers_and_letters_that_count(first: str, second: str) -> None:
    assert comes_before(first, second) is True
    assert comes_before(second, first) is False


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("conv1", "bn2"), ("conv", "pool"), ("dec1", "dec2"), ("up_1", "up_2"), ("conv_x", "conv_y"), ("a", "b"),
        ("conv2", "conv2_bias"), ("conv_1x1", "conv_3x3"), ("query", "query_1"),
        ("dense", "dense_bias"), ("conv1", "conv1"), ("b1", "b1a1"),
        ("conv", "conv_ab"), ("conv_a", "conv_bb"),
    ],
)  # fmt: skip
def test_names_that_say_nothing_about_an_order(first: str, second: str) -> None:
    """Other families, families that some count from the top, letters that stand for words, shapes of kernels."""
    assert comes_before(first, second) is None
    assert comes_before(second, first) is None


def test_parts_of_names() -> None:
    assert tokens("Conv2d_1a_3x3") == ("conv", "2", "d", "1", "a", "3x3")
    assert tokens("selfABCNorm") == ("self", "abc", "norm")
    assert family("conv2d_bn12a") == "conv d bn a"
    stamps = {"conv1": ("1",), "bn1": ("1",), "conv_a": ("a",), "a": (), "conv2_1b": ("2", "1", "b"), "conv_x": ()}
    assert {name: stamp(name) for name in stamps} == stamps


@pytest.mark.parametrize(
    ("names", "is_series"),
    [("ab", True), ("bca", True), ("AB", True), ("a", False), ("ac", False), ("bc", False), ("12", False), ("", False)],
)
def test_letters_from_a_on_are_a_series(names: str, is_series: bool) -> None:
    assert lettered([*names, "conv", "ab"]) is is_series


def test_words_that_mean_one_thing() -> None:
    assert concepts("downsample") == concepts("skip") == {"shortcut"}
    assert concepts("conv1") == concepts("layer2_norm") == frozenset()
    assert concepts("self_attn") == {"self"}
    assert concepts("q_proj_1x1") == {"query", "1x1"}
    said = {("pre_norm", "post_norm"): True, ("out_proj", "in_proj"): False, ("conv", "bn"): None}
    said |= {("encoder", "encoder_decoder"): None, ("in_left", "in_right"): True}
    assert {pair: earlier(*pair) for pair in said} == said
    assert [is_repeated(n) for n in ("Layers", "h", "norm")] == [True, True, False]
    assert [is_final(n) for n in ("LN_f", "norm", "layers")] == [True, True, False]


def test_shapes_in_one_spelling() -> None:
    """Only what says nothing is left out: the axes of a pointwise kernel, those around a vector or a table."""
    shapes: dict[tuple[str, Shape], Shape] = {
        ("weight", (8, 4, 1, 1)): (8, 4), ("weight", (8, 4, 3, 3)): (8, 4, 3, 3),
        ("weight", (8, 4, 1, 3)): (8, 4, 1, 3),
        ("weight", (8, 1, 3, 3)): (8, 1, 3, 3), ("weight", (1, 1, 3, 3)): (1, 1, 3, 3), ("weight", ()): (),
        ("weight", (8, 1)): (8,), ("weight", (1, 8, 1, 1)): (8,), ("weight_ih", (1, 4)): (4,),
        ("bias", (1, 8, 1)): (8,), ("", (1, 5, 8)): (5, 8),
    }  # fmt: skip
    assert {given: spelled(*given) for given in shapes} == shapes


def test_tensors_that_stand_together_are_a_layer() -> None:
    """Where each has a role of its own; one by itself is a layer only under the name of a weight or bias."""

    def found(shapes: dict[str, Shape]) -> list[tuple[str, tuple[str, ...]]]:
        return [
            (unit.name, tuple(source.how for _, source in unit.parts))
            for unit in units([Slot(*s) for s in shapes.items()])
        ]

    assert found({"fc.weight": (8, 4), "fc.bias": (8,)}) == [("fc", ("as it is", "as it is"))]
    assert found({"fc.weight": (8, 4), "ls1.gamma": (8,)}) == [("fc", ("as it is",)), ("ls1.gamma", ("as it is",))]
    assert [name for name, _ in found({"x.weight": (8,), "x.gamma": (8,)})] == ["x.weight", "x.gamma"]
    assert found({"c/kernel:0": (8, 3, 3, 8), "c/bias:0": (8,)}) == [("c", ("transposed", "as it is"))]
    assert found({"c/kernel": (6, 4), "c/bias": (6,)}) == [("c", ("as it is", "as it is"))]
    assert found({"s/kernel": (8,)}) == [("s.kernel", ("as it is",))]


def permuted(items: tuple[Node, ...], rule: Rule, fits: dict[tuple[str, int], bool], start: int) -> set[Order]:
    """All orders of items that fit and that the rule allows, by trying every one."""
    found = set()
    for order in permutations(items):
        places = [start + sum(item.size for item in order[:i]) for i in range(len(order))]
        pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
        if all(fits[i.path[-1], at] for i, at in zip(order, places, strict=True)) and not any(
            rule.before(b, a) for a, b in pairs
        ):
            found.add(tuple(zip(order, places, strict=True)))
    return found


@pytest.mark.parametrize("names", [["a1", "a2", "b*2", "c"], ["conv1", "bn1", "conv2", "bn2*2"], ["x", "y", "z*2"]])
def test_orders_are_all_permutations_that_fit(names: list[str]) -> None:
    node, draw = leaves(*names), Random(0)
    items = tuple(node.children.values())
    rules = (Rule(node), Rule(node, numbers=False), Rule(node, frozenset({"conv"})))
    for rule, start, share in product(rules, (0, 3), (0.4, 0.6, 0.8, 1.0)):
        fits = {(i.path[-1], at): draw.random() <= share for i in items for at in range(start, start + node.size)}
        given = Orders(items, rule, lambda item, at, fits=fits: fits[item.path[-1], at])  # type: ignore[misc]
        found = given.from_(start)
        assert len(found) == len(set(found))
        assert set(found) == permuted(items, rule, fits, start)


def test_more_orders_than_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    node = leaves("a", "b", "c", "d", "e")
    items = tuple(node.children.values())
    found = Orders(items, Rule(node), lambda item, at: True).from_(0)
    assert len(set(found)) == len(found) == MOST_ORDERS
    found = Orders(items, Rule(node), lambda item, at: (item.path, at) != (("b",), 1)).from_(0)  # 18 begin with `a`
    assert len(set(found)) == len(found) == MOST_ORDERS
    monkeypatch.setattr(orders, "MOST_STEPS", 20)
    with pytest.raises(Exhausted):
        Orders(items, Rule(node), lambda item, at: True).from_(0)
    assert Orders(items[:2], Rule(node), lambda item, at: True).from_(0)


def test_what_a_rule_leaves_out() -> None:
    node = leaves("conv1*2", "conv2", "bn1", "bn2", "a", "b")
    parts = {n.path[-1]: n for n in node.children.values()} | {
        f"1.{k}": n for k, n in node.children["conv1"].children.items()
    }

    def said(rule: Rule, *pairs: tuple[str, str]) -> list[bool | None]:
        return [rule.before(parts[x], parts[y]) for x, y in pairs]

    pairs = (("conv1", "conv2"), ("bn2", "bn1"), ("a", "b"), ("1.0", "1.1"), ("1.1", "conv2"), ("conv1", "bn2"))
    assert said(Rule(node), *pairs) == [True, False, None, True, True, None]
    assert said(Rule(node, frozenset({"conv"})), *pairs) == [None, False, None, True, None, None]
    assert said(Rule(node, letters=True), *pairs) == [True, False, True, True, True, None]
    assert said(Rule(node, numbers=False), *pairs) == [None] * 6


def test_prefixes_that_a_segment_cuts_through() -> None:
    """Against sets: those that share layers with it, of which neither holds the other."""
    draw = Random(0)
    for _ in range(30):
        paths = sorted(
            (tuple(draw.choice("ab") for _ in range(3)) for _ in range(7)), key=lambda p: (p[0], draw.random())
        )
        own = [Unit((*path, str(i)), ()) for i, path in enumerate(paths)]
        search = Search(SimpleNamespace(units=own), dict.fromkeys(own, 1))  # type: ignore[arg-type]
        held = {
            frozenset(i for i, p in enumerate(paths) if p[:depth] == path[:depth])
            for path in paths
            for depth in (1, 2, 3)
        }
        held = {h for h in held if max(h) - min(h) + 1 == len(h)}
        for start, end in combinations(range(len(own) + 1), 2):
            segment = frozenset(range(start, end))
            cut = [h for h in held if h & segment and h - segment and segment - h]
            assert search.cuts(start, end - start) == len(cut)


def matched(layers: str, shapes: dict[str, Shape], mapping: Mapping = ()) -> Matching:
    """The matching of a chain of layers without bias with a file of these weights."""
    program = Spec(Source(f"net N {{ input x [4]\n {layers} }}", "n.net"), read_import).net("N").checked
    return match(program, [Slot(f"{k}.weight", s) for k, s in shapes.items()], mapping)


def chain(*widths: int) -> str:
    return " -> relu -> ".join(f"linear({n}, bias=false)" for n in widths)


@pytest.mark.parametrize("prefix", ["", "body."])
@pytest.mark.parametrize(
    ("widths", "names"),
    [
        ((4, 4, 6, 8), "a1 a2 b2 b1"),
        ((4, 4, 6, 8), "2 3 1 0"),
        ((6, 8), "b2 b1"),
        ((5, 6, 7, 8), "a2 a1 b2 b1"),
    ],
)
def test_shapes_show_which_numbers_say_no_order(widths: tuple[int, ...], names: str, prefix: str) -> None:
    """Numbers of one family hold where those of another do not; what no family can say alone is left open."""
    shapes = dict(zip(names.split(), pairwise((4, *widths)), strict=True))
    found = matched(chain(*widths), {prefix + n: shapes[n][::-1] for n in sorted(shapes, reverse=True)})
    if names[0] == "2":
        assert not found.complete
    else:
        assert found.complete
        assert [m.foreign.key.split(".")[-2] for m in found.matches] == names.split()


def row(n: int) -> Matching:
    """Layers that numbers tell apart, in a file without any order, and a last one without a number."""
    shapes: dict[str, Shape] = {"head": (3, 4)} | {f"l{i}": (4, 4) for i in reversed(range(n))}
    return matched(chain(*[4] * n, 3), shapes)


def test_a_long_row_of_numbered_layers_is_aligned_in_linear_work() -> None:
    few, many = (lines_run(lambda n=n: row(n)) for n in (40, 160))  # type: ignore[misc]
    assert many < 4**1.2 * few
    assert row(MOST_PARTS + 50).complete


def test_more_parts_than_are_tried_are_no_other_order() -> None:
    """What was not tried is not said not to fit."""
    draw = Random(0)
    names = {"".join(draw.choice("ghijklmnop") for _ in range(6)) for _ in range(MOST_PARTS + 20)}
    found = matched(chain(*[4] * len(names)), dict.fromkeys(names, (4, 4)))
    assert not found.complete
    assert found.reasons[0].startswith("too many orders")


@pytest.mark.parametrize("names", [("before", "after"), ("input", "output"), ("reduce", "expand"), ("one", "other")])
def test_words_decide_between_equal_layers(names: tuple[str, str]) -> None:
    """Where they say nothing, nothing is guessed."""
    found = matched(chain(4, 4), dict.fromkeys(names[::-1], (4, 4)))
    said = [m.foreign.key.split(".")[0] for m in found.matches]
    assert said == ([] if "other" in names else [*names])
    assert found.complete == bool(said)


def test_the_longest_prefix_of_a_mapping_decides() -> None:
    mapping = (("a", "linear1"), ("a.b", "linear2"), ("linear1", "linear3"))
    found = matched(chain(4, 4, 4), dict.fromkeys(("linear1", "a.b", "a"), (4, 4)), mapping)
    assert {m.own.key: (m.foreign.key, m.why) for m in found.matches} == {
        f"linear{i}.weight": (f"{n}.weight", "mapping") for i, n in enumerate(("a", "a.b", "linear1"), 1)
    }
