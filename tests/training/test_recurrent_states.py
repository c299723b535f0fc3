"""States that are carried through a text, compared with plain loops in torch that carry them by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT
from recipe_harness import recipe
from roles import roles_of
from torch import Tensor, nn
from torch.nn import functional
from training_harness import stop_after

from netdsl.cli.main import main
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import Split
from netdsl.training.data.sampler import side_by_side
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.recurrent_states import Carried, windows
from netdsl.training.trainer import Job, Trainer

LETTERS, LENGTH = 5, 4
FIELDS = (
    "data = text('a.txt', length=4, carry=true)\nepochs = 2\nbatch = 3\noptimizer = sgd(lr=0.5)\nschedule = constant"
)


class Model(nn.Module):
    """A recurrent language model; `layer` as emitted code has it."""

    def __init__(self, kind: type[nn.RNNBase], states: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)

        def forward(own: Any, x: Tensor) -> Any:
            y, last = kind.forward(own, x)
            last = last if isinstance(last, tuple) else (last,)
            return (y, *(s.transpose(0, 1) for s in last)) if states else y

        name = f"{kind.__name__}States" if states else kind.__name__
        self.layer = type(name, (kind,), {"forward": forward})(LETTERS, 6, num_layers=2, batch_first=True)
        self.head = nn.Linear(6, LETTERS)

    def forward(self, tokens: Tensor) -> Tensor:
        found = self.layer(functional.one_hot(tokens, LETTERS).float())
        return self.head(found[0] if isinstance(found, tuple) else found)


def text_windows(count: int, streams: int) -> Split:
    tokens = torch.randint(LETTERS, (count * LENGTH + 1,), generator=torch.Generator().manual_seed(1))
    return Split((tokens[:-1].reshape(-1, LENGTH),), tokens[1:].reshape(-1, LENGTH), streams=streams)


def loop_of(module: nn.Module, split: Split, fields: str = FIELDS, folder: Path | None = None) -> Trainer:
    found = recipe(fields)
    feed = BatchLoader(split, found, Targets(found, "tokens", LETTERS))
    job = Job(
        module=module, recipe=found, feed=feed, held=split, parameters=roles_of(module), names=("y",), kept=("y",),
        task="tokens", classes=LETTERS, folder=folder, ranks=ProcessGroup(),
    )  # fmt: skip
    return Trainer(job)


def by_hand(module: Model, split: Split, epochs: int, lr: float = 0.5) -> list[float]:
    """The losses of a plain loop over streams side by side, the last of which may end one window earlier."""
    streams, losses = split.streams, []
    full, longer = divmod(len(split), streams)
    lengths = [full + (s < longer) for s in range(streams)]
    first = [sum(lengths[:s]) for s in range(streams)]
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    kind = type(module.layer).__mro__[1]
    for _ in range(epochs):
        state: Any = None
        for w in range(max(lengths)):
            rows = [first[s] + w for s in range(streams) if w < lengths[s]]
            x = functional.one_hot(split.inputs[0][rows], LETTERS).float()
            if state is not None:
                cut = [s[:, : len(rows)].detach().contiguous() for s in (state if kind is nn.LSTM else (state,))]
                state = tuple(cut) if kind is nn.LSTM else cut[0]
            y, state = kind.forward(module.layer, x, state)
            loss = functional.cross_entropy(module.head(y).movedim(-1, 1), split.target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_states_are_carried_as_by_hand(kind: type[nn.RNNBase], states: bool) -> None:
    """Three streams, of which the first has one window more."""
    split = text_windows(13, 3)
    module, twin = Model(kind, states), Model(kind, states)
    loop = loop_of(module, split)
    losses: list[float] = []
    loop.watch = lambda what, numbers: losses.append(float(numbers["loss"])) if what == "step" else None
    loop.run()
    assert losses == pytest.approx(by_hand(twin, split, 2), rel=1e-5)
    for (name, ours), theirs in zip(module.state_dict().items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_micro_batches_carry_the_same_states() -> None:
    found = []
    for fields in (FIELDS, f"{FIELDS}\nmicro_batch = 1", f"{FIELDS}\nmicro_batch = 2"):
        module = Model(nn.LSTM)
        loop_of(module, text_windows(13, 3), fields).run()
        found.append(torch.cat([p.flatten() for p in module.parameters()]))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


@pytest.mark.parametrize("step", [1, 2, 4, 5, 7])
def test_a_resumed_run_has_the_same_bits(tmp_path: Path, step: int) -> None:
    """Also where it is killed in the middle of a text, or at its end."""
    fields = f"{FIELDS}\ncheckpoint = 1 steps\nema = 0.5"
    whole, resumed = Model(nn.LSTM), Model(nn.LSTM)
    loop_of(whole, text_windows(13, 3), fields).run()
    stop_after(loop_of(resumed, text_windows(13, 3), fields, tmp_path), step)
    again = loop_of(Model(nn.LSTM), text_windows(13, 3), fields, tmp_path)
    assert again.restore()
    again.run()
    for a, b in zip(whole.state_dict().values(), again.module.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("most", "processes"), [(8, 1), (1, 1), (2, 2), (8, 3)])
def test_an_evaluation_reads_each_stream_from_its_beginning(most: int, processes: int) -> None:
    """As if each stream were one long window, however many are computed at once and by whom."""
    split, module = text_windows(13, 3), Model(nn.LSTM)
    carried = Carried(module)
    found = torch.full((13, LENGTH, LETTERS), torch.nan)
    for rank in range(processes):
        for w in windows(split, ProcessGroup(rank, processes).share(3), most):
            with torch.no_grad(), carried.window(w.places, w.fresh, 3):
                assert bool(found[w.rows].isnan().all())
                found[w.rows] = module(split.inputs[0][w.rows])
    texts = split.inputs[0].split([5, 4, 4])
    with torch.no_grad():
        whole = torch.cat([module(text.reshape(1, -1))[0] for text in texts]).reshape(found.shape)
    torch.testing.assert_close(found, whole)


def test_an_evaluation_leaves_the_states_of_training_alone() -> None:
    """So a run with more evaluations has the same bits."""
    found = []
    for fields in (FIELDS, f"{FIELDS}\nevaluate = 1 steps"):
        module = Model(nn.GRU)
        loop_of(module, text_windows(13, 3), fields).run()
        found.append(torch.cat([p.flatten() for p in module.parameters()]))
    assert torch.equal(*found)


def test_the_order_shows_every_window_once() -> None:
    for samples, streams in ((13, 3), (3, 3), (12, 4), (7, 1)):
        order = side_by_side(samples, streams)
        assert sorted(order.tolist()) == list(range(samples))
    assert side_by_side(5, 2).tolist() == [0, 3, 1, 4, 2]


SPEC = """net Chars(classes=9) {{
  input text [L] int64
  embed(classes, 8) -> {layer} -> linear(classes)
}}
recipe Read for Chars {{
  data = text("a.txt", length=5, test=0.3, carry=true)
  epochs = 2
  batch = 4
  {more}
}}
"""


@pytest.mark.parametrize(
    ("layer", "more", "said"),
    [
        ("linear(8)", "", "this net has none"),
        ("lstm(8, bidirectional=true)", "", "reads backwards"),
        ("lstm(8)", "validation = 0.1", "`validation` does not go with `carry`"),
        ("lstm(8)", "folds = 3", "`folds` does not go with `carry`"),
        ("lstm(8)", "compile = on", "`compile` does not go with `carry`"),
        ("lstm(8)", "shard = fsdp", "`shard` does not go with `carry`"),
    ],
)
def test_what_cannot_carry_is_said_by_check(
    tmp_path: Path, layer: str, more: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.net").write_text(SPEC.format(layer=layer, more=more))
    assert main(["check", str(tmp_path / "a.net")]) == 1
    assert said in "".join(capsys.readouterr())


@pytest.mark.slow
def test_two_processes_carry_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat saw the hat " * 20)
    (tmp_path / "a.net").write_text(SPEC.format(layer="lstm(8)", more="checkpoint = 3 steps"))
    found = []
    for number in ("1", "2"):
        run = tmp_path / number
        args = ["-o", str(run), "-q", "--no-onnx", "--devices", number, "-p", "classes=8", "--device", "cpu"]
        command = [sys.executable, "-m", "netdsl", "train", str(tmp_path / "a.net"), *args]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(json.loads((run / "run.json").read_text())["result"]["loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
