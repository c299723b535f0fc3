"""Tables of numbers and categories: what columns are, how nets take them, and what is said of files that are wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from recipe_harness import resolved
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from netdsl.cli.main import main
from netdsl.inference.columns import Input, column_of
from netdsl.recipe.columns import Columns, Csv
from netdsl.training.data.dataset import DataSet
from netdsl.training.errors import DataError
from netdsl.training.readers.columns import read_columns
from netdsl.training.readers.taken import taken

TOWNS = ("Bonn", "Kiel", "Ulm")
SPEC = """
net Flat(features=9, outputs=1) {
  input x [features]
  linear(32) -> relu -> linear(outputs)
}
net Embedded(levels=7) {
  input numbers [2]
  input categories [2] int64
  concat(numbers, categories -> embed(levels, 4) -> flatten) -> linear(32) -> relu -> linear(1)
}
net Named {
  input numbers [2]
  input town [1] int64
  input garden [1] int64
  concat(numbers, town -> embed(4, 4) -> flatten, garden -> embed(3, 2) -> flatten) -> linear(32) -> relu -> linear(1)
}
net Backwards {
  input town [1] int64
  input numbers [2]
  concat(numbers, town -> embed(4, 4) -> flatten) -> linear(1)
}
net Pair {
  input a [2]
  input b [2]
  concat(a, b) -> linear(1)
}
"""


def houses(count: int = 300, seed: int = 0) -> tuple[list[str], list[list[Any]]]:
    """Prices that follow from size, rooms, town and garden; some cells are empty."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        size, rooms, town, garden = rng.normal(120, 30), rng.integers(1, 7), rng.integers(0, 4), rng.integers(0, 2)
        price = 2000 * size + 15000 * rooms + 40000 * (town == 2) + 20000 * garden + rng.normal(0, 5000)
        shown = f"{size:.1f}" if i % 50 != 7 else "NA"
        rows.append([i, shown, rooms, (*TOWNS, "")[town], ("no", "yes")[garden], f"{price:.2f}"])
    return ["id", "size", "rooms", "town", "garden", "price"], rows


def write(path: Path, header: list[str], rows: list[list[Any]], separator: str = ",") -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def read(path: Path, **more: Any) -> DataSet:
    return read_columns(Csv(file=path.name, **{"target": "price", "ignore": ("id",), **more}), path.parent)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "table.net").write_text(SPEC)
    return write(tmp_path / "houses.csv", *houses())


def test_one_vector_is_scikit_learns(file: Path) -> None:
    """Numbers with the mean of the training rows for missing ones, categories one-hot."""
    data = read(file)
    (train,), (test,) = (
        s.inputs for s in (taken(data, (Input("x", False),)).train, taken(data, (Input("x", False),)).test)
    )
    header, rows = houses()
    order = torch.arange(300)[~torch.isin(torch.arange(300), torch.tensor(_held(data, rows)))]
    table = np.array([[np.nan if r[1] == "NA" else float(r[1]), float(r[2])] for r in rows])
    towns, gardens = ([[r[c]] for r in rows] for c in (3, 4))
    imputed = SimpleImputer().fit(table[order]).transform(table)
    hot = [OneHotEncoder(categories=[["", *TOWNS]], sparse_output=False).fit_transform(towns)]
    hot += [OneHotEncoder(categories=[["", "no", "yes"]], sparse_output=False).fit_transform(gardens)]
    expected = torch.from_numpy(np.concatenate([imputed, *hot], 1)).float()
    torch.testing.assert_close(train, expected[order])
    assert len(train) + len(test) == 300
    assert [c.name for c in data.columns] == ["size", "rooms", "town", "garden"]
    assert header[-1] == "price"


def _held(data: DataSet, rows: list[list[Any]]) -> list[int]:
    """The rows that are held out, by their prices."""
    place = {np.float32(r[-1]): i for i, r in enumerate(rows)}
    return [place[np.float32(p)] for p in data.test.target[:, 0].tolist()]


def test_categories_have_numbers_of_their_own(file: Path) -> None:
    data = read(file)
    numbers, codes = taken(data, (Input("numbers", False, 2), Input("categories", True, 2))).train.inputs
    assert numbers.shape[1] == 2
    assert set(codes[:, 0].tolist()) == {0, 1, 2, 3}  # 0: missing
    assert set(codes[:, 1].tolist()) == {5, 6}  # 4 would be missing
    numbers, garden, town = taken(
        data, (Input("n", False, 2), Input("garden", True, 1), Input("town", True, 1))
    ).train.inputs
    assert torch.equal(town[:, 0], codes[:, 0])
    assert torch.equal(garden[:, 0], codes[:, 1] - 4)


def test_a_category_that_only_the_test_file_has_is_missing(tmp_path: Path) -> None:
    header, rows = houses()
    path = write(tmp_path / "a.csv", header, rows)
    other = [[*r[:3], "Mars", *r[4:]] for r in houses(10, 1)[1]]
    write(tmp_path / "b.csv", header, other)
    found = taken(read(path, test="b.csv"), (Input("n", False), Input("c", True)))
    assert found.test.inputs[1][:, 0].tolist() == [0] * 10
    assert len(found.train) == 300


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_quotes_and_marks(tmp_path: Path, separator: str) -> None:
    rows = [[f"{i}", f'a "quoted"{separator} cell', ("oak", "ash")[i % 2]] for i in range(10)]
    path = write(tmp_path / "a.csv", ["n", "text", "kind"], rows, separator)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n"))
    found = read(path, target="kind", ignore=())
    assert found.classes == ("ash", "oak")
    assert [c.kind for c in found.columns] == ["number", "category"]
    assert found.columns[1].values == (f'a "quoted"{separator} cell',)


def test_targets(tmp_path: Path) -> None:
    rows = [[i, i % 3 + 3, i / 2, i % 2] for i in range(20)]
    path = write(tmp_path / "a.csv", ["x", "quality", "half", "bit"], rows)
    found = read(path, target="quality", ignore=())
    assert (found.task, found.classes) == ("classes", ("3", "4", "5"))
    assert read(path, target="half", ignore=()).task == "numbers"
    both = read(path, target=("half", "bit"), ignore=())
    assert both.train.target.shape[1] == 2
    assert read(path, target="x", ignore=(), categories=("bit",)).columns[-1].values == ("0", "1")


@pytest.mark.parametrize("net", ["Flat", "Embedded", "Named"])
def test_a_table_is_learnt_and_exported(file: Path, net: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = f'csv("{file}", target="price", ignore=["id"])'
    settings = ["loss=mse", "metrics=[r2]", "epochs=25", "optimizer.lr=0.02", "batch=16"]
    given = [part for s in settings for part in ("--set", s)]
    run = file.parent / net
    assert main(["train", f"{file.parent}/table.net:{net}", "--data", data, *given, "-o", str(run)]) == 0
    said = capsys.readouterr().err
    assert "2 columns of numbers, 2 categories (`town` 3, `garden` 2)" in said
    assert "missing, filled with the mean" in said
    about = json.loads((run / "run.json").read_text())
    assert about["result"]["r2"] > 0.95
    assert about["result"]["onnx"]["rmse"] == pytest.approx(about["result"]["rmse"], rel=1e-4)
    assert main(["eval", str(run), "--metrics", "r2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["r2"] == pytest.approx(about["result"]["r2"])
    if net == "Named":
        session = onnxruntime.InferenceSession(run / "model.onnx")
        assert [i.name for i in session.get_inputs()] == ["numbers", "town", "garden"]


def test_other_data_are_read_with_the_columns_of_the_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another file has other towns, in another order, and other means: what a number stands for stays."""
    data = f'csv("{file}", target="price", ignore=["id"])'
    settings = ["--set", "loss=mse", "--set", "epochs=25", "--set", "optimizer.lr=0.02", "--set", "batch=16"]
    run = file.parent / "run"
    train = ["train", f"{file.parent}/table.net:Embedded", "--data", data, *settings]
    assert main([*train, "-q", "-o", str(run)]) == 0
    header, rows = houses(100, 1)
    write(file.parent / "other.csv", header, [r for r in rows if r[3] in ("Ulm", "Bonn")])
    other = f'csv("{file}", target="price", test="{file.parent}/other.csv", ignore=["id"])'
    results = []
    for model in (run, run / "model.onnx"):
        capsys.readouterr()
        assert main(["eval", str(model), "--data", other, "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out)["rmse"])
    assert results[0] == pytest.approx(results[1], rel=1e-3)
    assert results[0] < 15000  # a town taken for another costs 40,000


def test_whole_numbers_can_be_predicted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f'csv("{file}", target="rooms", ignore=["id"])'
    given = ["--data", data, "--set", "loss=mse", "--set", "epochs=1", "-p", "features=9", "-q", "--no-onnx"]
    assert main(["train", f"{file.parent}/table.net:Flat", *given, "-o", str(file.parent / "r")]) == 0
    about = json.loads((file.parent / "r" / "run.json").read_text())
    assert about["task"] == "numbers"
    assert 3 < about["units"][0][0] < 4  # in rooms, and not in numbers of classes


# What is wrong with a file, with the name of the column and the row.


def changed(tmp_path: Path, row: int, column: int, value: str, count: int = 10_050) -> Path:
    rows: list[list[Any]] = [[i, i / 7, "ab"[i % 2], i / 3] for i in range(count)]
    rows[row - 1][column] = value
    return write(tmp_path / "a.csv", ["id", "age", "town", "price"], rows)


def test_a_column_that_changes_its_type_at_row_10000(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 10,000 of a\.csv: `age` is `unknown`") as error:
        read(changed(tmp_path, 10_000, 1, "unknown"))
    assert "categories" in str(error.value.hint)


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        (17, 3, "", "row 17 of a.csv has no `price` to predict"),
        (17, 1, "inf", "row 17 of a.csv: column `age` is infinite"),
        (17, 3, "1e999", "row 17 of a.csv: a number to predict is infinite"),
    ],
)
def test_cells_that_are_wrong(tmp_path: Path, row: int, column: int, value: str, said: str) -> None:
    with pytest.raises(DataError) as error:
        read(changed(tmp_path, row, column, value, 100))
    assert error.value.message == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column names"),
        ("1,2\n3,4\n", "has no column names"),
        ("a,price\n", "has no rows"),
        ("a,a,price\n1,2,3\n", "two columns called `a`"),
        ("a,price\n1,2\n1,2,3\n", r"row 2 of .*a\.csv has 3 cells, and there are 2 columns"),
        ('a,price\n1,"2\n', "is not a CSV file"),
        ("b,c\n1,2\n", "has no column `price`"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "a.csv", ignore=())


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a,price\nM\u00fcnchen,1.5\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read(tmp_path / "a.csv", ignore=())
    (tmp_path / "a.csv").write_text("a,price\n1,1.5\n2,2\0.5\n")
    with pytest.raises(DataError, match=r"row 2 of .* holds a NUL character in column `price`"):
        read(tmp_path / "a.csv", ignore=())


def test_columns_that_are_wrong(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[f"name {i}", "", i / 3] for i in range(3000)]
    path = write(tmp_path / "a.csv", ["name", "empty", "price"], rows)
    with pytest.raises(DataError, match=r"column `name` of a\.csv has 3,000 different texts"):
        read(path, ignore=("empty",))
    with pytest.raises(DataError, match=r"column `empty` of a\.csv has no values"):
        read(path, ignore=("name",))
    with pytest.raises(DataError, match="has no column `nam`") as error:
        read(path, ignore=("nam",))
    assert "`name`" in str(error.value.hint)


def test_missing_numbers_can_be_refused(file: Path) -> None:
    with pytest.raises(DataError, match=r"row 8 of houses\.csv: column `size` has no value"):
        read(file, missing="refuse")


@pytest.mark.parametrize(
    ("net", "arguments", "said"),
    [
        ("Flat", ["-p", "features=4"], "`x` takes 4, and a row of houses.csv has 2 numbers and 7 one-hot"),
        ("Embedded", ["-p", "levels=5"], "`categories` of houses.csv has 7 values"),
        ("Flat", ["--set", "loss=cross_entropy", "-p", "outputs=3"], "asks for the numbers [1]"),
    ],
)
def test_nets_that_do_not_fit(
    file: Path, net: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f'csv("{file.name}", target="price", ignore=["id"])'
    given = ["--data", data.replace(file.name, str(file)), "--set", "loss=mse", *arguments, "--no-onnx"]
    code = main(["train", f"{file.parent}/table.net:{net}", *given, "-o", str(file.parent / "r")])
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert said.replace("houses.csv", str(file)) in " ".join(err.split()), err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("net", "said"),
    [("Backwards", "stands before the numbers"), ("Pair", "both take numbers"), ("Image", "is a vector")],
)
def test_nets_that_do_not_fit_are_told_before_anything_is_read(
    file: Path, net: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = "net Image { input image [1, 8, 8]\n flatten -> linear(1) }\n"
    recipe = f'recipe R for {net} {{\n  data = csv("nowhere.csv", target="y")\n  loss = mse\n  epochs = 1\n}}\n'
    (file.parent / "r.net").write_text(SPEC + image + recipe)
    assert main(["check", f"{file.parent}/r.net"]) == 1
    assert said in capsys.readouterr().out


def test_recipes_name_a_file_and_a_target() -> None:
    for data, code in (
        ('csv("a.csv")', "missing-argument"),
        ('csv("a.csv", target="y", missing=zero)', "unknown-word"),
        ('csv("a.csv", target="y", separator=", ")', "bad-value"),
        ('csv("a.csv", target=[])', "bad-value"),
        ('csv("a.csv", target="y", ignore=["y"])', "conflicting-fields"),
    ):
        _, found = resolved(f"recipe Test {{\n data = {data}\n}}")
        assert [d.code for d in found] == [code], data


def test_parquet_is_read_as_csv(file: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    header, rows = houses()
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    typed = {
        "id": columns["id"],
        "size": [None if v == "NA" else float(v) for v in columns["size"]],
        "rooms": [int(v) for v in columns["rooms"]],
        "town": pyarrow.array([v or None for v in columns["town"]]).dictionary_encode(),
        "garden": columns["garden"],
        "price": [float(v) for v in columns["price"]],
    }
    parquet.write_table(pyarrow.table(typed), file.parent / "houses.parquet")
    from netdsl.recipe.columns import ParquetTable

    word: Columns = ParquetTable(file="houses.parquet", target="price", ignore=("id",))
    ours, theirs = read_columns(word, file.parent), read(file)
    assert ours.columns == theirs.columns
    for a, b in zip((*ours.train.inputs, ours.test.target), (*theirs.train.inputs, theirs.test.target), strict=True):
        torch.testing.assert_close(a, b)
    (file.parent / "bad.parquet").write_text("no")
    with pytest.raises(DataError, match="is not a parquet file"):
        read_columns(ParquetTable(file="bad.parquet", target="price"), file.parent)


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (("0,5", "12,25", "3"), '`csv(..., decimal=",")`'),
        (("1,234.5", "7,000.0", "8.5"), "write them as 1234.5"),
        (("$1.50", "$2", "$3"), "write them as 1234.5"),
        (("5%", "7.5 %", "8%"), "write them as 1234.5"),
    ],
)
def test_numbers_that_are_written_otherwise(tmp_path: Path, values: tuple[str, ...], hint: str) -> None:
    """As categories they would tell nothing."""
    for name, other in (("size", "price"), ("price", "size")):
        rows = [[values[i % 3], i] for i in range(30)]
        file = write(tmp_path / "t.csv", [name, other], rows)
        with pytest.raises(DataError, match=f"column `{name}` of t.csv holds numbers written as") as found:
            read(file, ignore=())
        assert hint in (found.value.hint or "")
        read(file, ignore=(), categories=(name,))


@pytest.mark.parametrize("values", [("A,1", "B,2"), ("5kg", "3B"), ("1.2.3", "1.2.4"), ("10.0.0.1", "a"), ("a$", "b")])
def test_texts_that_are_no_numbers(tmp_path: Path, values: tuple[str, ...]) -> None:
    file = write(tmp_path / "t.csv", ["code", "price"], [[values[i % 2], i + 0.5] for i in range(30)])
    assert read(file, ignore=()).columns[0].values == tuple(sorted(values))


def test_a_column_is_a_category_whatever_rows_are_trained_on() -> None:
    """Those of a fold are fewer, and of nearly as many texts."""
    raw = np.array([f"one of {i % 22}" for i in range(60)], object)
    for rows in (np.arange(60), np.arange(25), np.arange(0, 60, 3)):
        found = column_of("town", raw, rows, "t.csv", False, "fill")
        assert set(found.values) == set(raw[rows])


def test_sentences_are_no_categories(tmp_path: Path) -> None:
    """One-hot they would tell nothing; names of two words, and sentences that come again, are."""
    for words, rows, refused in ((3, 40, True), (2, 40, False), (3, 12, False)):
        text = [[" ".join(f"w{i}" for _ in range(words)), i % 2] for i in range(rows)]
        file = write(tmp_path / "t.csv", ["text", "price"], text)
        if refused:
            with pytest.raises(DataError, match=r"column `text` of .*t\.csv has 40 different texts in 40 rows"):
                read(file, ignore=())
            assert read(file, ignore=(), categories=("text",)).columns[0].is_category
        else:
            assert read(file, ignore=()).columns[0].is_category
    again = write(tmp_path / "t.csv", ["text", "price"], [[f"a b {i % 9}", i % 2] for i in range(40)])
    assert read(again, ignore=()).columns[0].is_category


def test_decimal_commas(tmp_path: Path) -> None:
    rows = [[i + 0.25, 2 * i + 0.5, f"a,{i % 2}"] for i in range(30)]
    points = write(tmp_path / "p.csv", ["size", "price", "name"], rows, ";")
    commas = [[*(str(v).replace(".", ",") for v in row[:2]), row[2]] for row in rows]
    file = write(tmp_path / "t.csv", ["size", "price", "name"], commas, ";")
    ours, theirs = read(file, ignore=(), decimal=","), read(points, ignore=())
    assert ours.columns == theirs.columns
    assert torch.equal(ours.train.target, theirs.train.target)


def test_an_exported_net_reads_files_as_it_was_trained_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run directory and its ONNX file say the same of a file with decimal commas, and of one with points."""
    commas = "\n".join(["a;b;y", *(f"{i / 8};{i % 3}.5;{i / 4}".replace(".", ",") for i in range(20))])
    (tmp_path / "t.csv").write_text(commas)
    (tmp_path / "p.csv").write_text(commas.replace(",", "."))
    (tmp_path / "n.net").write_text("net N {\n  input x [2]\n  linear(1)\n}\n")
    data = f'csv("{tmp_path}/t.csv", target="y", decimal=",")'
    net, run = f"{tmp_path}/n.net", str(tmp_path / "run")
    assert main(["train", net, "--recipe", "none", "--data", data, "--set", "loss=mse", "-q", "-o", run]) == 0
    found = []
    for file in ("t.csv", "p.csv"):
        for model in (run, f"{run}/model.onnx"):
            capsys.readouterr()
            assert main(["predict", model, str(tmp_path / file), "--json"]) == 0
            found.append([p["values"] for p in json.loads(capsys.readouterr().out)])
    assert all(other == found[0] for other in found)


def test_points_beside_decimal_commas(tmp_path: Path) -> None:
    """`1.500` would be one and a half where it is a thousand and a half; `1.5` is no thousands."""
    for written, refused in (("1.500", True), ("12.345.678", True), ("1.5", False), ("a.500", False)):
        rows = [[written if i % 2 else "7", f"{i},5"] for i in range(30)]
        file = write(tmp_path / "t.csv", ["size", "price"], rows, ";")
        if refused:
            with pytest.raises(
                DataError, match=f"column `size` of .*t.csv holds `{written}`, and `decimal` is a comma"
            ):
                read(file, ignore=(), decimal=",")
        read(file, ignore=(), decimal=",", categories=("size",) if refused or "a" in written else ())


def test_a_row_without_a_group_is_one_of_its_file(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", ["who", "size", "price"], [["ab"[i % 2], i, i + 0.5] for i in range(30)])
    write(tmp_path / "test.csv", ["who", "size", "price"], [["a", 1, 0.5], ["", 2, 0.5]])
    with pytest.raises(DataError, match=r"row 2 of test\.csv has no `who`"):
        read(file, ignore=(), test="test.csv", group="who")


def test_a_column_without_a_name(tmp_path: Path) -> None:
    """The row numbers that pandas writes would be a number to learn from."""
    file = write(tmp_path / "t.csv", ["", "size", "price"], [[i, i, i + 0.5] for i in range(30)])
    with pytest.raises(DataError, match=r"column 1 of t\.csv has no name") as found:
        read(file, ignore=())
    assert "to_csv(index=False)" in (found.value.hint or "")
    assert [c.name for c in read(file, ignore=("",)).columns] == ["size"]


def test_values_that_are_taken_for_others_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `predict` and by `eval` of other data, which says too how much of a file it measured."""
    rows = [[i / 8, "AB"[i % 2], i / 4] for i in range(20)]
    write(tmp_path / "t.csv", ["a", "b", "y"], rows)
    write(tmp_path / "p.csv", ["a", "b", "y"], [*rows, ["", "new", 1.5], [1, "", 1.5], [2, "C", 1], [2, "C", 3]])
    (tmp_path / "n.net").write_text("net N {\n  input x [4]\n  linear(1)\n}\n")
    run, data = str(tmp_path / "run"), f'csv("{tmp_path}/%s.csv", target="y")'
    train = ["train", f"{tmp_path}/n.net", "--recipe", "none", "--data", data % "t", "--set", "loss=mse", "-q"]
    assert main([*train, "-o", run]) == 0
    said = "`b`: 3 rows have values that no training row has, taken for missing: `new`, `C`"
    for command in (["predict", run, f"{tmp_path}/p.csv"], ["eval", run, "--data", data % "p"]):
        capsys.readouterr()
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert said in err
        assert "`a`: 1 missing, filled with the mean" in err
        assert (" on 5 samples, held out of 24" in out) == (command[0] == "eval")
    assert main(["eval", run]) == 0
    assert capsys.readouterr()[0].endswith("on 4 samples\n")
