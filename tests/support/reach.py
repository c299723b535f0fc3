"""Which tests call which functions, and what each test costs: a mutant is shown to those alone that can notice it.

A test is recorded with all it calls from its set-up on. What a module computes once and keeps is recorded for the first
test that asks for it only, so a mutant may be missed, but never killed by mistake.
"""

from __future__ import annotations

import ast
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Function = tuple[str, int]
"""A file and the line on which the function begins, decorators included."""


class Recorder:
    """A plugin of pytest that writes down the functions of some files that each test calls, and its CPU seconds."""

    def __init__(self, files: list[Path], to: Path) -> None:
        self.files = {str(f.absolute()) for f in files}
        self.to = to
        self.found: dict[str, Any] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        called: set[Function] = set()

        def trace(frame: Any, event: str, _: Any) -> None:
            code = frame.f_code
            if code.co_filename in self.files:
                called.add((code.co_filename, code.co_firstlineno))

        began = time.process_time()
        sys.settrace(trace)
        yield
        sys.settrace(None)
        self.found[item.nodeid] = {"seconds": time.process_time() - began, "called": sorted(called)}

    def pytest_sessionfinish(self) -> None:
        self.to.write_text(json.dumps(self.found))


class Reach:
    """What was recorded. `killers`: the tests that noticed a mutant lately, which are asked first."""

    def __init__(self, recorded: Path) -> None:
        self.tests: dict[str, Any] = json.loads(recorded.read_text())
        self.killers: list[str] = []

    def of(self, path: Path, line: int, most: float) -> list[str]:
        """The tests to ask about a line: those that call its function, the cheapest first, up to `most` seconds."""
        function = _function_at(path, line)
        asked, spent = [], 0.0
        for name in sorted(self.tests, key=self._turn):
            test = self.tests[name]
            if function is None or [str(path.absolute()), function] in test["called"]:
                spent += test["seconds"]
                if spent > most and asked:
                    break
                asked.append(name)
        return asked

    def _turn(self, name: str) -> tuple[int, float]:
        recent = self.killers[-20:]
        return (0 if name in recent and self.tests[name]["seconds"] < 3 else 1), self.tests[name]["seconds"]


def _function_at(path: Path, line: int) -> int | None:
    """The line on which the innermost function around a line begins; None outside of all functions."""
    best = None
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            begins = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if node.lineno <= line <= (node.end_lineno or line) and (best is None or begins > best):
                best = begins
    return best


class Chosen:
    """A plugin of pytest that runs some tests in a given order, each with a limit of its own; says which one failed."""

    def __init__(self, names: list[str], seconds: int, to: Path) -> None:
        self.turn = {name: i for i, name in enumerate(names)}
        self.seconds, self.to = seconds, to

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.turn), key=lambda item: self.turn[item.nodeid])

    def pytest_runtest_setup(self, item: Any) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + self.seconds, hard))
        self.to.write_text(item.nodeid)
