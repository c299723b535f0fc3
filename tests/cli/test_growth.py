"""Commands cost what they read: the lines of code that run grow with the spec, not with its square.

Counted, not timed, at small sizes; `benchmarks/growth.py` has the seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from work import lines_run

from netdsl.analysis import count
from netdsl.checks.lint.rules import lint_file
from netdsl.checks.lint.subject import File
from netdsl.cli.main import main
from netdsl.experiment import run
from netdsl.experiment.files import RUN, TRIAL, Mark, write_json
from netdsl.experiment.jobs import Answer, Job
from netdsl.experiment.pool import Source as Jobs
from netdsl.fixes import suggest
from netdsl.ir.model import Value
from netdsl.lift import blocks, loops
from netdsl.lift.lift import lift_model
from netdsl.lift.term import IT, Term, seq, term
from netdsl.lift.unnested import unnested
from netdsl.loader import load_source, read_import
from netdsl.lsp.actions import actions
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document
from netdsl.lsp.hints import hints
from netdsl.pipeline import Spec
from netdsl.source import Source, Span
from netdsl.tensors import TensorType
from netdsl.view.grid import Node, arrange

SIZE = 20
BOUND = 4**1.2
"""How much more work four times the size may be: the exponent that `benchmarks/growth.py` allows."""

UNIT = "block U(c) = conv(c, 3) -> bn -> relu\n"
NET = "net A {{ input x [4, 8, 8]\n {} }}\n"


def lines(n: int) -> str:
    return NET.format("\n".join(f"a{i} = conv(4, 1)\n it + a{i}" for i in range(n)))


def stages(n: int) -> str:
    """Layers of different widths, so that none is a repetition."""
    return NET.format(" -> ".join(f"conv({4 + i % 5}, {1 + 2 * (i % 2)}) -> relu" for i in range(n)))


def nets(n: int) -> str:
    return UNIT + "".join(f"net N{i} {{ input x [4, 8, 8]\n U({i % 7 + 1})\n U(4) }}\n" for i in range(n))


def used(n: int) -> str:
    return "".join(f"block B{i}(c) = conv(c, 1)\n" for i in range(n)) + NET.format(
        "\n".join(f"B{i}(4)" for i in range(n))
    )


def unused(n: int) -> str:
    return "".join(f"block B{i} = conv({i % 7 + 1}, 1)\n" for i in range(n)) + lines(1)


def terms(n: int) -> str:
    return NET.format(" + ".join(f"conv({4}, 1)" for _ in range(n)))


def extends(n: int) -> str:
    chain = "".join(f"recipe R{i} extends R{i - 1} {{ seed = {i} }}\n" for i in range(1, n))
    return NET.format("conv(4, 1) -> gap -> linear(3)") + f'recipe R0 for A {{ data = npz("a.npz") }}\n{chain}'


def numbers(n: int) -> str:
    rows = ",\n".join(", ".join(map(str, range(4 * i, 4 * i + 4))) for i in range(n))
    return f"X = [\n{rows},\n]\n{lines(1)}"


def constants(n: int) -> str:
    """Names that `fmt` aligns, all of them neighbours."""
    return "".join(f"C{i} = {i + 1}\n" for i in range(n)) + lines(1)


def cells(n: int) -> str:
    values = ", ".join(str(i + 1) for i in range(n))
    return (
        "net A(c) { input x [4]\n linear(c) -> relu -> linear(3) }\n"
        'recipe R for A { data = npz("a.npz") }\n'
        f"experiment E for A {{ recipe = R\n vary c = [{values}]\n seeds = 1\n measure = [test.top1] }}\n"
    )


def inputs(n: int) -> str:
    """Inputs that nothing reads, each of named sizes of its own."""
    declared = "\n".join(f"input x{i} [A{i}, B{i}]" for i in range(n))
    return f"net A {{\n{declared}\n x0 -> linear(3)\n}}\n"


def added(n: int) -> str:
    """Inputs that are all read."""
    declared = "\n".join(f"input x{i} [4]" for i in range(n))
    return f"net A {{\n{declared}\n sum([{', '.join(f'x{i}' for i in range(n))}]) -> linear(3)\n}}\n"


def joined(n: int) -> str:
    """Inputs of named sizes, one behind the other."""
    declared = "\n".join(f"input x{i} [L{i}, 4]" for i in range(n))
    return f"net A {{\n{declared}\n concat({', '.join(f'x{i}' for i in range(n))}, axis=0) -> linear(3)\n}}\n"


def dense(n: int) -> str:
    """Layers that read all before them: branches in branches."""
    return NET.format("\n".join("concat(conv(2, 1), it)" for _ in range(n)))


def arguments(n: int) -> str:
    """A block of many arguments, each read once."""
    own = ", ".join(f"a{i}={i + 5}" for i in range(n))
    body = "\n".join(f"conv(a{i}, 1)" for i in range(n))
    return f"block B({own}) {{\n{body}\n}}\n{NET.format('B -> B')}"


def widths(n: int) -> str:
    """Two uses of a block with many numbers that have nothing to do with each other."""
    one, two = ([i * k % 61 + 7 for i in range(n)] for k in (37, 53))
    return "block B(w) { for c in w { conv(c, 3) -> relu } }\n" + NET.format(f"B({one}) -> B({two})")


def variants(n: int) -> str:
    """Variants of which each is the one before."""
    return NET.format("conv(4, 1)") + "".join(f"net V{i} = {f'V{i - 1}' if i else 'A'}\n" for i in range(n))


def expectations(n: int) -> str:
    return lines(n) + "expect A: output == [4, 8, 8]\n" * n


def allowed(n: int) -> str:
    """Warnings that comments silence, the first of them by many."""
    comment = "# netdsl: allow bias-before-norm: it is published\n"
    return NET.format("\n" + comment * n + f"{comment}conv(4, 1) -> bn\n" * n)


def selectors(n: int) -> str:
    """A recipe that freezes all layers but one by their labels."""
    labels = "\n".join(f"l{i}: conv(4, 1)" for i in range(n))
    return NET.format(labels) + f"recipe R for A {{\n freeze {', '.join(f'l{i}' for i in range(n - 1))}\n}}\n"


def groups(n: int) -> str:
    """A recipe with a group for each layer."""
    labels = "\n".join(f"l{i}: conv(4, 1)" for i in range(n))
    lines = "\n".join(f"group l{i} {{ lr = {0.1 / (i + 1):.6f} }}" for i in range(n))
    return NET.format(f"{labels}\ngap -> linear(3)") + f'recipe R for A {{\n data = npz("a.npz")\n {lines}\n}}\n'


def experiments(n: int) -> str:
    one = "experiment E{} for A {{\n vary batch = [1, 2]\n seeds = 1\n measure = [test.top1]\n}}\n"
    return NET.format("gap -> linear(10)") + "".join(one.format(i) for i in range(n))


def command(*words: str) -> Callable[[Path, Path], object]:
    def run(spec: Path, out: Path) -> object:
        return main([words[0], str(spec), *(w.replace("OUT", str(out)) for w in words[1:])])

    return run


def files(spec: Path, out: Path) -> object:
    """Each net of a spec in a file of its own."""
    found = [spec.with_suffix(f".{i}.net") for i in range(spec.read_text().count("net "))]
    for file in found:
        file.write_text(lines(1))
    return main(["check", *map(str, found)])


def export(spec: Path, out: Path) -> object:
    net = Spec(load_source(spec), read_import).net("A")
    weights = {p.path: np.zeros(p.shape, "float32") for p in count.parameters(net.checked.main)}
    weights |= {b.path: np.ones(b.shape, b.dtype) for b in count.buffers(net.checked.main)}
    return net.onnx(weights)


def lifted(spec: Path, out: Path) -> object:
    return lift_model(export(spec, out))


def printed(spec: Path, out: Path) -> object:
    return Spec(load_source(spec), read_import).net("A").source()


class Untrained:
    """A pool whose runs have ended at once: what an experiment does around training."""

    def run(self, source: Jobs) -> None:
        job: Job | None
        while (job := source.next()) is not None:
            write_json(Path(job.folder) / TRIAL, Mark(job.key, job.label))
            write_json(Path(job.folder) / RUN, {"result": {"top1": 0.5}})
            source.end(job, Answer(done=True))


def experiment(spec: Path, out: Path) -> None:
    """Everything but training: the plan, the folders, the table and the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "pool_of", lambda *_: Untrained())
        assert main(["experiment", str(spec), "-o", str(spec.with_suffix("")), "-q"]) == 0
    assert (spec.with_suffix("") / "index.html").exists()


def hinted(spec: Path, out: Path) -> object:
    """What an editor shows beside the text."""
    analysis = Analysis(load_source(spec), {}).run()
    return hints(analysis, Span(0, len(analysis.source.text)), {})


def compared(spec: Path, out: Path) -> object:
    """With the spec whose first convolution is another one."""
    other = spec.with_suffix(".other.net")
    other.write_text(re.sub(r"conv\((\d+), 1\)", r"conv(\1, 3)", spec.read_text(), count=1))
    return main(["diff", str(spec), str(other)])


WORK: dict[str, tuple[Callable[[int], str], Callable[[Path, Path], object]]] = {
    "check lines": (lines, command("check")),
    "check nets": (nets, command("check")),
    "check unused": (unused, command("check")),
    "check terms": (terms, command("check")),
    "check inputs": (inputs, command("check")),
    "check added": (added, command("check")),
    "check joined": (joined, command("check")),
    "check expectations": (expectations, command("check")),
    "check allowed": (allowed, command("check")),
    "check selectors": (selectors, command("check")),
    "check groups": (groups, command("check")),
    "check experiments": (experiments, command("check")),
    "check recipes": (extends, command("check")),
    "check cells": (cells, command("check")),
    "summary": (lines, command("summary")),
    "summary joined": (joined, command("summary")),
    "fmt lines": (lines, command("fmt", "--check")),
    "fmt numbers": (numbers, command("fmt", "--check")),
    "fmt constants": (constants, command("fmt", "--check")),
    "view": (lines, command("view", "-o", "OUT")),
    "hints": (stages, hinted),
    "hints of blocks": (used, hinted),
    "hints of recipes": (extends, hinted),
    "diff": (lines, compared),
    "diff of distinct layers": (dense, compared),
    "diff of blocks": (used, compared),
    "diff of variants": (variants, compared),
    "export": (stages, export),
    "source of branches": (dense, printed),
    "source of arguments": (arguments, printed),
    "source of widths": (widths, printed),
    "check files": (nets, files),
    "lift lines": (lines, lifted),
    "experiment": (cells, experiment),
}


@pytest.mark.parametrize("name", WORK)
def test_work_is_linear(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETDSL_CACHE", "off")
    text, work = WORK[name]
    sizes = (2, SIZE, 4 * SIZE)
    specs = [tmp_path / f"s{n}.net" for n in sizes]
    for spec, n in zip(specs, sizes, strict=True):
        spec.write_text(text(n))
    _, one, four = (  # what is done once is done before
        lines_run(lambda s=spec: work(s, tmp_path / "out.html")) for spec in specs
    )  # type: ignore[misc]
    assert "Traceback" not in capsys.readouterr().err
    assert one < four < BOUND * one


def lint(n: int) -> int:
    """The lines that the lints of a file of `n` nets run."""
    text = "".join(f"net N{i} {{ input x [4]\n linear(4) }}\n" for i in range(n))
    spec = Spec(Source(text, "nets.net"), read_import)
    file = File(spec.module, [p for name in spec.nets if (p := spec.programs[name]) is not None])
    return lines_run(lambda: list(lint_file(file)))


def test_lints_are_linear() -> None:
    """By themselves: beside what it costs to elaborate a net, the square of the number of nets is not seen."""
    assert lint(8 * SIZE) < BOUND * lint(2 * SIZE)


def shown(text: str) -> int:
    """The lines that the hints of a text run, once it is checked."""
    analysis = Analysis(Source(text, "a.net"), {}).run()
    return lines_run(lambda: hints(analysis, Span(0, len(text)), {}))


@pytest.mark.parametrize("text", [groups, joined])
def test_hints_are_linear(text: Callable[[int], str]) -> None:
    """By themselves: a group for each layer; what tells uses apart, with so many inputs."""
    shown(text(2))
    assert shown(text(4 * SIZE)) < BOUND * shown(text(SIZE))


def arranged(beside: int) -> int:
    """The lines that it takes to order the layers of a drawing with so many branches side by side."""
    x, *made = (Value(f"v{i}", TensorType((4,))) for i in range(beside + 1))
    branches = [Node(0, (x,), (v,), index=i) for i, v in enumerate(made)]
    return lines_run(lambda: arrange([Node(0, (), (x,)), *branches, Node(0, tuple(made), index=beside)]))


def test_a_wide_drawing_is_arranged_in_linear_work() -> None:
    assert arranged(8 * SIZE) < BOUND * arranged(2 * SIZE)


def rolled(n: int, same: int, patch: pytest.MonkeyPatch) -> int:
    """How many layers stand in the loops that are tried for `n` of them, of which so many in a row are of one width."""
    tried: list[int] = []

    def loop(rounds: list[list[Term]], outer: frozenset[str]) -> Term:
        tried.append(sum(map(len, rounds)))
        return made(rounds, outer)

    layers = [term("op:conv", (("out_channels", i // same * 7919 % 61), ("kernel_size", (3, 3)))) for i in range(n)]
    made = loops._for
    with patch.context() as during:
        during.setattr(loops, "_for", loop)
        during.setattr(loops, "LONGEST", 4)
        loops.looped(seq(tuple(layers)))
    return sum(tried)


def named(n: int) -> int:
    """The lines that it takes to find what may be a block in a chain whose values have names."""
    layer = seq((term("op:conv", (("out_channels", 4), ("kernel_size", (3, 3)))), term("op:relu"), term("op:tanh")))
    lets = [term("let", (("names", (f"x{i}",)),), (layer,)) for i in range(n)]
    read = [term("op:add", (), (IT, term("ref", (("name", f"x{i}"),)))) for i in range(n)]
    body = seq((*lets, *read))
    return lines_run(lambda: list(blocks._places(body))) + lines_run(lambda: unnested(body))


def test_blocks_of_named_values_are_found_in_linear_work() -> None:
    """What follows a run is not read again for each run."""
    assert named(8 * SIZE) < BOUND * named(2 * SIZE)


def test_large_files_are_mended_within_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code actions over a whole text: each mistake tries changes, and all of them together pay from one budget."""
    monkeypatch.setattr(suggest, "WORK", 60_000)
    tried: list[int] = []
    everything = Analysis._everything
    monkeypatch.setattr(Analysis, "_everything", lambda a, source: tried.append(1) or everything(a, source))

    def asked(n: int, at: slice) -> tuple[int, int]:
        """How many checks a request makes, and how many fixes it gives, of `n` mistakes and those of some lines."""
        text = NET.format("\n".join("  cnv(4, 1)" for _ in range(n)))
        analysis = Analysis(Source(text, "a.net"), {}).run()
        start, stop, _ = at.indices(len(text))
        tried.clear()
        found = actions(Document("file:///a.net", text, 1), analysis, Span(start, stop))
        return len(tried), len(found)

    few, _ = asked(SIZE, slice(None))
    many, _ = asked(4 * SIZE, slice(None))
    assert 0 < many <= few
    assert asked(4 * SIZE, slice(-14, None))[1], "a mistake far below is mended where it is asked for"


@pytest.mark.parametrize("same", [1, 3])
def test_loops_of_a_lifted_net_are_linear(same: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run of layers: not every place of it is tried as the loop's begin."""
    assert rolled(8 * SIZE, same, monkeypatch) < BOUND * rolled(2 * SIZE, same, monkeypatch)


def chain(folder: Path) -> Path:
    """Two hundred files, each with a block that calls the one before."""
    (folder / "f0.net").write_text("block B0(c) = conv(c, 1)\n")
    for i in range(1, 200):
        called = f"from f{i - 1} import B{i - 1}\nblock B{i}(c) {{\n  B{i - 1}(c)\n  relu\n}}\n"
        (folder / f"f{i}.net").write_text(called)
    (folder / "last.net").write_text("from f199 import B199\nnet A { input x [2, 2, 2]\n B199(2) }\n")
    return folder / "last.net"


def test_a_chain_of_two_hundred_files(tmp_path: Path) -> None:
    assert main(["check", str(chain(tmp_path))]) == 0


@pytest.mark.slow
def test_a_chain_of_two_hundred_files_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Python's limit of calls is none of ours: copies of the module nest five for each block."""
    assert main(["compile", str(chain(tmp_path)), "-o", str(tmp_path / "out")]) == 0
    assert "verified" in capsys.readouterr().out
