"""Fixes: what people type elsewhere is rewritten, every offered edit fixes, and nothing else changes."""

from __future__ import annotations

import re

import pytest
from paths import ROOT, TESTS

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, did_you_mean
from netdsl.fixes.apply import fix
from netdsl.fixes.proof import edited, mends
from netdsl.fixes.suggest import suggest
from netdsl.fixes.words import WORDS
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.render.errors import page
from netdsl.source import Place, Source, Span


def check(source: Source) -> tuple[Diagnostic, ...]:
    return Spec(source, read_import).diagnostics


def net(body: str, shape: str = "[3, 32, 32]") -> str:
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    return f"net N {{\n  input image {shape}\n{lines}\n}}\n"


def recipe(body: str) -> str:
    return net("conv(8, 3) -> bn -> relu -> gap -> linear(10)") + f"\nrecipe R for N {{\n  {body}\n}}\n"


MENDED = {
    net("image > 0 -> cast(float32)"): "image -> greater(0) -> cast(float32)",
    net("y = 0.5 <= image\ny -> cast(float32)"): "y = image -> less(0.5) -> logical_not",
    net("image -> logical_not -> cast(float32)"): "image -> equal(0) -> cast(float32)",
    net("y = conv(8, 3)\nz = y -> tanh\nsoftmax(y) + z"): "(y -> softmax) + z",
    net("torch.expm1(image) * 2"): "(image -> exp - 1) * 2",
    net("image -> log10"): "image -> log / log(10)",
    net("image.add(1)"): "image + 1",
    net("torch.lerp(image, image * 2, 0.3)"): "image + 0.3 * ((image * 2) - image)",
    net("it + param((3,), init=ones)"): "it + param((3,), init=1)",
    net("it + param((3,), init='zeros')"): "it + param((3,), init=0)",
    net("it + param((3,), init=trunc_normal(std=0.02))"): "it + param((3,), init=normal, std=0.02)",
    net("it * nn.Parameter(1e-6 * torch.ones(3))"): "it * param((3,), init=1e-6)",
    net("it + nn.Parameter(torch.randn(1, 3, 32, 32))"): "it + param((3, 32, 32), init=normal, std=1)",
    net("it + nn.Parameter(torch.empty(3).normal_(std=0.02))"): "it + param((3,), init=normal, std=0.02)",
    net("conv(64, 3, groups=4)", "[18, 8, 8]"): "conv(64, 3, groups=2)",
    net("conv(in_channels=3, out_channels=64, kernel_size=3)"): "conv(64, 3)",
    net("Conv2d(3, 64, 3)"): "conv(64, 3, padding=0)",
    net("nn.Conv2d(3, 64, 3, padding=1) -> nn.ReLU(inplace=True)"): "conv(64, 3, padding=1) -> relu",
    net("gap -> Linear(512, 10)"): "gap -> linear(10)",
    net("conv(64, 3) -> BatchNorm2d(64)"): "conv(64, 3, bias=false) -> bn",
    net("gap -> Dense(10, activation='relu')"): "gap -> linear(10) -> relu",
    net("x = conv(8, 3)\nF.relu(x) -> gap"): "x -> relu -> gap",
    net("x = conv(8, 3)\nrelu(x) -> gap"): "x -> relu -> gap",
    net("a = conv(8, 3)\nb = conv(8, 3)\ntorch.cat([a, b], 1)"): "concat(a, b)",
    net("a = conv(8, 3)\nb = conv(8, 3)\nconcat([a, b])"): "concat(a, b)",
    net("a = conv(8, 3)\nb = conv(8, 3)\nstack([a, b])"): "stack(a, b)",
    net("conv(8, 3, padding='valid')"): "conv(8, 3, padding=0)",
    net("x = conv(8, 3)\nx[0:2] -> gap"): "x -> narrow(0, 2) -> gap",
    net("interpolate(scale_factor=2)"): "upsample(2)",
    net("conv(8, 3) -> mean(dim=[2, 3])"): "conv(8, 3) -> gap",
    net("conv(8, 3) as a -> maxpool(2) as b -> relu"): "maxpool(2) as b",
    net("a = conv(8, 3)\nb = conv(8, 3)\nconcat([a, b], dim=1)"): "concat(a, b)",
    net("x = conv(8, 3)\nx += x -> conv(8, 3)\nx"): "x = x + (x -> conv(8, 3))",
    net("x = conv(8, 3)\nx -= conv(8, 3)\nx"): "x = x - conv(8, 3)",
    net("conv(8, 3, padding='reflect')"): "conv(8, 3, padding_mode=reflect)",
    net("conv(8, 3) -> dropout(20)"): "conv(8, 3) -> dropout(0.2)",
    net("conv(8, 3) -> if 2 > 1 { relu }"): "if 2 > 1 { relu }",
    net("conv(8, 3) followed by relu"): "conv(8, 3) -> relu",
    net("conv(8, 3) -> residual_block(8) { conv(8, 3) }"): "conv(8, 3) -> residual { conv(8, 3) }",
    net("conv(8, 3, act=relu)"): "conv(8, 3) -> relu",
    net("y = nn.MultiheadAttention(16, 4)(image, image, image)\ny", "[64, 16]"): "y = image -> attention(4)",
    recipe("schedule = step(0.5, at=[3, 4])"): "schedule = multistep(at=(3 epochs, 4 epochs), factor=0.5)",
    net("conv(8, 3) -> view(-1) -> linear(10)"): "conv(8, 3) -> flatten -> linear(10)",
    net("flatten(start=1) -> transpose(1, 2)"): "flatten(start=1) -> permute((1, 0))",
    net("self.conv(8, 3)"): "conv(8, 3)",
    net("cnv(8, 3)"): "conv(8, 3)",
    net("conv(8, 3, strid=2)"): "conv(8, 3, stride=2)",
    net("conv(8, 3) => relu"): "conv(8, 3) -> relu",
    net("// a comment"): "# a comment",
    recipe("augment = [hflip, crop(32)]"): "augment = hflip -> crop(32)",
    recipe('schedule = "cosine"'): "schedule = cosine",
    recipe("epochs = 10\n  schedule = cosine -> warmup(2 epochs)"): "schedule = warmup(2 epochs) -> cosine",
    recipe("epochs = 200\n  schedule = step([9 epochs], gamma=0.1)"): "schedule = multistep([9 epochs], factor=0.1)",
    recipe("optimizer = adma"): "optimizer = adam",
    recipe("epoch = 3"): "epochs = 3",
}  # fmt: skip
"""Wrong specs, and a line of each as it is fixed."""


@pytest.mark.parametrize("text", MENDED, ids=lambda t: re.sub(r"\W+", " ", t)[20:60])
def test_habits_are_mended(text: str) -> None:
    mended = fix(Source(text, "spec.net"), check, unsafe=True)
    assert MENDED[text] in [line.strip() for line in mended.text.splitlines()], mended.text
    assert not [d for d in check(Source(mended.text, "spec.net")) if d.severity == "error"]


@pytest.mark.parametrize("field", ["epochs = thirty", "drop_last = yep"])
def test_what_a_field_takes_is_no_proposal(field: str) -> None:
    """A hint that lists the values of a field does not know which of them is meant."""
    text = recipe(field)
    assert fix(Source(text, "spec.net"), check).text == text


MEANT = {
    "x + F.relu(y)": "x + (y -> relu)",
    "x * torch.sigmoid(F.max_pool2d(y, 3, 1, 1))": "x * (y -> maxpool(3, stride=1, padding=1) -> sigmoid)",
    "torch.tanh(x) - y": "(x -> tanh) - y",
    "F.relu(x + y) * x": "(x + y -> relu) * x",
    "x - relu(y)": "x - (y -> relu)",
    "bn(relu(x)) + y": "(x -> relu -> bn) + y",
    "(x + y).relu().chunk(2, dim=1)": "x + y -> relu -> chunk(2)",
    "concat(F.relu(x), y)": "concat(x -> relu, y)",
}  # fmt: skip
"""What PyTorch computes, and the same as it is said here."""


@pytest.mark.parametrize("typed", MEANT)
def test_a_rewritten_call_computes_what_it_did(typed: str) -> None:
    head = "a, b = " if "chunk" in typed else ""
    tail = "\na + b" if head else ""
    texts = [net(f"x = conv(8, 3)\ny = conv(8, 5)\n{head}{said}{tail}") for said in (typed, MEANT[typed])]
    mended = fix(Source(texts[0], "spec.net"), check, unsafe=True)
    sources = [Spec(Source(text, "spec.net"), read_import).net("N").source() for text in (mended.text, texts[1])]
    assert sources[0] == sources[1], mended.text


def test_no_guess_stands_beside_another_fix() -> None:
    """`mean((2, 3))` is `gap`, and nobody meant `expand`."""
    for text in MENDED:
        for found in suggest(Source(text, "spec.net"), check(Source(text, "spec.net")), check):
            first, *rest = [h.message for h in found.hints] or [""]
            assert not first.startswith("write") or not [r for r in rest if r.startswith("did you mean")], (text, rest)


def test_only_slips_of_a_word_are_asked_after() -> None:
    known = ["out_channels", "dilation", "dropout", "maxpool", "lstm", "topk", "cast", "expand", "bn", "conv"]
    asked = {word: did_you_mean(word, known) for word in ("drpout", "MaxPool2d", "dropout_", "cnv", "Dropout")}
    assert asked == {
        "drpout": "did you mean `dropout`?", "MaxPool2d": "did you mean `maxpool`?", "cnv": "did you mean `conv`?",
        "dropout_": "did you mean `dropout`?", "Dropout": "did you mean `dropout`?",
    }  # fmt: skip
    for word in ("in_channels", "activation", "stem", "tokens", "causal", "mean", "no_dropout"):
        assert did_you_mean(word, known) is None, word


@pytest.mark.parametrize("word", [w for w in WORDS if w.isidentifier()])
def test_no_fix_puts_something_else_in_the_place_of_a_word(word: str) -> None:
    """A fix writes what the words for a name say it is, not what they say could be used beside it."""
    for call in (word, f"{word}(2)"):
        source = Source(f"net N {{\n  input x [L, 16]\n  linear(16) -> {call}\n}}\n")
        mistakes = [d for d in suggest(source, check(source), check) if d.code == "unknown-name"]
        for hint in (h for d in mistakes for h in d.hints if h.edits):
            said = re.search(r"`([^`]+)`", hint.message)
            assert said is not None, hint.message
            assert said[1] in hint.edits[0].text, hint.message


def test_a_word_that_begins_a_known_one_means_that_one() -> None:
    known = ["linear", "sin", "min", "max", "maxpool", "conv", "upconv", "concat", "cosine", "const", "warmup"]
    known += ["label_smoothing", "labels", "weight_decay", "tanh", "_lines", "padding", "padding_mode"]
    meant = {
        "lin": "`linear`", "maxp": "`maxpool`", "con": "`conv` or `const`", "cos": "`cosine`", "warm": "`warmup`",
        "lab_smooth": "`label_smoothing`", "weight_dec": "`weight_decay`", "tan": "`tanh`", "pad": "`padding`",
    }  # fmt: skip
    for word, words in meant.items():
        assert did_you_mean(word, known) == f"did you mean {words}?"
    assert did_you_mean("li", known) is None, "two letters begin too much"


def test_a_fix_ends_lines_as_the_file_does() -> None:
    text = recipe("epochs = 3, batch = 8").replace("\n", "\r\n")
    assert "\r\n  epochs = 3\r\n  batch = 8\r\n}" in fix(Source(text, "spec.net"), check).text


def test_crop_takes_the_size_of_the_other_value() -> None:
    body = "b = conv(4, 3, stride=2)\nc = maxpool(4) -> conv(8, 3)\nc -> upsample(2) -> concat(it, b -> crop(174))"
    text = net(body, "[3, 350, 525]")
    assert "crop((174, 262))" in fix(Source(text, "spec.net"), check).text


def corpus() -> list[Source]:
    """Every wrong spec of the repository."""
    from netdsl.diagnostics.codes import TABLE

    found = [Source(code.wrong, f"{code.name}.net") for code in TABLE.values() if code.wrong]
    for path in sorted((TESTS / "errors").glob("*.net")):
        parts = re.split(r"^# ===.*\n", path.read_text(), flags=re.MULTILINE)
        found += [Source(part, f"{path.stem}-{i}.net") for i, part in enumerate(parts)]
    return found


@pytest.mark.parametrize("source", corpus(), ids=lambda s: s.name)
def test_every_fix_mends_and_changes_nothing_else(source: Source) -> None:
    before = check(source)
    for mistake, found in zip(before, suggest(source, before, check), strict=True):
        for hint in found.hints:
            if hint.edits:
                assert mends(source, before, mistake, hint.edits, check), hint.message
                assert edited(source.text, hint.edits) != source.text


def test_right_specs_are_left_as_they_are() -> None:
    source = Source((ROOT / "specs" / "lenet.net").read_text(), "lenet.net")
    assert fix(source, check).text == source.text


def test_a_text_that_takes_too_much_work_is_not_tried() -> None:
    source = Source("x" * 100_000, "large.net")
    found = check(source)
    assert not any(h.edits for d in suggest(source, found, check) for h in d.hints)


def test_fixes_are_sought_for_a_counted_amount_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("from resnet import Bottlenek\n\n" + net("Bottlenek(16) -> gap -> linear(10)"), "n.net")
    tried: list[int] = []

    def counted(text: Source) -> tuple[Diagnostic, ...]:
        tried.append(1)
        return check(text)

    assert any(h.edits for d in suggest(source, check(source), counted) for h in d.hints)
    enough = len(tried)
    monkeypatch.setattr("netdsl.fixes.suggest.WORK", 0)
    assert not any(h.edits for d in suggest(source, check(source), counted) for h in d.hints)
    assert len(tried) == enough


def test_the_page_of_codes_is_current() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == page(), "run `make docs`"


def test_a_mistake_that_another_hides_is_not_mended() -> None:
    """Taking out `)` leaves the first mistake and hides the second, which is told in the same words."""
    source = Source("net A {\n  input x [3, 8, 8]\n  x = self.a(x)\n  x = self.b(x)\n  relu\n}\n", "spec.net")
    found = check(source)
    closing = source.text.index(")")
    edit = Edit(Place(source, Span(closing, closing + 1)), "")
    assert len(found) == 2
    assert not mends(source, found, found[0], (edit,), check)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (net("resnet50"), "`from resnet import ResNet50`"),
        (net("conv(8, 3) -> MLP"), "linear(4 * dim)"),
        (net("conv(8, 3) -> residual_block(8, stride=2) { conv(8, 3) }"), "`residual { ... }`"),
        (recipe("schedule = warmup(10%) -> cosine"), "`5 epochs`"),
    ],
)
def test_a_hint_without_a_fix_says_what_belongs_there(text: str, words: str) -> None:
    found = suggest(Source(text, "n.net"), check(Source(text, "n.net")), check)
    assert len(found) == 1
    assert words in (found[0].hint or "")
    assert not any(h.edits for h in found[0].hints)


def test_no_fix_leaves_the_tensors_of_a_layer_behind() -> None:
    """An image is no sequence: attention cannot be applied to it, and `attention(4)(x, x, x)` is none either."""
    text = net("x = conv(16, 3)\nnn.MultiheadAttention(16, 4)(x, x, x)")
    found = suggest(Source(text, "n.net"), check(Source(text, "n.net")), check)
    assert not any(")(x" in e.text for d in found for h in d.hints for e in h.edits)
    assert not any(h.edits for h in found[0].hints)


@pytest.mark.parametrize(
    "line",
    [
        "image -> asin", "image -> lgamma", "torch.atan2(image, image)", "torch.add(image, image, alpha=2)",
        "image.detach() + image", "it + nn.Parameter(torch.rand(3))", "it + param((3,), init=xavier)",
        "it + param((3,), init=trunc_normal_)", "it + param((3,), init=nn.init.normal_(0.5))",
        "it + param((3,), init=normal(1.0, 0.02))", "it + torch.randn(3)",
        "conv(8, 3, bias=perhaps)", "image -> logsumexp", "image -> isinf",
    ],
)  # fmt: skip
def test_nothing_else_is_offered_for_what_cannot_be_said(line: str) -> None:
    """A function of elsewhere is no other one misspelt, and an argument that is known says something."""
    source = Source(net(line), "n.net")
    for found in suggest(source, check(source), check):
        assert not any(h.edits for h in found.hints), found.hints
