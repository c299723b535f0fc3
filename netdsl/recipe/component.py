"""The bricks of the recipe's vocabulary: words with typed arguments, and lengths of time.

A word (`adamw`, `cosine`, `mixup`) is a frozen struct: its name is the struct's tag, its arguments are the fields, with
type, range, default and documentation in the annotation. Everything else (checking, completion, the reference, the
JSON form) is read off these declarations.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct


class Word(Struct, frozen=True, tag_field="word"):
    """Base of all words. The docstring is the reference entry; `source` the paper or code it comes from."""

    source: ClassVar[str] = ""
    bare: ClassVar[str] = ""
    """The argument that a bare number stands for (`ema = 0.9999`), or empty where one is not accepted."""
    positional: ClassVar[int] = 99
    """How many arguments can be given without their names."""


class Duration(Struct, frozen=True):
    """A length of time: `20 epochs` or `500 steps` (a step is one update of the weights)."""

    amount: float
    unit: Literal["epochs", "steps"]

    def steps(self, per_epoch: int) -> int:
        """The length in steps, rounded to the nearest."""
        return round(self.amount * per_epoch) if self.unit == "epochs" else round(self.amount)

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]


def word_name(cls: type[Word]) -> str:
    """The name of a word as it is written in a recipe."""
    return str(cls.__struct_config__.tag)
