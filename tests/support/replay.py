"""Tests run without pytest, hundreds of times a minute: the cheapest first, laws on examples drawn once before.

For modules of tests that need no fixtures. `Replay` draws the examples of each `@given` in the warm process; after a
fork and a change of the source, `passes` loads the tests again and calls them.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import UnsatisfiedAssumption

EXAMPLES = 40
"""How many examples of each law are drawn; fewer where the law asks for fewer."""


class Replay:
    """The tests of some files, with the examples of their laws. `room`: the package whose modules are loaded again."""

    def __init__(self, files: list[Path], room: str) -> None:
        self.names = [f.stem for f in files]
        self.room = room
        for folder in {str(f.parent) for f in files}:
            sys.path.insert(0, folder)
        self.examples = {(m, n): _drawn(law) for m, n, law in self._tests() if hasattr(law, "hypothesis")}
        self.order: list[int] = []
        self.order = self._cheapest_first()

    def _tests(self) -> Iterator[tuple[str, str, Any]]:
        for module in self.names:
            for name, found in vars(importlib.import_module(module)).items():
                if name.startswith("test_") and callable(found):
                    yield module, name, found

    def passes(self) -> bool:
        """Whether all tests pass with the modules as they are loaded now."""
        for loaded in [m for m in sys.modules if m.startswith((self.room, "generated")) or m in self.names]:
            del sys.modules[loaded]
        try:
            calls = [call for test in self._tests() for call in self._calls(*test)]
            for number in self.order or range(len(calls)):
                calls[number]()
        except BaseException:  # whatever ends a test, an endless recursion or `pytest.raises` too, is a failure
            return False
        return True

    def _cheapest_first(self) -> list[int]:
        """The numbers of the calls by what they cost."""
        costs = []
        for number, call in enumerate([call for test in self._tests() for call in self._calls(*test)]):
            began = time.process_time()
            call()
            costs.append((time.process_time() - began, number))
        return [number for _, number in sorted(costs)]

    def _calls(self, module: str, name: str, test: Any) -> Iterator[Callable[[], Any]]:
        examples = self.examples.get((module, name))
        if examples is None:
            yield from (lambda given=given: test(**given) for given in _parameters(test))
            return
        law = test.hypothesis.inner_test
        for given in examples:

            def call(given: dict[str, Any] = given) -> None:
                with suppress(UnsatisfiedAssumption):
                    law(**given)

            yield call


def _drawn(law: Any) -> list[dict[str, Any]]:
    """Examples of a law, as it would be given them."""
    found: list[dict[str, Any]] = []
    own, inner = law._hypothesis_internal_use_settings, law.hypothesis.inner_test
    most = min(own.max_examples, EXAMPLES)
    law.hypothesis.inner_test = lambda **given: found.append(given)
    law._hypothesis_internal_use_settings = settings(
        own,
        max_examples=most,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # a loaded machine draws slowly
    )
    try:
        seed(0)(law)()
    finally:
        law.hypothesis.inner_test = inner
    return found


def _parameters(test: Any) -> Iterator[dict[str, Any]]:
    """The arguments of each case of a test with `parametrize`; none for a test without."""
    axes: list[list[dict[str, Any]]] = []
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            names = mark.args[0] if isinstance(mark.args[0], tuple) else (mark.args[0],)
            values = [v if len(names) > 1 else (v,) for v in mark.args[1]]
            axes.append([dict(zip(names, v, strict=True)) for v in values])
    for case in itertools.product(*axes):
        yield {name: value for part in case for name, value in part.items()}
