"""What words and numbers decide where several orders fit: each rule by itself, on layers that are all alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from trees import leaves

from netdsl.weights.align import Search
from netdsl.weights.orders import Order, Rule
from netdsl.weights.slots import Unit
from netdsl.weights.tree import Node
from netdsl.weights.use import Use


class Given(Use):
    """Layers by their names in a net, in order of use, what each of them reads, and in which order two of them meet."""

    def __init__(self, names: Sequence[str], feeds: Mapping[int, Sequence[int]], meet: bool | None) -> None:
        self.units = [Unit(tuple(n.split(".")), ()) for n in names]
        self.feeds = [sum(1 << k for k in feeds.get(i, ())) for i in range(len(names))]
        self.words = [frozenset()] * len(names)
        self.meet = meet

    def joined_in_order(self, first: int, second: int) -> bool | None:
        return self.meet


def search(names: str, feeds: Mapping[int, Sequence[int]] | None = None, meet: bool | None = None) -> Search:
    use = Given(names.split(), feeds or {}, meet)
    return Search(use, dict.fromkeys(use.units, 1))


def placed(names: str, start: int = 0) -> tuple[Node, Order]:
    """A tree of a file, and its layers one after the other from a place on."""
    node = leaves(*names.split())
    return node, tuple((n, start + i) for i, n in enumerate(node.children.values()))


def test_prefixes_that_a_node_and_its_parts_cut_through() -> None:
    """Six layers `a.0` to `b.2`, of which a node takes the second to the fifth, as one and three."""
    net = search("a.0 a.1 a.2 b.0 b.1 b.2")
    node = leaves("x.p", "x.q.0", "x.q.1", "x.q.2").children["x"]
    found = net.place(node, 1)
    assert found is not None
    assert net.cuts(1, 4) == net.cuts(2, 3) == 2
    assert found.cuts == 4


@pytest.mark.parametrize(
    ("names", "turned", "score", "other", "feeds", "expected"),
    [
        # one word for this order; a word for what both have in one place counts for neither
        ("s a b", "s b a", (1, 1, 0), (1, 0, 0), {}, True),
        ("s a b", "s b a", (1, 1, 0), (1, 0, 1), {}, False),
        ("s a b", "s b a", (1, 0, 0), (1, 0, 0), {}, False),
        # neighbours with one number
        ("conv1 bn1 conv2 bn2", "conv1 conv2 bn1 bn2", (0, 0, 0, 0), (0, 0, 0, 0), {}, True),
        ("conv1 conv2 bn1 bn2", "conv1 bn1 conv2 bn2", (0, 1, 1, 0), (0, 0, 0, 0), {}, False),
        ("conv1 conv2 bn1 bn2", "conv1 bn1 conv2 bn2", (0, 1, 1, 0), (0, 1, 1, 0), {}, False),
        # neighbours of a family that feed each other
        ("conv1 conv2 x y", "conv2 conv1 y x", (0, 0, 0, 0), (0, 0, 0, 0), {1: [0]}, False),
        # words for what is used first
        ("before after", "after before", (0, 0), (0, 0), {1: [0]}, True),
        ("after before", "before after", (1, 0), (0, 0), {1: [0]}, False),
        ("after before", "before after", (1, 0), (1, 0), {1: [0]}, False),
        ("before after", "after before", (0, 0), (0, 0), {}, False),
    ],
)
def test_words_speak_for_one_order_and_none_for_the_other(
    names: str,
    turned: str,
    score: Sequence[int],
    other: Sequence[int],
    feeds: Mapping[int, Sequence[int]],
    expected: bool,
) -> None:
    node, order = placed(names)
    second = tuple((node.children[n], i) for i, n in enumerate(turned.split()))
    scores = (dict(zip(o, s, strict=True)) for o, s in ((order, score), (second, other)))
    net = search(" ".join(f"own{i}" for i in range(len(order))), feeds)
    one, two = scores
    assert net._beats(node, 0, order, one, second, two) is expected


@pytest.mark.parametrize(
    ("names", "first", "second", "expected"),
    [
        ("prev x", [0], [0, 1], True),
        ("prev x", [0, 1], [0], False),
        ("x prev", [0], [0, 1], False),
        ("x prev", [0, 1], [0], True),
        ("previous x", [], [0], True),
        ("x y", [0], [0, 1], None),
        ("prev previous", [0], [0, 1], None),
        ("prev x", [0], [0], None),
        ("prev x", [0], [1], None),
    ],
)
def test_what_is_called_previous_reads_what_is_further_back(
    names: str, first: list[int], second: list[int], expected: bool | None
) -> None:
    node, (a, b) = placed(names, start=2)
    net = search("own0 own1 own2 own3", {2: first, 3: second})
    assert net._further_back(node, a, b) is expected


@pytest.mark.parametrize(
    ("names", "feeds", "meet", "expected"),
    [
        ("conv1 conv2", {}, None, {0, 1}),
        ("conv1 conv2", {}, False, {0, 1}),
        ("conv1 conv2", {}, True, set()),
        ("conv1 conv2", {1: [0]}, None, set()),
        ("x conv1 conv2", {2: [0]}, None, {1, 2}),
        ("conv1 conv2 conv3", {1: [0]}, None, {1, 2}),
        ("x y", {}, None, set()),
        ("norm x layers", {}, True, {0, 2}),
        ("x norm blocks", {}, True, {1, 2}),
        ("norm x", {}, True, set()),
        ("x layers", {}, True, set()),
        ("layers norm", {}, True, set()),
    ],
)
def test_an_order_that_only_numbers_tell_is_in_doubt(
    names: str, feeds: Mapping[int, Sequence[int]], meet: bool | None, expected: set[int]
) -> None:
    """So is a last norm that stands before the layers it closes."""
    node, order = placed(names)
    net = search(" ".join(f"own{c}" for c in "xyz"[: len(order)]), feeds, meet)
    assert net._doubtful(node, 0, order, Rule(node)) == expected


@pytest.mark.parametrize(
    ("own", "names", "expected"),
    [
        ("blocks.0 blocks.1", "conv1 conv2", True),
        ("blocks.0 blocks.x", "conv1 conv2", False),
        ("left.0 right.0", "conv1 conv2", False),
        ("query key", "1_query 2_key", True),
        ("query x", "1_query 2_y", True),
        ("key query", "1_query 2_key", False),
        ("query query", "1_query 2_x", False),
        ("x query", "1_x 2_query", True),
        ("x y", "1_a 2_b", False),
    ],
)
def test_numbers_or_words_of_the_net_make_an_order_credible(own: str, names: str, expected: bool) -> None:
    node, (a, b) = placed(names)
    assert search(own)._credible(node, 0, a, b) is expected
