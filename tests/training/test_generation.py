"""`netdsl generate` and `predict` on texts, compared with loops by hand over the same module."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import netdsl
from netdsl.cli.main import main
from netdsl.inference.trained import vocabulary
from netdsl.training.generation import Sampling, generate, reads_once
from netdsl.training.opened import open_trained, program_of

SPEC = """
from gpt2 import GPT2
from char_rnn import CharModel

net Tiny = GPT2(1, 16, 2, vocabulary=8, context=7)
net Recurrent = CharModel(lstm(12, num_layers=2), characters=8)
net Fixed {
  input tokens [6] int64
  embed(8, 12) -> lstm(12) -> linear(8)
}
recipe Learn for Tiny {
  data  = text("a.txt", length=6)
  steps = 20
  batch = 8
}
recipe Carry for Recurrent extends Learn {
  data = text("a.txt", length=6, carry=true)
}
recipe Whole for Fixed extends Learn { }
"""
PROMPT = "the cat "


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "a.txt").write_text("the cat saw the hat " * 30)
    (folder / "a.net").write_text(SPEC)
    for name in ("Learn", "Carry", "Whole"):
        assert main(["train", f"{folder}/a.net:{name}", "-o", str(folder / name), "-q", "--no-onnx"]) == 0
    return {name: folder / name for name in ("Learn", "Carry", "Whole")}


def greedy(module: Any, tokens: list[int], count: int, most: int, fixed: int = 0) -> list[int]:
    """The likeliest token, again and again, from the last `most` of the text."""
    text = list(tokens)
    for _ in range(count):
        seen = text[-most:]
        with torch.no_grad():
            scores = module(torch.tensor([seen + [0] * (fixed - len(seen))]))[0]
        text.append(int(scores[len(seen) - 1].argmax()))
    return text[len(tokens) :]


def written(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["generate", *args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(("name", "most", "fixed"), [("Learn", 6, 0), ("Carry", 999, 0), ("Whole", 6, 6)])
def test_the_likeliest_tokens_are_those_of_a_loop_by_hand(
    runs: dict[str, Path], name: str, most: int, fixed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recurrent net with its states after the whole text; GPT-2 with the last tokens that it was trained on."""
    found = written(capsys, str(runs[name]), "--prompt", PROMPT, "--temperature", "0", "--tokens", "15")
    letters = sorted(set("the cat saw the hat "))
    tokens = [letters.index(c) for c in PROMPT]
    module = netdsl.open_run(runs[name]).module()
    assert found["tokens"] == greedy(module, tokens, 15, most, fixed)
    assert found["text"] == "".join(letters[t] for t in found["tokens"])


def test_recurrent_nets_read_every_token_once(runs: dict[str, Path]) -> None:
    assert [reads_once(program_of(runs[n])) for n in ("Learn", "Carry", "Whole")] == [False, True, False]
    trained = open_trained(runs["Carry"])
    seen: list[int] = []
    own = trained.forward
    trained = netdsl.training.opened.replace(trained, forward=lambda x: (seen.append(x.shape[1]), own(x))[1])
    list(generate(trained, program_of(runs["Carry"]), vocabulary(trained).encode(PROMPT), Sampling(), 4))
    assert seen == [len(PROMPT), 1, 1, 1]


def test_a_text_is_a_function_of_the_seed(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    args = [str(runs["Carry"]), "--prompt", PROMPT, "--tokens", "30"]
    one, again, other = (written(capsys, *args, "--seed", seed)["text"] for seed in ("1", "1", "2"))
    assert one == again != other
    longer = written(capsys, *args[:-1], "40", "--seed", "1")["text"]
    assert longer.startswith(one)
    assert main(["generate", *args, "--seed", "1"]) == 0
    assert capsys.readouterr().out == f"{PROMPT}{one}\n"


SCORES = torch.tensor([1.0, 3.0, 2.0, -1.0])


def drawn(sampling: dict[str, Any], count: int = 600) -> dict[int, float]:
    found = Counter(Sampling(**sampling).choose(SCORES, place) for place in range(count))
    return {token: n / count for token, n in found.items()}


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"temperature": 2.0}, [0, 1, 2, 3]),
        ({"top_k": 2}, [1, 2]),
        ({"top_p": 0.6}, [1]),
        ({"top_p": 0.7}, [1, 2]),
        ({"top_k": 1, "temperature": 5.0}, [1]),
        ({"temperature": 0.0}, [1]),
    ],
)
def test_tokens_are_drawn_by_their_probabilities(sampling: dict[str, Any], kept: list[int]) -> None:
    """The softmax of what is left, renormalised (3 deviations of a share)."""
    chances = (SCORES / (sampling.get("temperature") or 1)).softmax(0)
    expected = {t: float(chances[t] / chances[kept].sum()) for t in kept}
    found = drawn(sampling)
    assert found.keys() == expected.keys()
    for token, share in expected.items():
        assert abs(found[token] - share) <= 3 * math.sqrt(share * (1 - share) / 600) + 1e-12


def test_predict_shows_the_next_token(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.txt").write_text(PROMPT)
    assert main(["predict", str(runs["Learn"]), str(tmp_path / "b.txt"), "--top", "2", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    letters = sorted(set("the cat saw the hat "))
    tokens = torch.tensor([[letters.index(c) for c in PROMPT[-6:]]])
    with torch.no_grad():
        chances = netdsl.open_run(runs["Learn"]).module()(tokens)[0, -1].softmax(0)
    best = chances.topk(2)
    assert [g["class"] for g in found["guesses"]] == [letters[i] for i in best.indices.tolist()]
    assert [g["probability"] for g in found["guesses"]] == pytest.approx(best.values.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--prompt", "the cåt"], "not trained on 'å'"),
        (["--prompt", ""], "the prompt is empty"),
        (["--top-p", "0"], "argument --top-p: a number above 0 to 1"),
    ],
)
def test_what_cannot_be_continued_is_said(
    runs: dict[str, Path], args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(runs["Learn"]), *args]) != 0
    assert said in capsys.readouterr().err


def test_other_texts_are_read_with_the_characters_of_the_run(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their own would number them otherwise."""
    (tmp_path / "b.txt").write_text("eat the hat " * 20)
    assert main(["eval", str(runs["Learn"]), "--data", f'text("{tmp_path}/b.txt", length=6, test=0.5)', "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    letters = sorted(set("the cat saw the hat "))
    tokens = torch.tensor([letters.index(c) for c in "eat the hat " * 20])[120:]
    windows, module = (len(tokens) - 1) // 6, netdsl.open_run(runs["Learn"]).module()
    with torch.no_grad():
        scores = module(tokens[: 6 * windows].reshape(-1, 6))
    loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), tokens[1 : 6 * windows + 1])
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(float(loss) / math.log(2), rel=1e-5)
    (tmp_path / "b.txt").write_text("the zebra " * 20)
    assert main(["eval", str(runs["Learn"]), "--data", f'text("{tmp_path}/b.txt", length=6)']) != 0
    assert "not trained on: 'b', 'r', 'z'" in capsys.readouterr().err


def test_a_net_that_was_trained_on_no_text_continues_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names of its classes are no characters."""
    (tmp_path / "n.net").write_text("net N {\n  input x [1, 8, 8]\n  flatten -> linear(10)\n}\n")
    given = ["--data", "digits", "--set", "steps=1", "-q", "--no-onnx", "-o", str(tmp_path / "run")]
    assert main(["train", f"{tmp_path}/n.net", *given]) == 0
    capsys.readouterr()
    assert main(["generate", str(tmp_path / "run"), "--prompt", "x"]) == 1
    assert "only a net that was trained on a text continues one" in capsys.readouterr().err
