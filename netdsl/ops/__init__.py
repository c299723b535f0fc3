"""The ops of the language. Every module beside this one is a family: a new family is one new file."""

from importlib import import_module
from pkgutil import iter_modules

from netdsl.ops.base import REGISTRY

for _family in iter_modules(__path__):
    import_module(f"{__name__}.{_family.name}")

__all__ = ["REGISTRY"]
