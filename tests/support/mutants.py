"""Mutation runs: small changes of the source, each of which some test should notice. `make mutants`, never in CI.

Each mutant changes one operator, comparison, constant, condition or statement of a file. It is run in a fork of one
warm process: the changed function takes the place of the function, then the tests of that area that reach the changed
line run until one fails. Every verdict is a line of `out/mutants/AREA.jsonl`, so a run that was stopped has a rate and
is continued; what survives is for somebody to say why.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutations import Mutant, mutants
from replay import Replay
from warm import EXAMPLES, ROOT, Warm, _forked

RECIPES = [f"tests/recipes/test_recipe{n}.py" for n in ("", "_limits", "_mistakes", "_and_net", "_arguments")]
RECIPES += ["tests/recipes/test_registry.py", "tests/recipes/test_wrong_values.py", "tests/checks/test_allow.py"]
TEXTS = "tests/language"
SLOW = ("budget", "format", "parse", "syntax_errors", "limits", "agreement")
LANGUAGE = [TEXTS, *(f"--ignore={TEXTS}/test_{n}.py" for n in SLOW)]
LANGUAGE += ["-k", "not test_choices_are_tested_by_the_emitted_module"]
AREAS: dict[str, tuple[list[str], list[str], int | None]] = {
    "sizes": (["sizes"], ["tests/sizes"], None),
    "elaborate": (["elaborate"], [*LANGUAGE, "tests/ops/test_op_errors.py", "tests/zoo/test_zoo.py"], 150),
    "conv": (["ops/conv"], ["tests/ops", f"{TEXTS}/test_laws.py", "-k", "conv or patchify or emitted_module"], 150),
    "printer": (["backends/torch"], ["tests/torch", f"{TEXTS}/test_laws.py", f"{TEXTS}/test_agreement.py"], 150),
    "matcher": ([f"weights/{n}" for n in ("match", "align", "orders", "slots", "names")], ["tests/weights"], 100),
    "recipes": (["recipe/checks", "checks/recipes"], RECIPES, 150),
}
"""By name: the files or folders that are changed, the tests that should notice, and how many are drawn (none: all)."""

MOST_SECONDS = 10
"""How many seconds of tests a mutant is shown to."""

Judge = Callable[[Mutant], dict[str, Any]]


def files_of(names: list[str]) -> list[Path]:
    """The files of an area."""
    paths = [Path("netdsl", name) for name in names]
    return [f for p in paths for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p.with_suffix(".py")])]


class Ledger:
    """The verdicts on the mutants of an area, each written down when it is known."""

    def __init__(self, area: str) -> None:
        self.path = ROOT / "out" / "mutants" / f"{area.replace('/', '-')}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.verdicts = {v["mutant"]: v for v in map(json.loads, lines)}

    def judge(self, drawn: list[Mutant], judge: Judge, again: bool) -> None:
        """Judge the mutants without a verdict, and with `again` those that survived."""
        for mutant in drawn:
            known = self.verdicts.get(mutant.key)
            if known is not None and (known["killed"] or not again):
                continue
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            verdict = {"mutant": mutant.key, **judge(mutant)}
            verdict["seconds"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 2)
            self.verdicts[mutant.key] = verdict
            with self.path.open("a") as file:
                print(json.dumps(verdict), file=file)

    def report(self, area: str, drawn: list[Mutant], seed: int) -> None:
        """Print the survivors, and the share that was killed of those that were run."""
        judged = [(m, v) for m in drawn if (v := self.verdicts.get(m.key)) is not None]
        for mutant, verdict in judged:
            if not verdict["killed"]:
                print(f"{mutant.text}  ({verdict.get('how') or str(verdict['tests']) + ' tests'})")
        killed = sum(v["killed"] for _, v in judged)
        share = killed / max(1, len(judged))
        print(f"{area}: {killed} of {len(judged)} killed ({share:.1%}), {len(drawn)} drawn by seed {seed}")


def run(area: str, args: argparse.Namespace) -> None:
    """Run the mutants of one area, or of one file of it (`sizes/solve`)."""
    name, _, file = area.partition("/")
    names, tests, most = AREAS[name]
    files = [f for f in files_of(names) if file in ("", f.stem)]
    found, count = mutants(files), args.most or most
    if count and count < len(found):
        found = sorted(random.Random(args.seed).sample(found, count))
    drawn = [Mutant(*made) for made in found]
    ledger, until = Ledger(area), time.monotonic() + args.minutes * 60

    def judged(judge: Judge) -> None:
        left = (m for m in drawn if time.monotonic() < until)
        ledger.judge(left, judge, args.again)

    if name == "sizes":
        judged(_of_sizes())
    else:
        warm = Warm(name, files_of(names), lambda w: judged(lambda m: w.judge(m, args.seconds)), args.examples)
        warm.run(args.tests or tests)
    ledger.report(area, drawn, args.seed)


def _of_sizes() -> Judge:
    """How the tests of sizes, which need no pytest, judge."""
    replay = Replay(sorted(Path("tests/sizes").glob("test_*.py")), "netdsl.sizes")

    def show(mutant: Mutant | None) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        if mutant is not None:
            mutant.load(replay.room)
        assert replay.passes()

    assert not _forked(lambda: show(None)), "the tests fail without any change"
    return lambda mutant: {"killed": _forked(lambda: show(mutant)) != 0, "tests": len(replay.order)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", default=list(AREAS), help="areas (all), or files: `sizes/solve`")
    parser.add_argument("--seed", type=int, default=0, help="what the drawn mutants depend on")
    parser.add_argument("--most", type=int, help="how many mutants of each area")
    parser.add_argument("--tests", nargs="+", help="ask these files instead of all tests of the area")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="of tests that a mutant is shown to")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each law")
    parser.add_argument("--minutes", type=float, default=600, help="after which the run stops, to be continued")
    parser.add_argument("--again", action="store_true", help="show those that survived before to the tests again")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for area in args.areas:
        run(area, args)


if __name__ == "__main__":
    main()
