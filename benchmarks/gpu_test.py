"""Training on one GPU, tested: what the tests reach on a CPU by other means only.

    make gpu-test                 at most 4 minutes on one H100 or H200, no network
    make gpu-test DEVICE=cpu      a rehearsal: every part runs, and the device is compared with itself

Each part says in a line what it found, or how it failed; the exit code is 1 if any failed. What needs two GPUs is not
here: an odd test split and an output of weight 0 over NCCL, a process that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from gpu_runs import made_images, parsed, text_trainer, wait
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._dynamo.utils import counters

import netdsl
from netdsl.training import begun
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.data.mix import Mixer
from netdsl.training.diagnose import diagnose_gradient
from netdsl.training.distributed.shards import shard, whole
from netdsl.training.errors import DataError, TrainingError
from netdsl.training.kernels import compiler
from netdsl.training.rng import KeyedRng
from netdsl.training.trainer import Trainer

SPEC = """
net Small(classes=10) {
  input image [3, 32, 32]
  conv(32, 3, bias=false) -> bn -> relu
  residual { conv(32, 3, bias=false) -> bn -> relu -> conv(32, 3, bias=false) -> bn }
  maxpool(2) -> conv(64, 3, bias=false) -> bn -> relu -> DROPOUT gap -> linear(classes)
}
"""
PLAIN, DROPPING = SPEC.replace("DROPOUT ", ""), SPEC.replace("DROPOUT", "dropout(0.1) ->")
CONVOLUTIONS = """
net Convolutions(classes=10) {
  input image [3, 32, 32]
  conv(16, 3, stride=2, bias=false) -> relu -> conv(classes, 3, stride=2, bias=false) -> gap
}
"""
OPTIMIZERS = (
    "sgd(lr=0.05, momentum=0.9)", "adam(lr=1e-3)", "adamw(lr=1e-3, weight_decay=0.05)", "nadam(lr=1e-3)",
    "radam(lr=1e-3)", "rmsprop(lr=1e-3)", "adagrad(lr=1e-2)", "lion(lr=1e-4)", "lamb(lr=5e-3)",
    "lars(lr=0.5, momentum=0.9)", "muon(lr=0.02)",
)  # fmt: skip
AUGMENTATIONS = (
    "hflip", "vflip", "crop(padding=4)", "random_resized_crop(32)", "rotate(15)",
    "affine(10, scale=[0.9, 1.1], shear=5)", "elastic(4, 8)",
    "translate(2)", "color_jitter(0.4, 0.4, 0.4, 0.1)", "grayscale(0.5)", "autocontrast(0.5)", "equalize(0.5)",
    "posterize(4)", "solarize(0.5)", "invert(0.5)", "gaussian_noise(0.1)", "randaugment(2, 9)", "trivialaugment",
    "autoaugment", "random_erasing(0.5)", "cutout(8)",
)  # fmt: skip
MIXES = ("mixup(0.4)", "cutmix(1.0)", "mixup(0.4, per=pair)", "cutmix(1.0, per=sample)")
MOST_SYNCS = 4
"""Times that one augmentation may make the host wait for the device."""

CPU = torch.device("cpu")


def losses(loop: Trainer, steps: int) -> list[float]:
    """The loss of some steps, read at the end."""
    found: list[Tensor] = []
    loop.watch = lambda what, numbers: found.append(numbers["loss"].detach().clone()) if what == "step" else None
    for i in range(steps):
        loop.update(i)
    return torch.stack(found).tolist()


def agree(a: list[float], b: list[float], within: float, what: str) -> None:
    worst = max(abs(x - y) / max(abs(y), 1e-3) for x, y in zip(a, b, strict=True))
    assert worst <= within, f"{what}: {worst:.2e} apart, {within:g} allowed"


def loop_of(device: torch.device, text: str = PLAIN, count: int = 128, **fields: Any) -> Trainer:
    usual = {"batch": 32, "steps": 1000, "schedule": "constant", "compile": "off", "validation": 0}
    return text_trainer(text, usual | fields, made_images(count, 32, 10), device)


@contextmanager
def cheap(device: torch.device) -> Iterator[None]:
    """On a CPU a backend of the compiler that generates no code."""
    if device.type == "cuda":
        yield
        return
    before, asked = nn.Module.compile, compiler.missing
    nn.Module.compile = lambda self: before(self, backend="eager")  # type: ignore[method-assign]
    compiler.missing = lambda device: None
    try:
        yield
    finally:
        nn.Module.compile, compiler.missing = before, asked  # type: ignore[method-assign]


def compilations() -> int:
    return counters["stats"]["unique_graphs"]


def net(text: str = PLAIN) -> Any:
    return netdsl.load(netdsl.Source(text, "gpu.net"))


def train(device: str | None, folder: Path | None = None, text: str = PLAIN, **more: Any) -> Any:
    wishes = {k: more.pop(k) for k in ("on_step", "onnx") if k in more}
    settings = {"steps": 20, "batch": 32, "compile": "off"} | more
    folder = Path(tempfile.mkdtemp()) / "run" if folder is None else folder
    data = "synthetic(train=128, test=32)"
    return net(text).train(data=data, settings=settings, folder=folder, quiet=True, device=device, **wishes)


def devices(device: torch.device) -> str:
    """The ways to say which device."""
    names = ("cuda", "cuda:0", None) if device.type == "cuda" else ("cpu",)
    for name in names:
        assert train(name, onnx=False).result["n"] == 32
    return f"{len(names)} names of the device, 20 steps each"


def ending(device: torch.device) -> str:
    """A compiled run to its end: nothing is compiled behind the last evaluation; without a compiler it says so."""
    finish, at = begun.finish, []

    def finished(*arguments: Any) -> Any:
        found = finish(*arguments)
        at.append(compilations())
        return found

    begun.finish = finished
    try:
        with cheap(device):
            torch._dynamo.reset()
            began = compilations()
            run = train(str(device), compile="on")
            assert at[0] > began, "nothing was compiled"
            assert compilations() == at[0], f"{compilations() - at[0]} compilations after training"
            assert run.result["onnx_difference"] < 1e-3
    finally:
        begun.finish = finish
    if device.type != "cuda":
        return f"{at[0] - began} compilations, none after training"
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; from gpu_test import *; "
        "loop = loop_of(torch.device('cuda', 0), compile='auto', steps=10**7); print(loop.notes); losses(loop, 3)"
    )
    hidden = {**os.environ, "CC": "/nowhere/cc", "CXX": "/nowhere/c++"}
    done = subprocess.run(
        [sys.executable, "-c", code, *sys.path], env=hidden, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert "needs a C compiler" in done.stdout, done.stdout
    return f"{at[0] - began} compilations, none after training; without a compiler: {done.stdout.strip()}"


FRACTION = 0.06
"""Of a GPU's memory, for the test of what fits."""


def memory(device: torch.device) -> str:
    """A batch that does not fit: the number that is said to fit against one that a fresh process finds."""
    if device.type != "cuda":
        return "only on a GPU"
    torch.cuda.set_per_process_memory_fraction(FRACTION, device)
    try:
        loop = loop_of(device, count=4096, batch=4096, precision="bf16")
        said = None
        try:
            loop.update(0)
        except DataError as error:
            said = str(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()
    assert said is not None, "4,096 samples fit"
    fit = int(said.rpartition("; ")[2].split()[0].replace(",", ""))
    code = "import sys; sys.path[:0] = sys.argv[1:]; from gpu_test import *; print(fitting())"
    done = subprocess.run([sys.executable, "-c", code, *sys.path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    alone = int(done.stdout.split()[-1])
    assert abs(fit - alone) <= 0.1 * alone, f"{fit} fit, {alone} in a fresh process"
    return f"{fit} fit, {alone} in a fresh process"


def fitting() -> int:
    """The largest batch of which a step fits into FRACTION of the memory."""
    device = torch.device("cuda", 0)
    torch.cuda.set_per_process_memory_fraction(FRACTION, device)
    low, high = 0, 4096
    while high - low > 40:
        middle = (low + high) // 2
        try:
            loop_of(device, count=4096, batch=middle, precision="bf16").update(0)
            wait(device)
            low = middle
        except (DataError, torch.OutOfMemoryError):
            high = middle
        torch.cuda.empty_cache()
    return low


def muon(device: torch.device) -> str:
    """Muon on convolutions, in both layouts and both half precisions, with clipping."""
    for text in (PLAIN, CONVOLUTIONS):
        for precision in ("bf16", "fp16"):
            fields = {"optimizer": "muon(lr=0.02)", "precision": precision, "clip": "norm(1.0)"}
            found = [losses(loop_of(device, text, layout=x, **fields), 8) for x in ("nchw", "channels_last")]
            agree(found[1], found[0], 0.05, f"layouts in {precision}")
    return "2 nets, 2 layouts, 2 precisions"


def feed(device: torch.device) -> str:
    """Every augmentation and mixing on the device against the host, and how often the host waits."""
    x, index = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(64)
    most = 0, ""
    for words in AUGMENTATIONS:
        pipeline = Pipeline(loop_of(CPU, augment=words).recipe.augment)

        def made(place: torch.device, pipeline: Pipeline = pipeline) -> Tensor:
            return pipeline((x.to(place),), index.to(place), KeyedRng(3, index.to(place)), 1)[0][0]

        on_device, waits = counted(lambda: made(device), device)
        apart = (on_device.cpu() - made(CPU)).abs()
        # A threshold may fall between two roundings of one number: hardly any value may.
        assert float((apart > 1e-4).float().mean()) < 1e-3, f"{words}: {float(apart.max()):.1e} apart"
        most = max(most, (waits, words))
    assert most[0] <= MOST_SYNCS, f"{most[1]} makes the host wait {most[0]} times"
    for words in MIXES:
        loop = loop_of(CPU, mix=words)
        mix = Mixer(loop.recipe.mix, 0).draw(0)
        assert mix is not None, f"{words} was not drawn"
        target = torch.eye(10)[torch.arange(64) % 10]
        parts = [mix.apply((x.to(p),), target.to(p), index[:60].to(p)) for p in (device, CPU)]
        assert torch.allclose(parts[0][0][0].cpu(), parts[1][0][0], atol=1e-5), words
        assert torch.allclose(parts[0][1].cpu(), parts[1][1], atol=1e-5), words
    return f"{len(AUGMENTATIONS)} augmentations, {len(MIXES)} mixings; at most {most[0]} waits ({most[1]})"


def counted(work: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, int]:
    """What some work gives, and how often it waited for the device."""
    work()
    if device.type != "cuda":
        return work(), 0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            found = work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found, sum("synchroniz" in str(w.message) for w in said)


def arithmetic(device: torch.device) -> str:
    """Twenty steps on the device against the host, in each precision and with each optimizer."""
    wanted = losses(loop_of(CPU, optimizer="sgd(lr=0.01)"), 20)
    agree(losses(loop_of(device, optimizer="sgd(lr=0.01)", precision="fp32"), 20), wanted, 2e-3, "fp32")
    for precision in ("tf32", "bf16", "fp16"):
        agree(losses(loop_of(device, optimizer="sgd(lr=0.01)", precision=precision), 20), wanted, 0.03, precision)
    for words in OPTIMIZERS:
        pair = [losses(loop_of(d, optimizer=words, precision="fp32"), 5) for d in (device, CPU)]
        agree(*pair, 0.02, words)
    return f"4 precisions, {len(OPTIMIZERS)} optimizers"


def recompilations(device: torch.device) -> str:
    """Rates that change, averages and a short last batch are few forms for the compiler."""
    counts = []
    for more in ({}, {"progressive": "progressive(stages=2, size=[16, 32])", "augment": "random_resized_crop(32)"}):
        with cheap(device):
            torch._dynamo.reset()
            began = compilations()
            fields = {
                "dropout": "linear(0, 0.3)",
                "drop_path": "linear(0, 0.2)",
                "ema": "0.9",
                "compile": "on",
                "steps": 16,
            }
            loop = loop_of(device, DROPPING, count=100, evaluate="4 steps", **(fields | more))
            loop.run()
            counts.append(compilations() - began)
    assert counts[0] <= 5, f"{counts[0]} compilations"
    assert counts[1] <= 8, f"{counts[1]} compilations with two sizes"
    return f"{counts[0]} compilations, {counts[1]} with two sizes of images"


def resuming(device: torch.device) -> str:
    """A run that fails and is resumed, and the same run twice, bit for bit; compiled and not."""
    for compiled in ("off", "on"):
        with cheap(device), tempfile.TemporaryDirectory() as name:
            base = Path(name)
            fields = {
                "compile": compiled, "deterministic": True, "checkpoint": "3 steps", "steps": 12, "ema": 0.9,
                "precision": "bf16",
            }  # fmt: skip

            def fails(event: Any) -> None:
                if event.step == 8:
                    raise RuntimeError("meant")

            for folder in ("one", "two"):
                train(str(device), base / folder, onnx=False, **fields)
            try:
                train(str(device), base / "broken", onnx=False, on_step=fails, **fields)
            except TrainingError:
                netdsl.open_run(base / "broken").resume(device=str(device), onnx=False, quiet=True)
            tensors = {f: load_file(base / f / "model.safetensors") for f in ("one", "two", "broken")}
            for key, tensor in tensors["one"].items():
                assert torch.equal(tensor, tensors["two"][key]), f"twice, compile {compiled}: {key}"
                assert torch.equal(tensor, tensors["broken"][key]), f"resumed, compile {compiled}: {key}"
    torch.use_deterministic_algorithms(False)
    return "twice and resumed the same bits, compiled and not"


class Blown(torch.autograd.Function):
    """The identity, whose gradient is infinite."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * float("inf")


class Blowing(nn.Module):
    """Two layers with `Blown` between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3 * 32 * 32, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(Blown.apply(self.first(x.flatten(1))))


def diagnosis(device: torch.device) -> str:
    """Where a gradient ceases to be finite, compiled and not."""
    loop, module = loop_of(device), Blowing().to(device)
    batch = loop.feed.batch(0)
    wanted = diagnose_gradient(module, batch, loop.criterion)
    with cheap(device):
        torch._dynamo.reset()
        module.compile()
        module(*batch.inputs)
        found = diagnose_gradient(module, batch, loop.criterion)
    assert found == wanted, f"{found!r}, {wanted!r} without the compiler"
    return found


def groups(device: torch.device) -> str:
    """One process over NCCL: DistributedDataParallel and shards against the module alone."""
    meeting = f"file://{tempfile.mkdtemp()}/meeting"
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=0, world_size=1)
    try:
        x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
        ids = [device.index] if device.type == "cuda" else None

        def gradients(join: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
            module = net().module(0).to(device)
            join(module)(x).square().sum().backward()
            return {n: whole(p.grad) for n, p in module.named_parameters()}

        wanted = gradients(lambda m: m)
        joined = gradients(lambda m: nn.parallel.DistributedDataParallel(m, device_ids=ids))
        parted = gradients(lambda m: shard(m, 1, device))
        for key, tensor in wanted.items():
            assert torch.allclose(joined[key], tensor, rtol=1e-3, atol=1e-4), f"DDP: {key}"
            assert torch.allclose(parted[key], tensor, rtol=1e-3, atol=1e-4), f"shards: {key}"
    finally:
        dist.destroy_process_group()
    return f"{backend}: DDP and shards of one process"


PARTS: tuple[tuple[Callable[[torch.device], str], float], ...] = (
    (devices, 15), (ending, 50), (memory, 40), (muon, 15), (feed, 15), (arithmetic, 25), (recompilations, 50),
    (resuming, 50), (diagnosis, 15), (groups, 10),
)  # fmt: skip
"""By value, with the seconds without which a part is not begun."""


def main() -> int:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
    device, report, only = parsed(__doc__, "out/gpu-test.json", 240, [part.__name__ for part, _ in PARTS])
    failed = 0
    for part, needs in PARTS:
        name = part.__name__
        if name not in only:
            continue
        if report.left < needs:
            report.add(part=name, ok=False, skipped=f"{report.left:.0f} s left, it needs {needs:.0f}")
            failed += 1
            continue
        try:
            began = report.left
            said = part(device)
            report.add(part=name, ok=True, found=said, seconds=round(began - report.left, 1))
        except Exception as error:
            failed += 1
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            report.add(part=name, ok=False, error=f"{type(error).__name__}: {error}"[:600], place=place)
        torch._dynamo.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(f"{failed} of {len(report.rows)} parts failed" if failed else f"all {len(report.rows)} parts passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
