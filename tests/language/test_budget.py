"""Every check ends: whatever a spec makes the compiler do is paid from one budget, and its end is a diagnostic.

The specs below are generated from a few kinds of growth, each in every place where a value or a layer can stand. Work
is counted in units that no machine changes; a wide limit of CPU time beside it catches what nobody pays for.
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from agreement import agree

from netdsl.budget import Budget, Exhausted, spend
from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

IMAGE = "  input image [3, 8, 8]\n"
DEPTH = 60
DOUBLED = {
    "list of lists": ("[1, 2]", "[{0}, {0}]"),
    "tuple": ("(1, 2)", "({0}, {0})"),
    "list and number": ("[1, 2]", "[{0}, 1, {0}]"),
    "sum of lists": ("[1, 2]", "{0} + {0}"),
    "twice a list": ("[1, 2]", "{0} * 2"),
    "spread": ("[1, 2]", "[*{0}, *{0}]"),
    "zip": ("[1, 2]", "zip({0}, {0})"),
    "enumerate": ("[1, 2]", "[enumerate({0}), {0}]"),
    "reversed": ("[1, 2]", "[{0}, reversed({0})]"),
    "comprehension": ("[1, 2]", "[{0} for i in range(2)]"),
    "slices": ("[1, 2]", "[{0}[:], {0}[::-1]]"),
    "text": ('"ab"', "{0} + {0}"),
    "text times": ('"ab"', "{0} * 3"),
    "number": ("3", "{0} * {0}"),
    "power": ("3", "{0} ** 2"),
    "float": ("3.5", "{0} * {0}"),
    "pipeline": ("conv(3, 3)", "{0} -> {0}"),
    "sum of layers": ("conv(3, 3)", "{0} + {0}"),
    "product of layers": ("conv(3, 3)", "{0} * {0}"),
    "body": ("conv(3, 3)", "{{ a = {0}\n b = {0}\n a + b }}"),
    "residual": ("conv(3, 3)", "residual(shortcut={0}) {{ {0} }}"),
    "argument": ("conv(3, 3)", "B({0}, {0})"),
    "operand": ("conv(3, 3)", "add({0}, {0})"),
    "list of layers": ("conv(3, 3)", "[{0}, {0}]"),
    "conditional": ("[1, 2]", "[{0}, {0}] if {0} != 3 else 1"),
}
"""What doubles: the first value, and the next one from `{0}`."""

USES = {
    "nothing": "relu",
    "a length": "conv(len({0}), 3)",
    "comparison": "conv(8 if {0} == {1} else 9, 3)",
    "order": "conv(8 if {0} < {1} else 9, 3)",
    "membership": "conv(8 if 3 in {0} else 9, 3)",
    "argument of a layer": "reshape({0})",
    "argument of a block": "B({0}, {1})",
    "constant": "constant({0})",
    "message": "require false, {0}\n  relu",
    "layer": "{0}",
    "operand": "concat({0}, {1})",
    "loop": "for x in {0} {{ relu }}",
    "sorted": "conv(sorted({0})[0], 3)",
    "greatest": "conv(max({0}), 3)",
    "sum": "conv(sum({0}), 3)",
    "shape": "view({0})",
    "shared": "share f = {0}\n  f -> f",
    "captured": "residual {{ a = B({0}, {1})\n  relu }}",
}


def doubled(kind: str, use: str) -> str:
    first, following = DOUBLED[kind]
    lines = ["block B(x, y) = relu", f"X0 = {first}", f"Y0 = {first}"]
    for i, name in itertools.product(range(DEPTH), "XY"):
        lines.append(f"{name}{i + 1} = {following.format(f'{name}{i}')}")
    return "\n".join(lines) + f"\nnet N {{\n{IMAGE}  {USES[use].format(f'X{DEPTH}', f'Y{DEPTH}')}\n}}\n"


LAYERS = "\n".join(f"  maxpool({k}) -> upsample({k + 1})" for k in range(2, 60))
SPECS = {
    "empty loops": "repeat 1000 { repeat 1000 { repeat 1000 { } } }",
    "loops of numbers": "repeat 1000 { repeat 1000 { repeat 1000 { x = 1 } } }",
    "loops of layers": "repeat 1000 { repeat 1000 { relu } }",
    "loops of blocks": "repeat 1000 { repeat 1000 { B(1, 2) } }",
    "loops of labels": "repeat 1000 { repeat 1000 { a: relu } }",
    "loops over lists": "for i in range(90000) { for j in range(90000) { } }",
    "loops of conditions": "repeat 9000 { repeat 9000 { if false { relu } else if false { gap } } }",
    "loops of comparisons": "x = range(90000)\n  for i in range(90000) { if x == range(90000) { } }",
    "loops of members": "x = range(90000)\n  for i in range(90000) { if -1 in x { } }",
    "loops of slices": "x = range(90000)\n  for i in range(90000) { y = x[1:] }",
    "loops of constants": "x = range(90000)\n  for i in range(90000) { y = constant(x) }",
    "loops of arguments": "x = range(90000)\n  for i in range(90000) { B(x, i) }",
    "loops of texts": 'x = "a" * 90000\n  for i in range(90000) { y = x + "b" }',
    "comprehensions": "x = [[i * j for i in range(9000)] for j in range(9000)]",
    "comprehensions of nothing": "x = [i for i in range(90000) if len([j for j in range(90000)]) == 3]",
    "sums": "conv(sum([sum([1 for i in range(9000)]) for j in range(9000)]), 3)",
    "zips": "x = [range(90000)] * 2\n  y = zip(*(x * 40000))",
    "sorted": "x = [sorted(range(90000)[::-1]) for i in range(90000)]",
    "extremes": "x = [max(range(90000)) for i in range(90000)]",
    "rounded": "x = round(12345, -1000000000)",
    "formatted": 'x = "%1000000000d" % 5',
    "branches": "R(40, 0)",
    "endless": "S(0)",
    "sizes": LAYERS,
    "captured": "a0 = conv(3, 3)\n" + "\n".join(f"  a{i + 1} = {{ a{i} + a{i} }}" for i in range(DEPTH)),
    "wide enlargements": "repeat 9000 { upsample(10 ** 60) }",
    "big products": "reshape([10 ** 60] * 90000)",
    "long formulas": "x = 1 " + "".join(f"+ {i} " for i in range(90)),
    "outputs": "repeat 20000 { output y = conv(1, 1) }",
    "unknown names": "\n".join(f"  nope{i}" for i in range(12000)),
    "unknown arguments": "\n".join(f"  conv(8, 3, nope{i}=3)" for i in range(4000)),
}
BLOCKS = """\
block B(x, y) = relu
block R(n, t) {
  if n > 0 {
    R(n - 1, [t, 0])
    R(n - 1, [t, 1])
  } else { relu }
}
block S(n) = S(n + 1) -> S(n + 2)
"""
FAMILY = {f"{kind}: {use}": doubled(kind, use) for kind, use in itertools.product(DOUBLED, USES)}
FAMILY |= {name: f"{BLOCKS}net N {{\n{IMAGE}  {body}\n}}\n" for name, body in SPECS.items()}
FAMILY |= {f"{name}, any size": text.replace("8, 8]", "H, W]") for name, text in list(FAMILY.items())[-len(SPECS) :]}


def check(name: str, text: str) -> None:
    before = time.process_time()
    spec = Spec(Source(text, "bomb.net"), read_import)
    found = spec.diagnostics
    assert time.process_time() - before < 6, name  # 1.3 s at most on a quiet machine; the unbounded take hours
    assert all(d.at is not None for d in found), name
    assert sum(d.code == "too-much-work" for d in found) <= 1, name
    words = [text for d in found for text in (d.message, *(h.message for h in d.hints))]
    assert all(len(text) <= 700 for text in words), name


@pytest.mark.parametrize("turn", range(len(DOUBLED)))
def test_what_doubles_ends(turn: int) -> None:
    """Each kind of growth once, each use once or twice."""
    kind, use = list(DOUBLED)[turn], list(USES)[turn % len(USES)]
    check(f"{kind}: {use}", FAMILY[f"{kind}: {use}"])


@pytest.mark.parametrize("body", ["A{i}(c) + A{i}(c)", "A{i}(c) -> A{i}(c)", "concat(A{i}(c), A{i}(c)) -> conv(3, 1)"])
def test_blocks_that_call_each_other_twice_end(body: str) -> None:
    """The lints follow each value through every block once, however often that block reads it."""
    blocks = "\n".join(f"block A{i + 1}(c) = {body.format(i=i)}" for i in range(60))
    check(body, f"block A0(c) = relu\n{blocks}\nnet N {{\n  input x [3, 8, 8]\n  A60(3)\n}}\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", DOUBLED)
def test_what_doubles_ends_in_every_use(kind: str) -> None:
    for use in USES:
        check(f"{kind}: {use}", FAMILY[f"{kind}: {use}"])


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    """500 MB in a process of its own, whatever the bomb."""
    code = "import sys; from netdsl.cli.main import main; sys.exit(main(['check', sys.argv[1]]))"
    for name in ("spread: nothing", "sum of lists: loop", "loops of slices", "loops of labels", "sizes, any size"):
        with tempfile.NamedTemporaryFile("w", suffix=".net") as file:
            file.write(FAMILY[name])
            file.flush()
            limits = lambda: resource.setrlimit(resource.RLIMIT_DATA, (500 << 20, 500 << 20))  # noqa: E731
            run = subprocess.run([sys.executable, "-c", code, file.name], preexec_fn=limits, capture_output=True)
            assert run.returncode in (0, 1), (name, run.stderr)


NESTED = {
    "sum": "= {0} + {0}",
    "pipeline": "= {0} -> {0}",
    "names": "{{ a = {0}\n b = {0}\n a + b }}",
    "labels": "{{ one: {0}\n two: {0} }}",
    "residual": "{{ residual {{ {0} }}\n residual {{ {0} }} }}",
    "concat": "{{ a, b = concat({0}, {0}) -> chunk(2)\n a + b }}",
    "flowing on": "{{ y = {0}\n z = y -> {0}\n y + z + it }}",
    "loop": "{{ repeat 2 {{ {0} }} }}",
}
"""Blocks that use another one twice: its ops double at every level."""
RECIPE = """
recipe R for N {
  data = cifar10
  optimizer = sgd(lr=0.1)
  init = zero_last_norm
  group bias { weight_decay = 0 }
}
"""


def nested(kind: str, levels: int, inside: str = "residual { conv(3, 3) -> bn }") -> str:
    blocks = "".join(f"block A{i + 1} {NESTED[kind].format(f'A{i}')}\n" for i in range(levels))
    return f"block A0 = {inside}\n{blocks}net N {{\n{IMAGE}  A{levels}\n  gap -> linear(10)\n}}\n{RECIPE}"


@pytest.mark.parametrize("kind", NESTED)
def test_blocks_within_blocks_end(kind: str) -> None:
    """Sixty levels are refused; eight are checked with all that looks at recipes and at what is hardly meant."""
    text = nested(kind, DEPTH)
    check(kind, text)
    (found,) = Spec(Source(text, "bomb.net"), read_import).diagnostics
    assert found.code == "too-large"
    assert found.at is not None
    assert found.at.line == text[: text.index("net N")].count("\n") + 1
    assert "too-large" in {d.code for d in Spec(Source(nested(kind, 16), "bomb.net"), read_import).diagnostics}
    check(kind, nested(kind, 8))
    check(kind, nested(kind, 19, "relu").replace(RECIPE, ""))


ANY_SIZE = [pytest.param(f"{name}, any size", marks=pytest.mark.slow) for name in SPECS]


@pytest.mark.parametrize("name", [*SPECS, *ANY_SIZE])
def test_what_repeats_ends(name: str) -> None:
    check(name, FAMILY[name])


def test_choices_that_meet_end() -> None:
    """Each `require` of two options is tried with all others."""
    lines = [f"  require H % {n} != 1 or W % {n + 1} != 2" for n in range(2, 300)]
    check("requirements", "net N {\n  input x [3, H, W]\n" + "\n".join(lines) + "\n  relu\n}\n")


@pytest.mark.parametrize(
    ("name", "construct"),
    [
        ("empty loops", "loop"),
        ("comprehensions", "comprehension"),
        ("loops of comparisons", "comparison"),
        ("loops of layers", "statement"),
    ],
)
def test_the_end_of_the_budget_names_what_spent_it(name: str, construct: str) -> None:
    (only,) = Spec(Source(FAMILY[name], "bomb.net"), read_import).diagnostics
    assert only.code == "too-much-work"
    assert only.at is not None
    assert construct in only.message or only.at.text in FAMILY[name]


def test_a_budget_is_spent_once_and_for_all() -> None:
    budget = Budget(10)
    with budget.open():
        spend(10)
        with pytest.raises(Exhausted):
            spend(1)
        with pytest.raises(Exhausted):
            spend(0)
    spend(10**9)  # where none is open, work is free
    assert budget.left < 0
    with budget.open(), pytest.raises(Exhausted) as end:
        spend(1)
    end.value.blame("inner", "place")  # type: ignore[arg-type]
    end.value.blame("outer", "other")  # type: ignore[arg-type]
    assert (end.value.construct, end.value.at) == ("inner", "place")


def test_checking_costs_the_same_everywhere() -> None:
    """Counted, not timed: twice the layers cost twice the work."""

    def cost(layers: int) -> int:
        body = "\n".join(f"  conv({8 + i % 3}, 3, bias=false) -> bn -> relu" for i in range(layers))
        spec = Spec(Source(f"net N {{\n{IMAGE}{body}\n}}\n", "net.net"), read_import)
        before = spec.elaborator.budget.left
        assert spec.diagnostics == ()
        return before - spec.elaborator.budget.left

    assert 1.9 < cost(200) / cost(100) < 2.1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("X = 1 / 0", "bad-arithmetic"),
        ("X = nope", "unknown-name"),
        ("X = 3 epochs", "misplaced"),
        ("X = range(10)[::0]", "bad-index"),
        ("X = 3 in 2", "operator-types"),
        ("X = 2 ** -1\nY = [1, 2][X]", "not-a-number"),
    ],
)
def test_constants_that_nobody_uses_are_evaluated(text: str, code: str) -> None:
    found = Spec(Source(text + "\n", "constants.net"), read_import).diagnostics
    assert [d.code for d in found] == [code] or code == "not-a-number"
    assert found


def test_a_stride_in_a_number_is_a_mistake() -> None:
    text = f"block B(stride) {{\n  if stride in 2 {{ relu }}\n}}\nnet N {{\n{IMAGE}  B(2)\n}}\n"
    (only,) = Spec(Source(text, "stride.net"), read_import).diagnostics
    assert only.code == "operator-types"
    assert only.message == "`in` needs a list, found the number `2`"


@pytest.mark.parametrize("text", ["x == 3", "it != 0", "conv(3, 3) == 2", "H == x", "mask and other", "other or mask"])
def test_what_tensors_hold_is_not_compared_by_operators(text: str) -> None:
    """`x == 3` was false and `mask and other` was `other`, without a word."""
    inputs = "  input x [3, H]\n  input mask [H] bool\n  input other [H] bool\n  x -> tanh\n"
    (only,) = Spec(Source(f"net N {{\n{inputs}  if {text} {{ relu }}\n}}\n", "a.net"), read_import).diagnostics
    assert only.code == "operator-types"
    assert only.at is not None
    assert only.at.text == text


def test_what_may_be_absent_is_asked_for_by_operators() -> None:
    text = """
block Attend(mask=none, other=none, act=none) {
  seen = mask or other
  if seen { attention(2, mask=seen) } else { attention(2) }
  if act != none and act == relu { act }
}
net N {
  input x [L, 4]
  input keep [L] bool
  x -> Attend -> Attend(keep) -> Attend(other=keep, act=relu)
}
"""
    net = Spec(Source(text, "a.net"), read_import).net("N")
    assert not net.diagnostics
    assert agree(net, 0, onnx=False)


def test_what_stands_behind_a_mask_may_be_absent() -> None:
    """`or` is decided by the mask that is given: `n > 3` is not asked for."""
    text = """
block Attend(mask=none, n=none) {
  seen = mask or n > 3
  if seen { attention(2, mask=seen) } else { attention(2) }
}
net N {
  input x [L, 4]
  input keep [L] bool
  x -> Attend(n=2) -> Attend(keep)
}
"""
    net = Spec(Source(text, "a.net"), read_import).net("N")
    assert not net.diagnostics
    assert agree(net, 0, onnx=False)


def test_sizes_fit_a_tensor() -> None:
    text = f"net N {{\n{IMAGE}  conv(8, 3, padding=10**30)\n}}\n"
    (only,) = Spec(Source(text, "size.net"), read_import).diagnostics
    assert only.code == "too-large"


TOGETHER = {
    "calls in calls": "A(" * 28 + "conv(3, 3)" + ")" * 28,
    "calls in many calls": "A(" * 50 + "relu" + ")" * 50,
    "brackets that nest too deep": "conv(" + "max(1, " * 900 + "2" + ")" * 900 + ", 3)",
    "unknown names in one call": f"conv(max({', '.join(['foo(1)'] * 6000)}), 3)",
    "a size of many": "x0 = H\n"
    + "\n".join(f"  x{i + 1} = max(x{i}, H * {i} - 9)" for i in range(900))
    + "\n  arange(x900)",
    "layers of a layer": "flatten(start=1) -> lstm(8, num_layers=10 ** 7)",
    "axes of a pattern": f'rearrange("{" ".join(f"a{i}" for i in range(4_000))} -> b")',
    "values of a pattern": f'einsum("{",".join(["abc"] * 800)} -> a", {", ".join(["image"] * 800)})',
}


@pytest.mark.parametrize("kind", TOGETHER)
def test_the_command_ends(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it suggests, which is not paid from the budget."""
    spec = tmp_path / "n.net"
    spec.write_text(f"block A(f) = f -> f\nnet N {{\n{IMAGE}  input sized [3, H]\n  {TOGETHER[kind]}\n}}\n")
    began = time.process_time()
    assert main(["check", str(spec)]) == 1
    assert time.process_time() - began < 10
    assert "internal" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["'X = \"' + 'a' * 400_000", "'\\n' * 400_000 + 'X = 1'", "' \\n' * 200_000 + 'X = 1'"]
)
def test_a_long_text_of_one_thing_costs_no_more_than_its_size(text: str) -> None:
    """A string without its second quote, blank lines: the lexer kept a kilobyte for each character or line."""
    code = (
        "import resource\n"
        "from netdsl.syntax.parse import read\n"
        "from netdsl.source import Source\n"
        "read(Source('X = 1'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"read(Source({text}))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 100_000
