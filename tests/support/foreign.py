"""Texts that come from elsewhere: what comments, names of files, classes and columns may hold."""

from __future__ import annotations

from hypothesis import strategies as st

HOSTILE = (
    'ends with "', '"', '""', '"""', '""""', "'''", "\\", "ends with \\", '\\"', 'a\\"""b', "{x}", "{", "%s", "#",
    "\n", "a\nimport os", "a\r\nb", "\x0c", "\x00", "\u2028", "\x85", "\u202e", "\ud800", "\\N{BULLET}", "\\x",
    'a"""\n    raise SystemExit\n    """', "word " * 40 + "\\" * 150, "\\N" * 100, '"' * 120,
)  # fmt: skip
"""What breaks source text."""

MARKUP = (
    "<script>alert(1)</script>", '"><img src=x onerror=a>', "x' onload='b", "</style></title>", "]]>", "-->",
    "&amp;&#0;", "| a | b", "`c` **d**", "---\na: b", "$\\input{x}$ %c", "a_b^~", "\x1b[31m\x07", "\x9b2J",
    "\udc80", "\ufffe", "\x7f", "a\n\nb", "a\rb", "\\|", ",", '="1"', "# a", "- a", "\U0001f600",
)  # fmt: skip
"""What breaks pages, drawings, tables and terminals."""

TEXTS = st.one_of(
    st.sampled_from(HOSTILE + MARKUP),
    st.text(st.sampled_from("\"\\\n\r\t{}#'ax \u2028\x00<>&`|$%_^~\x1b\u202e\ud800,;"), max_size=130),
    st.text(st.characters(), max_size=40),
)
