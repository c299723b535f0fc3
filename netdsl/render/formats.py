"""Diagnostics for other programs: annotations of GitHub, and SARIF for code scanning."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from netdsl.diagnostics.codes import TABLE
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.source import Place
from netdsl.version import __version__

_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def github(found: Iterable[Diagnostic]) -> str:
    """A workflow command of GitHub Actions a line: shown at the line of a pull request."""
    return "\n".join(map(_command, found))


def _command(found: Diagnostic) -> str:
    properties: dict[str, str | int] = {}
    if found.at is not None:
        end_line, end_column = found.at.source.position(found.at.span.end)
        properties = {"file": found.at.source.name, "line": found.at.line, "endLine": end_line}
        properties |= {"col": found.at.column, "endColumn": end_column}
    properties["title"] = found.code
    said = ",".join(f"{name}={_escaped(str(value), property=True)}" for name, value in properties.items())
    text = "\n".join((found.message, *(f"hint: {hint.message}" for hint in found.hints)))
    return f"::{_LEVELS[found.severity]} {said}::{_escaped(text)}"


def _escaped(text: str, property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text


def sarif(found: Iterable[Diagnostic]) -> dict[str, Any]:
    """A SARIF 2.1.0 log with every diagnostic as a result, and its fix."""
    results = list(found)
    rules = [_rule(code) for code in sorted({d.code for d in results})]
    driver = {"name": "netdsl", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": [_result(d) for d in results]}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str) -> dict[str, Any]:
    code = TABLE.get(name)
    if code is None:
        return {"id": name}
    return {"id": name, "shortDescription": {"text": code.title}, "fullDescription": {"text": code.explanation}}


def _result(found: Diagnostic) -> dict[str, Any]:
    text = "\n".join((found.message, *found.notes, *(f"hint: {hint.message}" for hint in found.hints)))
    result: dict[str, Any] = {"ruleId": found.code, "level": found.severity, "message": {"text": text}}
    if found.at is not None:
        result["locations"] = [{"physicalLocation": _location(found.at)}]
    related = [{"physicalLocation": _location(label.at), "message": {"text": label.message}} for label in found.labels]
    if related:
        result["relatedLocations"] = related
    fixes = [_fix(hint) for hint in found.hints if hint.edits]
    if fixes:
        result["fixes"] = fixes
    return result


def _fix(hint: Hint) -> dict[str, Any]:
    by_file: dict[str, list[Edit]] = {}
    for edit in hint.edits:
        by_file.setdefault(edit.at.source.name, []).append(edit)
    changes = [{"artifactLocation": _artifact(e[0].at), "replacements": list(map(_edit, e))} for e in by_file.values()]
    return {"description": {"text": hint.message}, "artifactChanges": changes}


def _edit(edit: Edit) -> dict[str, Any]:
    return {"deletedRegion": _region(edit.at), "insertedContent": {"text": edit.text}}


def _location(at: Place) -> dict[str, Any]:
    return {"artifactLocation": _artifact(at), "region": _region(at)}


def _artifact(at: Place) -> dict[str, str]:
    """The file of a place as a URI: relative to where `check` runs, as its name is."""
    name = at.source.name
    return {"uri": Path(name).as_uri() if os.path.isabs(name) else quote(name.replace(os.sep, "/"))}


def _region(at: Place) -> dict[str, int]:
    end_line, end_column = at.source.position(at.span.end)
    return {"startLine": at.line, "startColumn": at.column, "endLine": end_line, "endColumn": end_column}
