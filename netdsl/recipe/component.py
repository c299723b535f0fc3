"""Recipe components (`adamw(...)`, `cosine`, `mixup`) and the plain types of their arguments.

A component is a frozen struct: its name is the struct's tag (the key `component` in JSON), its arguments are the
struct's fields, with type, range, default and documentation in the annotation. Everything else (checking, completion,
the reference page, JSON) follows from these declarations.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct


class Component(Struct, frozen=True, tag_field="component"):
    """Base of all components. The docstring is the reference entry; `source` the paper or code it comes from."""

    source: ClassVar[str] = ""
    bare: ClassVar[str] = ""
    """The argument that a bare number stands for (`ema = 0.9999`), or empty where one is not accepted."""
    positional: ClassVar[int] = 99
    """How many arguments can be given without their names."""

    @property
    def idle(self) -> bool:
        """Whether its arguments leave everything as it is, whatever its chance."""
        return False


class Duration(Struct, frozen=True):
    """A length of time: `20 epochs` or `500 steps` (a step is one optimizer update)."""

    amount: float
    unit: Literal["epochs", "steps"]

    def steps(self, per_epoch: int) -> int:
        """The duration in steps, rounded to the nearest."""
        return round(self.amount * per_epoch) if self.unit == "epochs" else round(self.amount)

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]


def component_name(component: Component | type[Component]) -> str:
    """The name of a component, or of its class, as it is written in a recipe."""
    return str(component.__struct_config__.tag)
