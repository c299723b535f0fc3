"""Names of runs that stand beside each other: the parts of their paths that differ."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_APART = re.compile(r",(?![^(\[]*[)\]])")
"""Between two settings in a folder's name, and not within the arguments of one."""


def told_apart(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names of folders: the ends of their paths, of as many parts as tell them apart, without those parts, and those
    settings in a part, that all of them have: of `shrink=Max/seed-0` and `shrink=Mean/seed-0` the settings."""
    paths = [Path(os.path.abspath(folder)).parts for folder in folders]
    ends = paths
    for count in range(1, max(map(len, paths), default=0) + 1):
        ends = [path[-count:] for path in paths]
        if len(set(ends)) == len(ends):
            break
    short = ["/".join(filter(None, parts)) for parts in zip(*map(_different, zip(*ends, strict=False)), strict=True)]
    return short if len(folders) > 1 and all(short) and len(set(short)) == len(short) else ["/".join(e) for e in ends]


def _different(parts: Sequence[str]) -> list[str]:
    """One part of every path, without the settings that all have."""
    each = [_APART.split(part) for part in parts]
    shared = set(each[0]).intersection(*each)
    return [",".join(s for s in settings if s not in shared) for settings in each]
