"""The definition of a diagnostic code."""

from __future__ import annotations

from msgspec import Struct


class Code(Struct, frozen=True):
    """One kind of mistake: its name, a title, why it is one, and a wrong and a right spec.

    `wrong` gives a diagnostic of this code when checked and `right` gives none of it. Where the mistake is one of a
    command line both are one, `$ netdsl ...`; both are empty where neither can show it (data, a machine).
    """

    name: str
    title: str
    explanation: str
    wrong: str = ""
    right: str = ""


def net(body: str, before: str = "") -> str:
    """An example spec: a net with this body, after some declarations."""
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    return (f"{before}\n\n" if before else "") + f"net Example {{\n{lines}\n}}\n"


def recipe(body: str, net: str = "input image [1, 8, 8]\n  flatten -> linear(10)") -> str:
    """An example spec: a small classifier and a recipe with this body."""
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    return f"net Example {{\n  {net}\n}}\n\nrecipe Short for Example {{\n{lines}\n}}\n"
