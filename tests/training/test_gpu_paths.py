"""What a GPU would meet, by other means: memory that runs out, compilers that count, layouts, precisions, processes.

None of this has run on a GPU.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from recipe_harness import recipe
from torch import Tensor, nn
from training_harness import loop_of, samples, small_net

import netdsl
from netdsl.cli.main import main
from netdsl.planning.groups import ParameterGroup
from netdsl.training.capacity import held_on
from netdsl.training.devices import choose_device
from netdsl.training.diagnose import diagnose_gradient
from netdsl.training.distributed import process_group
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.reach import unreached
from netdsl.training.distributed.shards import shard, whole
from netdsl.training.errors import DataError
from netdsl.training.evaluate import Evaluator
from netdsl.training.kernels import compiler
from netdsl.training.kernels.cpu_convolutions import is_exact
from netdsl.training.losses.criterion import Criterion
from netdsl.training.optim.optimizers import MatrixMuon, Updater
from netdsl.training.varying_dropout import let_rates_vary, set_rate

FIELDS = "steps = 12\nbatch = 16\nschedule = cosine\n"


# The device.


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[torch.device]]:
    """Pretends that there are so many GPUs; the devices that were set."""

    def pretend(count: int) -> list[torch.device]:
        chosen: list[torch.device] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        return chosen

    return pretend


def test_cuda_is_the_gpu_of_the_process(gpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = gpus(2)
    assert choose_device("cuda") == choose_device(None) == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_device("cuda") == torch.device("cuda:1")
    assert all(d.index is not None for d in chosen), "torch.cuda.set_device takes no other"


@pytest.mark.parametrize(
    ("count", "world", "name", "said"),
    [
        (0, 1, "cuda", "sees no GPUs here"),
        (1, 1, "cuda:1", "there is no `cuda:1`: torch sees 1 GPU here"),
        (1, 2, None, "2 processes of this machine need a GPU each, and torch sees 1 GPU here"),
        (2, 2, "cuda:0", "2 processes cannot all compute on `cuda:0`"),
        (1, 1, "gpu", "no kind of device called `gpu`"),
    ],
)
def test_a_device_that_is_not_there_is_said(
    gpus: Any, monkeypatch: pytest.MonkeyPatch, count: int, world: int, name: str | None, said: str
) -> None:
    gpus(count)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
    with pytest.raises(DataError, match=said):
        choose_device(name)


# Memory.


class Holding(nn.Module):
    """Fails with more samples than fit, and notes whether an earlier attempt's activations are still there."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.alive: list[bool] = []
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if self.last is not None:
            self.alive.append(self.last() is not None)
        activations = x * 2
        self.last = weakref.ref(activations)
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.last = None
        return activations


def test_what_fits_is_measured_with_the_failed_activations_gone() -> None:
    gate = Holding(5)
    loop = loop_of(FIELDS, module=nn.Sequential(gate, *small_net(norm=False)))
    gc.disable()
    try:
        with pytest.raises(DataError, match="16 samples at once; 5 fit"):
            loop.update(0)
    finally:
        gc.enable()
    assert gate.alive
    assert not any(gate.alive)


def test_data_that_a_device_does_not_hold_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer samples at once would not help."""
    split = samples(64)

    def refuse(self: object, device: torch.device) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(split), "to", refuse)
    with pytest.raises(DataError, match=r"no memory for 64 samples of `mine`: [0-9,]+ bytes") as found:
        held_on(torch.device("cpu"), split, "mine")
    assert split.held == sum(x.nbytes for x in split.inputs) + split.target.nbytes
    assert "read batch by batch" in (found.value.hint or "")
    assert "micro_batch" not in (found.value.hint or "")


# The compiler.


class Counting:
    """A backend of torch's compiler that compiles nothing, and counts compilations and calls of what it compiled."""

    def __init__(self) -> None:
        self.compiled = self.called = 0

    def __call__(self, graph: torch.fx.GraphModule, example: list[Tensor]) -> Any:
        self.compiled += 1

        def call(*arguments: Any) -> Any:
            self.called += 1
            return graph.forward(*arguments)

        return call


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    torch._dynamo.reset()
    backend, compile_with = Counting(), nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_with(self, backend=backend))
    monkeypatch.setattr(compiler, "missing", lambda device: None)
    return backend


def test_the_end_of_a_compiled_run_compiles_nothing(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last evaluation on, which measures the result, the compiled net is not called: on the host it would be
    compiled once more."""
    from netdsl.training import begun

    finish, calls = begun.finish, []

    def finished(*arguments: Any) -> Any:
        found = finish(*arguments)
        calls.append((counting.compiled, counting.called))
        return found

    monkeypatch.setattr(begun, "finish", finished)
    net = netdsl.load(netdsl.Source("net A { input image [1, 8, 8]\n flatten -> linear(10) }"))
    settings = {"steps": 3, "batch": 32, "compile": "on"}
    run = net.train(data="digits(test=0.05)", settings=settings, folder=tmp_path / "run", quiet=True, device="cpu")
    assert calls == [(counting.compiled, counting.called)]
    assert counting.called > 3
    assert run.result["onnx_difference"] < 1e-5


LONG = compiler.Work(10**7, 10**6)


@pytest.mark.parametrize(
    ("work", "short"),
    [
        (compiler.Work(690, 10**6), True),  # digits
        (compiler.Work(450_000, 4 * 10**9), False),  # ResNet-50, 90 epochs of ImageNet
        (compiler.Work(64_000, 4 * 10**7), False),  # ResNet-20, CIFAR
        (compiler.Work(690, None), False),
    ],
)
def test_a_short_run_is_not_compiled(work: compiler.Work, short: bool, counting: Counting) -> None:
    """Compiling takes half a minute, and a run of LeNet on digits a second."""
    module, recipe = nn.Sequential(*[small_net() for _ in range(20)]), loop_of(FIELDS).recipe
    said = compiler.compile_as_asked([module], recipe, torch.device("cuda", 0), work)
    assert compiler.is_compiled(module) is not short
    assert ("too short" in "".join(said)) is short


def test_auto_goes_on_without_a_compiler_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "missing", lambda device: "needs Triton on a GPU, and there is none")
    module, recipe = small_net(), loop_of(FIELDS).recipe
    said = compiler.compile_as_asked([module], recipe, torch.device("cuda", 0), LONG)
    assert said == ["not compiled: torch's compiler needs Triton on a GPU, and there is none"]
    assert not compiler.is_compiled(module)
    on = loop_of(FIELDS + "compile = off").recipe
    from msgspec.structs import replace

    with pytest.raises(DataError, match="`compile = on` needs Triton"):
        compiler.compile_as_asked([module], replace(on, compile="on"), torch.device("cuda", 0), LONG)


def test_what_a_gpu_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old Card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert "newer than Old Card" in str(compiler.missing(gpu))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("torch.utils._triton.has_triton_package", lambda: True)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert compiler.missing(gpu) == "needs a C compiler on a GPU, and there is none"


@pytest.mark.parametrize("asked", [False, True])
def test_a_deterministic_run_is_compiled_deterministically(counting: Counting, asked: bool) -> None:
    from torch._inductor import config

    before = config.deterministic
    try:
        loop_of(FIELDS + f"compile = on\ndeterministic = {str(asked).lower()}")
        assert config.deterministic is asked
    finally:
        config.deterministic = before


def test_parts_of_a_net_are_compiled_and_computed_without(counting: Counting) -> None:
    """As the blocks of a net in shards are."""
    module = nn.Sequential(Own(nn.Linear(4, 4), nn.ReLU()), Own(nn.Linear(4, 4)))
    recipe = loop_of(FIELDS + "compile = on").recipe
    counting.compiled = 0
    assert not compiler.compile_as_asked(list(module), recipe, torch.device("cpu"), LONG)
    x = torch.randn(2, 4)
    wanted = module(x)
    assert counting.compiled == 2
    assert compiler.is_compiled(module)
    counting.called = 0
    with compiler.eager(module):
        torch.testing.assert_close(module(x), wanted)
    assert not counting.called
    module(x)
    assert counting.called == 2
    compiler.uncompile(module)
    assert not compiler.is_compiled(module)


class Own(nn.Sequential):
    """A module with a forward pass of its own: dynamo passes over torch's."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


def test_a_dropout_ramp_is_compiled_once(counting: Counting) -> None:
    """A batch, and an evaluation: two forms, whatever the rates are. As a number, each rate is one of its own."""
    fields = "steps = 20\nbatch = 10\nevaluate = 10 steps\ncompile = on\ndropout = linear(0, 0.4)"
    loop = loop_of(fields, module=Own(*small_net()))
    loop.run()
    assert 0 < counting.compiled <= 4


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout()], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_varying_dropout_is_dropout(layer: nn.Module, rate: float) -> None:
    """The same mean and deviation as torch's layer of that rate; nothing is done at inference."""
    x = torch.randn(400, 50, 2, 2, generator=torch.Generator().manual_seed(0)) + 1
    plain = type(layer)(rate)
    torch.manual_seed(0)
    wanted = plain(x)
    holder = nn.Sequential(type(layer)())
    let_rates_vary(holder)
    set_rate(holder[0], rate)
    assert not holder.state_dict()
    found = holder(x)
    assert torch.isfinite(found).all()
    assert float(found.mean()) == pytest.approx(float(wanted.mean()), abs=0.02)
    assert float(found.std()) == pytest.approx(float(wanted.std()), abs=0.02)
    assert torch.equal(holder.eval()(x), x)


def test_a_gradient_is_diagnosed_without_the_compiler(counting: Counting) -> None:
    """Hooks that are added later are not seen by compiled code."""

    class Blown(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * float("inf")

    class Blowing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Blown.apply(x)

    def found(compiled: bool) -> str:
        module = Own(nn.Flatten(), nn.Linear(64, 8), Blowing(), nn.Linear(8, 3))
        loop = loop_of(FIELDS + f"compile = {'on' if compiled else 'off'}", module=module)
        batch = loop.feed.batch(0)
        loop.module(*batch.inputs)
        return diagnose_gradient(loop.module, batch, loop.criterion)

    assert found(True) == found(False)


# Muon.


def convolutions() -> nn.Module:
    torch.manual_seed(2)
    layers = [nn.Conv2d(1, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 3, 6, bias=False), nn.Flatten()]
    return nn.Sequential(*layers)


MUON = "steps = 6\nbatch = 16\noptimizer = muon(lr=0.02)\n"


def trained(fields: str, module: nn.Module, half: torch.dtype | None = None, scale: float = 1.0) -> Any:
    loop = loop_of(MUON + fields, module=module)
    if half is not None:
        loop.autocast = half
        loop.scaler = torch.amp.GradScaler("cpu", scale, enabled=half == torch.float16)
    loop.run()
    return loop


EXACT = pytest.mark.skipif(not is_exact(torch.device("cpu")), reason="no AVX-512: channels-last is wrong in torch")


@EXACT
@pytest.mark.parametrize("net", [convolutions, partial(small_net, norm=False)], ids=["convolutions", "with biases"])
def test_muon_is_the_same_in_every_layout(net: Callable[[], nn.Module]) -> None:
    modules = [net(), net()]
    for module in modules:
        module.apply(lambda layer: setattr(layer, "p", 0.0) if isinstance(layer, nn.Dropout) else None)
    one, other = trained("layout = nchw", modules[0]), trained("layout = channels_last", modules[1])
    for a, b in zip(one.module.parameters(), other.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-4)
    assert next(p for p in other.module.parameters() if p.ndim == 4).is_contiguous(memory_format=torch.channels_last)


def test_muon_is_torchs_muon_on_the_matrix() -> None:
    weight = nn.Parameter(torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    matrix = nn.Parameter(weight.detach().reshape(6, -1).clone())
    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    ours = MatrixMuon([{"params": [weight], "weight_decay": 0.1}], lr=0.1)
    theirs = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.1)
    for step in range(3):
        gradient = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(step + 1))
        weight.grad, matrix.grad = gradient.contiguous(memory_format=torch.channels_last), gradient.reshape(6, -1)
        ours.step()
        theirs.step()
    assert torch.equal(weight.reshape(6, -1), matrix)
    assert set(ours.state) == {weight}


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("net", [convolutions, small_net])
def test_muon_with_fp16_does_not_depend_on_the_scale(net: Callable[[], nn.Module], layout: str) -> None:
    fields = f"layout = {layout}\nclip = 0.01"
    small, large = (trained(fields, net(), torch.float16, scale) for scale in (64.0, 4096.0))
    for a, b in zip(small.updater.optimizers, large.updater.optimizers, strict=True):
        for p, q in zip(a.state.values(), b.state.values(), strict=True):
            name = "momentum_buffer" if "momentum_buffer" in p else "exp_avg"
            torch.testing.assert_close(p[name], q[name], rtol=0.05, atol=1e-4)


# Evaluation.


@EXACT
def test_evaluation_is_computed_in_the_precision_and_layout_of_training() -> None:
    loop = loop_of(FIELDS + "layout = channels_last\nema = 0.5", module=small_net(norm=False))
    loop.autocast = torch.bfloat16
    seen: list[tuple[torch.dtype, bool]] = []

    def watch(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        last = inputs[0].is_contiguous(memory_format=torch.channels_last)
        seen.append((output.dtype, last))

    loop.module[0].register_forward_hook(watch)
    loop.evaluate()
    assert seen
    assert set(seen) == {(torch.bfloat16, True)}


@pytest.mark.parametrize("count", [1, 2, 64, 65, 66, 129])
def test_every_process_evaluates_equally_often(count: int) -> None:
    """Shards are gathered by all processes together; each sample still counts once."""
    recipe = loop_of("steps = 1\nbatch = 64\nmetrics = [confusion]").recipe
    split, calls, total = samples(count), Counter[int](), torch.zeros(3, 3, dtype=torch.long)
    net = small_net(norm=False).eval()

    class Alone(ProcessGroup):
        def sum(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return tensors

    names: set[tuple[str, ...]] = set()
    for rank in range(2):
        evaluator = Evaluator(recipe, ("output",), ("output",), "classes", 3, Alone(rank, 2))

        def forward(*inputs: Tensor, rank: int = rank) -> Tensor:
            calls[rank] += 1
            return net(*inputs)

        found = evaluator(forward, split)
        names.add(tuple(found))
        total += torch.tensor(found["confusion"])
    assert calls[0] == calls[1]
    assert len(names) == 1, "what is summed over the processes has the same names everywhere"
    assert int(total.sum()) == count


# Several processes.


@pytest.mark.parametrize(
    ("backend", "numbers", "hook"),
    [
        ("nccl", "bf16", "bf16_compress_hook"),
        ("gloo", "fp16", "fp16_compress_hook"),
        ("nccl", "fp32", None),
        ("gloo", "bf16", "refused"),
    ],
)
def test_gradients_are_exchanged_by_torchs_hooks(
    monkeypatch: pytest.MonkeyPatch, backend: str, numbers: str, hook: str | None
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(dist, "get_backend", lambda: backend)
    joined = SimpleNamespace(register_comm_hook=lambda state, function: seen.append(function.__name__))
    if hook == "refused":
        with pytest.raises(DataError, match="cannot add up bf16"):
            process_group._exchanging(joined, numbers)
    else:
        assert process_group._exchanging(joined, numbers) is joined
        assert seen == ([hook] if hook else [])


class Branched(nn.Module):
    """An output `main`, and `aux` while training."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.main, self.aux = nn.Linear(64, 8), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.trunk(x.flatten(1)).relu()
        return (self.main(x), self.aux(x)) if self.training else self.main(x)


def test_parameters_behind_an_output_of_weight_0_are_found() -> None:
    recipe = loop_of(FIELDS).recipe
    criterion = Criterion(recipe, ("main", "aux"), ("main",))
    module = Branched()
    assert unreached(module, criterion, samples()) == {"aux.weight", "aux.bias"}
    assert all(p.device.type == "cpu" for p in module.parameters())


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("fields", ["lion(lr=0.01)", "rmsprop(lr=0.01, tensorflow=true, momentum=0.9)"])
def test_optimizers_of_our_own_take_weights_in_parts(alone: None, fields: str) -> None:
    """Each process updates its part; torch's operators over many tensors do not all take parts."""
    nets, x = [], torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    for parted in (False, True):
        torch.manual_seed(0)
        net = nn.Linear(5, 7)
        if parted:
            shard(net, 1, torch.device("cpu"))
        groups = [ParameterGroup(tuple(n for n, _ in net.named_parameters()), 1.0, {"weight_decay": 0.1})]
        updater = Updater(net, groups, recipe(f"optimizer = {fields}"), 10)
        for _ in range(3):
            updater.set_lr(0.01)
            updater.zero()
            net(x).square().sum().backward()
            updater.step()
        nets.append([whole(p) for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*nets, strict=True))


def test_shards_are_gathered_in_the_precision_of_the_forward_pass(alone: None) -> None:
    """Blocks without batch norms in bf16; gradients are float32, and those of autocast alone to bf16's rounding."""

    class Block(nn.Module):
        def __init__(self, *layers: nn.Module) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    def net() -> nn.Module:
        torch.manual_seed(0)
        plain = Block(nn.Linear(64, 160), nn.LayerNorm(160), nn.ReLU())
        return nn.Sequential(plain, Block(nn.Linear(160, 80), nn.BatchNorm1d(80), nn.Linear(80, 3)))

    def gradients(module: nn.Module) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            module(samples().inputs[0].flatten(1)).float().square().sum().backward()
        return {n: whole(p.grad) for n, p in module.named_parameters()}

    sharded, seen = net(), {}
    for number, block in enumerate(sharded):
        block.layers[0].register_forward_pre_hook(lambda m, x, number=number: seen.update({number: m.weight.dtype}))
    shard(sharded, 1, torch.device("cpu"), torch.bfloat16)
    found, wanted = gradients(sharded), gradients(net())
    assert seen == {0: torch.bfloat16, 1: torch.float32}
    for name, gradient in wanted.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], gradient, rtol=0.05, atol=0.05 * float(gradient.abs().max()))


def test_a_process_that_fails_waits_for_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Closing the group, or taking the interpreter down, would wait for processes that wait for this one."""
    ended: list[int] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(ProcessGroup, "from_environment", lambda device: ProcessGroup(1, 2))
    monkeypatch.setattr(ProcessGroup, "close", lambda self: pytest.fail("the group is closed"))
    monkeypatch.setattr("netdsl.training.distributed.launch.os._exit", ended.append)
    (tmp_path / "a.net").write_text(AUX)
    assert main(["train", str(tmp_path / "a.net"), "--data", 'npz("none.npz")', "--device", "cpu"]) == 1
    assert ended == [1]


@pytest.mark.parametrize("name", ["F", "nn", "Tensor"])
def test_a_net_may_be_called_as_a_module_of_torch(name: str) -> None:
    """`F` is what emitted code calls torch.nn.functional."""
    net = netdsl.load(netdsl.Source(f"net {name} {{ input x [4]\n linear(3) -> relu -> linear(2) }}"))
    assert net.module(0)(torch.randn(2, 4)).shape == (2, 2)


AUX = """
net Aux {
  input image [1, 8, 8]
  flatten -> linear(16) -> relu as trunk
  output aux = trunk -> linear(10) when training
  trunk -> linear(10)
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "settings"),
    [(AUX, ["batch=32"]), ("ResNet20", ["shard=fsdp", "micro_batch=8", "batch=16"])],
    ids=["an output of weight 0", "shards and an odd number of chunks"],
)
def test_two_processes_come_to_the_end(tmp_path: Path, spec: str, settings: list[str]) -> None:
    if spec == "ResNet20":
        words = ["resnet_cifar:ResNet20", "--data", "synthetic(train=32, test=33)"]
    else:
        (tmp_path / "a.net").write_text(spec)
        words = ["a.net", "--data", "digits(test=0.05)"]
    sets = [word for s in ("steps=3", *settings) for word in ("--set", s)]
    command = [sys.executable, "-m", "netdsl", "train", *words, *sets, "--devices", "2", "--device", "cpu"]
    done = subprocess.run(
        [*command, "--no-onnx", "-q", "-o", "run"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["result"]["n"] > 30


def test_a_second_signal_ends_processes_that_cannot_be_told(tmp_path: Path) -> None:
    """Stand-ins that wait for ever and keep only a note of SIGTERM, as in an exchange that hangs."""
    (tmp_path / "netdsl").mkdir()
    (tmp_path / "netdsl" / "__init__.py").touch()
    (tmp_path / "netdsl" / "__main__.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *a: None)\nopen(str(time.time()), 'w')\n"
        "while True:\n    time.sleep(1)\n"
    )
    code = f"import sys; sys.path.insert(0, {str(Path(netdsl.__file__).parents[1])!r})\n"
    code += "from netdsl.training.distributed.launch import launch\nsys.exit(launch(2, ['train']))"
    own = {**os.environ, "PYTHONPATH": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=own, stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    while len(list(tmp_path.glob("1*"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    parent.send_signal(signal.SIGTERM)
    time.sleep(1.3)
    assert parent.poll() is None
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) != 0


def test_a_signal_gives_a_time_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl.training.distributed import launch as room

    monkeypatch.setattr(room, "LEAVE", 0.5)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    began = time.monotonic()
    assert room._wait([child], [began]) == 0
    assert time.monotonic() - began < 10
