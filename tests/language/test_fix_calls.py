"""Calls in text: brackets, strings and comments as a reader of one character after another sees them."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netdsl.fixes.calls import DEEPEST, LONGEST, calls, closed, depth, near, parts

CLOSER = {"(": ")", "[": "]", "{": "}"}
TEXTS = st.lists(st.sampled_from([*"()[]{}", "(", ")", "a", "f(", ",", " ", "->", '"b("', "'", "#", "\n"]), max_size=40)


def visible(text: str, at: int) -> list[tuple[int, str]]:
    """The characters outside strings and comments, read one by one."""
    found = []
    while at < len(text):
        line = text.find("\n", at)
        line = len(text) if line < 0 else line
        if text[at] == "#":
            at = line
        elif text[at] in "\"'" and 0 <= text.find(text[at], at + 1) < line:
            at = text.find(text[at], at + 1) + 1
        else:
            found.append((at, text[at]))
            at += 1
    return found


def closed_slowly(text: str, opening: int) -> int | None:
    waiting: list[str] = []
    for at, character in visible(text, opening):
        if character in CLOSER:
            waiting.append(CLOSER[character])
        elif character in CLOSER.values():
            if waiting.pop() != character:
                return None
            if not waiting:
                return at
    return None


@given(TEXTS.map("".join))
def test_brackets_close_as_they_are_read_one_by_one(text: str) -> None:
    opening = [at for at, character in visible(text, 0) if character in CLOSER]
    assert [closed(text, at) for at in opening] == [closed_slowly(text, at) for at in opening]
    now, most = 0, 0
    for _, character in visible(text, 0):
        now += (character in CLOSER) - (character in CLOSER.values())
        most = max(most, now)
    assert depth(text) == most


@given(TEXTS.map("".join))
@example(")(,)")
def test_parts_join_to_the_text_and_hold_no_separator_outside_brackets(text: str) -> None:
    found = [text[a:b] for a, b in parts(text, 0, len(text), ",")]
    assert [p for p in ",".join(found).split(",") if p.strip()] == [p for p in text.split(",") if p.strip()]
    for part in found:
        now = opened = 0
        for _, character in visible(part, 0):
            step = (character in CLOSER) - (character in CLOSER.values())
            now, opened = now + step, max(0, opened + step)  # a bracket that nothing has opened is inside of none
            assert character != "," or now or opened or "'" in text or "#" in text or '"' in text


def test_what_nests_too_deep_or_is_too_long_is_not_read() -> None:
    deep = "f(" * (DEEPEST + 1) + "1" + ")" * (DEEPEST + 1)
    found = list(calls(deep))
    assert [c.arguments is None for c in found] == [True] + [False] * DEEPEST
    (long, *_) = calls(f"f({'1, ' * LONGEST}1)")
    assert long.arguments is None


def test_calls_are_sought_near_a_mistake() -> None:
    text = "a(1) b(2)\n" + "c(3) " * 2000 + "\nd(4)"
    middle = text.index("\n") + 5000
    names = {c.name for c in near(text, middle, middle + 1, "\n")}
    assert names == {"c"}
    assert 700 < len(list(near(text, middle, middle + 1, "\n"))) < 900
    assert {c.name for c in near(text, 2, 3, "\n")} == {"a", "b"}


@pytest.mark.parametrize("text", ["max(1, " * 10_000, "max(1, " * 10_000 + ")" * 10_000, "[" * 20_000 + "]" * 20_000])
def test_reading_calls_takes_time_in_proportion(text: str) -> None:
    """A deep nest took the square of its depth: ten thousand took minutes."""
    began = time.process_time()
    list(calls(text))
    assert time.process_time() - began < 10  # a fraction of a second on a quiet machine
