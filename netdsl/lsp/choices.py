"""The choices of completion, as values that need no protocol package, which the page does not have."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Kinds(IntEnum):
    """The kinds of the Language Server Protocol 3.17 (`CompletionItemKind`), by its numbers."""

    Function = 3
    Constructor = 4
    Field = 5
    Variable = 6
    Class = 7
    Module = 9
    Property = 10
    Keyword = 14
    EnumMember = 20
    Constant = 21
    Struct = 22
    Event = 23


class Choice(Struct, frozen=True):
    """One thing to choose: what is shown, more of it, its documentation as Markdown, what is written for it."""

    label: str
    kind: Kinds
    detail: str = ""
    doc: str = ""
    text: str | None = None
