"""Text that others chose (comments of a spec, file names, words, messages) as a part of Python source.

Whatever it holds, it stays text: it neither ends its literal, docstring or comment, nor begins a new line of code.
All of it passes `escaped`; nothing else in this package writes foreign text into source.
"""

from __future__ import annotations

import textwrap


def escaped(text: str) -> str:
    """The text with backslashes doubled, and characters that do not print (line ends, marks that turn the direction of
    writing, lone surrogates) as escapes."""
    return "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """A string literal in double quotes."""
    return '"' + escaped(text).replace('"', '\\"') + '"'


def template(text: str) -> str:
    """Text for the inside of an f-string in double quotes."""
    return escaped(text).replace('"', '\\"').replace("{", "{{").replace("}", "}}")


def comment(text: str) -> str:
    """Text for the end of a line, after `#`."""
    return escaped(text)


def docstring(text: str, indent: str, width: int) -> list[str]:
    """The lines of a docstring, wrapped at `width` columns."""
    room = width - len(indent) - 6
    wrapped = [line for part in _paragraphs(text.strip()) for line in textwrap.wrap(part, room) or [""]] or [""]
    lines = [escaped(line).replace('"""', "'''") for line in wrapped]
    lines[0] = f" {lines[0]}" if lines[0].startswith('"') else lines[0]
    if len(lines) == 1:
        (line,) = lines
        return [f'{indent}"""{line[:-1]}\\""""' if line.endswith('"') else f'{indent}"""{line}"""']
    return [f'{indent}"""{lines[0]}', *(f"{indent}{line}".rstrip() for line in lines[1:]), f'{indent}"""']


def _paragraphs(text: str) -> list[str]:
    """Lines that continue with the one before are one paragraph; those that are indented or empty stand alone."""
    found: list[str] = []
    for line in text.split("\n"):
        if found and line.strip() and found[-1].strip() and not line.startswith((" ", "-", "*")):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found
