"""Which tests reach which lines, and what each test costs: a mutant is shown to those alone that can notice it.

A test is recorded with all it calls from its set-up on. What a module computes once and keeps is recorded for the first
test that asks for it only, so a mutant may be missed, but never killed by mistake.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from mutations import Mutant

ENTRIES = 50
"""How many calls of a function are looked at in one test: following all of them would take most of a run."""

Test = dict[str, Any]
"""Of one test: `seconds` of CPU, `lines` by file (bit n is line n), `failed`."""


class Tracer:
    """The lines of some files that are run while a function is called, and what that costs."""

    def __init__(self, files: list[Path]) -> None:
        self.files = {str(f.absolute()): str(f) for f in files}

    def of(self, call: Callable[[], Any]) -> Test:
        """A test that was called."""
        self.reached: dict[str, set[int]] = {name: set() for name in self.files}
        self.entered: Counter[CodeType] = Counter()
        began = _spent()
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(None)
        lines = {self.files[f]: hex(sum(1 << n for n in reached)) for f, reached in self.reached.items() if reached}
        return {"seconds": _spent() - began, "lines": lines}

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        reached = self.reached.get(code.co_filename)
        if reached is None or self.entered[code] >= ENTRIES or _lines(code) <= reached:
            return None
        self.entered[code] += 1

        def ran(frame: FrameType, event: str, _: Any) -> Any:
            reached.add(frame.f_lineno)
            return ran

        return ran(frame, event, None)


def _spent() -> float:
    """Seconds of CPU, with those of processes that were started."""
    return sum(os.times()[:4])


@functools.cache
def _lines(code: CodeType) -> frozenset[int]:
    return frozenset(line for _, _, line in code.co_lines() if line)


class Reach:
    """What was recorded, by the names of the tests. `kills`: how many mutants each has noticed."""

    def __init__(self, tests: dict[str, Test]) -> None:
        self.tests = {name: test for name, test in tests.items() if not test["failed"]}
        self.kills: dict[str, int] = {}

    def of(self, mutant: Mutant | None, most: float) -> list[str]:
        """The tests that reach the lines of a mutant, up to `most` seconds: what kills cheaply first.

        Outside of functions: the tests that reach any line of the file. Of no mutant: all tests.
        """
        reaching = self.tests if mutant is None else filter(partial(self._reaches, mutant), self.tests)
        asked, spent = [], 0.0
        for name in sorted(reaching, key=self._turn):
            spent += self.tests[name]["seconds"]
            if spent > most and asked:
                break
            asked.append(name)
        return asked

    def _reaches(self, mutant: Mutant, name: str) -> bool:
        wanted = sum(1 << n for n in mutant.lines) if mutant.owner else -1
        return bool(int(self.tests[name]["lines"].get(str(mutant.path), "0"), 16) & wanted)

    def _turn(self, name: str) -> float:
        return float((self.tests[name]["seconds"] + 0.01) / (1 + 5 * self.kills.get(name, 0)))
