"""A trained net as others see it, from its run directory; no torch, and nothing of the machine it ran on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from msgspec import Struct

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.given import Expression
from netdsl.elaborate.modules import Module
from netdsl.elaborate.standardize import NAME
from netdsl.inference.errors import CheckpointError
from netdsl.inference.run_folder import SPEC, WEIGHTS, About, check_one, read_about
from netdsl.ir.model import Program
from netdsl.loader import load_source, read_import
from netdsl.ops.base import Op
from netdsl.pipeline import Spec
from netdsl.publish.sources import bases, last, paths_in
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Images
from netdsl.version import LANGUAGE, __version__
from netdsl.weights.repository import forbids_commerce


class Shared(Struct, frozen=True, eq=False):
    """A run as others see it. `license`: its identifier, empty where nothing is said."""

    run: Path
    about: About
    recipe: Recipe
    program: Program
    module: Module
    license: str

    @property
    def params(self) -> int:
        return totals(self.program.main).params

    @property
    def bases(self) -> tuple[dict[str, str], ...]:
        """The weights that the training began with; a folder by its name alone."""
        return tuple(bases(self.about.pretrained))

    @property
    def data(self) -> str:
        """A name for the data, without where they lie."""
        return last(self.about.data)

    @property
    def warnings(self) -> list[str]:
        """Warnings for whoever publishes the net: paths in its spec, and its licence."""
        shortened = paths_in(self.module)
        said = [f"the spec names {p}: published as `{last(p)}`" for p in shortened]
        said += [] if self.license else ["no licence is said: nobody may use it (`--license apache-2.0`)"]
        for base in self.bases:
            theirs = base.get("license", "")
            if theirs and self.license and theirs != self.license:
                said.append(f"{base['pretrained']}, which it began with, has the licence {theirs}")
            if forbids_commerce(theirs):
                said.append(f"the licence {theirs} of {base['pretrained']} forbids commercial use")
        return said


def shared(run: Path, license: str | None = None) -> Shared:
    """Gather what a run directory says. `license`: an identifier; None for that of the weights it began with.

    Raises CheckpointError for what is no finished run.
    """
    about, recipe = read_about(run)
    check_one(run, about, recipe)
    if not (run / WEIGHTS).is_file() or not about.result:
        hint = f"`netdsl train --resume {run}` continues with it"
        raise CheckpointError("unfinished-run", f"{run} has no {WEIGHTS}: the run has not ended", hint)
    spec = Spec(load_source(run / SPEC), read_import)
    net = spec.net(about.net, {k: Expression(v) for k, v in about.arguments.items()}, about.sizes)
    if net.program is None:
        raise UserError("outdated-run", f"{run / SPEC}: {net.diagnostics[0].message}", f"`netdsl check {run / SPEC}`")
    inherited = {base["license"] for base in about.pretrained if base.get("license")}
    found = license if license is not None else inherited.pop() if len(inherited) == 1 else ""
    return Shared(run, about, recipe, net.checked, spec.module, found.lower())


def configuration(net: Shared) -> dict[str, Any]:
    """The `config.json` of the folder: what timm writes, and what the net is."""
    about = net.about
    own = {"version": __version__, "language": LANGUAGE, "net": about.net, "task": about.task}
    own |= {"arguments": about.arguments, "sizes": about.sizes, "parameters": net.params}
    own |= {"plugins": [{"name": p.name, "version": p.version} for p in about.plugins]} if about.plugins else {}
    found: dict[str, Any] = {"library": "netdsl", "architecture": about.net}
    if about.classes:
        found |= {"num_classes": len(about.classes), "label_names": [*about.classes]}
    images = {} if about.columns else _images(net)
    return found | ({"pretrained_cfg": images} if images else {}) | {"netdsl": own}


def _images(net: Shared) -> dict[str, Any]:
    """How images are prepared, as timm says it."""
    shape = net.program.main.inputs[0].type.shape
    if len(shape) != 3 or not isinstance(shape[0], int):
        return {}
    found, view = _statistics(net, shape[0]), net.recipe.data
    if not isinstance(view, Images):
        view = Images()
    size = [view.crop or s for s in shape[1:]]
    if all(isinstance(s, int) for s in size):
        side = min(s for s in size if isinstance(s, int))
        found |= {"input_size": [shape[0], *size], "crop_pct": crop_part(side, view.resize or side)}
    mode = "squash" if view.fit == "warp" else "center"
    return found | {"interpolation": view.interpolation, "crop_mode": mode}


def _statistics(net: Shared, channels: int) -> dict[str, Any]:
    """Mean and deviation per channel; none where they are each image's or each pixel's own, or the spec's."""
    mean, std = (v if isinstance(v, list) else [v] * channels for v in (net.about.mean, net.about.std))
    if net.about.per != "channel":
        return {}
    if None not in (*mean, *std):
        return {"mean": mean, "std": std}
    own = any(isinstance(s.callee, Op) and s.callee.kind == NAME for s in net.program.main.steps)
    return {} if own else {"mean": [0.0] * channels, "std": [1.0] * channels}


def crop_part(side: int, resize: int) -> float:
    """The part of the shorter side that is cut out, so that `floor(side / part)` is that side before the cut."""
    part = side / resize
    while math.floor(side / part) < resize:
        part = math.nextafter(part, 0)
    return part
