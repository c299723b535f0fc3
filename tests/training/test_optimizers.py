"""Optimizers against torch's own, papers' formulas, and published parameter groups."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from paths import SPECS
from recipe_harness import recipe
from roles import roles_of
from torch import Tensor, nn

from netdsl.analysis.count import parameters
from netdsl.analysis.stages import layer_numbers
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.planning.groups import ROLES, Parameter, Selectors, group, selector_mistakes
from netdsl.planning.schedule import peak_lr
from netdsl.recipe.places import NOWHERE
from netdsl.training.optim.optimizers import Updater


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))


def gradients(module: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in module.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


def trained(fields: str, steps: int = 5, lr: Any = None, parameters: Any = None) -> nn.Module:
    """A small net after some steps of given gradients."""
    module, found = net(), recipe(fields)
    updater = Updater(module, group(found, parameters or roles_of(module)), found, 100)
    for step in range(steps):
        gradients(module, step)
        updater.set_lr(lr(step) if lr else found.optimizer.lr)
        updater.step()
    return module


def reference(make: Any, steps: int = 5) -> nn.Module:
    module = net()
    optimizer = make(module)
    for step in range(steps):
        gradients(module, step)
        optimizer.step()
    return module


def assert_equal(a: nn.Module, b: nn.Module, **tolerance: float) -> None:
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, **({"rtol": 1e-5, "atol": 1e-7} | tolerance))


O = torch.optim  # noqa: E741 - as short as the table wants it


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("sgd(lr=0.1, momentum=0.9, nesterov=true, weight_decay=0.01)",
         lambda m: O.SGD(m.parameters(), 0.1, 0.9, weight_decay=0.01, nesterov=True)),
        ("sgd(lr=0.1, momentum=0.9, dampening=0.3)", lambda m: O.SGD(m.parameters(), 0.1, 0.9, 0.3)),
        ("adam(lr=0.01, weight_decay=1e-4)", lambda m: O.Adam(m.parameters(), 0.01, weight_decay=1e-4)),
        ("adamw(lr=0.01, betas=[0.8, 0.95], weight_decay=0.1)",
         lambda m: O.AdamW(m.parameters(), 0.01, (0.8, 0.95), weight_decay=0.1)),
        ("nadam(lr=0.01)", lambda m: O.NAdam(m.parameters(), 0.01)),
        ("nadam(lr=0.01, weight_decay=0.1, decoupled=true)",
         lambda m: O.NAdam(m.parameters(), 0.01, weight_decay=0.1, decoupled_weight_decay=True)),
        ("radam(lr=0.01, weight_decay=0.1)", lambda m: O.RAdam(m.parameters(), 0.01, weight_decay=0.1)),
        ("rmsprop(lr=0.01, centered=true, weight_decay=0.1)",
         lambda m: O.RMSprop(m.parameters(), 0.01, centered=True, weight_decay=0.1)),
        ("adagrad(lr=0.01, eps=1e-6, weight_decay=0.1)",
         lambda m: O.Adagrad(m.parameters(), 0.01, eps=1e-6, weight_decay=0.1)),
        ("radam(lr=0.01, weight_decay=0.1, decoupled=true)",
         lambda m: O.RAdam(m.parameters(), 0.01, weight_decay=0.1, decoupled_weight_decay=True)),
        ("rmsprop(lr=0.01, alpha=0.9, eps=0.03, momentum=0.9)",
         lambda m: O.RMSprop(m.parameters(), 0.01, 0.9, 0.03, momentum=0.9)),
        ("adagrad(lr=0.01)", lambda m: O.Adagrad(m.parameters(), 0.01)),
    ],
)  # fmt: skip
def test_optimizers_equal_torch(text: str, make: Any) -> None:
    assert_equal(trained(f"optimizer = {text}"), reference(make))


def test_muon_is_torchs_on_matrices_and_adamw_elsewhere() -> None:
    got = trained("optimizer = muon(lr=0.02, weight_decay=0.1, adamw_lr=0.003)\ngroup vector { weight_decay = 0.0 }")
    want = net()
    linear, conv = want[3].weight, nn.Parameter(want[0].weight.detach().reshape(4, -1).clone())
    rest = [p for p in want.parameters() if p.ndim == 1]
    muon = O.Muon([linear, conv], lr=0.02, weight_decay=0.1, momentum=0.95)
    adamw = O.AdamW(rest, 0.003, weight_decay=0.0)
    for step in range(5):
        gradients(want, step)
        conv.grad = want[0].weight.grad.reshape(4, -1)
        muon.step()
        adamw.step()
    torch.testing.assert_close(got[3].weight, linear)
    torch.testing.assert_close(got[0].weight, conv.view_as(want[0].weight))
    torch.testing.assert_close(got[1].weight, want[1].weight)


@pytest.mark.parametrize("role", ["embedding", "position", "scale", "head"])
def test_muon_leaves_what_is_no_hidden_layer_to_adamw(role: str) -> None:
    """As Jordan et al. and torch's documentation: tables, scales and the last layer, whatever their axes."""
    roles = roles_of(net())
    last = replace(roles[-2], head=True) if role == "head" else replace(roles[-2], role=role)
    got = trained("optimizer = muon(lr=0.02, adamw_lr=0.003)", parameters=(*roles[:-2], last, roles[-1]))
    want = net()
    adamw = O.AdamW([want[3].weight], 0.003, weight_decay=0.1)
    for step in range(5):
        gradients(want, step)
        adamw.step()
    assert last.path == "3.weight"
    torch.testing.assert_close(got[3].weight, want[3].weight)


def by_formula(update: Any, steps: int = 5) -> nn.Module:
    """A net updated tensor by tensor in double precision: `update(w, g, state, t)` gives the new w."""
    module = net()
    states: list[dict[str, Tensor]] = [{} for _ in module.parameters()]
    values = [p.detach().double() for p in module.parameters()]
    for step in range(steps):
        gradients(module, step)
        norm = sum(float(p.grad.double().square().sum()) for p in module.parameters()) ** 0.5
        for i, p in enumerate(module.parameters()):
            values[i] = update(values[i], p.grad.double(), states[i], step + 1, norm)
    for p, v in zip(module.parameters(), values, strict=True):
        p.data = v.float()
    return module


def test_lion_is_algorithm_2() -> None:
    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        m = s.get("m", torch.zeros_like(w))
        direction = (0.9 * m + 0.1 * g).sign()
        s["m"] = 0.99 * m + 0.01 * g
        return w - 1e-2 * (direction + 0.1 * w)

    assert_equal(trained("optimizer = lion(lr=1e-2, weight_decay=0.1)"), by_formula(update), rtol=1e-4)


def test_lamb_is_algorithm_2() -> None:
    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        g = g * min(1.0, 1 / norm)
        s["m"] = 0.9 * s.get("m", torch.zeros_like(w)) + 0.1 * g
        s["v"] = 0.999 * s.get("v", torch.zeros_like(w)) + 0.001 * g * g
        r = (s["m"] / (1 - 0.9**t)) / ((s["v"] / (1 - 0.999**t)).sqrt() + 1e-6) + 0.02 * w
        ratio = float(w.norm() / r.norm()) if w.norm() > 0 and r.norm() > 0 else 1.0
        return w - 5e-3 * ratio * r

    assert_equal(trained("optimizer = lamb(lr=5e-3, weight_decay=0.02)"), by_formula(update), rtol=1e-4, atol=1e-6)


def test_lars_is_algorithm_1() -> None:
    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        local = 0.001 * w.norm() / (g.norm() + 0.01 * w.norm()) if w.norm() > 0 else 1.0
        s["v"] = 0.9 * s.get("v", torch.zeros_like(w)) + 0.5 * local * (g + 0.01 * w)
        return w - s["v"]

    assert_equal(trained("optimizer = lars(lr=0.5, weight_decay=0.01)"), by_formula(update), rtol=1e-4, atol=1e-6)


def test_momentum_with_lr_in_the_buffer_is_alexnets_update() -> None:
    """v = 0.9 v - 0.0005 lr w - lr g; w = w + v (Krizhevsky et al. 2012), with an lr that changes."""

    def lr(step: int) -> float:
        return [0.1, 0.1, 0.01, 0.05, 0.02][step]

    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        s["v"] = 0.9 * s.get("v", torch.zeros_like(w)) - 0.0005 * lr(t - 1) * w - lr(t - 1) * g
        return w + s["v"]

    got = trained("optimizer = sgd(lr=0.1, momentum=0.9, weight_decay=5e-4, lr_in_buffer=true)", lr=lr)
    assert_equal(got, by_formula(update), rtol=1e-4, atol=1e-6)
    plain = trained("optimizer = sgd(lr=0.1, momentum=0.9, weight_decay=5e-4)", lr=lr)
    assert float((plain[3].weight - got[3].weight).abs().max()) > 1e-3


@pytest.mark.parametrize("rates", [[0.1, 0.1, 0.0, 0.0, 0.05], [0.0, 0.1, 0.0, 0.1, 0.0], [0.1, 0.05, 0.0, 0.0, 0.0]])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_with_lr_in_the_buffer_outlives_an_lr_of_zero(rates: list[float], nesterov: bool) -> None:
    """v = 0.9 v + lr (g + 0.001 w); w -= v, or w -= lr (g + 0.001 w) + 0.9 v: an lr of 0 ends no momentum."""

    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        push = rates[t - 1] * (g + 1e-3 * w)
        s["v"] = 0.9 * s.get("v", torch.zeros_like(w)) + push
        return w - (push + 0.9 * s["v"] if nesterov else s["v"])

    fields = f"lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov={str(nesterov).lower()}, lr_in_buffer=true"
    got = trained(f"optimizer = sgd({fields})", lr=lambda step: rates[step])
    assert_equal(got, by_formula(update), rtol=1e-4, atol=1e-6)


def test_rmsprop_of_tensorflow() -> None:
    """ms = 0.9 ms + 0.1 g^2; mom = 0.9 mom + lr * g / (sqrt(ms) + eps); w -= mom, with a warm-up that starts from 0."""

    def lr(step: int) -> float:
        return [0.0, 0.005, 0.01, 0.0, 0.002][step]

    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        g = g + 1e-3 * w
        s["ms"] = 0.9 * s.get("ms", torch.zeros_like(w)) + 0.1 * g * g
        s["mom"] = 0.9 * s.get("mom", torch.zeros_like(w)) + lr(t - 1) * g / (s["ms"].sqrt() + 0.03)
        return w - s["mom"]

    fields = "optimizer = rmsprop(lr=0.01, alpha=0.9, eps=0.03, momentum=0.9, weight_decay=1e-3"
    got = trained(f"{fields}, lr_in_buffer=true)", lr=lr)
    assert_equal(got, by_formula(update), rtol=1e-4, atol=1e-6)
    plain = trained(f"{fields})", lr=lr)
    assert float((plain[3].weight - got[3].weight).abs().max()) > 1e-3


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [False, True])
def test_tensorflows_rmsprop_is_timms(momentum: float, centered: bool) -> None:
    """RMSpropTF with `lr_in_momentum`: squares start at 1, eps under the root; ten steps with a changing lr."""
    rates = [0.0, 0.005, 0.01, 0.01, 0.002, 0.02, 0.01, 0.0, 0.001, 0.01]

    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        g = g + 1e-3 * w
        s["square"] = s.get("square", torch.ones_like(w)) * 0.9 + 0.1 * g * g
        under = s["square"]
        if centered:
            s["mean"] = s.get("mean", torch.zeros_like(w)) * 0.9 + 0.1 * g
            under = under - s["mean"] ** 2
        s["buffer"] = momentum * s.get("buffer", torch.zeros_like(w)) + rates[t - 1] * g / (under + 1e-3).sqrt()
        return w - s["buffer"]

    fields = f"rmsprop(lr=0.02, alpha=0.9, eps=0.001, momentum={momentum}, weight_decay=1e-3, tensorflow=true"
    fields = f"optimizer = {fields}, centered={str(centered).lower()})"
    got = trained(fields, steps=10, lr=lambda step: rates[step])
    assert_equal(got, by_formula(update, steps=10), rtol=1e-4, atol=1e-6)


def test_decoupled_decay_of_the_paper() -> None:
    """AdamW's algorithm 2: w -= eta_t * (alpha * update + decay * w), the decay not multiplied by alpha."""

    def schedule(step: int) -> float:
        return 0.01 * [1.0, 0.5, 0.25, 1.0, 0.1][step]

    def update(w: Tensor, g: Tensor, s: dict[str, Tensor], t: int, norm: float) -> Tensor:
        s["m"] = 0.9 * s.get("m", torch.zeros_like(w)) + 0.1 * g
        s["v"] = 0.999 * s.get("v", torch.zeros_like(w)) + 0.001 * g * g
        r = (s["m"] / (1 - 0.9**t)) / ((s["v"] / (1 - 0.999**t)).sqrt() + 1e-8)
        eta = schedule(t - 1) / 0.01
        return w - eta * (0.01 * r + factor * 0.025 * w)

    factor = 1.0
    got = trained("optimizer = adamw(lr=0.01, weight_decay=0.025, decay=schedule)", lr=schedule)
    assert_equal(got, by_formula(update), rtol=1e-4, atol=1e-6)
    factor = 100**-0.5  # sqrt(batch / (samples * epochs)) = 1 / sqrt(steps)
    got = trained("optimizer = adamw(lr=0.01, weight_decay=0.025, decay=normalized)", lr=schedule)
    assert_equal(got, by_formula(update), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("own", ["group linear { lr = 5 * lr }", "layer_decay = layer_decay(0.2)"])
def test_decay_by_the_schedule_alone_is_that_of_every_group(own: str) -> None:
    """A group's lr is no part of the schedule: all weights of both nets lose the same share in a step."""

    def decayed(fields: str) -> dict[str, Tensor]:
        module, found = net(), recipe(f"optimizer = adamw(lr=0.01, weight_decay=0.5, decay=schedule)\n{fields}")
        layers = {n: int(n[0]) for n, _ in module.named_parameters()} if found.layer_decay else None
        updater = Updater(module, group(found, roles_of(module), layers), found, 100)
        for p in module.parameters():
            p.grad = torch.zeros_like(p)
        updater.set_lr(0.002)
        updater.step()
        return dict(module.named_parameters())

    for name, p in decayed(own).items():
        torch.testing.assert_close(p, dict(net().named_parameters())[name] * (1 - 0.2 * 0.5))


def test_lr_follows_the_batch_it_is_stated_for() -> None:
    assert peak_lr(recipe("batch = 1024\noptimizer = adamw(lr=5e-4, per_batch=512)")) == pytest.approx(1e-3)
    assert peak_lr(recipe("batch = 1024\noptimizer = adamw(lr=5e-4)")) == 5e-4


def spec_parameters(name: str) -> tuple[tuple[Parameter, ...], Any]:
    spec = Spec(load_source(SPECS / name.partition(":")[0]), read_import)
    program = spec.net(name.partition(":")[2]).checked
    return tuple(Parameter(p.path, p.role, p.shape) for p in parameters(program.main)), program


def test_weight_decay_by_role_for_convnext_t() -> None:
    """optim_factory.py of the ConvNeXt repository: none for one axis and biases; here by role alone."""
    found, _ = spec_parameters("convnext.net:ConvNeXt_T")
    groups = group(recipe("group norm, bias, scale { weight_decay = 0 }"), found)
    assert len(groups) == 2
    free = {p for g in groups if g.settings.get("weight_decay") == 0 for p in g.paths}
    by_rank = {p.path for p in found if len([s for s in p.shape if s > 1]) <= 1}
    assert free == by_rank
    assert sum(len(g.paths) for g in groups) == len(found) == 182


def published_layer(stage: int | None, block: int | None) -> int:
    """get_num_layer_for_convnext of the ConvNeXt repository: `block` None for the downsampling before a stage."""
    if stage is None:
        return 13
    if block is None:
        return {0: 0, 1: 2, 2: 3, 3: 12}[stage]
    return {0: 1, 1: 2, 2: 3 + block // 3, 3: 12}[stage]


@pytest.mark.parametrize("name", ["ConvNeXt_T", "ConvNeXt_S"])
def test_layer_decay_is_convnexts_published_assignment(name: str) -> None:
    found, program = spec_parameters(f"convnext.net:{name}")
    numbers = layer_numbers(program, blocks=3, last=12)
    for parameter in found:
        parts = parameter.path.split(".")
        if parts[0] == "stem":
            expected = published_layer(0, None)
        elif parts[0] == "head":
            expected = published_layer(None, None)
        else:
            stage, place = int(parts[1]), int(parts[2])
            before = 2 if stage else 0
            expected = published_layer(stage, place - before if place >= before else None)
        assert numbers[parameter.path] == expected, parameter.path
    groups = group(recipe("layer_decay = layer_decay(0.8, blocks=3, layers=12)"), found, numbers)
    scales = {g.layer: g.lr_scale for g in groups}
    assert scales == {i: pytest.approx(0.8 ** (13 - i)) for i in sorted(set(numbers.values()))}


def test_layers_of_a_resnet_follow_its_blocks() -> None:
    _, program = spec_parameters("resnet.net:ResNet18")
    numbers = layer_numbers(program)
    assert sorted(set(numbers.values())) == list(range(10))  # stem, 8 blocks, head
    assert {n for p, n in numbers.items() if p.startswith("stem")} == {0}
    assert {n for p, n in numbers.items() if p.startswith("head")} == {9}


def test_selectors_and_frozen_parameters() -> None:
    found = roles_of(net())
    fields = "optimizer = adamw(lr=1e-3)\ngroup norm { lr = 64 * lr }\ngroup 3 { weight_decay = 0 }\nfreeze bias"
    groups = group(recipe(fields.replace("group 3", "group linear")), found)
    assert {g.paths: (g.lr_scale, g.settings) for g in groups} == {
        ("0.weight",): (1.0, {}),
        ("1.weight", "1.bias"): (pytest.approx(64), {}),
        ("3.weight",): (1.0, {"weight_decay": 0.0}),
    }
    (mistake,) = selector_mistakes(recipe("group stemm { lr = 2 * lr }"), found, NOWHERE)
    assert "selects no parameter" in mistake.message


def selects(selector: str, parameter: Parameter) -> bool:
    """Whether a selector means a parameter, told from this one alone."""
    if selector in ROLES:
        return parameter.role == selector
    if selector == "vector":
        return len(parameter.shape) <= 1
    return f".{selector}." in f".{parameter.path}."


def test_selectors_asked_together_mean_what_each_means() -> None:
    draw, words = Random(0), ["a", "b", "conv", "0", "vector", "norm", "bias", "stem"]
    for _ in range(500):
        asked = [".".join(draw.choices(words, k=draw.randint(1, 3))) for _ in range(draw.randint(0, 5))]
        path = ".".join(draw.choices(words, k=draw.randint(1, 5)))
        one = Parameter(path, draw.choice([*ROLES, "other"]), (3,) * draw.randint(0, 3))
        assert Selectors(asked).meaning(one) == {word for word in asked if selects(word, one)}


def test_a_later_group_wins() -> None:
    groups = group(recipe("group norm { weight_decay = 0 }\ngroup norm { weight_decay = 0.3 }"), roles_of(net()))
    assert {g.settings.get("weight_decay") for g in groups} == {None, 0.3}


def test_the_first_step_loads_neither_the_compiler_nor_scikit_learn() -> None:
    """They take 1.5 s each, and a run on digits needs none of them."""
    program = """if True:
        import sys
        import torch
        from netdsl.recipe.schema import Recipe
        from netdsl.recipe.optimizers import AdamW
        from netdsl.training.optim.optimizers import BUILDERS
        from netdsl.training.readers.digits import _load
        weight = torch.nn.Parameter(torch.ones(2))
        (found,) = BUILDERS[AdamW()](AdamW(), [{"params": [weight], "weight_decay": 0.1}])
        weight.grad = torch.ones(2)
        found.step(), found.zero_grad(), found.load_state_dict(found.state_dict())
        assert weight[0] < 1 and weight.grad is None
        assert len(_load()[0]) == 1797
        print(*({"torch._dynamo", "sklearn"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
