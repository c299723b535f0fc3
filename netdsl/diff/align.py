"""Alignment of two sequences: the best order-preserving pairing of their members, at a bounded cost."""

from __future__ import annotations

from collections.abc import Callable

MOST = 400_000
"""How many pairs are looked at; longer sequences are aligned in pieces."""

Score = Callable[[int, int], float]
"""How well a member of the first sequence fits one of the second; 0: not at all."""

Fit = Callable[[int, int], bool]
"""Whether a member of the first sequence and one of the second fit as well as either can fit any."""


def align(before: int, after: int, score: Score, full: Fit, only: Fit) -> list[tuple[int, int]]:
    """The pairs that fit best together, none crossing another; of equally good ones, the earliest.

    `full`: whether a pair's fit is the best that either of them can have. `only`: whether neither has it with another.
    Pairs of both at the ends are taken without a look at others: sequences that differ in one place cost their length.
    """
    first, last = _ends(before, after, full, only)
    return [
        *((i, i) for i in range(first)),
        *_between(range(first, before - last), range(first, after - last), score),
        *((before - n, after - n) for n in range(last, 0, -1)),
    ]


def _ends(before: int, after: int, full: Fit, only: Fit) -> tuple[int, int]:
    """How many pairs at the start, and at the end, are those of the earliest best alignment.

    In place of any pairs of the members of such an end these pairs are as good. The first ones are the earliest, too;
    the last ones are where they begin with a pair that no other is as good as.
    """
    most = min(before, after)
    first = next((i for i in range(most) if not full(i, i)), most)
    alike = next((n for n in range(most - first) if not full(before - n - 1, after - n - 1)), most - first)
    return first, next((n for n in range(alike, 0, -1) if only(before - n, after - n)), 0)


def _between(rows: range, columns: range, score: Score) -> list[tuple[int, int]]:
    pieces = _pieces(len(rows), len(columns))
    found: list[tuple[int, int]] = []
    for n in range(pieces):
        found += _best(_piece(rows, n, pieces), _piece(columns, n, pieces), score)
    return found


def _piece(whole: range, n: int, pieces: int) -> range:
    return whole[len(whole) * n // pieces : len(whole) * (n + 1) // pieces]


def _pieces(before: int, after: int) -> int:
    return -(-before * after // MOST)


def _best(rows: range, columns: range, score: Score) -> list[tuple[int, int]]:
    """Needleman and Wunsch, from the ends, so that following it from the starts takes the earliest pairs."""
    best = [[0.0] * (len(columns) + 1) for _ in range(len(rows) + 1)]
    for i in range(len(rows) - 1, -1, -1):
        here, below = best[i], best[i + 1]
        for j in range(len(columns) - 1, -1, -1):
            fit = score(rows[i], columns[j])
            here[j] = max(below[j], here[j + 1], below[j + 1] + fit if fit else 0.0)
    found = []
    i = j = 0
    while i < len(rows) and j < len(columns):
        fit = score(rows[i], columns[j])
        if fit and best[i][j] == best[i + 1][j + 1] + fit:
            found.append((rows[i], columns[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found
