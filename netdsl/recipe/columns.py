"""Tables of numbers and categories as a source of data: `data = csv("houses.csv", target="price")`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Fraction
from netdsl.recipe.paths import A_PATH
from netdsl.recipe.registry import component
from netdsl.recipe.sources import Data

Names = Annotated[str, Meta(min_length=1)] | Annotated[tuple[str, ...], Meta(min_length=1)]


Missing = Literal["mean", "refuse"]


class Columns(Data, frozen=True, kw_only=True):
    """A file whose columns are numbers or categories, and one or several of them what is to be predicted."""

    positional: ClassVar[int] = 2
    sure = False
    gives = "columns"
    file: Annotated[str, Meta(min_length=1, description="file of the table, relative to the spec", extra=A_PATH)]
    target: Annotated[Names, Meta(description='column to predict; several: `["a", "b"]`')]
    test: Annotated[
        str, Meta(description="file of the same columns to test on; empty: a part of the rows", extra=A_PATH)
    ] = ""
    hold_out: Annotated[Fraction, Meta(description="part of the rows to test on where `test` is empty")] = 0.2
    categories: Annotated[tuple[str, ...], Meta(description="columns of numbers that are names, such as codes")] = ()
    ignore: Annotated[tuple[str, ...], Meta(description="columns to leave out, such as row numbers")] = ()
    missing: Annotated[
        Missing,
        Meta(description="numbers that are missing are the column's mean in the training split, or an error"),
    ] = "mean"
    group: Annotated[
        str, Meta(description="column of what rows belong to, such as a patient; no input, and never divided")
    ] = ""
    ordered: Annotated[
        bool, Meta(description="rows stand in the order of time: the last ones are tested on, and folds go forward")
    ] = False

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target

    def input_count(self) -> None:
        return None


@component("data")
class Csv(Columns, frozen=True, kw_only=True, tag="csv"):
    """A CSV file with a line of column names, in UTF-8. Empty cells, `NA`, `nan`, `null` and `?` are missing values.

    A column of texts is a category; one of numbers is a number unless `categories` names it. A net with one vector as
    its input gets the numbers, and behind them the categories one-hot. One with a second input, of integers, gets the
    categories there as numbers for one `embed`, no two of them the same; an input of integers that is called as a
    column gets that column. The net standardises the numbers.
    """

    separator: Annotated[
        str, Meta(max_length=1, description="between cells; empty: `,`, `;`, `|` or tab, as the first line has")
    ] = ""
    decimal: Annotated[Literal[".", ","], Meta(description="what stands before the fraction of a number")] = "."


@component("data")
class ParquetTable(Columns, frozen=True, kw_only=True, tag="table"):
    """A parquet file of numbers, truths and texts, as `csv`."""
