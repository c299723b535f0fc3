"""Continues a text with a trained language model: a run whose data are a `text`.

Each token is drawn from the net's probabilities for the next one, as a function of `--seed` and its place: the same
command writes the same text. `--temperature 0` always takes the likeliest. Recurrent nets read on from their states;
others read again as much of the text as they were trained on at once (`length`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.cli.failure import Failure
from netdsl.cli.numbers import real, seed, whole
from netdsl.render.output import print_json

if TYPE_CHECKING:
    from netdsl.inference.vocabulary import Vocabulary

EXAMPLES = """\
examples:
  netdsl generate runs/CharLSTM-1 --prompt "ROMEO:"
  netdsl generate runs/CharLSTM-1 --prompt "ROMEO:" --temperature 0.8 --top-k 20 --tokens 500 --seed 3
  netdsl generate runs/GPT2-1 --prompt "ROMEO:" --temperature 0       the likeliest token each time
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="a run directory")
    parser.add_argument("--prompt", default="\n", metavar="TEXT", help="what is continued (default: a new line)")
    parser.add_argument("--tokens", type=whole(0), default=200, metavar="N", help="how many tokens to write (200)")
    parser.add_argument(
        "--temperature", type=real(least=0), default=1.0, metavar="T", help="below 1: fewer surprises; 0: none"
    )
    parser.add_argument("--top-k", type=whole(0), default=0, metavar="K", help="draw from the K likeliest tokens")
    parser.add_argument(
        "--top-p", type=real(above=0, most=1), default=1.0, metavar="P", help="draw from the likeliest that make up P"
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="another seed, another text (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from netdsl.cli.training import guarded

    with guarded():
        from netdsl.inference.trained import vocabulary
        from netdsl.training.generation import Sampling, check_task, generate
        from netdsl.training.opened import open_trained, program_of

        folder = Path(args.model)
        if not folder.is_dir():
            raise Failure(f"{folder} is no run directory", "`generate` needs the run: its net and what its tokens are")
        trained = open_trained(folder)
        check_task(trained)
        known = vocabulary(trained)
        prompt = known.encode(args.prompt)
        sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
        tokens = generate(trained, program_of(folder), prompt, sampling, args.tokens)
        if args.json:
            found = list(tokens)
            print_json({"prompt": args.prompt, "text": known.decode(found), "tokens": found})
        else:
            _write(known, prompt, tokens)
    return 0


def _write(known: Vocabulary, prompt: list[int], tokens: Iterator[int]) -> None:
    """Print the prompt and each token as soon as it is there; a character of several bytes, once it is whole."""
    text, printed = list(prompt), ""
    for _ in chain((None,), map(text.append, tokens)):
        whole = known.decode(text).rstrip("\N{REPLACEMENT CHARACTER}")
        if whole.startswith(printed):
            sys.stdout.write(whole[len(printed) :])
            sys.stdout.flush()
            printed = whole
    print()
