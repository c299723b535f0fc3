"""The registry of recipe components, by the field that accepts them.

    @component("optimizer")
    class Sgd(Optimizer, frozen=True, tag="sgd"): ...

is all that a new component needs here. The types that the recipe accepts, the reference page, the suggestions of
messages and the completeness check of `Executors` are read from the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, Union

from netdsl.recipe.component import Component, component_name

C = TypeVar("C", bound=Component)
F = TypeVar("F", bound=Callable[..., Any])

_REGISTERED: dict[str, dict[str, type[Component]]] = {}


def component(*fields: str) -> Callable[[type[C]], type[C]]:
    """Register a component under its fields, or under an argument that accepts it (`drop_path.rates`).

    Raises ValueError where another component of the field has the same name.
    """

    def register(cls: type[C]) -> type[C]:
        for field in fields:
            known = _REGISTERED.setdefault(field, {})
            name = component_name(cls)
            if name in known:
                raise ValueError(f"`{field}` has two components called `{name}`")
            known[name] = cls
        return cls

    return register


def registered(field: str) -> dict[str, type[Component]]:
    """The components of a field by name, in the order in which they were registered."""
    return dict(_REGISTERED[field])


def registered_fields() -> tuple[str, ...]:
    """The fields (and arguments) that accept components."""
    return tuple(_REGISTERED)


def accepted(field: str) -> Any:
    """The union of a field's components, as the annotation that values are checked and decoded against."""
    return Union[tuple(_REGISTERED[field].values())]


class Executors(Generic[F]):
    """The functions that carry out the components of one field, found by the component.

    READERS = Executors("data")

    @READERS.of(Digits)
    def read(...): ...
    """

    def __init__(self, field: str, functions: Mapping[type[Component], F] | None = None) -> None:
        self.field = field
        self._functions: dict[type[Component], F] = {}
        for cls, function in (functions or {}).items():
            self.of(cls)(function)

    def of(self, *classes: type[Component]) -> Callable[[F], F]:
        """Register a function as the executor of one or several components."""

        def register(function: F) -> F:
            for cls in classes:
                if cls not in _REGISTERED[self.field].values():
                    raise ValueError(f"`{component_name(cls)}` is not a component of `{self.field}`")
                self._functions[cls] = function
            return function

        return register

    def __getitem__(self, component: Component) -> F:
        return self._functions[type(component)]

    def missing(self) -> tuple[str, ...]:
        """The names of the field's components that have no executor."""
        return tuple(n for n, cls in _REGISTERED[self.field].items() if cls not in self._functions)
