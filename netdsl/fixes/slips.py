"""Fixes of single characters and lines: arrows, quotes, semicolons, comments, inputs, statements of Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.braces import braces, brackets, left_out
from netdsl.fixes.calls import parts
from netdsl.fixes.operators import among
from netdsl.fixes.outputs import outputs
from netdsl.fixes.quoted import Change

_BATCH = r"batch\w*|BATCH\w*|bs|[Nn]one|\?|-1|:"
"""How the batch is written in shapes elsewhere, where it is no name of a size."""

_TIMES = r"\s*[xX\u00d7*,]\s*"
_TRAINING = "train|training|trainer|compile|fit|config|learn|run|setup|hyperparameters"
"""Words that a recipe begins with elsewhere."""

_LINES: tuple[tuple[str, str], ...] = (
    (r"^(\s*)//+\s*(.*)$", r"\1# \2"),
    (r"\s*//+(?=\s).*$", ""),
    (r"^(\s*)/\*+\s*(.*?)\s*\*+/\s*$", r"\1# \2"),
    (r"/\*+\s*(.*?)\s*\*+/\s*$", r"# \1"),
    (r"^(\s*)(\S.*?\bas\s+\w+)\s*->\s*(?=\S)", r"\1\2\n\1"),
    (r"(\bas\s+\w+)\s*->\s*(?=\S)", r"\1\n  "),
    (r"^(\s*)(\S.*?)\s*->\s*(?=(?:if|for|repeat)\b)", r"\1\2\n\1"),
    (r"(?<=[\w)])\s+(?:followed\s+by|and\s+then|then)\s+(?=\w)", " -> "),
    (r"^(\s*)(?:followed\s+by|then)\s+(?=\w)", r"\1-> "),
    (r"->\s*->", "->"),
    (r"\b(?:[Rr]es(?:idual)?_?[Bb]lock|Residual)\s*\(\s*\d*\s*\)\s*(?=\{)", "residual "),
    (r"(?<=[(,])(\s*)if\s*=(?!=)\s*", r"\1when = "),
    (r"^(\s*)[Ii]nputs?\s*:\s*(\w+)\s*(?=\[)", r"\1input \2 "),
    (rf"^(\s*input\s+\w+\s*\[)(?:{_BATCH})\s*,\s*", r"\1"),
    (r"^(\s*)input\s+(\w+)\s*[:=]\s*[A-Za-z_][\w.]*\s*[\[(]+([^\])]*)[\])]+\s*$", r"\1input \2 [\3]"),
    (rf"^(\s*)input\s+(\w+)\s+(\d+){_TIMES}(\d+){_TIMES}(\d+)\s*$", r"\1input \2 [\3, \4, \5]"),
    (r"^(?!\s*input\b)(.*?)\b(\d+)[xX\u00d7]\2\b", r"\1\2"),
    (r"(?<=\d)\s+(?:classes|filters|channels|units|neurons|features|outputs|hidden)\b", ""),
    (r"([(,]\s*)([a-z_]+)\s+(\d[\d.]*)(?=\s*[,)])", r"\1\2=\3"),
    (r"^(\s*)(\w+)\s+times\s*(?=\{)", r"\1repeat \2 "),
    (r"^(\s*repeat\s+\w+)\s+[A-Za-z]+\s*(?=\{)", r"\1 "),
    (r"^(\s*\w+)\s+(?:is|equals|be)\s+", r"\1 = "),
    (r"^(\s*)[A-Za-z]+\s+(?=(?:net|block|recipe|experiment)\s+[A-Za-z_])", r"\1"),
    (r"^(\s*)(?:layer|stage|op|module|new|var)\s+(?=\w+\s*:)", r"\1"),
    (r"(=\s*)(?:layer|new|op|module)\s+(?=\w+\s*\()", r"\1"),
    (rf"^(?:{_TRAINING})\s+([A-Za-z_]\w*)\s*:?\s*\{{", r"recipe \1Recipe for \1 {"),
    (r"^recipe\s+for\s+(\w+)", r"recipe \1Recipe for \1"),
    (r"^(recipe\s+\w+\s+)(?!for\b|extends\b)[A-Za-z]+(?=\s+\w+\s*\{)", r"\1for"),
    (r"^((?:block|net)\s+\w+(?:\([^()]*\))?\s*)(?:[-=]>|:=?)\s*(?=[a-z(])", r"\1= "),
    (r"^(\s*)(.*\S)\s*->\s*output\s+([A-Za-z_]\w*)\s*$", r"\1output \3 = \2"),
    (r"\s*->\s*@(\w+)\s*$", r" as \1"),
    (r"^(\s*\w+\s*=\s*\w+)\s*\{\s*([^{}]*?)\s*\}\s*$", r"\1(\2)"),
    (
        r"^(\s*)(?:parallel|branch(?:es)?|concat|fork|inception)\s*[\[{]\s*([^\[\]{};]*?)\s*[\]}](?:\s*->\s*concat)?",
        r"\1concat(\2)",
    ),
    (r"^(\s*)grid\s+(?=[\w.]+\s*=)", r"\1vary "),
    (r"^(\s*compare\s+\S+\s+)(?:vs\.?|versus|with|to|over|on)\s+", r"\1against "),
    (r"^(\s*)(net|block)\s+([A-Za-z_]\w*)\s+([A-Za-z_]\w*)(?=\s*[({:=])", r"\1\2 \3_\4"),
    (r"(?<=\bin )(\w+)\s*\.\.\s*(\w+)", r"range(\1, \2)"),
    (r"(?<=\bin )(\w+)\s*\.\.(?:=|\.)\s*(\w+)", r"range(\1, \2 + 1)"),
    (r"^(\s*vary\s+[\w.]+\s*=\s*)([^\[\]\n]*,[^\[\]\n]*?)\s*$", r"\1[\2]"),
    (r"^(\s*vary\s+[\w.]+)\s+(?:in|over|:)\s+", r"\1 = "),
    (r"^(\s*)metrics?\s*=\s*([^\[\]\n]*,[^\[\]\n]*?)\s*$", r"\1metrics = [\2]"),
    (r"^(\s*)(?:measures?|metrics?)\s*=\s*\[?([^\[\]\n]*?)\]?\s*$", r"\1measure = [\2]"),
    (r"^(\s*)(?:--|%+|\"\"\"|''')\s*(.*?)(?:\"\"\"|''')?$", r"\1# \2"),
    (r"^(\s*)[\"'](.*)[\"']\s*$", r"\1# \2"),
    (r"[=~+]>|-+>>?|\|>|[\u2190-\u21ff\u27f6\u2794\u279c]|[\u2013\u2014]\s*>?|-\s+>|>>", "->"),
    (r"[\u201c-\u201f\u00ab\u00bb]", '"'),
    (r"[\u2018-\u201b`]", "'"),
    (r"^(\s*)(?:let|const|var|val|set|int|float|double|bool|str|auto|final|static|export)\s+", r"\1"),
    (r"^(\s*)return\s+", r"\1"),
    (r"^\s*return\s*$", ""),
    (r"^(\s*)print\(.*\)\s*$", ""),
    (r"^(\s*)([A-Za-z_]\w*)\s*([-+*/])=\s*([\w.]+(?:\([^()]*\))?)\s*$", r"\1\2 = \2 \3 \4"),
    (r"^(\s*)([A-Za-z_]\w*)\s*([-+*/])=\s*(.*\S)\s*$", r"\1\2 = \2 \3 (\4)"),
    (r"^(\s*)(block|net)\s+(.*?):\s*\{", r"\1\2 \3 {"),
    (r"^(\s*)if\s+([^{}]*?)\s+then\s+(.*\S)\s*$", r"\1if \2 { \3 }"),
    (r"^(\s*)group\s+([^:{}]+?)\s*:\s*(.+\S)\s*$", r"\1group \2 { \3 }"),
    (r"^(\s*)(\w+\s*=.*\S)\s*,\s*([A-Za-z_]\w*\s*=(?!=).*)$", r"\1\2\n\1\3"),
    (r"^(\s*)(\w+\s*=.*[^\s,])\s+([A-Za-z_]\w*\s+=(?!=).*)$", r"\1\2\n\1\3"),
    (r"\belif\b|\belse\s*:?\s*if\b|\belsif\b", "else if"),
    (r"^(\s*)(?:def|function|fn|func|module|layer)\s+(?=[A-Za-z_])", r"\1block "),
    (r"^(\s*)(?:class|model|network)\s+(?=[A-Za-z_])", r"\1net "),
    (r"^(\s*)(?:train|training|config|optimizer)\s+(?=[A-Za-z_]\w*\s+for\b)", r"\1recipe "),
    (r"\bfor\s*\(?\s*(?:int\s+|let\s+)?(\w+)\s*(?::|of|=)\s*", r"for \1 in "),
    (r"^(\s*)(?:repeat|loop|times)\s*\(?\s*(\w+)\s*\)?\s*:?\s*\{?([^{}:]+)\}?\s*$", r"\1repeat \2 { \3 }"),
    (r"^(\s*)(?:repeat|loop|times)\s*\(?\s*(\w+)\s*\)?\s*\{", r"\1repeat \2 {"),
    (r"^(\s*)(for\s+\w+\s+in\s+(?:\w+\([^)]*\)|\w+|\[[^\]]*\]))\s*:?\s*([^\s{:].*)$", r"\1\2 { \3 }"),
    (r"^(\s*)(if|else if)\s+([^{}:]+):\s*(\S.*)$", r"\1\2 \3 { \4 }"),
    (r"^(\s*)if\s*\(([^{}]*)\)\s*([^\s{:].*)$", r"\1if \2 { \3 }"),
    (r"\belse\s*:?\s*([^\s{:][^{}]*)$", r"else { \1 }"),
    (
        r"^(\s*)for\s*\(?\s*(?:int |let |var )?\s*(\w+)\s*=\s*0\s*;[^;]*<\s*(\w+)\s*;[^{]*\)\s*",
        r"\1for \2 in range(\3) ",
    ),
    (r"^(\s*)for\s+(\w+)\s*=\s*(\w+)\s*(?:to|\.\.|:)\s*(\w+)", r"\1for \2 in range(\3, \4 + 1)"),
    (r"\b(?:skip|shortcut|Residual|res|resblock)\s*(?=[({])", "residual "),
    (r"\b[Rr]esidual\s*\((.*)\)\s*$", r"residual { \1 }"),
    (r"\b([A-Za-z_]\w*)[\[{]\s*([^\[\]{}]*?)\s*[\]}]", r"\1(\2)"),
    (r";", ","),
    (r"^(\s*)(\w+)-(\w+)(?=\s*[:=])", r"\1\2_\3"),
    (r"^(\s*)(\d+)_?([A-Za-z]\w*)(?=\s*[:=])", r"\1\3\2"),
    (r"^(\s*)output\s+(.*\S)\s*$", r"\1output output = \2"),
    (r"^(\s*)([A-Za-z_]\w*)\s+(?=[A-Za-z_]\w*\s*(?:\(|->|$))", r"\1\2: "),
    (r"^(\s*)share\s+(?=\w+\()", r"\1share f = "),
    (r"^(\s*)shared?\s+(\w+)\s*[:=]\s*", r"\1share \2 = "),
    (r"\)\s*\.\s*(\w+)\(\)", r") -> \1"),
    (r"\)\s*\.\s*(?=\w)", ") -> "),
    (r"^assert\s+(?=\w+\s*:)", r"expect "),
    (r"^(\s*)assert\s+", r"\1require "),
    (r"^\s*(?:pass|\.\.\.)\s*$", ""),
    (r"=\s*:\s*", "= "),
    (r"=\s*:\s*", ": "),
    (r",(?=\s*=)", ""),
    (r"&&", "and"),
    (r"\|\|", "or"),
    (r"!(?!=)", "not "),
    (r"<>", "!="),
    (r"===", "=="),
    (r"\bnull\b|\bnil\b", "none"),
    (r":=", "="),
    (r"^(\s*[A-Za-z_]\w*)\s*:\s*[A-Za-z_]\w*\s*=\s*", r"\1 = "),
    (r"^(\s*)input\s*(\[[^\]]*\])\s*(?!u?int\d|float\d|bool)([A-Za-z_]\w*)\s*$", r"\1input \3 \2"),
    (r"^(\s*)input\s*(\[.*)$", r"\1input image \2"),
    (r"^(\s*)([A-Za-z_]\w*\s*\[[\w, ]+\]\s*)$", r"\1input \2"),
    (r"^(\s*)input\s+(\w+)\s*(?:=|:|\()\s*\[?([^\])]*)[\])]?\s*$", r"\1input \2 [\3]"),
    (r"^(\s*)input\s+(\w+)\s*\[(.*)\]\s*:\s*(\w+)\s*$", r"\1input \2 [\3] \4"),
    (r"^(\s*)input\s+(\w+)\s+(\d[\d, x]*)\s*$", r"\1input \2 [\3]"),
    (r"^(\s*)input\s*\(?\s*(\d[\d, ]*)\)?\s*$", r"\1input image [\2]"),
    (r"^(\s*)(\w+)\s*=\s*input\s*\(?\[?\(?([\d, ]+)[\])]*\s*$", r"\1input \2 [\3]"),
    (r"^(\s*)(?:input|Input)\s*\(\s*(?:shape\s*=\s*)?[\[(]([\d, ]*)[\])]\s*\)\s*$", r"\1input image [\2]"),
    (r"(?<=\d)\s*[xX\u00d7]\s*(?=\d)", ", "),
    (r"(?<=\d)\s+(?=\d)", ", "),
    (r"\b([A-Za-z_]\w*)\s+(\d+)\s+(\d+)(?=\s*(?:->|$))", r"\1(\2, \3)"),
    (r"\b([a-z]\w*)\s+(\d+)(?=\s*(?:->|$))", r"\1(\2)"),
    (r"\s+(?:then|do|begin|times)\b", ""),
    (r"\b(\d)(\d)%", r"0.\1\2"),
    (r"\b(\d)%", r"0.0\1"),
    (r"\^", "**"),
    (r"^(\s*)param\s+(\w+)\s*[\[(]([\d, ]+)[\])]\s*$", r"\1\2 = param((\3))"),
    (r"(?<![\w.])(\d+)[kK]\b", r"\1_000"),
    (r"(?<![\w.])(\d+)M\b", r"\1_000_000"),
    (r"(?<=\d)[kK]\b", "e3"),
    (r"(?<=\d)[mM]\b", "e6"),
    (r"(?<=\d)[gGbB]\b", "e9"),
    (r"^(\s*)share\s+(\w+)\s*:\s*", r"\1share \2 = "),
    (r"^(\s*)(?:self\.)(\w+)\s*=\s*", r"\1\2: "),
    (r"^(\s*)(?:self\.)(\w+)\s*=\s*", r"\1share \2 = "),
    (r"^(\s*)(?:model|self|net|m)\.(?:add|append)\((.*)\)\s*$", r"\1\2"),
    (r"^(\s*)import\s+(\w+)\s*$", r""),
    (r"^(\s*)import\s+(\w+)\s+from\s+[\"']?([\w.]+?)(?:\.net)?[\"']?\s*$", r"\1from \3 import \2"),
    (r"^(\s*)from\s+[\"']([\w./]+?)(?:\.net)?[\"']\s+import", r"\1from \2 import"),
    (r"^(\s*)from\s+([\w.]+)\.net\s+import", r"\1from \2 import"),
    (r"^(\s*)(?:import|from)\s+torch.*$", r""),
    (r"\blambda\s+(\w+)\s*:\s*\1\s*$", "identity"),
    (r"^(\s*)([A-Za-z_]\w*)\s+(\d[^{}\n]*?)(\s*(?:->.*)?)$", r"\1\2(\3)\4"),
    (r"^(\s*\w+)\s*:\s*(?=[\w\"'\[.-])", r"\1 = "),
    (r"^(\s*\w+(?:\s*,\s*\w+)+\s*=\s*)([^()]*,.*)$", r"\1(\2)"),
    (r"^(\s*\w+\s*=\s*)([^()\[\]]*,.*?)$", r"\1(\2)"),
    (r"(?<=[\w)])\s*,\s*(?=[a-z_]\w*\b(?!\s*=))", " -> "),
    (r"\s*(?:->|\|)\s*$", ""),
    (r"^(\s*)->\s*", r"\1"),
    (r",\s*$", ""),
    (r"\s*\\\s*$", ""),
    (r"\)\s*\(", ") -> ("),
    (r"(?<=[\w)])\s+(?=[A-Za-z_]\w*\s*(?:\(|->|$))", " -> "),
    (r"(?<=[\w\])\"'])\s+(?=[\w\[(\"'])", ", "),
    (r"\*\*(?=\w)", "*"),
    (r"(?<![=!<>])=(?!=)", "=="),
    (r"==", "="),
    (r"([A-Za-z_]\w*)\s*:\s*(?=[\w\"'\[(.])", r"\1="),
    (r"(?<=[(,])(\s*)(\w+)\s*:\s*\w+", r"\1\2"),
    (r"\b[fFrRbBuU](?=[\"'])", ""),
    (r"(?<=\d)(?=[A-Za-z_])(?!e\d|epochs?\b|steps?\b)", "*"),
    (r"[()\[\]{}]\s*$", ""),
    (r"([\"'])([^\"']*)$", r"\1\2\1"),
    (r"([\"'])([^\"'()]*)(\).*)$", r"\1\2\1\3"),
)
"""What is tried on the line of a mistake: at every place where the pattern stands near it, the replacement."""

_OTHERS: tuple[tuple[str, str], ...] = (
    (r"([(,]\s*)([a-z_]\w*)\s*==\s*", r"\1\2="),
    (rf"^(\s*input\s+\w+\s*\[)(?:{_BATCH})\s*,\s*", r"\1"),
    (r"^(\s*)[Ii]nputs?\s*[:=]\s*\[([\w, ]+)\]\s*$", r"\1input image [\2]"),
    (r"^(\s*)(?:--|%+|//+)\s*(.*)$", r"\1# \2"),
    (r"\s//+(?=\s)", " #"),
    (r"^(\s*)[\"']+(.*?)[\"']+\s*$", r"\1# \2"),
    (r"\bpadding\s*=\s*[\"']?(reflect|circular|replicate)\b[\"']?", r"padding_mode=\1"),
    (r"^(\s*[A-Za-z_]\w*)\s*(?:==|<-+|:=)\s*", r"\1 = "),
    (r"(?<=\s)(?:\||>|<-|\|>|\.)(?=\s)", "->"),
    (r"\[([^\[\]]*)\]\s*->\s*(concat|add|mul|matmul)\b", r"\2(\1)"),
    (r"(?<!\w)\(([^()]*)\)\s*->\s*(concat|add|mul|matmul)\b", r"\2(\1)"),
    (r"\s*->\s*add\((\w+)\)", r" + \1"),
    (r"\s*->\s*mul\((\w+)\)", r" * \1"),
    (r"\bfor\s+(\w+)\s+in\s+(\w+)", r"for \1 in range(\2)"),
    (r"(?<=[\w)])\s*/\s*(?=[\w(])", " // "),
    (r"\+\+", "+"),
    (r"(?<=\d),(?=\d)", "."),
    (r"(?<=\))\s*[+,&]\s*(?=[a-z]\w*\()", " -> "),
    (r"(?<=\))\s*[+,&]\s*(?=[a-z]\w*\()", " | "),
    (r"^(\s*)residual\s*\[(.*)\]", r"\1residual {\2}"),
    (r"^(\s*)freeze\s*=\s*[\[(]?([\w., ]+?)[\])]?\s*$", r"\1freeze \2"),
    (r"^\s*print\(.*\)\s*$", ""),
    (
        r"^(\s*)(\w+)\s*=\s*(?:[\w.]+\.)?[Ii]nput\(\s*(?:shape\s*=\s*)?[\[(]?(\d+), (\d+), ([134])[\])]+\s*$",
        r"\1input \2 [\5, \3, \4]",
    ),
    (r"^(\s*)(\w+)\s*=\s*[Ii]nput\(\s*(?:shape\s*=\s*)?[\[(]?([\d, ]*)[\])]*\s*$", r"\1input \2 [\3]"),
    (r"^(\s*)[Ii]nput\(\s*(?:shape\s*=\s*)?[\[(]?(\d+), (\d+), ([134])[\])]+\s*$", r"\1input image [\4, \2, \3]"),
    (r"^(\s*)[Ii]nput\(\s*(?:shape\s*=\s*)?[\[(]?([\d, ]*)[\])]+\s*$", r"\1input image [\2]"),
    (r"^\s*[Ii]nput\([^()]*(?:\([\d, ]*\))?[^()]*\)\s*\n", ""),
    (r"^from\s+\w+\s+import\s.*$", ""),
    (r"^(\s*)callbacks?\s*=\s*\[?\s*(?:[\w.]+\.)?EarlyStopping\(([^()]*)\)\s*\]?\s*$", r"\1stop = early_stopping(\2)"),
)
"""What is tried on the line of a mistake that is not one of syntax."""

_COMPILED = tuple((re.compile(pattern), into) for pattern, into in _LINES)
_COMPILED_OTHERS = tuple((re.compile(pattern), into) for pattern, into in _OTHERS)
_SLICE = re.compile(r"\b([A-Za-z_]\w*)\[([^\]]*)\]")
_HEADS = re.compile(r"^\s*(?:net|block|class|def|while|recipe|if|else|for|repeat|residual)\b")


def slips(text: str, start: int, end: int) -> Iterator[list[Change]]:
    """Changes on the line of a mistake in syntax, and of its indented block."""
    first, last = line_of(text, start)
    if text[start:end] == ":" and not _HEADS.match(text[first:last]):
        yield [(start, end, " =")]
    if ";" in text[first:last]:
        yield _semicolons(text)
    yield from outputs(text, first, last)
    yield from braces(text, first, last)
    yield from _patterns(text, start, _COMPILED)
    yield from brackets(text, start, end, first, last)
    yield from left_out(text, first, last)


def other_slips(text: str, start: int) -> Iterator[list[Change]]:
    """Changes on the line of a mistake that is not one of syntax."""
    yield from _patterns(text, start, _COMPILED_OTHERS)
    yield from outputs(text, *line_of(text, start))


def line_of(text: str, at: int) -> tuple[int, int]:
    """Where the line of an offset begins and ends."""
    last = text.find("\n", at)
    return text.rfind("\n", 0, at) + 1, len(text) if last < 0 else last


def _patterns(text: str, start: int, patterns: tuple[tuple[re.Pattern[str], str], ...]) -> Iterator[list[Change]]:
    """Each pattern replaced where it stands nearest, and everywhere on the line."""
    first, last = line_of(text, start)
    line = text[first:last]
    for pattern, into in patterns:
        found = [(m.start(), m.end(), m.expand(into)) for m in pattern.finditer(line)]
        changes = [(first + a, first + b, new) for a, b, new in found if line[a:b] != new]
        yield from ([c] for c in sorted(changes, key=lambda c: abs(c[0] - start))[:2])
        if len(changes) > 1:
            yield changes


def _semicolons(text: str) -> list[Change]:
    """Every `;` of the text gone, and what follows it on a line of its own."""
    changes: list[Change] = []
    for match in re.finditer(r"^([^\S\n]*)([^\n#]*;[^\n]*)$", text, re.MULTILINE):
        said = [text[a:b].strip() for a, b in parts(text, match.start(2), match.end(2), ";")]
        changes.append((match.start(2), match.end(2), f"\n{match[1]}".join(said)))
    return changes


def part_of_tensor(text: str, start: int) -> Iterator[list[Change]]:
    """`x[0:2]`: a part of the first axis; `x[:, 0:2]` counts the batch."""
    first, last = line_of(text, start)
    changes: list[Change] = []
    for match in _SLICE.finditer(text, first, last):
        layers = _parts([i.strip() for i in match[2].split(",")])
        if layers:
            written = f"{match[1]} -> {layers}"
            changes.append((match.start(), match.end(), among(text, match.start(), match.end(), written)))
    yield from ([c] for c in changes)
    if len(changes) > 1:
        yield changes


def _parts(items: list[str]) -> str:
    """The layers that take slices and items of axes, the last axis first: an item leaves its axis out."""
    counts_batch = len(items) > 1 and items[0] in (":", "...")
    found = enumerate(items[1:] if counts_batch else items)
    said = [_part(item, f", axis={axis}" if axis or item.startswith("-") else "") for axis, item in found]
    return " -> ".join(layer for layer in reversed(said) if layer) if None not in said else ""


def _part(item: str, axis: str) -> str | None:
    """The layer that takes a slice or an item of an axis, "" for the whole axis; None where it is neither."""
    begin, colon, stop = item.partition(":")
    if colon and stop.isdigit() and (begin or "0").isdigit():
        return f"narrow({begin or 0}, {int(stop) - int(begin or 0)}{axis})"
    if item in (":", "..."):
        return ""
    return f"take({item}{axis})" if item.removeprefix("-").isdigit() else None
