"""The routing of requests to features, and the commands that code lenses run."""

from __future__ import annotations

from contextlib import suppress

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from netdsl.lsp import navigation, outline, rename
from netdsl.lsp.actions import actions
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.choices import Choice
from netdsl.lsp.completion import completion
from netdsl.lsp.documents import Document
from netdsl.lsp.hover import hover
from netdsl.lsp.inlay import inlay_hints, shown
from netdsl.lsp.pages import written
from netdsl.lsp.server import Server
from netdsl.lsp.signature import signature
from netdsl.lsp.tokens import LEGEND, tokens
from netdsl.lsp.workspace import below
from netdsl.source import Span


def span(document: Document, range: types.Range) -> Span:
    """A range as a span of a text."""
    return Span(document.positions.offset(range.start), document.positions.offset(range.end))


def register(server: Server) -> None:
    """Register every feature."""
    _shown(server)
    _typed(server)
    _places(server)
    _outlines(server)
    _commands(server)


def _shown(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLAY_HINT)
    async def inlay(ls: Server, params: types.InlayHintParams) -> list[types.InlayHint]:
        early = await ls.documents.glance(params.text_document.uri)
        if early is not None:
            return shown(*early)
        return await ls.ask(params.text_document.uri, lambda d, a: inlay_hints(d, a, span(d, params.range)), [])

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def explained(ls: Server, params: types.HoverParams) -> types.Hover | None:
        return await ls.at(params, _hovered, None)

    options = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    async def fixes(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
        return await ls.ask(params.text_document.uri, lambda d, a: actions(d, a, span(d, params.range)), [])

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, LEGEND)
    async def coloured(ls: Server, params: types.SemanticTokensParams) -> types.SemanticTokens:
        return await ls.ask(params.text_document.uri, tokens, types.SemanticTokens([]))


def _typed(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["(", "=", ",", " "]))
    async def completed(ls: Server, params: types.CompletionParams) -> list[types.CompletionItem]:
        return await ls.at(params, _completed, [])

    @server.feature(types.TEXT_DOCUMENT_SIGNATURE_HELP, types.SignatureHelpOptions(trigger_characters=["(", ","]))
    async def signed(ls: Server, params: types.SignatureHelpParams) -> types.SignatureHelp | None:
        return await ls.at(params, signature, None)

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    async def formatted(ls: Server, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        return await ls.ask(params.text_document.uri, _formatted, None)


def _hovered(document: Document, analysis: Analysis, offset: int) -> types.Hover | None:
    found = hover(analysis, offset)
    if found is None:
        return None
    text, at = found
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), document.positions.range(at))


def _completed(document: Document, analysis: Analysis, offset: int) -> list[types.CompletionItem]:
    return [_item(choice) for choice in completion(analysis, document.good, offset)]


def _item(choice: Choice) -> types.CompletionItem:
    doc = types.MarkupContent(types.MarkupKind.Markdown, choice.doc) if choice.doc else None
    kind = types.CompletionItemKind(choice.kind)
    return types.CompletionItem(
        choice.label, kind=kind, detail=choice.detail or None, documentation=doc, insert_text=choice.text
    )


def _formatted(document: Document, analysis: Analysis) -> list[types.TextEdit] | None:
    from netdsl.syntax.format import format_source

    text, _ = format_source(document.source)
    if text is None or text == document.source.text:
        return None
    return [types.TextEdit(document.positions.range(Span(0, len(document.source.text))), text)]


def _places(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    async def defined(ls: Server, params: types.DefinitionParams) -> types.Location | None:
        return await ls.at(params, navigation.definition, None)

    @server.feature(types.TEXT_DOCUMENT_REFERENCES)
    async def referred(ls: Server, params: types.ReferenceParams) -> list[types.Location]:
        everything = await ls.naming(params)
        declaration = params.context.include_declaration
        return await ls.at(params, lambda d, a, at: navigation.references(a, at, everything, declaration), [])

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    async def highlighted(ls: Server, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
        return await ls.at(params, navigation.highlights, [])

    @server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    async def renamable(ls: Server, params: types.PrepareRenameParams) -> types.Range | None:
        return await ls.at(params, rename.renamable, None)

    @server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    async def renamed(ls: Server, params: types.RenameParams) -> types.WorkspaceEdit | None:
        everything = await ls.naming(params)
        try:
            return await ls.at(params, lambda d, a, at: rename.rename(d, a, at, params.new_name, everything), None)
        except rename.Refused as refused:
            raise JsonRpcException(str(refused), types.LSPErrorCodes.RequestFailed) from None


def _outlines(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def outlined(ls: Server, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        return await ls.ask(params.text_document.uri, outline.symbols, [])

    @server.feature(types.WORKSPACE_SYMBOL)
    async def found(ls: Server, params: types.WorkspaceSymbolParams) -> list[types.WorkspaceSymbol]:
        return outline.workspace_symbols(await ls.documents.all(below(ls.folders())), params.query)

    @server.feature(types.TEXT_DOCUMENT_FOLDING_RANGE)
    async def folded(ls: Server, params: types.FoldingRangeParams) -> list[types.FoldingRange]:
        return await ls.ask(params.text_document.uri, outline.folds, [])

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    async def lensed(ls: Server, params: types.CodeLensParams) -> list[types.CodeLens]:
        return await ls.ask(params.text_document.uri, outline.lenses, [])


def _commands(server: Server) -> None:
    @server.command("netdsl.nextInstance")
    def instance(ls: Server, uri: str, name: str) -> None:
        """Show the next way in which a block is used."""
        document = ls.documents.by_uri.get(uri)
        if document is not None:
            document.chosen[name] = document.chosen.get(name, 0) + 1
            ls.ask_again()

    @server.command("netdsl.summary")
    async def summary(ls: Server, uri: str, name: str) -> str | None:
        """The text of `netdsl summary` for a net."""
        return await ls.ask(uri, lambda d, a: _summary(a, name), None)

    @server.command("netdsl.view")
    async def view(ls: Server, uri: str, name: str) -> str | None:
        """Open the drawing of a net as a page, where the editor can; gives its address."""
        text = await ls.ask(uri, lambda d, a: _view(a, name), None)
        address = written(f"{name}.html", text) if text is not None else None
        window = ls.client_capabilities.window
        if address is not None and window is not None and window.show_document is not None:
            with suppress(JsonRpcException):  # an editor that says it can, and then cannot
                await ls.window_show_document_async(types.ShowDocumentParams(address, external=True))
        return address


def _view(analysis: Analysis, name: str) -> str | None:
    from netdsl.view import page

    program = analysis.program(name)
    return page(program, name) if program is not None else None


def _summary(analysis: Analysis, name: str) -> str | None:
    from netdsl.render.summary import render
    from netdsl.summary import summarize

    program = analysis.program(name)
    return render(summarize(program, name)) if program is not None else None
