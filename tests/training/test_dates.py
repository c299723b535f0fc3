"""Dates and times as columns of tables: days, the same in CSV, parquet and when a net is used."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from netdsl.cli.main import main
from netdsl.inference.columns import encoded
from netdsl.inference.dates import days, is_date
from netdsl.recipe.columns import Csv, ParquetTable
from netdsl.training.data.dataset import DataSet
from netdsl.training.errors import DataError
from netdsl.training.readers.columns import frame_columns, read_columns


def texts(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def test_days_of_dates_and_times() -> None:
    assert days(texts("1970-01-02", None, "1970-01-02 12:00", "1970-01-01T12:00:00Z")).tolist()[2:] == [1.5, 0.5]
    assert days(texts("1970-01-01T06:00:00+02:00")).tolist() == [4 / 24]
    assert days(texts("06:00", "12:00:00", "23:59:60"))[:2].tolist() == [0.25, 0.5]
    assert np.isnan(days(texts("2024-02-30"))).all()


@pytest.mark.parametrize("column", [("a", "b"), ("1", "2"), ("2024", "2023"), (None, None), ("1:02:03", "99:30")])
def test_columns_that_are_no_dates(column: tuple[str | None, ...]) -> None:
    assert not is_date("c", texts(*column), "t")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (("2024-01-01", "2024-01-02", "soon"), "row 3 of t: `c` is `soon`, and a date above"),
        (("2024-01-01", "2024-01-02", "2024-13-01"), "row 3 of t: `c` is `2024-13-01`"),
        (("1/2/2024", "3/4/2024"), "whose day and month cannot be told"),
        (("31.12.24", "30.11.24"), "whose day and month cannot be told"),
    ],
)
def test_dates_that_are_refused(column: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        is_date("c", texts(*column), "t")


def rows(count: int = 40) -> list[tuple[dt.date, dt.datetime, dt.time, dt.timedelta, float]]:
    start = dt.date(2024, 1, 1)
    return [
        (
            start + dt.timedelta(days=i),
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=i),
            dt.time(i % 24, 30),
            dt.timedelta(hours=6 * i),
            float(i) + 0.5,
        )
        for i in range(count)
    ]


NAMES = ("day", "moment", "time", "took", "y")


def same_tables(folder: Path) -> list[DataSet]:
    """The same table as CSV, where no type of time between two dates is, and as parquet."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns: dict[str, list[Any]] = dict(zip(NAMES, map(list, zip(*rows(), strict=True)), strict=True))
    parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
    days_taken = [v.total_seconds() / 86400 for v in columns["took"]]
    written = [columns["day"], [m.isoformat() for m in columns["moment"]], columns["time"], days_taken, columns["y"]]
    lines = [",".join(map(str, row)) for row in zip(*written, strict=True)]
    (folder / "t.csv").write_text("\n".join([",".join(NAMES), *lines]) + "\n")
    return [
        read_columns(Csv(file="t.csv", target="y"), folder),
        read_columns(ParquetTable(file="t.parquet", target="y"), folder),
    ]


def test_csv_and_parquet_agree(tmp_path: Path) -> None:
    ours, theirs = same_tables(tmp_path)
    assert [c.kind for c in theirs.columns] == ["date", "date", "time", "number"]
    assert "`day`, `moment`, `time`: dates, counted in days from the first one to train on" in theirs.notes
    torch.testing.assert_close(ours.train.inputs[0], theirs.train.inputs[0])
    target = theirs.train.target[:, 0] - 0.5  # the number of the row
    found = theirs.train.inputs[0]
    torch.testing.assert_close(found[:, 0], target - target.min())
    torch.testing.assert_close(found[:, 1], (target - target.min()) / 24)
    torch.testing.assert_close(found[:, 3], target / 4)


def test_frames_have_dates() -> None:
    class Frame:
        columns = ("when", "took")

        def __getitem__(self, name: str) -> np.ndarray:
            when = np.array(["2024-01-01", "NaT"], "datetime64[D]")
            return when if name == "when" else np.array([12, 24], "timedelta64[h]")

    found = frame_columns(Frame(), "data")
    assert found["when"].tolist() == ["2024-01-01T00:00:00.000000", None]
    assert found["took"].tolist() == [0.5, 1.0]


def test_a_target_of_dates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,2024-01-01\n2,2024-01-02\n3,2024-01-03\n")
    with pytest.raises(DataError, match=r"the target `y` of t\.csv holds dates"):
        read_columns(Csv(file="t.csv", target="y"), tmp_path)
    assert read_columns(Csv(file="t.csv", target="y", categories=("y",)), tmp_path).task == "classes"


def test_another_table_may_lack_dates_and_has_no_times_for_them(tmp_path: Path) -> None:
    """The mean is one of the times, however short they all lie apart, and stands for what is missing."""
    lines = [f"2024-06-01T10:{i:02}:00,{i:02}:00,{i % 2}" for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["at,hour,y", *lines]) + "\n")
    columns = read_columns(Csv(file="t.csv", target="y", hold_out=0.5), tmp_path).columns
    at, hour = columns
    assert (at.kind, hour.kind) == ("date", "time")
    for missing in (texts(None), np.array([np.nan])):
        assert encoded({"at": missing, "hour": missing}, columns, "t").numbers.tolist()[0] == pytest.approx(
            [at.fill, hour.fill]
        )
    minutes = days(texts(*(line.split(",")[0] for line in lines))) - at.origin
    assert minutes.min() < at.fill < minutes.max()
    for raw in (
        {"at": texts("10:05"), "hour": texts("05:00")},
        {"at": texts("2024-06-01"), "hour": texts("2024-06-01")},
    ):
        with pytest.raises(DataError, match=r"holds no (dates|times), and (dates|times) in training"):
            encoded(raw, columns, "t")


def test_a_net_is_used_with_dates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"2024-01-{i:02},{3 * i}.5" for i in range(1, 31)]
    (tmp_path / "t.csv").write_text("\n".join(["day,y", *lines]) + "\n")
    (tmp_path / "n.net").write_text("net N { input x [1]\n linear(1) }\n")
    fields = ("loss=mse", "steps=300", "optimizer.lr=0.05")
    given = ["--data", f'csv("{tmp_path}/t.csv", target="y")', *(x for f in fields for x in ("--set", f))]
    assert main(["train", f"{tmp_path}/n.net", *given, "-q", "-o", str(tmp_path / "run")]) == 0
    (tmp_path / "new.csv").write_text("day\n2024-02-10\n")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv"), "--json"]) == 0
    assert "123." in capsys.readouterr().out  # 3 * 41 + 0.5
    (tmp_path / "new.csv").write_text("day\n17\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")]) != 0
    assert "holds no dates, and dates in training" in capsys.readouterr().err
