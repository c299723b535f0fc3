"""How steps are matched: the best alignment against all of them, and what a person would say of small changes."""

from __future__ import annotations

from itertools import combinations, pairwise
from random import Random

import pytest

from netdsl.diff.align import align
from netdsl.diff.groups import TIMES, WITHIN, groups
from netdsl.diff.model import NetDiff
from netdsl.diff.nets import compare_nets
from netdsl.diff.text import Line, lines
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

PLAIN = "conv(8, 3) -> bn -> relu\n  conv(8, 3) -> bn -> relu\n  gap -> linear(5)"


def compared(before: str, after: str, blocks: str = "") -> NetDiff:
    nets = [Spec(Source(f"{blocks}\nnet A {{\n  input x [3, 16, 16]\n  {body}\n}}\n"), read_import).net() for body in
            (before, after)]  # fmt: skip
    return compare_nets(nets[0].checked, nets[1].checked, ("before", "after"))


def told(before: str, after: str, blocks: str = "") -> list[str]:
    """The lines of a comparison, those inside of others indented."""
    diff = compared(before, after, blocks)
    said = [f"{f.name}: {f.before} / {f.after}" for f in diff.pair.fields]

    def tell(found: tuple[Line, ...], depth: int) -> None:
        for line in found:
            said.append("  " * depth + f"{line.sign} {line.text}")
            tell(line.inside, depth + 1)

    tell(lines(*groups(diff.pair.entries))[0], 0)
    return said


def best(rows: int, columns: int, fits: dict[tuple[int, int], int]) -> int:
    """The most that any pairs add up to that do not cross, by trying all."""
    most = 0
    for size in range(min(rows, columns) + 1):
        for left in combinations(range(rows), size):
            for right in combinations(range(columns), size):
                most = max(most, sum(fits[p] for p in zip(left, right, strict=True)))
    return most


def never(i: int, j: int) -> bool:
    return False


@pytest.mark.parametrize("seed", range(30))
def test_an_alignment_is_the_best_of_all(seed: int) -> None:
    random = Random(seed)
    rows, columns = random.randrange(6), random.randrange(6)
    fits = {(i, j): random.choice((0, 0, 1, 2, 5)) for i in range(rows) for j in range(columns)}
    found = align(rows, columns, lambda i, j: float(fits[i, j]), never, never)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(found))
    assert sum(fits[p] for p in found) == best(rows, columns, fits)


def test_ends_that_are_alike_are_those_of_the_whole_alignment() -> None:
    """Capitals have a name of their own; of several equal small letters any can be taken, and the earliest is."""
    random = Random(0)
    for _ in range(300):
        a, b = ("".join(random.choices("abcABCD", k=random.randrange(9))) for _ in range(2))

        def score(i: int, j: int, a: str = a, b: str = b) -> float:
            equal = a[i] == b[j]
            return (1.0 if equal else 0.5) if a[i].isupper() and b[j].isupper() else 0.25 * equal

        def full(i: int, j: int, a: str = a, b: str = b) -> bool:
            return a[i] == b[j]

        def only(i: int, j: int, a: str = a, b: str = b) -> bool:
            return a[i].isupper() and a.count(a[i]) == b.count(a[i]) == 1

        assert align(len(a), len(b), score, full, only) == align(len(a), len(b), score, never, never)


def test_long_sequences_are_aligned_at_a_bounded_cost() -> None:
    looked_at = 0

    def score(i: int, j: int) -> float:
        nonlocal looked_at
        looked_at += 1
        return float(i == j)

    assert align(5000, 5000, score, never, never) == [(i, i) for i in range(5000)]
    assert looked_at < 1_000_000


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (PLAIN, PLAIN, []),
        (PLAIN, PLAIN.replace("relu", "gelu", 1), ["~ relu → gelu"]),
        (PLAIN, PLAIN.replace("bn -> relu", "relu", 1), ["- bn"]),
        (PLAIN, PLAIN.replace("-> relu", "-> relu -> dropout(0.1)", 1), ["+ dropout"]),
        (PLAIN, PLAIN.replace("linear(5)", "linear(7)"), ["~ linear: out_features 5 → 7"]),
        (PLAIN, PLAIN.replace("conv(8, 3)", "conv(8, 5)"), [f"~ conv {TIMES} 2: kernel_size 3 → 5, padding 1 → 2"]),
        (PLAIN, PLAIN.replace("conv(8, 3) -> bn", "bn -> conv(8, 3)", 1), ["> bn: moved, reads conv1 → x"]),
        ("a = relu\n  b = tanh\n  a + b", "a = relu\n  b = tanh\n  b + a", []),
        ("a = relu\n  b = tanh\n  a - b", "a = relu\n  b = tanh\n  b - a",
         ["~ sub: input 1 relu → tanh, input 2 tanh → relu"]),
        ("residual { conv(3, 3) }\n  relu", "conv(3, 3)\n  relu", ["- add"]),
        ("y = conv(3, 3)\n  y -> sigmoid -> it * y", "y = conv(3, 3)\n  y -> sigmoid -> it * x",
         ["~ mul: reads conv → x"]),
        ("a = relu\n  b = tanh\n  concat(a, b)", "a = relu\n  b = tanh\n  concat(b, a)",
         ["~ concat: input 1 relu → tanh, input 2 tanh → relu"]),
    ],
)  # fmt: skip
def test_small_changes_are_told_as_such(before: str, after: str, lines: list[str]) -> None:
    assert told(before, after) == lines


def test_changes_inside_of_blocks_are_told_once() -> None:
    blocks = "block Unit(c, act=relu) = conv(c, 3) -> bn -> act"
    before = "Unit(8) -> Unit(8) -> Unit(16)"
    assert told(before, before.replace(")", ", act=silu)"), blocks) == [
        f"~ Unit {TIMES} 3 {WITHIN} relu → silu {TIMES} 3"
    ]
    assert told(before, "Unit(8) -> Unit(8) -> Unit(8) -> Unit(16)", blocks) == ["+ Unit"]
    assert told(before, "Unit(8) -> Unit(16) -> Unit(16)", blocks) == [f"~ Unit {WITHIN} conv: out_channels 8 → 16"]


def test_a_block_is_opened_where_its_steps_stand_beside_it() -> None:
    blocks = "block Unit(c) = conv(c, 3) -> bn -> relu\nblock Other(c) = conv(c, 3) -> bn -> relu"
    assert told("Unit(8) -> gap", "conv(8, 3) -> bn -> gelu -> gap", blocks) == ["~ relu → gelu"]
    assert told("Unit(8) -> gap", "Other(8) -> gap", blocks) == ["~ Unit → Other"]


def test_tied_weights_are_told_in_words() -> None:
    before = "share table = linear(16)\n  gap -> linear(16) -> table -> relu -> linear(16, bias=false)"
    after = before.replace("linear(16, bias=false)", "linear(weight=table.weight, bias=false)")
    assert told(before, after) == ["~ table linear: weight [16, 16] of another layer"]


def test_moved_keys_are_no_change_of_a_layer() -> None:
    diff = compared("conv(8, 3) -> relu", "stem: conv(8, 3) -> relu")
    assert groups(diff.pair.entries)[0] == ()
    assert not diff.equal
    assert {(t.before, t.after, t.fits) for t in diff.tensors} == {
        ("conv.weight", "stem.0.weight", True), ("conv.bias", "stem.0.bias", True),
    }  # fmt: skip
