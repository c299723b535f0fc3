"""`require`: every verdict and every constraint against all values of two named sizes, one by one."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from netdsl.sizes.constraints import (
    ASSUMED,
    COMPARISONS,
    IMPOSSIBLE,
    MOST_RELATIONS,
    MOST_TRIES,
    PROVED,
    Assumptions,
    AtLeast,
    AtMost,
    Either,
    OneOf,
    Relation,
    Required,
    Residues,
)
from netdsl.sizes.dims import Dim, evaluate, symbol

H, W = symbol("H"), symbol("W")
GRID = [{"H": h, "W": w} for h, w in itertools.product(range(1, 25), repeat=2)]

Fact = tuple[Dim, str, Dim]


def required(fact: Fact, message: str = "") -> Required:
    left, op, right = fact
    return Required(left, op, right, message, f"{left} {op} {right}")


def holds(fact: Fact, sizes: dict[str, int]) -> bool:
    left, op, right = fact
    return bool(COMPARISONS[op](evaluate(left, sizes), evaluate(right, sizes)))


def one_name(random: Random) -> Fact:
    name = random.choice((H, W))
    left = random.choice((name, 2 * name, name // 2, name % 3, name % 4, 7 - name, name - name // 3))
    return left, random.choice(list(COMPARISONS)), random.randint(0, 9)


def two_names(random: Random) -> Fact:
    left = random.choice((H, 2 * H, H + W, H // 2, H - W))
    right = random.choice((W, W + 3, 2 * W - 1, 12, W // 3))
    return left, random.choice(list(COMPARISONS)), right


def ask(assumptions: Assumptions, fact: Fact, message: str = "") -> str:
    left, op, right = fact
    return assumptions.require(left, op, right, message, f"{left} {op} {right}")


@pytest.mark.parametrize("seed", range(60))
def test_what_is_required_of_each_name_is_answered_exactly(seed: int) -> None:
    """Some facts in a row: proved ones change nothing, impossible ones leave nothing, and the constraints are all."""
    random = Random(seed)
    assumptions = Assumptions()
    left = GRID
    for _ in range(random.randint(1, 4)):
        fact = one_name(random)
        verdict = ask(assumptions, fact, random.choice(("", "because")))
        after = [sizes for sizes in left if holds(fact, sizes)]
        if verdict == PROVED:
            assert after == left, fact
        elif verdict == IMPOSSIBLE:
            assert not after, fact
            return
        else:
            assert after, fact
        left = after
        said = assumptions.constraints()
        assert [sizes for sizes in GRID if all(c.holds(sizes) for c in said)] == left, (fact, said)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_required_of_two_names_is_never_answered_wrong(seed: int) -> None:
    random = Random(seed)
    assumptions = Assumptions()
    left = GRID
    for _ in range(random.randint(1, 4)):
        fact = random.choice((one_name, two_names))(random)
        verdict = ask(assumptions, fact)
        after = [sizes for sizes in left if holds(fact, sizes)]
        if verdict == PROVED:
            assert after == left, fact
        elif verdict == IMPOSSIBLE:
            assert not after, fact
            return
        left = after
        said = assumptions.constraints()
        assert [sizes for sizes in GRID if all(c.holds(sizes) for c in said)] == left, (fact, said)


@pytest.mark.parametrize("seed", range(60))
def test_one_of_several_options_is_answered_exactly(seed: int) -> None:
    random = Random(seed)
    assumptions = Assumptions()
    left = GRID
    for _ in range(random.randint(1, 3)):
        options = [
            [required(one_name(random)) for _ in range(random.randint(1, 2))] for _ in range(random.randint(1, 3))
        ]
        verdict = assumptions.require_one(options, "one of them")
        facts = [[(f.left, f.op, f.right) for f in option] for option in options]
        after = [s for s in left if any(all(holds(f, s) for f in option) for option in facts)]
        if verdict == PROVED:
            assert after == left, options
        elif verdict == IMPOSSIBLE:
            assert not after, options
            return
        else:
            assert after, options
        left = after
        said = assumptions.constraints()
        assert [sizes for sizes in GRID if all(c.holds(sizes) for c in said)] == left, (options, said)


@pytest.mark.parametrize(
    ("before", "fact", "verdict", "said"),
    [
        ([], (H, "!=", 0), PROVED, []),
        ([], (H + W, "!=", 1), PROVED, []),
        ([], (H + W, "!=", 2), ASSUMED, ["H + W != 2"]),
        ([], (-H - W, "!=", -2), ASSUMED, ["-H - W != -2"]),
        ([], (H, "!=", 1), ASSUMED, ["H >= 2"]),
        ([], (H, "!=", 5), ASSUMED, ["H != 5"]),
        ([], (-H, "!=", 0), PROVED, []),
        ([(H, "==", 5)], (H, "!=", 5), IMPOSSIBLE, None),
        ([(H, "==", 5)], (H, "!=", 6), PROVED, ["H == 5"]),
        ([(H, "!=", 5)], (H, "==", 5), IMPOSSIBLE, None),
        ([(H, "<=", 2), (H, "!=", 2)], (H, ">=", 2), IMPOSSIBLE, None),
        ([(H - W, "!=", 0)], (H, "==", W), IMPOSSIBLE, None),
        ([(H, ">", W)], (H, ">=", W), PROVED, ["H > W"]),
        ([(H, ">=", W)], (H, ">", W), ASSUMED, ["H > W", "H >= W"]),
        ([(H, ">=", W)], (W, ">", H), IMPOSSIBLE, None),
        ([(H, "==", W), (H % 2, "==", 0)], (W % 2, "==", 1), IMPOSSIBLE, None),
        ([(H, "<=", 8), (W, ">=", 9)], (H, ">=", W), IMPOSSIBLE, None),
        ([(H, "<=", 8), (W, ">=", 8)], (H, ">=", W), ASSUMED, ["H in (1, 2, 3, 4, 5, 6, 7, 8)", "W >= 8", "H >= W"]),
        ([(H, "<=", 8), (W, ">=", 8)], (H, "==", W), ASSUMED, ["H in (1, 2, 3, 4, 5, 6, 7, 8)", "W >= 8", "H == W"]),
        ([(H, "<=", 8), (W, ">=", 9)], (H, "==", W), IMPOSSIBLE, None),
    ],
)  # fmt: skip
def test_verdicts(before: list[Fact], fact: Fact, verdict: str, said: list[str] | None) -> None:
    assumptions = Assumptions()
    for earlier in before:
        assert ask(assumptions, earlier) == ASSUMED
    assert ask(assumptions, fact) == verdict
    if said is not None:
        assert sorted(map(str, assumptions.constraints())) == sorted(said)


def test_a_message_is_kept_with_the_fact() -> None:
    assumptions = Assumptions()
    assert ask(assumptions, (H, ">=", 3), "wide enough") == ASSUMED
    assert ask(assumptions, (W, "<=", 90)) == ASSUMED
    (own, fact) = assumptions.constraints()
    assert own == AtMost("W", 90)
    assert fact == Required(H, ">=", 3, "wide enough", "H >= 3")


def test_options() -> None:
    first, second = [required((H, "==", 4))], [required((H, ">=", 9))]
    assumptions = Assumptions()
    assert assumptions.require_one([first, second], "either") == ASSUMED
    (either,) = assumptions.constraints()
    assert str(either) == "H == 4 or H >= 9"
    assert either == Either((tuple(first), tuple(second)), "either")
    assert [n for n in range(1, 12) if either.holds({"H": n})] == [4, 9, 10, 11]
    assert ask(assumptions, (H, "<=", 8)) == ASSUMED
    assert ask(assumptions, (H, "!=", 4)) == IMPOSSIBLE
    one = Assumptions()
    assert one.require_one([[required((H, "<", 0))], first], "either") == ASSUMED
    assert one.constraints() == (OneOf("H", (4,)),)
    assert one.require_one([first], "") == PROVED
    assert one.require_one([second, first], "") == PROVED
    assert one.require_one([second], "") == IMPOSSIBLE
    assert Assumptions().require_one([[required((H, "<", 0))]] * 2, "") == IMPOSSIBLE
    both = Either(((required((H, ">=", 2)), required((W, ">=", 2))), (required((H, "==", 1)),)))
    assert str(both) == "H >= 2 and W >= 2 or H == 1"
    assert [both.holds({"H": h, "W": 1}) for h in (1, 2)] == [True, False]
    assert len({both, Either(both.options)}) == 1


def test_choices_that_exclude_one_another_are_found() -> None:
    """Pairs of options of which no two go together; beyond so many tries all is taken to be possible."""

    def choice(*values: int) -> list[list[Required]]:
        return [[required((H, "==", v))] for v in values]

    assumptions = Assumptions()
    assert assumptions.require_one(choice(1, 2), "") == ASSUMED
    assert assumptions.require_one(choice(2, 3), "") == ASSUMED
    assert assumptions.require_one(choice(3, 4), "") == IMPOSSIBLE
    for count, verdict in ((3, IMPOSSIBLE), (12, ASSUMED)):
        names = [symbol(f"N{i:02}") for i in range(count)]
        many = Assumptions()
        for name in names:
            assert many.require_one([[required((name, "==", v))] for v in (1, 2)], "") == ASSUMED
        assert ask(many, (sum(names[1:], names[0]), "==", 2 * count + 1)) == verdict
    assert 2**3 < MOST_TRIES < 2**12


def test_constraints_are_values() -> None:
    for made in (
        lambda: Residues("H", 2, (1,)), lambda: AtLeast("H", 3), lambda: AtMost("H", 3), lambda: OneOf("H", (1, 2)),
        lambda: Relation(H, "==", W), lambda: required((H, "==", W)), lambda: Either(((required((H, "==", W)),),)),
    ):  # fmt: skip
        assert len({made(), made()}) == 1
    assert [AtMost("H", 3).holds({"H": n}) for n in (2, 3, 4)] == [True, True, False]
    assert [OneOf("H", (1, 4)).holds({"H": n}) for n in (1, 2, 4)] == [True, False, True]
    assert str(AtMost("H", 3)) == "H <= 3"
    assert str(OneOf("H", (1, 4))) == "H in (1, 4)"


def test_so_many_facts_over_several_names_are_looked_at_together() -> None:
    """`A0 > A1 > ... > An > A0` is a contradiction, found as long as the facts are few."""
    for count in (2, 3, MOST_RELATIONS, MOST_RELATIONS + 1):
        names = [symbol(f"A{i:02}") for i in range(count)]
        assumptions = Assumptions()
        for a, b in itertools.pairwise(names):
            assert ask(assumptions, (a, ">", b)) == ASSUMED
        last = ask(assumptions, (names[-1], ">", names[0]))
        assert last == (IMPOSSIBLE if count <= MOST_RELATIONS else ASSUMED), count
