"""Writes sentences.txt: a small language whose verbs agree with their subjects, over words that stand between."""

from __future__ import annotations

import random
from pathlib import Path

LETTERS = 48_000
SUBJECTS = ("cat", "dog", "bird", "girl", "boy", "horse", "fox")
VERBS = ("like", "see", "hear", "find", "want", "know")
PLACES = ("near", "behind", "under", "above")

draw = random.Random(0)


def noun(many: bool) -> str:
    word = draw.choice(SUBJECTS)
    return f"the {word if not many else 'foxes' if word == 'fox' else word + 's'}"


def sentence() -> str:
    many = draw.random() < 0.5
    subject = noun(many)
    while draw.random() < 0.45:
        subject += f" {draw.choice(PLACES)} {noun(draw.random() < 0.5)}"
    verb = draw.choice(VERBS)
    return f"{subject} {verb if many else verb + 's'} {noun(draw.random() < 0.5)}.\n"


lines: list[str] = []
while sum(map(len, lines)) < LETTERS:
    lines.append(sentence())
(Path(__file__).parent / "sentences.txt").write_text("".join(lines))
