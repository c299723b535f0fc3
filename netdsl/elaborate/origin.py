"""The origin of a net, for the metadata of ONNX files.

It holds no dates and no paths, so equal specs give equal files.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from netdsl.elaborate.requested import Request
from netdsl.ir.model import Program
from netdsl.syntax.format import canonical_text
from netdsl.version import LANGUAGE, __version__


def origin(request: Request, program: Program) -> dict[str, Any]:
    """The spec of a net in canonical text (formatted, no comments), and all that was chosen for it."""
    text = canonical_text(request.module.file)
    return {
        "netdsl_version": __version__,
        "language": LANGUAGE,
        "net": request.name,
        "spec": text,
        "spec_sha256": sha256(text.encode()).hexdigest(),
        "imports": {imported: canonical_text(other.file) for imported, other in request.module.below().items()},
        "arguments": {k: str(v) for k, v in sorted(request.arguments.items())},
        "sizes": dict(sorted(request.sizes.items())),
        "constraints": [str(c) for c in program.constraints],
        "options": request.options.stored,
    }
