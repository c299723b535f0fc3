"""The registry of recipe components, by the field that accepts them.

    @component("optimizer")
    class Sgd(Optimizer, frozen=True, tag="sgd"): ...

is all that a new component needs here. The types that the recipe accepts, the reference page, the suggestions of
messages and the completeness check of `Executors` are read from the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec

from netdsl.recipe.component import Component, component_name

C = TypeVar("C", bound=Component)
F = TypeVar("F", bound=Callable[..., Any])

_REGISTERED: dict[str, dict[str, type[Component]]] = {}
_PROVIDED: dict[type[Component], Provided] = {}


class Provided(msgspec.Struct, frozen=True, eq=False):
    """A component of a plug-in: the plug-in in words, and how the executor is found when it is needed."""

    plugin: str
    executor: Callable[[], Callable[..., Any]]


class Open(type):
    """A type whose values are known at run time: the components of a field, or names, with those that a plug-in adds.

    `now` gives the union or the literal of today. msgspec takes such a class for a custom type, which `decoded` reads.
    """

    now: Callable[[], Any]

    def __new__(cls, name: str, now: Callable[[], Any]) -> Open:
        return super().__new__(cls, name, (), {"now": staticmethod(now)})

    def __init__(cls, name: str, now: Callable[[], Any]) -> None:
        super().__init__(name, (), {})

    def __instancecheck__(cls, value: Any) -> bool:
        known = cls.now()
        return value in get_args(known) if get_origin(known) is Literal else isinstance(value, known)


def decoded(kind: type, value: Any) -> Any:
    """The `dec_hook` of msgspec for open types."""
    if not isinstance(kind, Open):
        raise NotImplementedError
    return msgspec.convert(value, kind.now(), dec_hook=decoded)


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


def provide(field: str, cls: type[Component], provided: Provided) -> None:
    """Add a component of a plug-in to a field. Raises ValueError where the field has one of this name."""
    component(field)(cls)
    _PROVIDED[cls] = provided


def withdraw(field: str, cls: type[Component]) -> None:
    """Take a component of a plug-in out of a field again."""
    del _REGISTERED[field][component_name(cls)], _PROVIDED[cls]


def provider(cls: type[Component]) -> str:
    """The plug-in that a component comes from, in words; empty for one of netdsl's own."""
    return _PROVIDED[cls].plugin if cls in _PROVIDED else ""


def registered(field: str) -> dict[str, type[Component]]:
    """The components of a field by name, in the order in which they were registered."""
    return dict(_REGISTERED[field])


def registered_fields() -> tuple[str, ...]:
    """The fields (and arguments) that accept components."""
    return tuple(_REGISTERED)


def registered_names() -> frozenset[str]:
    """The names of all components that are registered so far."""
    return frozenset([name for known in _REGISTERED.values() for name in known])


def accepted(field: str) -> Any:
    """The type of a field's components, as the annotation that values are checked and decoded against."""
    return Open(field, lambda: Union[tuple(_REGISTERED[field].values())])


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
        cls = type(component)
        if cls not in self._functions and cls in _PROVIDED:
            self.of(cls)(cast(F, _PROVIDED[cls].executor()))
        return self._functions[cls]

    def missing(self) -> tuple[str, ...]:
        """The names of the field's components that have no executor."""
        own = (item for item in _REGISTERED[self.field].items() if item[1] not in _PROVIDED)
        return tuple(name for name, cls in own if cls not in self._functions)
