"""One warm session of pytest whose tests run in forks: torch, the tests and netdsl are imported once for all mutants.

A change inside a function is put into the function where it is; after a change outside of functions (a default, a
constant, a field of a class) the fork imports netdsl and the chosen tests again.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import hypothesis
import pytest
from mutations import Mutant
from reach import Reach, Test, Tracer

EXAMPLES = 30
"""Of each law: most mutants fall to few."""

SECONDS, WAIT, MEMORY = 5, 60, 8 << 30
"""A mutant loops, and somebody would notice, that computes this much longer in a test than 10 times what the test
costs, waits longer than that, or takes more memory."""

CONTROL = 20
"""How many seconds of tests are run without any change first: none may fail."""

OPTIONS = ["-x", "-q", "-s", "--tb=no", "--hypothesis-seed=0", "-m", "not slow", "-W", "ignore"]
OPTIONS += ["-p", "no:cacheprovider", "--no-header"]
ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "onnx", "onnxruntime", "sklearn.datasets", "rich", "netdsl.cli.main")


class Warm:
    """A plugin of pytest. `work` is called with it once the tests are collected."""

    def __init__(self, area: str, files: list[Path], work: Callable[[Warm], None], examples: int = EXAMPLES) -> None:
        self.area, self.files, self.work, self.examples = area, files, work, examples
        self.last = Path(tempfile.mkdtemp()) / "last"

    def run(self, tests: list[str]) -> None:
        """Collect tests and work."""
        os.environ["NETDSL_CACHE"] = "off"
        for name in HEAVY:
            importlib.import_module(name)
        code = pytest.main([*OPTIONS, *tests], [self])
        assert code == 0, f"pytest could not collect: {code}"

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        _give_few_examples(items, self.examples)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        tests, modules = self._recorded()
        for name in modules:
            with suppress(Exception):  # a module that only its package can import
                importlib.import_module(name)
        self.reach = Reach(tests)
        self.functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        names = {str(f.absolute()) for f in self.files}
        for found in gc.get_objects():
            if type(found) is FunctionType and found.__code__.co_filename in names:
                code = found.__code__
                key = (code.co_filename, code.co_qualname, code.co_firstlineno)
                self.functions.setdefault(key, []).append(found)
        gc.freeze()
        control = _forked(lambda: self._run([self.items[n] for n in self.reach.of(None, CONTROL)], {}))
        assert not control, f"without any change {self.last.read_text()} fails"
        self.work(self)
        return True

    def judge(self, mutant: Mutant, seconds: float) -> dict[str, Any]:
        """How a mutant fares: `killed`, `by` which test, `how`, shown to how many `tests`."""
        names = self.reach.of(mutant, seconds)
        if not names:
            return {"killed": False, "how": "no test reaches it", "tests": 0}
        self.last.write_text("")
        status = _forked(lambda: self._show(mutant, names))
        if not status:
            return {"killed": False, "tests": len(names)}
        by = self.last.read_text()
        self.reach.kills[by] = self.reach.kills.get(by, 0) + 1
        how = "import" if not by else "fails" if os.WIFEXITED(status) else signal.Signals(os.WTERMSIG(status)).name
        return {"killed": True, "how": how, "by": by, "tests": len(names)}

    def _show(self, mutant: Mutant, names: list[str]) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        limits = {name: SECONDS + 10 * self.reach.tests[name]["seconds"] for name in names}
        if mutant.put(self.functions):
            self._run([self.items[name] for name in names], limits)
            return
        _limit(SECONDS * 4)
        mutant.load("netdsl", "tests", *(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem not in OWN))
        again = Again(names, lambda items: self._run(items, limits), self.examples)
        code = pytest.main([*OPTIONS, *{name.split("::")[0]: None for name in names}], [again])
        if code:
            os._exit(1)

    def _run(self, items: list[Any], limits: dict[str, float]) -> None:
        for item, after in zip(items, [*items[1:], None], strict=True):
            self.last.write_text(item.nodeid)
            _limit(limits.get(item.nodeid, 10 * SECONDS))
            item.config.pluginmanager.register(stop := Stop())
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            item.config.pluginmanager.unregister(stop)

    def _recorded(self) -> tuple[dict[str, Test], list[str]]:
        """What the tests reach, recorded where a test or a mutated file has changed since; what they import."""
        kept = ROOT / "out" / "mutants" / f"{self.area}-reach.json"
        known = json.loads(kept.read_text()) if kept.exists() else {"keys": {}, "tests": {}, "modules": []}
        source = b"".join(f.read_bytes() for f in self.files) + str(self.examples).encode()
        names = sorted({item.location[0] for item in self.items.values()})
        keys = {n: hashlib.sha256(source + (ROOT / n).read_bytes()).hexdigest() for n in names}
        fresh = [i for i in self.items.values() if known["keys"].get(i.location[0]) != keys[i.location[0]]]
        if fresh:
            kept.parent.mkdir(parents=True, exist_ok=True)
            status = _forked(lambda: self._record(fresh))
            assert not status, f"recording ended with {status}"
            made = json.loads(self.last.read_text())
            gone = {i.location[0] for i in fresh}
            tests = {n: t for n, t in known["tests"].items() if n.split("::")[0] not in gone} | made["tests"]
            modules = sorted({*known["modules"], *made["modules"]})
            known = {"keys": known["keys"] | keys, "tests": tests, "modules": modules}
            kept.write_text(json.dumps(known))
        return {n: t for n, t in known["tests"].items() if n in self.items}, known["modules"]

    def _record(self, items: list[Any]) -> None:
        tracer, tests, before = Tracer(self.files), {}, set(sys.modules)
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.pluginmanager.register(noted := Noted())
            protocol = partial(item.config.hook.pytest_runtest_protocol, item=item, nextitem=after)
            tests[item.nodeid] = tracer.of(protocol)
            tests[item.nodeid]["failed"] = noted.failed
            item.config.pluginmanager.unregister(noted)
        modules = [m for m in set(sys.modules) - before if m.isidentifier() or "." in m]
        self.last.write_text(json.dumps({"tests": tests, "modules": sorted(modules)}))


OWN = ("mutants", "mutations", "warm", "reach", "replay")
"""Modules of this tool, which a mutant leaves as they are."""


class Stop:
    """A plugin that ends the process when a test fails."""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            os._exit(1)


class Noted:
    """A plugin that notes whether a test fails, or is skipped."""

    failed = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed = self.failed or not report.passed


class Again:
    """A plugin for tests that are collected again: runs those with some names, in that order."""

    def __init__(self, names: list[str], run: Callable[[list[Any]], None], examples: int) -> None:
        self.names, self.run, self.examples = names, run, examples

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        _give_few_examples(items, self.examples)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self.run([items[name] for name in self.names if name in items])
        return True


def _give_few_examples(items: list[Any], examples: int) -> None:
    """Give laws few examples, drawn from one seed and not shrunk."""
    for item in items:
        own = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        if own is not None:
            phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
            most = min(own.max_examples, examples)
            few = hypothesis.settings(own, max_examples=most, phases=phases, database=None)
            getattr(item.obj, "__func__", item.obj)._hypothesis_internal_use_settings = few


def _limit(seconds: float) -> None:
    """End this process after some more seconds of CPU, or a wait that is out of all proportion."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 1, hard))
    signal.alarm(WAIT + int(10 * seconds))


def _forked(act: Callable[[], None]) -> int:
    """The status with which a process of its own ends that does something, silently; not 0 if it raises."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]
