"""Starting the server, over standard input and output or over TCP."""

from __future__ import annotations

import logging
import os

from netdsl.garbage import collect_on_request
from netdsl.lsp.features import register
from netdsl.lsp.server import Server, register_texts


def make() -> Server:
    """A server with all features."""
    server = Server()
    register_texts(server)
    register(server)
    return server


def serve(port: int | None = None) -> None:
    """Answer one editor, over standard input and output or a port of this machine, until it leaves."""
    logging.basicConfig(level=logging.ERROR)
    collect_on_request()
    if port is None:
        output = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever else is printed must not come between messages
        make().start_io(os.fdopen(os.dup(0), "rb"), output)
    else:
        make().start_tcp("127.0.0.1", port)
