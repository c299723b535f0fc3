"""Lookahead: its formula, airbench's form of it, the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from training_harness import loop_of, small_net, stop_after

from netdsl.training.optim.averages import Averages

FIELDS = "steps = 12\nbatch = 16\noptimizer = sgd(lr=0.2, momentum=0.9)\nschedule = constant\ncheckpoint = 1 steps\n"


def followed(text: str, total: int, share: Any, floating: bool) -> None:
    """A net whose weights jump about, beside the rule written out; `share(t)` is how far slow weights go."""
    module = small_net()
    averages = Averages(module, recipe(f"steps = {total}\nlookahead = {text}"), total, 4)
    tensors = {n: t for n, t in module.state_dict().items() if t.is_floating_point()}
    if not floating:
        tensors = dict(module.named_parameters())
    slow = {n: t.detach().clone() for n, t in tensors.items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(1, total + 1):
        with torch.no_grad():
            for t in tensors.values():
                t.add_(torch.randn(t.shape, generator=generator))
        expected = {n: t.detach().clone() for n, t in tensors.items()}
        if step % 5 == 0:
            slow = {n: slow[n] + share(step) * (expected[n] - slow[n]) for n in slow}
            expected = slow
        if step == total:
            expected = slow
        averages.update(module, step)
        for n, t in tensors.items():
            torch.testing.assert_close(t.detach(), expected[n], rtol=1e-5, atol=1e-6)


def test_it_is_algorithm_1() -> None:
    """Zhang et al. (2019): k = 5, alpha = 0.5; the run ends with the slow weights."""
    followed("lookahead", 13, lambda t: 0.5, floating=False)
    followed("lookahead(5, 0.8)", 10, lambda t: 0.8, floating=False)


def test_airbenchs_decay_grows_over_the_run() -> None:
    """legacy/airbench94.py: alpha_schedule = 0.95**5 * (t / T)**3 is the decay of all floating numbers."""
    followed("lookahead(5, 1 - 0.95**5, power=3, buffers=true)", 23, lambda t: 1 - 0.95**5 * (t / 23) ** 3, True)


@pytest.mark.parametrize("more", ["", "ema = 0.8", "swa = swa(0.5)", "penalty = l1_by_product(1e-4)"])
@pytest.mark.parametrize("at", [3, 7])
def test_a_resumed_run_is_bit_identical(tmp_path: Path, more: str, at: int) -> None:
    fields = f"{FIELDS}lookahead = lookahead(5, 0.5, buffers=true)\n{more}"
    whole = loop_of(fields)
    whole.run()
    stop_after(loop_of(fields, tmp_path), at)
    resumed = loop_of(fields, tmp_path)
    resumed.restore()
    resumed.run()
    a, b = whole.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all(torch.equal(t, resumed.final_weights()[n]) for n, t in whole.final_weights().items())
    assert whole.averages.slow is not None
    assert all(torch.equal(a[n], t) for n, t in whole.averages.slow.state.items())


def test_it_trains_otherwise_than_without() -> None:
    plain, slow = loop_of(FIELDS), loop_of(FIELDS + "lookahead = lookahead")
    plain.run()
    slow.run()
    assert not torch.equal(plain.module.state_dict()["5.weight"], slow.module.state_dict()["5.weight"])
