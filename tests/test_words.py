"""Prose is written in the words of the field: documentation, messages, help, docstrings, and comments of specs."""

from __future__ import annotations

import ast
import re

import pytest
from paths import ROOT
from prose import prose

REPLACED = {
    r"pictures?\b": "image",
    r"mend(s|ed|ing)?\b": "fix",
    r"numbers to predict": "regression targets",
    r"numbers? that (is|are) not finite": "values that are not finite",
    r"(told|tells?) apart": "distinguish",
    r"anew\b": "again, initialize, rewrite",
    r"go(es|ing)? on\b": "continue, resume",
    r"what there is to say": "notes, warnings",
    r"(hand|hands|handed) over": "pass",
    r"speaks? of": "refer to",
    r"let(s|ting)? go\b": "release, free",
    r"promise[sd]?\b": "expectation",
    r"whom\b": "that, for which",
    r"(holds?|held) (\S+ ){0,4}against": "compare with",
    r"number by number": "element by element",
    r"an object for machines": "JSON",
    r"(run folder|folder of a run)": "run directory",
    r"(an|the|each|every|last|first|next) update\b(?! of a)": "step",
    r"updates (of|each)\b": "steps",
    r"trunk\b": "backbone",
    r"mass\b": "denominator, share",
    r"strangers?\b": "the paper's term",
    r"doubtful": "questionable, warnings",
    r"for good\b": "permanently",
    r"at hand\b": "in memory, of the module",
    r"the way back": "the inverse",
    r"in the one style": "in the standard style",
    r"for people\b": "for readers, as text",
    r"what is held out": "the validation split",
    r"going through in one": "at once",
    r"moment of training": "step",
    r"look(s|ed|ing)? inside\b": "measure",
    r"how far it looks": "receptive field",
    r"would say it\b": "as in",
    r"for machines\b": "JSON",
    r"made for the occasion": "fresh",
    r"and its kin\b": "and its variants",
    r"what any \w+ must satisfy": "checks",
}
"""Phrases that were replaced, as patterns, and what to write."""


QUESTIONS = ("What", "Which", "Whether", "How", "Where")
"""Words that begin a question, or a clause that a reader has to turn into a thing."""


def test_things_are_described_by_what_they_are() -> None:
    """A description begins with the thing itself, or what a function does: `The batch of a step`, `Read a batch`, and
    not `What a step sees`."""
    found = []
    kinds = {ast.Module: QUESTIONS, ast.ClassDef: QUESTIONS[:2], ast.FunctionDef: QUESTIONS[:2]}
    for path in sorted((ROOT / "netdsl").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if type(node) in kinds and (text := ast.get_docstring(node)):  # type: ignore[arg-type]
                found += [f"{path}: {text}"] if text.split()[0] in kinds[type(node)] else []
    assert not found


@pytest.mark.parametrize("phrase", REPLACED)
def test_replaced_phrases_do_not_return(phrase: str) -> None:
    pattern = re.compile(rf"\b{phrase}", re.IGNORECASE)
    found = [
        f"{f}:{n}: ...{text[max(0, m.start() - 40) : m.end() + 30]}"
        for f, n, text in prose()
        for m in pattern.finditer(text)
    ]
    assert not found, f"write: {REPLACED[phrase]}"


SECTIONS = ("Upgrade from 0.2", "Added", "Changed", "Fixed")
LONGEST = 200
"""Lines of the newest release: longer, and nobody reads it."""


def test_the_changelog_is_for_users() -> None:
    """The newest release stands in sections, each thing once (a union merge brings deleted lines back: take the
    file of `main` and add yours again)."""
    newest = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    lines = newest.split("\n")
    assert tuple(line[4:] for line in lines if line.startswith("### ")) == SECTIONS
    bullets = [line for line in lines if line.startswith("- ")]
    assert len(bullets) == len(set(bullets))
    assert not [line for line in newest.split("###")[0].split("\n") if line.startswith("- ")]
    assert len(lines) <= LONGEST
