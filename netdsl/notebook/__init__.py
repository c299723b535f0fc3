"""Specs in notebooks: `%load_ext netdsl.notebook`, then `%%net` cells."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Register the cell magic `%%net`."""
    from netdsl.notebook.magic import run_cell

    def net(line: str, cell: str) -> Any:
        return run_cell(line, cell, shell.user_ns)

    shell.register_magic_function(net, magic_kind="cell", magic_name="net")


def unload_ipython_extension(shell: Any) -> None:
    """Take `%%net` away again."""
    shell.magics_manager.magics["cell"].pop("net", None)
