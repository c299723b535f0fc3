"""Keyed randomness: uniform, independent, and a function of the key alone."""

from __future__ import annotations

import numpy as np
import torch

from netdsl.training.rng import KeyedRng, beta, key, permutation, scramble


def test_the_generator_is_splitmix64() -> None:
    """Reference values of SplitMix64 seeded with 1234567 (Vigna's splitmix64.c)."""
    state, found = 1234567, []
    for _ in range(3):
        found.append(scramble(state))
        state += 0x9E3779B97F4A7C15
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_tensors_and_numbers_scramble_alike() -> None:
    samples = torch.arange(5)
    bits = KeyedRng(7, samples).bits("a", 1)[:, 0]
    for i in range(5):
        inner = scramble(i ^ key(7, "a"))
        assert int(bits[i]) == scramble(inner) >> 11


def test_draws_do_not_depend_on_the_batch() -> None:
    whole = KeyedRng(3, torch.arange(100)).uniform("flip", 4)
    parts = torch.cat([KeyedRng(3, torch.arange(100)[i : i + 7]).uniform("flip", 4) for i in range(0, 100, 7)])
    assert torch.equal(whole, parts)


def test_numbers_are_uniform_and_keys_independent() -> None:
    draws = KeyedRng(1, torch.arange(20_000))
    a, b = draws.uniform("a"), draws.uniform("b")
    assert 0 <= float(a.min()) < float(a.max()) < 1
    counts = np.histogram(a.numpy(), bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-squared, 19 degrees of freedom, p > 0.0007
    other = KeyedRng(2, torch.arange(20_000)).uniform("a")
    for x, y in ((a, b), (a, other), (a[:-1], a[1:])):
        assert abs(np.corrcoef(x.numpy(), y.numpy())[0, 1]) < 0.03
    normal = draws.normal("n")
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03


def test_permutations_and_beta() -> None:
    order = permutation(key(0, "order", 1), 1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert not torch.equal(order, permutation(key(0, "order", 2), 1000))
    drawn = beta(5, 0.8, 20_000)
    assert abs(float(drawn.mean()) - 0.5) < 0.01
    assert abs(float(drawn.var()) - 1 / (4 * (2 * 0.8 + 1))) < 0.005  # Beta(a, a) has variance 1 / (4 (2a + 1))
