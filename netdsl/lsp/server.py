"""The server: which request is answered by which feature."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from threading import Event
from typing import Protocol, TypeVar

from lsprotocol import types
from pygls.io_ import run_async
from pygls.lsp.server import LanguageServer

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.diagnostics import published
from netdsl.lsp.documents import Document, Documents, path_of
from netdsl.lsp.workspace import around
from netdsl.version import __version__

T = TypeVar("T")


class Places(Protocol):
    """The parameters of a request at a position."""

    text_document: types.TextDocumentIdentifier
    position: types.Position


class Server(LanguageServer):
    """A language server with the open texts of one editor."""

    def __init__(self) -> None:
        super().__init__("netdsl", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)
        self.documents = Documents(self.publish)

    def start_tcp(self, host: str, port: int) -> None:
        """Answer one editor on a port until it leaves, in whatever way."""
        code = asyncio.run(self._answer_one(host, port))
        self.shutdown()  # type: ignore[no-untyped-call]
        sys.exit(code)

    async def _answer_one(self, host: str, port: int) -> int:
        """Gives the exit code that the editor's leaving means."""
        left: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.protocol.set_writer(writer)
            code = 0
            try:
                await run_async(Event(), reader, self.protocol, error_handler=self.report_server_error)
            except (OSError, asyncio.IncompleteReadError):
                pass  # the connection is lost, which is a way to leave
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
            left.set_result(code)

        listening = await asyncio.start_server(connected, host, port)
        code = await left
        listening.close()
        return code

    def publish(self, document: Document, analysis: Analysis) -> None:
        """Send what is wrong with a text, and ask for its hints again."""
        if self.documents.by_uri.get(document.uri) is document and analysis.source is document.source:
            self.text_document_publish_diagnostics(published(document, analysis))
            if document.glanced:
                document.glanced = False
                self.ask_again()

    async def ask(self, uri: str, answer: Callable[[Document, Analysis], T], otherwise: T) -> T:
        """The answer of a feature on the newest text."""
        found = await self.documents.analysis(uri)
        if found is None or found[1].spec is None:
            return otherwise
        document, analysis = found
        return await asyncio.get_running_loop().run_in_executor(self.documents.worker, answer, document, analysis)

    async def at(self, params: Places, answer: Callable[[Document, Analysis, int], T], otherwise: T) -> T:
        """The answer of a feature at a position of the newest text."""

        def placed(document: Document, analysis: Analysis) -> T:
            return answer(document, analysis, document.positions.offset(params.position))

        return await self.ask(params.text_document.uri, placed, otherwise)

    def folders(self) -> list[str]:
        """The folders that the editor has opened."""
        workspace = self.workspace
        uris = [f.uri for f in workspace.folders.values()] or [workspace.root_uri or ""]
        return [path_of(uri) for uri in uris if uri.startswith("file:")]

    async def naming(self, params: Places) -> list[Analysis]:
        """What may use the name at a position: the open texts, and the specs of the workspace that hold it, or that
        stand beside this one."""
        found = await self.at(params, lambda d, a, offset: a.occurrence(offset), None)
        name = found.name if found is not None else ""
        paths = around(path_of(params.text_document.uri), self.folders())
        return [a for _, a in await self.documents.all(paths, name)] if name else []

    def ask_again(self) -> None:
        """Tell the editor that what it shows beside the text has changed."""
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.inlay_hint is not None and workspace.inlay_hint.refresh_support:
            self.workspace_inlay_hint_refresh(None)
        if workspace is not None and workspace.code_lens is not None and workspace.code_lens.refresh_support:
            self.workspace_code_lens_refresh(None)


def register_texts(server: Server) -> None:
    """Register what an editor says of its texts."""
    documents = server.documents

    @server.feature(types.INITIALIZED)
    def begun(ls: Server, params: types.InitializedParams) -> None:
        """Ask to be told what changes on the disk, where the editor has to be asked."""
        workspace = ls.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace is not None else None
        if watched is not None and watched.dynamic_registration:
            options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher("**/*.net")])
            wanted = types.Registration("specs", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
            ls.client_register_capability(types.RegistrationParams([wanted]))

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(ls: Server, params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        documents.open(document.uri, document.text, document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(ls: Server, params: types.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        text = ls.workspace.get_text_document(document.uri).source
        documents.open(document.uri, text, document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
        if documents.close(params.text_document.uri) is not None:
            ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(params.text_document.uri, []))

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(ls: Server, params: types.DidSaveTextDocumentParams) -> None:
        documents.refresh()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(ls: Server, params: types.DidChangeWatchedFilesParams) -> None:
        documents.refresh()
