"""The definition of a diagnostic code."""

from __future__ import annotations

from msgspec import Struct


class Code(Struct, frozen=True):
    """One kind of mistake: its name, a title, why it is one, and a wrong and a right spec.

    `wrong` gives a diagnostic of this code when checked and `right` gives none of it. Where the mistake is one of a
    command line both are such lines, `$ netdsl ...`, over the `files` by name: the last one of `wrong` fails. `right`
    is empty where it needs what no text can hold. A code without an example says in `unshown` why it has none.
    """

    name: str
    title: str
    explanation: str
    wrong: str = ""
    right: str = ""
    files: tuple[tuple[str, str], ...] = ()
    unshown: str = ""

    @property
    def examples(self) -> tuple[tuple[str, str], ...]:
        """The files and the two examples, each with its title, as they are shown."""
        shown = (*self.files, ("Wrong", self.wrong), ("Right", self.right))
        return tuple((title, text) for title, text in shown if text)


def net(body: str, before: str = "") -> str:
    """An example spec: a net with this body, after some declarations."""
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    return (f"{before}\n\n" if before else "") + f"net Example {{\n{lines}\n}}\n"


def recipe(body: str, net: str = "input image [1, 8, 8]\n  flatten -> linear(10)") -> str:
    """An example spec: a small classifier and a recipe with this body."""
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    return f"net Example {{\n  {net}\n}}\n\nrecipe Short for Example {{\n{lines}\n}}\n"


SMALL = recipe("data = digits\nsteps = 2")
"""A spec that trains in a moment."""
