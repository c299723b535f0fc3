"""What is too large to be a spec is refused before it is parsed; what cannot be read is a diagnostic."""

from __future__ import annotations

import os
import socket
import time
import tracemalloc
from pathlib import Path

import pytest
import torch

from netdsl.loader import LoadError, load_source, read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.syntax.format import format_source
from netdsl.syntax.limits import LARGEST, LONGEST_NAME, MOST_TOKENS, tokens
from netdsl.syntax.parse import parse, read

HALF, QUARTER = MOST_TOKENS // 6, MOST_TOKENS // 12
LONG = {
    "minus": "X = " + "-" * (2 * HALF) + "1\n",
    "parentheses": "X = " + "(" * HALF + "1" + ")" * HALF + "\n",
    "open": "X = " + "(" * (2 * HALF) + "\n",
    "lists": "X = " + "[" * HALF + "]" * HALF + "\n",
    "braces": "net N " + "{" * HALF + "}" * HALF + "\n",
    "nets never closed": "net N {\n" * (2 * HALF // 3),
    "stray": ")\n" * HALF,
    "statements": "net N { input x [3]\n" + " relu; relu\n" * QUARTER + "}\n",
    "arrows": "net N { input x [3]\n" + " -> ".join(["relu"] * HALF) + "}\n",
    "else if": "net N { input x [3]\nif false { relu }" + " else if false { relu }" * (QUARTER // 2) + "\n}\n",
    "conditionals": "X = " + "1 if false else " * QUARTER + "1\n",
    "comprehensions": "X = " + "[" * QUARTER + "1" + " for i in y]" * (QUARTER // 2) + "\n",
    "mistakes": "".join(f"X{i} = = {i}\n" for i in range(QUARTER)),
}
"""Long texts of every kind, a third of what a spec may have."""


@pytest.mark.parametrize("name", LONG)
def test_long_texts_are_read_in_bounded_time(name: str) -> None:
    before = time.process_time()
    parse(Source(LONG[name], f"{name}.net"))
    assert time.process_time() - before < 10  # a fraction of a second on a quiet machine


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("X = 1 # " + "x" * LARGEST, "KiB"),
        ("\n" * (LARGEST + 1), "KiB"),
        ("X = [" + "1," * (MOST_TOKENS // 2) + "]", "tokens"),
        ("(" * (MOST_TOKENS + 1), "tokens"),
        ('X = f"{1' + "+1" * (MOST_TOKENS // 2) + '}"', "tokens"),
    ],
)
def test_what_is_too_large_is_refused_unread(text: str, found: str) -> None:
    file, (only,) = read(Source(text, "large.net"))
    assert not file.declarations
    assert only.code == "too-large"
    assert found in only.message
    assert only.at is not None


def test_tokens_are_counted_without_comments_and_whatever_stands_in_texts() -> None:
    assert tokens('conv(64, 3) -> relu # a b c\nX = "a # b"') == 11


@pytest.mark.parametrize("text", [f"X = {2**64}", f"X = 0x{'f' * 40}", f"X = {2**256 - 1}", "X = -" + str(2**64)])
def test_whole_numbers_beyond_the_machine_s_are_numbers(text: str) -> None:
    for _ in range(2):  # the second time from the cache, if it is there
        spec = Spec(Source(text, "numbers.net"), read_import)
        assert spec.diagnostics == ()
        assert spec.constant("X") == eval(text.removeprefix("X = "))


@pytest.mark.parametrize(
    "text",
    [f"X = {2**256}", "X = 0x" + "f" * 1000, "X = 1e400", "X = " + "9" * 5000, "a" * (LONGEST_NAME + 1) + " = 1"],
)
def test_numbers_and_names_have_an_end(text: str) -> None:
    (only,) = Spec(Source(text, "numbers.net"), read_import).diagnostics
    assert only.code == "syntax"
    assert "too large" in only.message or "200 at most" in only.message


@pytest.mark.parametrize("digits", ["0x" + "f" * 500_000, "9" * 500_000, "0." + "1" * 500_000])
def test_long_numbers_are_read_in_little_memory(digits: str) -> None:
    """A pattern that repeats a group keeps a kilobyte for each turn."""
    assert Spec(Source("X = 1\n", "numbers.net"), read_import).diagnostics == ()
    tracemalloc.start()
    assert Spec(Source(f"X = {digits}\n", "numbers.net"), read_import).diagnostics is not None
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30e6


def unreadable(folder: Path, kind: str) -> Path:
    path = folder / "other.net"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes({"binary": b"\x00\x01", "large": b"#" * (LARGEST + 1), "latin": b"# caf\xe9"}[kind])
    return path


KINDS = ("pipe", "socket", "device", "loop", "folder", "binary", "large", "latin")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_text_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with pytest.raises(LoadError) as error:
        load_source(unreadable(Path(), kind))
    assert "other.net" in error.value.diagnostic.message


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "folder"])
def test_an_import_that_cannot_be_read_is_a_mistake_of_the_import(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    unreadable(Path(), kind)
    (tmp_path / "spec.net").write_text("from other import A\nX = 1\n")
    (only,) = Spec(load_source("spec.net"), read_import).diagnostics
    assert only.code in ("not-a-spec", "not-utf8", "unreadable")
    assert only.at is not None
    assert only.at.text == "other"


def test_imports_nest_only_so_deep(tmp_path: Path) -> None:
    for i in range(400):
        (tmp_path / f"m{i}.net").write_text(f"from m{i + 1} import A\n")
    (tmp_path / "m400.net").write_text("block A = relu\n")
    found = Spec(load_source(tmp_path / "m0.net"), read_import).diagnostics
    assert found[0].code == "too-deep"


def test_what_a_spec_needs_is_listed_once_however_often_it_is_imported(tmp_path: Path) -> None:
    """Each imports the next two ways: 2**40 paths lead to the last."""
    depth = 40
    for i in range(depth):
        for side in "ab":
            lines = "".join(f"from {other}{i + 1} import X as {other.upper()}\n" for other in "ab")
            (tmp_path / f"{side}{i}.net").write_text(f"{lines}X = A\n")
    for side in "ab":
        (tmp_path / f"{side}{depth}.net").write_text("X = 1\n")
    spec = Spec(load_source(tmp_path / "a0.net"), read_import)
    assert len(spec.module.below()) == 2 * depth
    assert spec.constant("X") == 1


@pytest.mark.parametrize("op", ["+", "-", "*", "//", " and ", " or "])
def test_terms_that_stand_beside_each_other_are_not_nested(op: str) -> None:
    terms = ["true" if op in (" and ", " or ") else "1"] * 1_000
    text = f"X = {op.join(terms)}\nnet N {{\n  input x [3]\n  linear(8 if X else 9)\n}}\n"
    spec = Spec(Source(text, "sum.net"), read_import)
    assert spec.diagnostics == ()
    assert spec.constant("X") == eval(op.join(t.title() for t in terms))
    assert format_source(Source(text))[1] == ()


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        ("tanh" + " + x" * 999, 1_000),
        (" * ".join(["x", "0.5"] * 500), 999),
        (" - ".join(["linear(3)"] * 1_000), 1_999),
        (" -> ".join(["tanh"] * 1_000), 1_000),
        ("concat(" + ", ".join(["x"] * 1_000) + ")", 1),
        ("sum([tanh for i in range(1000)])", 1_999),
    ],
)
def test_long_chains_of_layers_are_checked_and_emitted(body: str, steps: int) -> None:
    net = Spec(Source(f"net N {{\n  input x [3]\n  {body}\n}}\n", "sum.net"), read_import).net("N")
    assert len(net.checked.main.steps) == steps
    compile(net.source(), "model.py", "exec")


def test_a_mistake_in_a_long_sum_shows_the_sum_up_to_it() -> None:
    text = 'net N {\n  input x [3]\n  x + linear(3) + linear(4) + linear(3)\n}\nX = 1 + 2 + "a" + 3\n'
    found = {d.code: d.at.text for d in Spec(Source(text, "sum.net"), read_import).diagnostics if d.at}
    assert found == {"shape-mismatch": "x + linear(3) + linear(4)", "operator-types": '1 + 2 + "a"'}


def test_cases_that_stand_beside_each_other_are_not_nested() -> None:
    cases = 350
    chosen = " else ".join(f"{i} if K == {i}" for i in range(1, cases))
    layers = " else ".join(f"if WIDTH == {i} {{ linear({i}) }}" for i in range(1, cases))
    text = f"K = {cases - 1}\nWIDTH = {chosen} else 0\nnet N {{\n  input x [3]\n  {layers} else {{ relu }}\n}}\n"
    spec = Spec(Source(text, "cases.net"), read_import)
    assert spec.diagnostics == ()
    assert spec.net("N").checked.main.outputs[0].value.type.shape == (cases - 1,)
    assert format_source(Source(text))[1] == ()


def test_what_nests_is_refused_at_any_length() -> None:
    for text in (
        "X = " + "[" * 101 + "]" * 101,
        "X = " + "-" * 101 + "1",
        "X = " + "(1 + " * 101 + "1" + ")" * 101,
        "X = " + "(" * 101 + "1" + " + 1)" * 101,
    ):
        (only,) = Spec(Source(text, "deep.net"), read_import).diagnostics
        assert only.message == "this is nested too deeply"


@pytest.mark.parametrize("length", [200, 350])
def test_a_chain_of_different_blocks_is_no_recursion(length: int) -> None:
    blocks = "".join(f"block B{i} = B{i + 1} -> dropout(0.1)\n" for i in range(length))
    text = f"{blocks}block B{length} = linear(3)\nnet N {{\n  input x [3]\n  B0\n}}\n"
    spec = Spec(Source(text, "chain.net"), read_import)
    assert spec.diagnostics == ()


def test_a_net_may_bear_the_name_of_a_size() -> None:
    text = "net L {\n  input x [3, L]\n  input y [3, L]\n  x + y\n}\nblock W: [C, L, W] -> [C, L, W] = relu\n"
    text += "net M {\n  input x [3, L, H]\n  W\n}\n"
    spec = Spec(Source(text, "names.net"), read_import)
    assert spec.diagnostics == ()
    assert [str(v.type) for v in spec.net("L").checked.main.inputs] == ["[3, L]", "[3, L]"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("reshape([1] * 50000 + [192])", "a shape of 50,001 axes: a tensor has 63 at most, without the batch"),
        ("expand([1] * 5000)", "a shape of 5,000 axes: a tensor has 63 at most, without the batch"),
        ("reshape([1] * 62 + [192]) -> stack(it, it)", "`stack` would give a tensor of more than 63 axes, "),
        ("reshape([1] * 62 + [192]) -> unsqueeze(axis=0)", "`unsqueeze` would give a tensor of more than 63 axes, "),
        ("x = param([2] * 90000)\n it", "`param` would give a tensor of more than 63 axes, "),
        (
            f'x = reshape([3, 64] + [1] * 50)\n einsum("{" ".join(f"a{i}" for i in range(52))} -> a0", x)',
            "more than 51 axes: PyTorch and ONNX have a letter for each, and one for the batch",
        ),
    ],
)
def test_tensors_have_no_more_axes_than_numpy_and_torch_have(body: str, found: str) -> None:
    before = time.process_time()
    (mistake,) = Spec(Source(f"net A {{\n input image [3, 8, 8]\n {body}\n}}\n", "a.net"), read_import).diagnostics
    assert (mistake.code, mistake.message.startswith(found)) == ("too-large", True), mistake.message
    assert time.process_time() - before < 10  # a fraction of a second on a quiet machine


def test_a_sample_of_63_axes_is_computed() -> None:
    text = f"net A {{\n input x [{', '.join(['1'] * 62)}, 5]\n permute(range(62, -1, -1)) -> it + 1\n}}\n"
    net = Spec(Source(text, "a.net"), read_import).net("A")
    assert net.module(0)(torch.zeros(2, *[1] * 62, 5)).shape == (2, 5, *[1] * 62)
    wider = text.replace("[1,", "[1, 1,")
    (mistake,) = Spec(Source(wider, "a.net"), read_import).diagnostics
    assert mistake.message == "a sample of 64 axes: a tensor has 63 at most, without the batch"
