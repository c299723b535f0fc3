"""The page of the zoo: every net of a folder of specs, with what it amounts to and where it comes from.

python -m netdsl.render.zoo specs > docs/zoo.md
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.render.numbers import grouped, scaled
from netdsl.summary import Summary, summarize

HEAD = """\
# The zoo

Made by `make docs` from the specs themselves. Parameters and multiply-accumulates (of convolutions, linears and matrix
products, for one sample) equal the published figures to the last digit; where an input has named sizes, the figures are
formulas. The receptive field is that of the last image-shaped value, in pixels.
"""

HEADER = (
    "| net | parameters | MACs | input | output | receptive field | sizes |",
    "|---|--:|--:|---|---|---|---|",
)


def page(folder: str) -> str:
    """The page as Markdown. Raises ValueError for a spec with a mistake."""
    files = sorted(f for f in os.listdir(folder) if f.endswith(".net"))
    return "\n".join([HEAD, *(part for f in files for part in _spec(os.path.join(folder, f)))]) + "\n"


def _spec(path: str) -> Iterator[str]:
    spec = Spec(load_source(path), read_import)
    if not spec.nets:
        return
    lines = spec.source.text.count("\n")
    yield f"## {os.path.basename(path)}\n"
    yield f"{' '.join(spec.module.file.doc.split())} ({lines} lines)\n"
    yield from HEADER
    for name in spec.nets:
        program = spec.net(name).program
        if program is None:
            raise ValueError(f"{path}: `{name}` has a mistake")
        yield row(summarize(program, name))
    yield ""


def row(net: Summary) -> str:
    """A net as a line of the table."""
    field = net.receptive_field
    cells = [
        f"`{net.net}`",
        grouped(net.params),
        (grouped(net.macs) if isinstance(net.macs, int) else scaled(net.macs)).replace("*", r"\*"),
        ", ".join(str(p.type) for p in net.inputs),
        ", ".join(str(p.type).replace("*", r"\*") for p in net.outputs if not p.training),
        "" if field is None or field.size is None else str(field.size),
        ", ".join(net.constraints),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1]))
