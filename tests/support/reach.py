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
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from mutations import Mutant

ENTRIES = 50
"""After how many calls of a function that reach no new line a test's other calls of it are not looked at: following all
of them would take most of a run."""

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
            if frame.f_lineno not in reached:
                reached.add(frame.f_lineno)
                self.entered[code] = 0
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
        """The tests to ask about a mutant, up to `most` seconds: what reaches its lines and kills cheaply first.

        Tests that call its function follow, for not every call is looked at. Outside of functions: the tests that reach
        any line of the file, then all others, which may read a constant of it. Of no mutant: all tests.
        """
        if mutant is not None and mutant.owner:
            near, far = (self._reaching(mutant, s) for s in (mutant.lines, mutant.lines | mutant.begin))
        else:
            near, far = self._reaching(mutant, None), set(self.tests)
        asked, spent = [], 0.0
        for name in sorted(far, key=lambda n: (n not in near, self._turn(n))):
            spent += self.tests[name]["seconds"]
            if spent > most and asked:
                break
            asked.append(name)
        return asked

    def _reaching(self, mutant: Mutant | None, lines: set[int] | None) -> set[str]:
        if mutant is None:
            return set(self.tests)
        file, wanted = str(mutant.path), -1 if lines is None else sum(1 << n for n in lines)
        return {name for name, test in self.tests.items() if int(test["lines"].get(file, "0"), 16) & wanted}

    def _turn(self, name: str) -> float:
        return float((self.tests[name]["seconds"] + 0.01) / (1 + 5 * self.kills.get(name, 0)))
