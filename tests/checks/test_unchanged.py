"""What is right is not checked again: diagnostics with a memory equal those without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Barrier, Thread
from typing import Any

import pytest

from netdsl import pipeline
from netdsl.checks.unchanged import Memory
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.loader import read_import, zoo
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.syntax import parse, pieces
from netdsl.syntax.depth import too_deep
from netdsl.syntax.tables import parser

FRAGMENTS = (
    "", "", "{", "}", "(", ")", "[", "]", "\n", "net ", "\nblock X", "\nwidth = 3\n", "\nnet A { input x [3] relu }\n",
    "->", '"', "#", "if ", "= ", ";", " as x", "|", "2", "64", "conv(3)", "relu", "it", "\nfrom vit import MLP\n",
    "\n# netdsl: allow unused-block: yes\n", " -> softmax", " -> sigmoid -> sigmoid", "\nelse = 3\n",
    "\nrecipe R for X { epochs = 3 }\n", "\nexperiment E { seeds = 3 }\n",
)  # fmt: skip

TWO = """block Wide(width) { conv(width, 3, bias=false) -> bn -> relu }
block Spare(width) { if width > 4 { conv(width, 3) } else { maxpool(2) } }
net A { input x [3, 8, 8]; Wide(8) }
net B { input x [3, 8, 8]; Wide(4) -> Spare(2) }
expect A: output == [8, 8, 8]
""".replace(";", "\n")


def drafts(text: str, random: Random, edits: int) -> Iterator[str]:
    """Texts, each an edit away from the one before; now and then the first one again."""
    first, names = text, sorted(set(re.findall(r"[A-Za-z_]\w*", text)))
    for _ in range(edits):
        at = random.randrange(len(text) + 1)
        span, new = (at, min(len(text), at + random.choice((0, 0, 1, 2, 5, 20, 60)))), random.choice(FRAGMENTS)
        places = [m.span() for m in re.finditer(rf"\b{random.choice(names)}\b", text)]
        if places and random.random() < 0.3:
            span, new = random.choice(places), random.choice((random.choice(names), "other", ""))
        text = first if random.random() < 0.15 else text[: span[0]] + new + text[span[1] :]
        yield text


def told(found: tuple[Diagnostic, ...]) -> list[Any]:
    """Everything that diagnostics say."""
    return [
        (
            d.code, d.message, d.severity, d.path, d.notes, d.at and (d.at.source.name, d.at.span),
            [(n.message, n.at.span) for n in d.labels],
            [(h.message, [(e.at.span, e.text) for e in h.edits]) for h in d.hints],
        )
        for d in found
    ]  # fmt: skip


def checked(text: str, name: str, memory: Memory | None = None) -> Spec:
    return Spec(Source(text, name), read_import, memory=memory)


@pytest.mark.parametrize("name", ["mlp", "resnet9", "squeezenet"])
def test_a_memory_changes_no_diagnostic(name: str) -> None:
    path, memory = zoo()[name], Memory()
    for draft in drafts(Path(path).read_text(), Random(name), 6):
        assert told(checked(draft, path, memory).diagnostics) == told(checked(draft, path).diagnostics), draft


def test_only_what_an_edit_reaches_is_elaborated() -> None:
    memory = Memory()
    checked(TWO, "two.net", memory).diagnostics  # noqa: B018 - it fills the memory
    again = checked(TWO, "two.net", memory)
    assert not again.diagnostics
    assert not again.programs.made
    edited = checked(TWO.replace("Spare(2)", "Spare(3)"), "two.net", memory)
    assert not edited.diagnostics
    assert list(edited.programs.made) == ["B", "A"]  # its lints are looked for in all that is connected
    broken = checked(TWO.replace("Spare(2)", "Spare(wide)"), "two.net", memory)
    assert [d.code for d in broken.diagnostics] == ["unknown-name"]
    assert list(broken.programs.made) == ["B"]


def test_what_an_untaken_branch_says_counts_once_no_net_reaches_it() -> None:
    memory = Memory()
    hidden, left = (t.replace("conv(width, 3) }", "nothing }") for t in (TWO, TWO.replace(" -> Spare(2)", "")))
    assert not checked(hidden, "two.net", memory).diagnostics
    assert told(checked(left, "two.net", memory).diagnostics) == told(checked(left, "two.net").diagnostics) != []


def test_an_import_that_changes_is_checked_again() -> None:
    files = {"parts": "block P { conv(4, 3, bias=false) -> bn }\n"}
    text = "from parts import P\nnet A { input x [3, 8, 8]\n  P -> relu }\n"
    memory = Memory()

    def found() -> list[str]:
        read = lambda module, importer: Source(files[module], f"{module}.net")  # noqa: E731
        return [d.code for d in Spec(Source(text, "a.net"), read, memory=memory).diagnostics]

    assert found() == []
    files["parts"] = "block P { conv(4, 3, groups=2) -> bn }\n"
    assert found() == [d.code for d in Spec(Source(text, "a.net"), lambda m, i: Source(files[m], m)).diagnostics] != []


def test_a_text_read_in_pieces_says_what_the_whole_says(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, random = [Path(p).read_text() for p in zoo().values()], Random(0)
    found = []
    for draft in (d for _ in range(4) for d in drafts(random.choice(texts), random, 2)):
        in_pieces = parse.read(Source(draft))
        with monkeypatch.context() as patched:
            patched.setattr(pieces, "read_declarations", lambda t: ((whole := parser().parse(t)), too_deep(whole)))
            found.append((in_pieces, parse.read(Source(draft))))
    assert all(a[0] == b[0] and told(a[1]) == told(b[1]) for a, b in found)
    assert 0 < sum(bool(mistakes) for _, (_, mistakes) in found) < len(found)


def test_pieces_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_KEPT", 30)
    kept = pieces.Pieces()
    for text in ("a = 1\n", "b = [1, 2, 3]\n", "c = 100_000_000\n", "b = [1, 2, 3]\n", "c = " + "1" * 40):
        assert kept.declarations(text, 0)
        assert sum(map(len, kept.kept)) == kept.size <= 30


def test_threads_share_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that read the same piece at once count it once; one that is too long for all is not kept."""
    kept, met = pieces.Pieces(), Barrier(4)

    def read(text: str) -> tuple[int, tuple[Any, ...]]:
        met.wait()
        return 0, (text,)

    monkeypatch.setattr(pieces, "_read", read)
    threads = [Thread(target=kept.declarations, args=("a = 1\n", 0)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.size == 6
    monkeypatch.setattr(pieces, "MOST_KEPT", 3)
    monkeypatch.setattr(pieces, "_read", lambda text: (0, (text,)))
    assert kept.declarations("b = 12\n", 0) == ("b = 12\n",)
    assert (kept.size, kept.kept) == (0, {})


def test_a_cancelled_check_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    checked(TWO, "two.net", memory).diagnostics  # noqa: B018 - it fills the memory
    spec = checked(TWO.replace("Spare(2)", "Spare(3)"), "two.net", memory)
    budget = spec.elaborator.budget
    seen: list[int] = []
    monkeypatch.setattr(pipeline, "Spec", lambda *given: seen.append(1))
    budget.cancel()
    assert spec.diagnostics is not None
    assert budget.spent > 1 << 59
    assert not seen


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """`m` imports `d`, which imports `c` and `p.b`; `p/b.net` imports its own `c`."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "c.net").write_text("block D() = relu\n")
    (tmp_path / "p" / "b.net").write_text("from c import D\nblock B() = D()\n")
    (tmp_path / "d.net").write_text("from c import C\nfrom p.b import B\nblock Both() = C() -> B()\n")
    text = "from d import Both\nnet N {\n  input x [3, 8, 8]\n  Both()\n}\n"
    memory = Memory()
    for outer, mistakes in (("relu", 0), ("conv(3, 9, padding=0)", 1), ("relu", 0)):
        (tmp_path / "c.net").write_text(f"block C() = {outer}\n")
        found, fresh = (checked(text, str(tmp_path / "m.net"), m).diagnostics for m in (memory, None))
        assert told(found) == told(fresh)
        assert bool(found) == bool(mistakes)
