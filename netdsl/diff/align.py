"""Alignment of two sequences: the best order-preserving pairing of their members, at a bounded cost."""

from __future__ import annotations

from collections.abc import Callable

MOST = 400_000
"""How many pairs are looked at; longer sequences are aligned in pieces."""

Score = Callable[[int, int], float]
"""How well a member of the first sequence fits one of the second; 0: not at all."""


def align(before: int, after: int, score: Score) -> list[tuple[int, int]]:
    """The pairs that fit best together, none crossing another; of equally good ones, the earliest."""
    pieces = _pieces(before, after)
    found: list[tuple[int, int]] = []
    for n in range(pieces):
        rows = range(before * n // pieces, before * (n + 1) // pieces)
        columns = range(after * n // pieces, after * (n + 1) // pieces)
        found += _best(rows, columns, score)
    return found


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
