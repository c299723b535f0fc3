"""The grammar, rule by rule: its text, what its class of the syntax tree says of it, its shortest use in the zoo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from msgspec import Struct

from netdsl.loader import load_source, zoo
from netdsl.syntax import ast
from netdsl.syntax.parse import parse
from website import fences

GRAMMAR = Path(__file__).parent.parent.parent / "grammar" / "netdsl.lark"

HEAD = """\
# Grammar

The whole grammar, from the file that the parser reads (`grammar/netdsl.lark`), rule by rule, each with its
shortest use in the [zoo](../gallery/index.md). What a spec means is in [the language](../language.md).

Newlines end statements, except inside `( )` and `[ ]`, after `->`, `|`, `=` and `,`, and before a line that begins with
`->`, `|`, `=` or `else`. `#` begins a comment. `[x]` is optional, `x*` any number of it, `a | b` one
of two.
"""

CLASSES = {
    "expr_statement": "ExprStatement", "import_name": "ImportName", "list": "ListExpr", "tuple": "TupleExpr",
    "block": "Block", "expr": "Pipeline",
}  # fmt: skip
"""Rules whose class has another name than theirs."""

_SECTION = re.compile(r"^// (Declarations|Statements|Expressions|Words)\b", re.MULTILINE)
_RULE = re.compile(r"^[?!]*(_?[a-z]\w*): (.*(?:\n[ \t]+\|.*)*)", re.MULTILINE)
_WORD = re.compile(r"^([A-Z]\w*)(?:\.\d+)?: (.+)", re.MULTILINE)
_NAME = re.compile(r"(?<![\w\"/])_?[a-z]\w*(?![\w\"])|_?[A-Z][A-Z_]+\b")


class Rule(Struct, frozen=True):
    """A rule of the grammar: its name, its text, the class of the tree that it makes (None where it makes none)."""

    name: str
    text: str
    made: type[ast.Node] | None


def rules() -> dict[str, list[Rule]]:
    """The rules by the title of their section."""
    parts = _SECTION.split(GRAMMAR.read_text())
    found = {"Files": [_rule(m) for m in _RULE.finditer(parts[0])]}
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        found[title] = [_rule(m) for m in _RULE.finditer(text)]
    return {title: inside for title, inside in found.items() if inside}


def _rule(match: re.Match[str]) -> Rule:
    text = re.sub(r"\s*-> \w+$", "", re.sub(r"\n\s+", "\n    ", match[2]), flags=re.MULTILINE)
    camel = "".join(part.title() for part in match[1].split("_"))
    return Rule(match[1], text, getattr(ast, CLASSES.get(match[1], camel), None))


def pages() -> dict[str, str]:
    """The page by its path."""
    return {"reference/grammar.md": "\n".join(_page())}


def _page() -> Iterator[str]:
    found, used = rules(), examples()
    known = {rule.name for inside in found.values() for rule in inside}
    words = dict(_WORD.findall(GRAMMAR.read_text()))
    yield HEAD
    for title, inside in found.items():
        yield f"## {title}\n"
        for rule in inside:
            yield from _section(rule, known, words, used)
    yield "## Words\n\n| word | is |\n|---|---|"
    for name, pattern in words.items():
        yield f"| <span id='{name}'>`{name}`</span> | <code class='pattern'>{_cell(_plain(pattern))}</code> |"


def _section(rule: Rule, known: set[str], words: dict[str, str], used: dict[type, str]) -> Iterator[str]:
    yield f"### {rule.name.lstrip('_')} {{ #{rule.name} }}\n"
    doc = (rule.made.__doc__ or "") if rule.made else ""
    if doc and not doc.startswith("Node("):
        yield " ".join(doc.split()) + "\n"
    text = re.sub(r"_NEWLINE\? ?", "", rule.text).replace("_NEWLINE", "NEWLINE")
    linked = _NAME.sub(lambda m: _link(m[0], known, words), escape(text, quote=False))
    yield f'<pre class="grammar"><code>{linked}</code></pre>\n'
    if rule.made in used:
        yield f'<div class="highlight net use"><pre><code>{fences.coloured(used[rule.made])}</code></pre></div>\n'


def _link(name: str, known: set[str], words: dict[str, str]) -> str:
    plain = name if name in words else name.lstrip("_")
    if name in known or name in words:
        shown = _plain(words[name]) if name in words and _is_word(words[name]) else plain
        return f'<a href="#{name}">{escape(shown, quote=False)}</a>'
    return f"<b>{_KEYWORDS[plain]}</b>" if plain in _KEYWORDS else name


_KEYWORDS = {"EQUAL": "=", "IN": "in", "ELSE": "else", "AS": "as", "IMPORT": "import", "EXTENDS": "extends"}


def _is_word(pattern: str) -> bool:
    return re.fullmatch(r"[\w+*\->|]+", _plain(pattern)) is not None


def _plain(pattern: str) -> str:
    """A terminal as it is written: the word of a pattern that is one, else the pattern."""
    word = re.match(r"/([a-z]+)(\\b|\(\?)", pattern)
    if word:
        return word[1]
    return pattern.strip('"') if pattern.startswith('"') else pattern


def _cell(text: str) -> str:
    return escape(text, quote=False).replace("|", "&#124;")


def examples() -> dict[type, str]:
    """The shortest text in the zoo of each class of the tree, of at least four letters where there is one."""
    found: dict[type, str] = {}
    for path in zoo().values():
        source = load_source(path)
        for node in ast.walk(parse(source)[0]):
            text = source.text[node.at.start : node.at.end]
            if text and _rank(text) < _rank(found.get(type(node), "x" * 10_000)):
                found[type(node)] = text
    return {cls: _unindented(text) for cls, text in found.items()}


def _rank(text: str) -> tuple[bool, int]:
    return len(text) < 4, len(text)


def _unindented(text: str) -> str:
    first, *rest = text.split("\n")
    least = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first, *(line[least:] for line in rest)])
