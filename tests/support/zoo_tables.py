"""The tables that say which net of `specs/` is which reference net, and the reference's facts.

`data/zoo/<family>.json` maps `spec:Net` to a name of `data/oracle.json`, or to an object: `net` that name (absent where
no reference has the net), `weights` a reference with the same weights that computes something else, `field` a name of
`data/receptive_fields.json`, `sizes` the named sizes at which the net is compared, `slow` that only `make test-all`
runs it, `facts` what it says otherwise: all heads as outputs, a batch axis, the weights of a linear layer the other way
round.
`data/oracle.json`: shapes with a batch of 1; `shapes` in registration order, `order` the same in order of execution
(GoogLeNet: while training).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from paths import DATA, ROOT

from netdsl.loader import load_source, read_import
from netdsl.pipeline import Net, Spec

Facts = dict[str, Any]


@cache
def table(name: str) -> Facts:
    found: Facts = json.loads((DATA / f"{name}.json").read_text())
    return found


def entries() -> dict[str, Facts]:
    """Every net of the zoo with what it is compared with."""
    found: dict[str, Facts] = {}
    for path in sorted((DATA / "zoo").glob("*.json")):
        for name, entry in json.loads(path.read_text()).items():
            assert name not in found, f"{name} is in two tables"
            found[name] = {"net": entry} if isinstance(entry, str) else entry
    return found


def specs() -> list[Path]:
    return sorted((ROOT / "specs").glob("*.net"))


@cache
def spec(name: str) -> Spec:
    return Spec(load_source(ROOT / "specs" / f"{name}.net"), read_import)


def net(name: str, sizes: dict[str, int] | None = None) -> Net:
    """A net of the zoo by `spec:Net`."""
    file, _, declared = name.partition(":")
    return spec(file).net(declared, sizes=sizes or {})


def shapes(reference: Facts) -> list[list[tuple[int, ...]]]:
    """The reference's parameter shapes, in each order that a spec may have them."""
    registered = [tuple(int(s) for s in text.split("x") if s != "-") for text in reference["shapes"].split()]
    orders = [registered]
    if "order" in reference:
        ranges = [(r, r) if isinstance(r, int) else r for r in reference["order"]]
        orders.append([registered[i] for first, last in ranges for i in range(first, last + 1)])
    return [[spelled(s) for s in order] for order in orders]


def spelled(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape in one spelling: a pointwise convolution as the linear layer it is, a single row or column a vector."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    while len(shape) > 1 and shape[0] == 1 and len(shape) != 4:
        shape = shape[1:]
    return shape
