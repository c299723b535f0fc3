"""Live modules are PyTorch modules like any others: they can be saved whole, sent to other processes and stacked."""

from __future__ import annotations

import copy
import inspect
import io
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from netdsl.backends.torch import module as live
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

TEXT = """
block Unit(c, act) {{ residual {{ conv(c, 3) -> bn -> act -> drop_path(0.1) }} }}
net Small {{ input x [4, 6, 6]
  Unit(4, relu) -> Unit(4, tanh)
  {0}
  head: gap -> linear(3)
}}
"""


def small(extra: str = "relu") -> Net:
    return Spec(Source(TEXT.format(extra), "small.net"), read_import).net()


def given() -> torch.Tensor:
    return torch.linspace(-1, 1, 2 * 4 * 6 * 6).reshape(2, 4, 6, 6)


def expected(module: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = module.eval()(given())
    return result


def test_two_modules_of_one_net_are_of_one_class() -> None:
    one, two, other = small().module(0), small().module(1), small("tanh").module(0)
    assert type(one) is type(two)
    assert type(one) is not type(other)
    parameters, buffers = torch.func.stack_module_state([one.eval(), two.eval()])
    base = copy.deepcopy(one).to("meta")

    def call(state: Any, x: torch.Tensor) -> Any:
        return torch.func.functional_call(base, state, (x,))

    together = torch.func.vmap(call, (0, None))((parameters, buffers), given())
    torch.testing.assert_close(together, torch.stack([expected(one), expected(two)]))


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_module_is_pickled_with_its_class(protocol: int) -> None:
    module = small().module(0)
    again = pickle.loads(pickle.dumps(module, protocol))
    assert type(again) is type(module)
    assert torch.equal(expected(again), expected(module))
    part = pickle.loads(pickle.dumps(module.unit1))
    assert type(part) is type(module.unit1)


def test_a_copy_stands_alone() -> None:
    module = small().module(0)
    again = copy.deepcopy(module)
    with torch.no_grad():
        again.head[1].bias.add_(1)
    assert torch.allclose(expected(again), expected(module) + 1)
    assert again.unit1 is not module.unit1


def test_a_module_saved_whole_is_loaded_in_another_process(tmp_path: Path) -> None:
    module = small().module(0)
    torch.save(module, tmp_path / "module.pt")
    torch.save(given(), tmp_path / "x.pt")
    script = (
        f"import torch; m = torch.load({str(tmp_path / 'module.pt')!r}, weights_only=False).eval()\n"
        f"x = torch.load({str(tmp_path / 'x.pt')!r})\n"
        f"torch.save(m(x).detach(), {str(tmp_path / 'y.pt')!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert torch.equal(torch.load(tmp_path / "y.pt"), expected(module))


def work(module: nn.Module, x: torch.Tensor, answers: Any) -> None:
    answers.put(module.eval()(x).detach().numpy())


@pytest.mark.slow
def test_a_module_is_given_to_a_spawned_process() -> None:
    context = multiprocessing.get_context("spawn")
    module, answers = small().module(0), context.Queue()
    process = context.Process(target=work, args=(module, given(), answers))
    process.start()
    found = torch.from_numpy(answers.get(timeout=120))
    process.join(60)
    torch.testing.assert_close(found, expected(module))


def test_a_module_that_is_forgotten_can_still_be_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 2)
    module = small().module(0)
    for activation in ("gelu", "silu", "elu"):
        small(activation).module(0)
    assert type(module).__module__ not in sys.modules
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert type(again) is type(module)
    assert torch.equal(expected(again), expected(module))
    assert len([n for n in sys.modules if n.startswith("netdsl.models.")]) <= 2


def test_the_source_of_a_live_class_is_shown() -> None:
    assert inspect.getsource(type(small().module(0))).startswith("class Small(nn.Module):  # small.net:3\n")
