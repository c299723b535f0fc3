"""Mappings by hand: which key of the net is which of a file, as a TOML file to be read and to be filled in."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from netdsl.diagnostics.regular import check_regular
from netdsl.weights.match import Matching
from netdsl.weights.unwrap import WeightsError

HEAD = """\
# Which tensor of the file is which of the net: "key of the net" = "key of the file".
# A prefix stands for all below it.
"""


def read_mapping(path: str) -> list[tuple[str, str]]:
    """Pairs of a foreign and an own key, or prefix of keys, out of a TOML file. Raises WeightsError."""
    try:
        check_regular(path)
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise WeightsError("unreadable", f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(
            "bad-mapping", f"{path} is not TOML: {error}", 'write lines such as "stem.conv" = "conv1"'
        ) from None
    return _pairs(path, _table(path, content))


def _table(path: str, content: dict[str, Any]) -> dict[str, Any]:
    unknown = [k for k in content if k != "map"]
    if unknown or not isinstance(content.get("map"), dict):
        what = f"has `{unknown[0]}`" if unknown else "has no table"
        raise WeightsError(
            "bad-mapping", f"{path} {what}: a mapping is one table, `[map]`", 'below it "key of the net" = "its key"'
        )
    found: dict[str, Any] = content["map"]
    return found


def _pairs(path: str, table: dict[str, Any]) -> list[tuple[str, str]]:
    wrong = next((k for k, v in table.items() if not isinstance(v, str)), None)
    if wrong is not None:
        raise WeightsError(
            "bad-mapping", f"`{wrong}` in {path} is not a key of the file in quotes", "keys with dots need quotes too"
        )
    open_ones = [k for k, v in table.items() if not v]
    if open_ones:
        more = f" and {len(open_ones) - 1} more" if len(open_ones) > 1 else ""
        raise WeightsError(
            "bad-mapping",
            f"{path} leaves `{open_ones[0]}`{more} open",
            "fill in the key of the file, or delete the line",
        )
    return [(theirs, mine) for mine, theirs in table.items()]


def declared(value: object) -> list[tuple[str, str]]:
    """The pairs of a spec's constant `weights`, none for None. Raises WeightsError for anything else."""
    pairs = [] if value is None else value
    fits = isinstance(pairs, tuple | list) and all(
        isinstance(p, tuple) and len(p) == 2 and all(isinstance(s, str) for s in p) for p in pairs
    )
    if not fits:
        raise WeightsError(
            "bad-mapping", "`weights` must be a list of pairs of texts", 'as in `weights = [("conv1", "stem.0.conv")]`'
        )
    return list(pairs)  # type: ignore[call-overload,no-any-return]


def stub(found: Matching) -> str:
    """A mapping of everything that was decided, the rest to be filled in, with its candidates."""
    lines = [HEAD, "[map]"]
    taken = set()
    for match in found.matches:
        if match.own.key and match.foreign.key:
            lines.append(f"{_quoted(match.own.key)} = {_quoted(match.foreign.key)}")
            taken.add(match.foreign.key)
    for item in found.open:
        lines += ["", "# could be any of these: " + ", ".join(item.candidates)]
        lines += [f'{_quoted(key)} = ""' for key in item.own]
    if found.missing:
        left = ", ".join(f"{s.key} {[*s.shape]}" for s in found.left_over)
        lines += ["", f"# not found; left in the file: {left or 'nothing'}"]
        lines += [f'{_quoted(s.key)} = ""  # {[*s.shape]}' for s in found.missing]
    return "\n".join(lines) + "\n"


def _quoted(key: str) -> str:
    return json.dumps(key)
