"""The ops of the language. Every module beside this one is a family: a new family is one new file."""

from importlib import import_module
from os import listdir

from netdsl.ops.base import REGISTRY

for _file in sorted(listdir(__path__[0])):
    if _file.endswith(".py") and not _file.startswith("_"):
        import_module(f"{__name__}.{_file[:-3]}")

__all__ = ["REGISTRY"]
