"""A record of the values that pass through each statement during elaboration, for the editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from netdsl.elaborate.modules import Module
from netdsl.elaborate.scope import Scope, StepBuilder
from netdsl.syntax import ast


class Passed(Struct, frozen=True, eq=False):
    """One run of a statement (or of the expression that is a block's body).

    `root` is the block or net it stands in, with its arguments and inputs; `result` the value that flows out, or the
    one that the statement names; `drafts` are the steps that it added.
    """

    node: ast.Node
    module: Module
    root: Scope
    result: Any
    drafts: tuple[StepBuilder, ...]


Trace = Callable[[Passed], None]
