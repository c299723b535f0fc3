"""An editor for tests: a real client that speaks to `netdsl lsp` over standard input and output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from lsprotocol.converters import get_converter
from pytest_lsp import LanguageClient, client_capabilities

T = TypeVar("T")

PATIENCE = 120
"""Seconds until an answer is given up."""


class Editor:
    """One editor with its server. `folder` is where its files would stand; nothing has to be saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.client = LanguageClient()
        self.versions: dict[str, int] = {}
        self.published: dict[str, tuple[int | None, list[types.Diagnostic]]] = {}
        self.news = asyncio.Event()
        self.opened: list[str] = []
        self.registered: list[types.RegistrationParams] = []
        self.client.feature(types.WINDOW_SHOW_DOCUMENT)(lambda ls, asked: self._open(asked))
        self.client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda ls, asked: self.registered.append(asked))
        self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda ls, sent: self._publish(sent))

    def _open(self, params: types.ShowDocumentParams) -> types.ShowDocumentResult:
        self.opened.append(params.uri)
        return types.ShowDocumentResult(True)

    def _publish(self, params: types.PublishDiagnosticsParams) -> None:
        self.published[params.uri] = params.version, list(params.diagnostics)
        self.news.set()

    def __enter__(self) -> Editor:
        self.wait(self.client.start_io(sys.executable, "-m", "netdsl", "lsp"))
        params = types.InitializeParams(client_capabilities("visual-studio-code"), root_uri=self.folder.as_uri())
        self.capabilities = self.wait(self.client.initialize_session(params)).capabilities
        return self

    def __exit__(self, *error: object) -> None:
        self.wait(self.client.shutdown_session())
        self.wait(self.client.stop())
        self.loop.close()

    def wait(self, answer: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(answer, PATIENCE))

    def uri(self, name: str) -> str:
        """The address of a file of the folder; an address stays as it is."""
        return name if ":" in name else (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> list[types.Diagnostic]:
        """Open a text, or replace it; gives the diagnostics of that version."""
        self.send(name, text)
        return self.diagnostics(name)

    def send(self, name: str, text: str) -> None:
        uri = self.uri(name)
        version = self.versions[uri] = self.versions.get(uri, 0) + 1
        if version == 1:
            item = types.TextDocumentItem(uri, "netdsl", version, text)
            self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        else:
            named = types.VersionedTextDocumentIdentifier(version, uri)
            change = types.TextDocumentContentChangeWholeDocument(text)
            self.client.text_document_did_change(types.DidChangeTextDocumentParams(named, [change]))

    def diagnostics(self, name: str) -> list[types.Diagnostic]:
        """The diagnostics of the newest version of a text."""
        uri = self.uri(name)
        return self.wait(self._diagnostics(uri))

    async def _diagnostics(self, uri: str) -> list[types.Diagnostic]:
        while self.published.get(uri, (0, []))[0] != self.versions[uri]:
            self.news.clear()
            await self.news.wait()
        return self.published[uri][1]

    def ask(self, method: str, name: str, **more: Any) -> Any:
        """The answer to a request about a text."""
        converter = get_converter()
        params = {"textDocument": {"uri": self.uri(name)}, **converter.unstructure(more)}
        if "new_name" in params:
            params["newName"] = params.pop("new_name")
        params = converter.structure(params, types.METHOD_TO_TYPES[method][2])
        return self.wait(self.client.protocol.send_request_async(method, params))
