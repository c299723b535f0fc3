"""`%%net` cells."""

from __future__ import annotations

from typing import Any

import netdsl
from netdsl.api import Net
from netdsl.notebook import load_ipython_extension
from netdsl.notebook.magic import Cell, run_cell
from netdsl.render.diagnostics import Diagnostics

TEXT = "net A(c=4) {\n  input x [3, 8, 8]\n  conv(c, 3)\n}\nnet B = A(8)\n"


def test_the_nets_of_a_cell_become_variables() -> None:
    names: dict[str, Any] = {}
    shown = run_cell("B", TEXT, names)
    assert isinstance(shown, Cell)
    assert isinstance(names["A"], Net)
    assert set(names) == {"A", "B"}
    assert "224" in shown._repr_html_()
    assert repr(shown) == str(names["B"].summary())


def test_mistakes_are_shown_and_nothing_is_defined() -> None:
    names: dict[str, Any] = {}
    shown = run_cell("", TEXT.replace("conv(c", "cnov(<c"), names)
    assert isinstance(shown, Diagnostics)
    assert not names
    assert "&lt;c" in shown._repr_html_()
    assert isinstance(run_cell("C", TEXT, names), Diagnostics)
    assert isinstance(run_cell("", "x = 1\n", names), Cell)


def test_warnings_are_shown_and_the_nets_defined() -> None:
    names: dict[str, Any] = {}
    shown = run_cell("", TEXT.replace("conv(c, 3)", "conv(c, 3)\n  idle = relu"), names)
    assert isinstance(shown, Cell)
    assert set(names) == {"A", "B"}
    assert repr(shown).startswith("warning[unused-value]")
    assert 0 < shown._repr_html_().index("unused-value") < shown._repr_html_().index("conv 3x3")


def test_a_check_shows_itself() -> None:
    found = netdsl.check(netdsl.Source(TEXT.replace("conv(c", "cnov(<c")))
    assert repr(found).startswith("error[syntax]")
    assert "&lt;c" in found._repr_html_()  # type: ignore[attr-defined]
    assert repr(netdsl.check(netdsl.Source(TEXT))) == "no mistakes"


def test_a_net_shows_its_summary() -> None:
    names: dict[str, Any] = {}
    run_cell("", TEXT, names)
    assert "112" in names["A"]._repr_html_()


def test_the_extension_registers_the_magic() -> None:
    class Shell:
        user_ns: dict[str, Any] = {}

        def register_magic_function(self, function: Any, magic_kind: str, magic_name: str) -> None:
            assert (magic_kind, magic_name) == ("cell", "net")
            self.function = function

    shell = Shell()
    load_ipython_extension(shell)
    assert isinstance(shell.function("", TEXT), Cell)
    assert set(shell.user_ns) == {"A", "B"}
