"""A net on its way to files: PyTorch source, a verified ONNX model, weights, the typed program, the summary."""

from __future__ import annotations

import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from torch import nn

    from netdsl.ir.initial import Initialization
    from netdsl.pipeline import Net
    from netdsl.precision.shrink import Smaller, Wanted
    from netdsl.recipe.schema import Recipe
    from netdsl.training.opened import Opened
    from netdsl.verify.compare import Case
    from netdsl.weights.repository import Repository


class Subject(Struct, frozen=True, eq=False):
    """The net to compile. `init`: how fresh weights start, by the `recipe` that is named; `base`: the folder that its
    paths are relative to; `run`: the trained net of a run directory."""

    net: Net
    init: tuple[Initialization, ...] = ()
    recipe: Recipe | None = None
    base: Path = Path()
    run: Opened | None = None


class Weights(Struct, frozen=True, eq=False):
    """Weights from outside: arrays by state-dict key, the repository they are from, and how its images are prepared."""

    state: dict[str, Any]
    repository: Repository | None = None
    preparation: Recipe | None = None


class Options(Struct, frozen=True):
    """How files are made. `wanted`: a smaller ONNX file, with ranges from `samples` of the data `calibrate`."""

    opset: int = 18
    target: str = "onnxruntime"
    verified: bool = True
    seed: int = 0
    wanted: Wanted | None = None
    calibrate: str | None = None
    samples: int = 128


def prepared_for(net: Net, repository: Repository) -> tuple[Net, Recipe]:
    """The net with its images standardised as the weights of a repository are used to, and how they are prepared."""
    from netdsl.elaborate.builder import Options as Choices
    from netdsl.planning.preparation import as_it_saw

    preparation, standard = as_it_saw(repository.images, net.checked)
    if standard is None:
        return net, preparation
    return net.spec.net(net.name, net.arguments, net.sizes, Choices(standard=standard)), preparation


class Artifacts:
    """The files of a net, each written by the method of its name. `weights`: None for fresh ones and those of a run.

    `cases`: the comparisons of the ONNX file with PyTorch; `smaller`: what became of a smaller file.
    """

    def __init__(self, subject: Subject, options: Options, weights: Weights | None = None) -> None:
        self.subject, self.net, self.options, self.weights = subject, subject.net, options, weights
        self.cases: list[Case] = []
        self.smaller: Smaller | None = None

    @cached_property
    def module(self) -> nn.Module:
        """The live module with its weights."""
        if self.subject.run is not None and self.subject.run.module is not None:
            return self.subject.run.module
        from netdsl.verify.live import live

        return live(self.net, self.options.seed, self.weights.state if self.weights else None, self.subject.init)

    @property
    def state(self) -> dict[str, Any]:
        """The weights as arrays by state-dict key; those of a file without torch."""
        if self.weights is not None:
            return self.weights.state
        return {k: v.detach().numpy() for k, v in self.module.state_dict().items()}

    def torch(self, folder: str) -> None:
        _write(folder, "model.py", self.net.source(self.subject.init))

    def onnx(self, folder: str) -> None:
        """The ONNX file, verified unless that is not wanted, or a smaller one. Raises VerificationError."""
        if self.options.wanted is not None:
            self.smaller = self._smaller(self.options.wanted, Path(folder))
        else:
            self.export(os.path.join(folder, "model.onnx"))

    def export(self, path: str) -> None:
        """Write the ONNX file in float. Raises VerificationError."""
        from netdsl.render.status import working

        if self.options.verified:
            with working("writing and verifying model.onnx"):
                self.cases = self._export(path, self.module)
        else:
            with working("writing model.onnx"):
                self._export(path, self.module if self.weights is None else self.weights.state)

    def _export(self, path: str, weights: nn.Module | dict[str, Any]) -> list[Case]:
        from netdsl.verify.export import export_onnx

        o, notes = self.options, self._notes()
        return export_onnx(self.net, path, weights, opset=o.opset, target=o.target, metadata=notes, verified=o.verified)

    def _smaller(self, wanted: Wanted, folder: Path) -> Smaller:
        """Write the smaller file: the float file is made and verified first, and left out."""
        from netdsl.inference.trained import session_of
        from netdsl.precision.data import calibration, comparison, random_samples, read, reopened
        from netdsl.precision.shrink import smaller
        from netdsl.render.status import working

        subject, calibrate, target = self.subject, self.options.calibrate, folder / f"model.{wanted.kind}.onnx"
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary) / "model.onnx"
            self.export(str(source))
            with working(f"writing and measuring {target.name}"):
                if subject.recipe is None and calibrate is None:
                    return smaller(source, target, wanted, random_samples(subject.net.checked), None)
                session = session_of(source)
                opened = reopened(session, subject.net.checked, subject.recipe, subject.base, subject.run)
                given = read(opened, calibrate)
                tested = read(opened, None) if subject.recipe is not None and calibrate else given
                samples = calibration(given.train, list(session.inputs), self.options.samples)
                return smaller(source, target, wanted, samples, comparison(session, opened, tested))

    def _notes(self) -> dict[str, Any]:
        """The metadata on data that the ONNX file has."""
        run, standardized = self.subject.run, self.net.options.standard is not None
        if self.weights is not None and self.weights.repository is not None:
            return self._repository_notes(self.weights.repository, standardized)
        if run is None:
            return {}
        from netdsl.training.export import notes

        return notes(run.recipe, run.task, run.classes, run.columns, standardized)

    def _repository_notes(self, repository: Repository, standardized: bool) -> dict[str, Any]:
        """Where the weights are from, how images are prepared for them, and what classes are called."""
        from netdsl.inference.trained import preprocessing_of

        assert self.weights is not None
        assert self.weights.preparation is not None
        found: dict[str, Any] = {"pretrained": [repository.notes]}
        found["preprocessing"] = preprocessing_of(self.weights.preparation, standardized)
        shape = next(o for o in self.net.checked.main.outputs if not o.training).value.type.shape
        named = shape == (len(repository.classes),)
        return found | ({"class_names": [*repository.classes]} if named else {})

    def tensors(self, folder: str) -> None:
        import numpy as np
        from safetensors.numpy import save

        state = {k: np.ascontiguousarray(v).reshape(v.shape) for k, v in self.state.items()}
        _write(folder, "model.safetensors", save(state))

    def ir(self, folder: str) -> None:
        from netdsl.ir.text import program_text

        _write(folder, "model.ir", program_text(self.net.checked))

    def summary(self, folder: str) -> None:
        from netdsl.render.output import json_text
        from netdsl.render.summary_data import as_data
        from netdsl.summary import summarize

        _write(folder, "summary.json", json_text(as_data(summarize(self.net.checked, self.net.name))) + "\n")


def _write(folder: str, name: str, content: str | bytes) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
