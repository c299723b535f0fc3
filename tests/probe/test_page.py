"""The page of a probe: names in its sentences are code, and markup in them stays text."""

from __future__ import annotations

from netdsl.probe.model import Finding, Probed
from netdsl.probe.page import page


def test_names_are_code_and_markup_is_text() -> None:
    finding = Finding("field", ("a position of `relu<8>` looks at `b`",))
    text = page(Probed("N", ("of `run`",), (finding,)))
    assert "a position of <code>relu&lt;8&gt;</code> looks at <code>b</code>" in text
    assert "of <code>run</code>" in text
    assert "`" not in text
