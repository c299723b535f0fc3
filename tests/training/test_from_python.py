"""Training as a call: `net.train`, its callbacks, and the run it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer

import netdsl
from netdsl.training.errors import DataError
from netdsl.training.python_data import as_data_set

SPEC = """net Small {
  input image [1, 8, 8]
  conv(8, 3, padding=1) -> relu
  maxpool(2)
  flatten -> dropout(0.1) -> linear(10)
}
"""
SETTINGS = {"steps": 30, "evaluate": "10 steps", "checkpoint": "10 steps", "optimizer.lr": 0.01}


def small(**more: Any) -> dict[str, Any]:
    settings = {**SETTINGS, **more.pop("settings", {})}
    return {"data": "digits", "settings": settings, "onnx": False, "quiet": True, "device": "cpu", **more}


@pytest.fixture(scope="module")
def net() -> netdsl.Net:
    return netdsl.load(netdsl.Source(SPEC))


def weights(run: netdsl.Run) -> dict[str, torch.Tensor]:
    return run.module().state_dict()


def test_a_run_can_be_opened_later(net: netdsl.Net, tmp_path: Path) -> None:
    run = net.train(folder=tmp_path / "run", **small())
    again = netdsl.open_run(str(tmp_path / "run"))
    assert run.ended
    assert again.result == run.result
    assert again.result["top1"] > 0.5
    assert again.recipe.steps == 30
    assert [step for step, _ in again.curves["top1"]] == [10, 20, 30]
    assert len(again.curves["training_loss"]) == 30
    assert "<svg" in again._repr_html_()
    assert "accuracy" in repr(again)
    module = again.module()
    assert not module.training
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_python_and_the_command_line_train_the_same(net: netdsl.Net, tmp_path: Path) -> None:
    from netdsl.cli.main import main

    run = net.train(folder=tmp_path / "one", **small())
    (tmp_path / "small.net").write_text(SPEC)
    sets = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    words = ["train", str(tmp_path / "small.net"), "--data", "digits", *sets, "--no-onnx", "-q", "--device", "cpu"]
    assert main([*words, "-o", str(tmp_path / "two")]) == 0
    other = netdsl.open_run(tmp_path / "two")
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(other).values(), strict=True))


def test_a_training_leaves_torch_as_it_was(net: netdsl.Net, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_num_threads(), torch.get_rng_state()
    net.train(folder=tmp_path / "run", **small(settings={"steps": 2, "seed": 9}))
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_callbacks_are_told_and_may_stop(net: netdsl.Net, tmp_path: Path) -> None:
    steps: list[int] = []
    evaluated: list[int] = []
    saved: list[int] = []

    def on_step(numbers: dict[str, Any]) -> str | None:
        assert isinstance(numbers["loss"], float)
        steps.append(numbers["step"])
        return "stop" if numbers["step"] == 13 else None

    run = net.train(
        folder=tmp_path / "run",
        on_step=on_step,
        on_evaluation=lambda numbers: evaluated.append(numbers["step"]),
        on_checkpoint=lambda numbers: saved.append(numbers["step"]),
        **small(),
    )
    assert steps == list(range(1, 14))
    assert evaluated == saved == [10, 13]
    assert run.ended, "it is measured like any other run"


def test_a_callback_that_throws_costs_no_step(net: netdsl.Net, tmp_path: Path) -> None:
    """The run is kept, and continues to the last bit of one that nothing has disturbed."""

    def broken(numbers: dict[str, Any]) -> None:
        if numbers["step"] == 17:
            raise ZeroDivisionError("no such number")

    folder = tmp_path / "run"
    with pytest.raises(netdsl.TrainingError, match="`on_step` failed at step 17: ZeroDivisionError: no such") as caught:
        net.train(folder=folder, on_step=broken, **small())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "resume" in str(caught.value)
    run = netdsl.open_run(folder)
    assert not run.ended
    seen: list[int] = []
    run.resume(on_step=lambda numbers: seen.append(numbers["step"]), onnx=False, quiet=True, device="cpu")
    assert seen[0] == 18
    whole = net.train(folder=tmp_path / "whole", **small())
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(whole).values(), strict=True))


def test_what_is_wrong_is_said_in_words(net: netdsl.Net, tmp_path: Path) -> None:
    with pytest.raises(netdsl.SpecError, match="optimiser"):
        net.train(folder=tmp_path / "a", **small(settings={"optimiser": "sgd"}))
    with pytest.raises(netdsl.TrainingError, match="there is no file"):
        net.train(folder=tmp_path / "b", **small(data='npz("none.npz")'))
    with pytest.raises(netdsl.TrainingError, match="not a run directory"):
        netdsl.open_run(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(netdsl.TrainingError, match="is not empty"):
        net.train(folder=tmp_path / "full", **small())


# Data passed.

TABLE = "net Table {\n  input x [4]\n  linear(16) -> relu -> linear(3)\n}\n"


class Items(torch.utils.data.Dataset[Any]):
    """A Dataset of lists, of which an item may be spoilt."""

    def __init__(self, count: int = 60, spoilt: Any = None) -> None:
        self.count, self.spoilt = count, spoilt

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        x = torch.zeros(4)
        x[i % 3] = 1
        if i == 17 and self.spoilt is not None:
            return self.spoilt(x)
        return x, i % 3


def table(**more: Any) -> dict[str, Any]:
    settings = {"epochs": 30, "batch": 16, "optimizer.lr": 0.03, "standardize": "none"}
    return {"settings": settings, "onnx": False, "quiet": True, "device": "cpu", **more}


def test_arrays_and_their_file_are_the_same_data(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32), np.arange(90) % 3
    np.savez(tmp_path / "x.npz", x=x, y=y)
    net = netdsl.load(netdsl.Source(TABLE))
    one = net.train(data=(x, y), folder=tmp_path / "one", **table())
    other = net.train(data=f'npz("{tmp_path}/x.npz")', folder=tmp_path / "two", **table())
    assert one.result["n"] == other.result["n"] == 18
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values(), strict=True))


def test_a_dataset_is_learnt_and_gone_on_with(tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))

    def broken(numbers: dict[str, Any]) -> None:
        if numbers["step"] == 20:
            raise ValueError("no more")

    with pytest.raises(netdsl.TrainingError, match="no more"):
        net.train(data=Items(), test=Items(30), folder=tmp_path / "run", on_step=broken, **table())
    run = netdsl.open_run(tmp_path / "run")
    with pytest.raises(netdsl.TrainingError, match="they are not here"):
        run.resume(quiet=True, device="cpu")
    with pytest.raises(netdsl.TrainingError, match="other samples than when the run began"):
        run.resume(data=Items(57), test=Items(30), quiet=True, device="cpu")
    run.resume(data=Items(), test=Items(30), onnx=False, quiet=True, device="cpu")
    assert run.result["top1"] == 1.0
    whole = net.train(data=Items(), test=Items(30), folder=tmp_path / "whole", **table())
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(whole).values(), strict=True))


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda x: (x[:3], 0), r"item 17 of `data` is \[3\] of float32, item 0 is \[4\]"),
        (lambda x: (x * float("nan"), 0), "item 17 of `data` holds values that are not finite"),
        (lambda x: {}["key"], "item 17 of `data` cannot be read: KeyError: 'key'"),
        (lambda x: x, "item 17 of `data` is no pair"),
    ],
)
def test_a_spoilt_item_is_named(spoilt: Any, said: str, tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))
    with pytest.raises(netdsl.TrainingError, match=said):
        net.train(data=Items(spoilt=spoilt), folder=tmp_path / "run", **table())


def test_other_data_are_refused_in_words(tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))
    for data, said in (
        (3, "none of"),
        (([[1.0, 2.0], [3.0]], [0, 1]), "items of several shapes"),
        ((np.zeros((5, 4)), np.zeros(4, int)), "rows"),
        (Items(0), "no items"),
    ):
        with pytest.raises(netdsl.TrainingError, match=said):
            net.train(data=data, folder=tmp_path / "run", **table())


SPLITS = slice(0, 40), slice(40, 50)


class Frame:
    """The part of a DataFrame that is read."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns, self.values = list(columns), columns

    def __getitem__(self, name: str) -> Any:
        return np.asarray(self.values[name])

    def to_numpy(self) -> Any: ...


def test_a_table_names_its_target_and_its_classes(tmp_path: Path) -> None:
    kinds = np.array(["oak", "ash", "elm"])[np.arange(60) % 3]
    columns = {f"c{i}": (np.arange(60) % 3 == i) * 1.0 for i in range(4)}
    net = netdsl.load(netdsl.Source(TABLE))
    run = net.train(data=Frame({**columns, "kind": kinds}), target="kind", folder=tmp_path / "run", **table())
    assert run.about.classes == ("ash", "elm", "oak")
    assert run.result["top1"] == 1.0
    with pytest.raises(netdsl.TrainingError, match="no column `sort`"):
        net.train(data=Frame({**columns, "kind": kinds}), target="sort", folder=tmp_path / "no", **table())
    columns["c1"][7] = np.nan
    spoilt = Frame({**columns, "kind": kinds})
    with pytest.raises(netdsl.TrainingError, match="row 8 of data: column `c1` has no value") as caught:
        net.train(data=spoilt, target="kind", folder=tmp_path / "no", **table())
    assert 'missing="mean"' in str(caught.value)
    run = net.train(data=spoilt, target="kind", missing="mean", folder=tmp_path / "mean", **table())
    assert run.result["top1"] == 1.0
    run.resume(data=spoilt, target="kind", missing="mean", quiet=True)


def test_what_a_table_lacks_is_scikit_learns_mean() -> None:
    """Of the rows to train on; missing texts are a category of their own, whatever stands for them."""
    rng = np.random.default_rng(0)
    numbers = np.where(rng.random(50) < 0.2, np.nan, rng.normal(size=50))
    absent = type("NAType", (), {})()  # as pandas calls it
    towns = np.array([("Ulm", "Bonn", absent, None)[i % 4] for i in range(50)], dtype=object)
    frames = [Frame({"a": numbers[s], "town": towns[s], "y": rng.normal(size=len(numbers[s]))}) for s in SPLITS]
    data = as_data_set(*frames, target="y", missing="mean")
    imputer = SimpleImputer().fit(numbers[SPLITS[0], None])
    for split, rows in zip((data.train, data.test), SPLITS, strict=True):
        expected = imputer.transform(numbers[rows, None])
        np.testing.assert_allclose(split.inputs[0].numpy(), expected, rtol=1e-6)
        assert split.inputs[1].flatten().tolist() == [(2, 1, 0, 0)[i % 4] for i in range(50)][rows]
    for given, said in (({"missing": "median"}, "not 'median'"), ({"missing": "mean"}, "columns of a DataFrame")):
        with pytest.raises(DataError, match=said):
            as_data_set((np.zeros((9, 2)), np.zeros(9)), **given)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (-1, "item 17 of `data` has class -1"),
        ("cat", r"item 17 of `data` is a text \(cat\)"),
        (1.5, r"is a number \(1.5\)"),
    ],
)
def test_a_spoilt_target_is_named(target: Any, said: str) -> None:
    """Stacked with the others it would be a class of its own, a text, or make all of them numbers."""
    x = np.zeros((20, 4), np.float32)
    with pytest.raises(DataError, match=said):
        as_data_set(Listed([(x[i], i % 3 if i != 17 else target) for i in range(20)]))


class Listed:
    """A Dataset of the items of a list."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


class OfDicts(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        return {"image": torch.zeros(4), "label": 0}


class Streamed(torch.utils.data.IterableDataset[Any]):
    """A Dataset that has no numbers, of which an item may be spoilt."""

    def __init__(self, spoilt: Any = None) -> None:
        self.items = Items(spoilt=spoilt)

    def __iter__(self) -> Any:
        return (self.items[i] for i in range(len(self.items)))


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        (OfDicts(), "no pair of an input and a target, and has 'image', 'label'", "items are (x, y)"),
        (torch.utils.data.DataLoader(Items()), "is a DataLoader", "`loader.dataset`"),
        (Streamed(lambda x: {}["key"]), "item 17 of `data` cannot be read: KeyError", ""),
        (Streamed(lambda x: (x[:2], 0)), "item 17 of `data` is [2]", "one shape"),
        ((np.ma.masked_array(np.ones((9, 4)), np.eye(9, 4)), np.arange(9)), "masked", "filled"),
    ],
)
def test_datasets_of_another_kind_are_told_what_is_wanted(data: Any, said: str, hint: str) -> None:
    with pytest.raises(DataError) as found:
        as_data_set(data)
    assert said in found.value.diagnostic.message
    assert hint in (found.value.diagnostic.hint or "")


def test_a_stream_and_a_list_of_pairs_are_what_a_dataset_is() -> None:
    wanted = as_data_set(Items())
    for data in (Streamed(), [Items()[i] for i in range(60)], iter([Items()[i] for i in range(60)])):
        found = as_data_set(data)
        assert torch.equal(found.train.inputs[0], wanted.train.inputs[0])
        assert torch.equal(found.test.target, wanted.test.target)


def test_a_stream_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdsl.training.python_data.available", lambda: 100_000)
    with pytest.raises(DataError, match=r"the first \d+ items of `data` take .* are free"):
        as_data_set((np.zeros(4), 0) for _ in iter(int, 1))


PAIRS = "net Pairs {\n  input left [3]\n  input right [2]\n  concat(left, right) -> linear(2)\n}\n"


def test_several_inputs_are_given_by_name_or_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    left, right, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 2)), np.arange(60) % 2
    net = netdsl.load(netdsl.Source(PAIRS))
    items = [({"right": right[i], "left": left[i]}, int(y[i])) for i in range(60)]
    forms = {"dict": ({"right": right, "left": left}, y), "order": ((left, right), y), "items": items}
    runs = [net.train(data=d, folder=tmp_path / n, **table(settings={"epochs": 2})) for n, d in forms.items()]
    assert len({run.result["loss"] for run in runs}) == 1
    for data, said in (((left, y), "has 2 inputs"), (({"left": left}, y), "has the inputs left, the net left, right")):
        with pytest.raises(netdsl.TrainingError, match=said):
            net.train(data=data, folder=tmp_path / "no", **table())


def test_a_frame_has_several_targets_and_no_column_twice() -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=20) for name in ("a", "b", "c")}
    assert as_data_set(Frame(columns), target=["b", "c"]).train.target.shape == (16, 2)
    twice = Frame(columns)
    twice.columns.append("a")
    with pytest.raises(DataError, match="two columns called `a`"):
        as_data_set(twice, target="b")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"on_step": 3}, "`on_step` is no function: 3"),
        ({"metrics": ["f1"]}, "no dict of functions"),
        ({"metrics": {"m": 1}}, r"`metrics\['m'\]` is no function"),
        ({"loss": lambda o, t: torch.zeros(len(t))}, "`loss` has no gradient"),
        ({"on_step": lambda numbers: "halt"}, "it returned 'halt': \"stop\" ends the training"),
        ({"on_step": lambda numbers: True}, "it returned True"),
    ],
)
def test_functions_that_are_none_or_mean_something_else(given: Any, said: str, tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))
    with pytest.raises(netdsl.TrainingError, match=said):
        net.train(data=Items(), folder=tmp_path / "run", **table(settings={"epochs": 1}), **given)


def test_a_module_of_torch_is_a_loss(tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))
    losses = (None, torch.nn.CrossEntropyLoss(reduction="none"), torch.nn.CrossEntropyLoss())
    runs = [net.train(data=Items(), folder=tmp_path / str(i), loss=f, **table()) for i, f in enumerate(losses)]
    wanted = weights(runs[0])
    for run in runs[1:]:
        assert all(torch.allclose(wanted[key], tensor, atol=1e-6) for key, tensor in weights(run).items())


def test_whole_numbers_of_a_type_for_fractions_are_pointed_at(tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))
    with pytest.raises(netdsl.TrainingError, match="asks for the numbers") as caught:
        net.train(data=(np.ones((30, 4)), np.arange(30) % 3 * 1.0), folder=tmp_path / "run", **table())
    assert "astype(int)" in str(caught.value)
