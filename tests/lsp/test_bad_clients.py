"""Clients that send rubbish, edit during a check, die, or open what cannot be: the server answers or ends."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="the language server needs `pip install 'netdsl[lsp]'`")
pytest.importorskip("pytest_lsp", reason="the client of these tests is pytest-lsp")

from editor import Editor
from lsprotocol import types

WHOLE = types.Range(types.Position(0, 0), types.Position(9999, 0))
NET = "net A {\n  input x [3, 8, 8]\n  conv(4, 3)\n}\n"


def server() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "netdsl", "lsp"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def message(**content: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **content}).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


INITIALIZE = message(id=1, method="initialize", params={"processId": None, "rootUri": None, "capabilities": {}})


def test_a_client_that_dies_ends_the_server() -> None:
    process = server()
    process.stdin.write(INITIALIZE)  # type: ignore[union-attr]
    process.stdin.flush()  # type: ignore[union-attr]
    assert b"netdsl" in process.stdout.read1()  # type: ignore[union-attr]
    process.stdin.close()  # type: ignore[union-attr]
    process.stdout.close()  # type: ignore[union-attr]
    assert process.wait(20) is not None


@pytest.mark.parametrize("how", ["reset", "close", "exit"])
def test_a_client_over_tcp_that_leaves_ends_the_server(how: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "netdsl", "lsp", "--tcp", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        client = connected(port)
        client.sendall(INITIALIZE)
        assert b"netdsl" in client.recv(1 << 16)
        if how == "reset":  # a connection that is closed with unread input, or without waiting, is reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "exit":
            client.sendall(message(id=99, method="shutdown") + message(method="exit"))
            client.recv(1 << 16)
        client.close()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert b"Traceback" not in errors
    finally:
        process.kill()


def connected(port: int) -> socket.socket:
    """A connection to a server that is starting."""
    for _ in range(200):
        with suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


@pytest.mark.parametrize(
    "rubbish",
    [
        b"Content-Length: 5\r\n\r\n{{{{{",
        message(id=7, method="textDocument/hover", params={"nonsense": 1}),
        message(id=8, method="no/such/method", params={}),
        message(method="textDocument/didChange", params={"textDocument": {"uri": "file:///a.net", "version": 1}}),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_rubbish_does_not_end_the_conversation(rubbish: bytes) -> None:
    process = server()
    shutdown = message(id=99, method="shutdown") + message(method="exit")
    output, _ = process.communicate(INITIALIZE + message(method="initialized", params={}) + rubbish + shutdown, 20)
    assert b'"id": 99' in output or b'"id":99' in output


def test_what_is_too_large_is_refused_at_once(tmp_path: Path) -> None:
    with Editor(tmp_path) as editor:
        begun = time.monotonic()
        found = editor.open("large.net", "conv(8, 3) -> relu\n" * (5 * 1024 * 1024 // 19))
        assert [d.code for d in found] == ["too-large"]
        assert time.monotonic() - begun < 10
        assert editor.ask("textDocument/inlayHint", "large.net", range=WHOLE) == ()
        assert editor.open("large.net", NET) == []


def test_files_that_import_each_other(tmp_path: Path) -> None:
    with Editor(tmp_path) as editor:
        editor.send("a.net", "from b import B\nblock A = B\n")
        editor.send("b.net", "from a import A\nblock B = A\n")
        assert "cyclic-import" in [d.code for d in editor.diagnostics("b.net")]
        position = types.Position(1, 10)
        editor.ask("textDocument/definition", "a.net", position=position)
        editor.ask("textDocument/references", "a.net", position=position, context=types.ReferenceContext(True))


def test_a_file_that_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "lib.net").write_text("block Lib = relu\n")
    with Editor(tmp_path) as editor:
        assert editor.open("a.net", "from lib import Lib\n") == []
        (tmp_path / "lib.net").unlink()
        editor.published.clear()
        change = types.FileEvent(editor.uri("lib.net"), types.FileChangeType.Deleted)
        editor.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([change]))
        assert [d.code for d in editor.diagnostics("a.net")] == ["unknown-module"]


def test_edits_during_a_check(tmp_path: Path) -> None:
    """A spec that takes its whole budget is given up as soon as it is edited."""
    slow = "net A {\n  input x [3, 8, 8]\n  for i in range(100000) { conv(4, 3) }\n}\n"
    with Editor(tmp_path) as editor:
        editor.send("a.net", slow)
        time.sleep(0.2)
        begun = time.monotonic()
        for i in range(30):
            editor.send("a.net", f"{slow}# {i}\n")
        assert editor.open("a.net", NET) == []
        assert time.monotonic() - begun < 10
        editor.send("closed.net", slow)
        named = types.TextDocumentIdentifier(editor.uri("closed.net"))
        editor.client.text_document_did_close(types.DidCloseTextDocumentParams(named))
        assert editor.ask("textDocument/inlayHint", "closed.net", range=WHOLE) == ()
