"""Texts as the tokens of a trained net, and tokens as a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from netdsl.diagnostics.diagnostic import first_line
from netdsl.diagnostics.packages import needed_by
from netdsl.inference.errors import DataError

BYTES = tuple(chr(b) if 32 < b < 127 else f"0x{b:02x}" for b in range(256))
"""What the 256 bytes are called as classes."""
TOKENIZER = "tokenizer.json"
"""The file of a run's tokenizer in its directory."""


class Vocabulary(Protocol):
    """Tokens of a text. `encode` raises DataError for what has none."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int]) -> str: ...


class Characters:
    """One token for each of some characters."""

    def __init__(self, letters: tuple[str, ...]) -> None:
        self.letters = letters
        self.numbers = {c: i for i, c in enumerate(letters)}

    def encode(self, text: str) -> list[int]:
        new = sorted(set(text) - self.numbers.keys())
        if new:
            listed = ", ".join(map(repr, new[:5])) + (" ..." if len(new) > 5 else "")
            raise DataError("unknown-class", f"the net was not trained on {listed}", f"it knows {self._known()}")
        return [self.numbers[c] for c in text]

    def _known(self) -> str:
        shown = "".join(c for c in self.letters if c.isprintable())
        return f"{len(self.letters)} characters: {shown[:100]}" + (" ..." if len(shown) > 100 else "")

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.letters[t] for t in tokens)


class Bytes:
    """One token for each byte of a text in UTF-8."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: list[int]) -> str:
        return bytes(tokens).decode(errors="replace")


class Tokenizer:
    """The tokens of a `tokenizer.json`. Raises DataError for a file that is none, and without the package."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise DataError("missing-data", f"there is no file {file}", "`tokenizer` names a `tokenizer.json`")
        with needed_by("`tokenizer`"):
            from tokenizers import Tokenizer as Engine
        try:
            self.engine: Any = Engine.from_file(str(file))
        except Exception as error:  # the package raises Exception itself
            raise DataError("unreadable-data", f"{file} is no tokenizer: {first_line(error)}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The text of every token."""
        known: dict[str, int] = self.engine.get_vocab(with_added_tokens=True)
        found = {number: name for name, number in known.items()}
        return tuple(found.get(i, str(i)) for i in range(max(found, default=-1) + 1))

    def encoded(self, text: str) -> tuple[list[int], list[int]]:
        """The tokens of a text, and the place in it where each ends, in characters."""
        found = self.engine.encode(text, add_special_tokens=False)
        return found.ids, [end for _, end in found.offsets]

    def encode(self, text: str) -> list[int]:
        return self.encoded(text)[0]

    def decode(self, tokens: list[int]) -> str:
        text: str = self.engine.decode(tokens, skip_special_tokens=False)
        return text


def vocabulary_of(kind: str, classes: tuple[str, ...], tokenizer: Path | None) -> Vocabulary:
    """The vocabulary of a trained net. `kind`: `bytes` or `characters`; `tokenizer`: a file that takes their place.

    Raises DataError.
    """
    if tokenizer is not None:
        return Tokenizer(tokenizer)
    return Bytes() if kind == "bytes" else Characters(classes)
