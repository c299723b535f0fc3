"""The lexer: lark's contextual one, with one compiled pattern for nearly all states of the parser.

Lark compiles a pattern for each set of tokens that a state accepts: some forty, which cost a tenth of a whole `netdsl
check`. All patterns try their tokens in the same order, so a token that the pattern of all finds, and that the state
accepts, is the one that the state's own pattern finds. That is compiled only where a word means something else there
(`input` as a name, a path).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lark.common import LexerConf
from lark.lexer import BasicLexer, ContextualLexer, Scanner


class StateLexer(BasicLexer):
    """The tokens that a state accepts. `shared`: the lexer of all tokens, once it is known."""

    shared: BasicLexer | None = None

    def __init__(self, conf: LexerConf, comparator: object = None) -> None:
        super().__init__(conf, comparator)
        self.accepted = frozenset(t.name for t in self.terminals)
        self.callback = dict(conf.callbacks)

    def _build_scanner(self) -> Scanner:
        """The pattern of its tokens. No word of the grammar is matched by the expression of another token, which lark
        would look for here by compiling them all (a test of the grammar holds it)."""
        return Scanner(self.terminals, self.g_regex_flags, self.re, self.use_bytes)  # type: ignore[no-untyped-call]

    def match(self, text: Any, pos: int) -> Any:
        found = self.shared.match(text, pos) if self.shared else None  # type: ignore[no-untyped-call]
        return found if found and found[1] in self.accepted else super().match(text, pos)  # type: ignore[no-untyped-call]


class Lexer(ContextualLexer):
    """A lexer for each state of the parser."""

    BasicLexer = StateLexer

    def __init__(
        self, conf: LexerConf, states: Mapping[int, Collection[str]], always_accept: Collection[str] = ()
    ) -> None:
        super().__init__(conf, dict(states), always_accept)
        for lexer in self.lexers.values():
            assert isinstance(lexer, StateLexer)
            lexer.shared = self.root_lexer  # type: ignore[assignment]
