"""The net that an ONNX file was made from, by its metadata (see `elaborate.origin`)."""

from __future__ import annotations

import json
from typing import Any

from netdsl.backends.onnx.weights import weights_hash
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.builder import Options
from netdsl.elaborate.given import Expression
from netdsl.elaborate.migrate import outdated
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.version import LANGUAGE
from netdsl.weights.former import former


def net_of(said: dict[str, str], path: str) -> Net | None:
    """The net that an ONNX file says it was made from; None for a file that netdsl has not made, or made smaller.

    It may have mistakes, where the language has changed.
    """
    if "spec" not in said or "net" not in said or "precision" in said:
        return None
    arguments = {k: Expression(v) for k, v in json.loads(said.get("arguments", "{}")).items()}
    imports: dict[str, str] = json.loads(said.get("imports", "{}"))

    def read(name: str, importer: Source) -> Source | None:
        return Source(imports[name], f"{name}.net") if name in imports else read_import(name, importer)

    spec, sizes = Spec(Source(said["spec"], path), read), json.loads(said.get("sizes", "{}"))
    return spec.net(said["net"], arguments, sizes, _options(said))


def _options(said: dict[str, str]) -> Options:
    """How the net of a file was elaborated. Older files say only whether images are standardised: the numbers are among
    their weights."""
    if "options" in said:
        return Options.of_stored(json.loads(said["options"]))
    before = json.loads(said.get("preprocessing", "{}")).get("standardized", False)
    return Options(standard=(0.0, 1.0)) if before else Options()


def outdated_by(said: dict[str, str], path: str, net: Net, reason: str) -> UserError | None:
    """Explain a file whose spec means something else today; None for a file of this version."""
    language = int(said.get("language", 1))
    found = net.elaborated.changed_since(language) if net.program is not None else net.diagnostics
    return UserError.of(outdated(path, language, found, reason)) if language < LANGUAGE else None


def is_of(net: Net, module: Any, said: dict[str, str]) -> bool:
    """Whether a module has the weights that an ONNX file was made from."""
    from netdsl.verify.stress import state_of

    state = state_of(module)
    known = said.get("weights_sha256")
    return known == weights_hash(state) or known == weights_hash(former(net.checked.main, state))
