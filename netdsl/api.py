"""The Python API: `netdsl.check`, `netdsl.load`, and the pair of `Spec` (a file) and `Net` (one net of it).

net = netdsl.load("resnet", net="ResNet50", classes=10)
print(net.summary())
module = net.module(seed=0)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from netdsl import pipeline
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.diff.model import NetDiff
from netdsl.elaborate.builder import Options
from netdsl.loader import LoadError, load_source, locate, read_import, referred
from netdsl.render.markup import escape
from netdsl.selection import select
from netdsl.source import Source
from netdsl.summary.model import Summary as Totals

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from netdsl.experiment.from_python import Experiment
    from netdsl.ir.initial import Initialization
    from netdsl.lift.lift import Lift
    from netdsl.planning.plan import Plan
    from netdsl.recipe.schema import Recipe
    from netdsl.training.from_python import Wishes
    from netdsl.training.run import Run
    from netdsl.verify.compare import Case

Path = str | os.PathLike[str]


class SpecError(ValueError):
    """A spec with mistakes. `diagnostics` holds them as values; the message shows them as the command line does."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        from netdsl.render.diagnostics import render

        super().__init__("\n" + "\n".join(render(d) for d in diagnostics))
        self.diagnostics = diagnostics


class Summary(Totals, frozen=True):
    """A net's totals and rows; `str()` of it is the table of `netdsl summary`, and a notebook shows it."""

    def __str__(self) -> str:
        from netdsl.render.summary import render

        return render(self)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


class Diff(NetDiff, frozen=True, eq=False):
    """Two nets, compared; `str()` of it is the text of `netdsl diff`, and a notebook shows it."""

    def __str__(self) -> str:
        from netdsl.diff import net_text

        return net_text(self)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


class Spec(pipeline.Spec):
    """One spec file: the names of its `nets` and `recipes`, and `diagnostics` for everything that is wrong with it."""

    def net(
        self,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        options: Options | None = None,
    ) -> Net:
        """One net of the file: the named one, or the first that these arguments suffice for. Raises SpecError."""
        return Net(self, name, arguments or {}, sizes or {}, options or Options())

    def experiment(
        self,
        name: str | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        seeds: int | None = None,
    ) -> Experiment:
        """One experiment of the file, or the only one; its `run()` trains it, as `netdsl experiment` does.

        `settings`: fields of the recipe by path, changed in every cell (`{"epochs": 1}`); `seeds`: another number of
        runs for each cell. Raises SpecError with the first mistake in it.
        """
        from netdsl.experiment.from_python import Experiment

        fields = {path: _as_text(value) for path, value in (settings or {}).items()}
        plain = pipeline.Spec(self.source, self.read)  # whose nets hold their mistakes: a cell may have some
        try:
            return Experiment(plain, name, fields, sizes or {}, seeds)
        except Fault as mistake:
            raise SpecError((mistake.diagnostic,)) from None


class Net(pipeline.Net):
    """One net with its arguments and sizes, free of mistakes. Made by `netdsl.load` or `Spec.net`.

    Raises SpecError with every mistake found.
    """

    def __init__(
        self,
        spec: pipeline.Spec,
        name: str | None,
        arguments: Mapping[str, Any],
        sizes: Mapping[str, int],
        options: Options,
    ) -> None:
        super().__init__(spec, name, arguments, sizes, options)
        if self.program is None:
            raise SpecError(self.diagnostics)

    @property
    def input_sizes(self) -> dict[str, tuple[int | str, ...]]:
        """The shape of one sample of each input, without the batch; named sizes as text: `{"image": (3, "H", "W")}`."""
        inputs = self.checked.main.inputs
        return {v.name: tuple(s if isinstance(s, int) else str(s) for s in v.type.shape) for v in inputs}

    def summary(self) -> Summary:
        """Parameters, MACs, memory, receptive field and a tree of rows, as a value; `str()` of it is a table.

        Raises SpecError where its numbers are too long to be written in terms of its named sizes.
        """
        from msgspec.structs import asdict

        from netdsl.summary import summarize

        try:
            return Summary(**asdict(summarize(self.checked, self.name)))
        except Fault as mistake:
            raise SpecError((mistake.diagnostic,)) from None

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def view(self, path: Path | None = None, *, depth: int | None = None) -> str:
        """Draw the net, as `netdsl view` does: an SVG image, or a page to explore where `path` ends in `.html`, or TikZ
        where it ends in `.tex`.

        `path`: a file to write to as well; `depth`: how many levels of blocks are open (without it, as many as stay
        easy to read). Gives the text.
        """
        from netdsl.view import image, page, tex

        ending = os.path.splitext(path)[1].lower() if path is not None else ""
        text = {".html": page, ".tex": tex}.get(ending, image)(self.checked, self.name, depth)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return text

    def _repr_svg_(self) -> str:
        return self.view()

    def diff(self, after: Net) -> Diff:
        """The differences from this net to another, as `netdsl diff` shows them: a value; `str()` of it is text.

        `equal`: whether they are the same net; `pair`: the change of every step; `tensors`: of the state dict.
        """
        from netdsl.diff import compare_nets

        found = compare_nets(self.checked, after.checked, (self.name, after.name))
        return Diff(found.before, found.after, found.pair, found.tensors, found.fields)

    def source(self, init: Sequence[Initialization] = (), *, recipe: str | None = None) -> str:
        """The net as a PyTorch module: the text of a `model.py` that imports nothing but torch.

        `recipe`: a recipe as for `plan`, whose `init` the module's method `init_weights` carries out; without it, the
        weights start as PyTorch's own do. Raises SpecError for what PyTorch source cannot express.
        """
        try:
            return super().source(init or self._init(recipe))
        except Fault as mistake:
            raise SpecError((mistake.diagnostic,)) from None

    def _init(self, recipe: str | None) -> tuple[Initialization, ...]:
        """The initialization of a recipe; empty where none is named."""
        from netdsl.planning.initialization import initializations

        return initializations(self._selected(recipe)[1].init, self.checked) if recipe else ()

    def _selected(self, recipe: str | None, settings: Mapping[str, str] | None = None) -> tuple[pipeline.Net, Recipe]:
        """The net as a recipe's, and the recipe. Raises SpecError."""
        found = select(self.spec, self.name, recipe, settings, self.arguments, self.sizes)
        if found.recipe is None or found.net is None:
            raise SpecError(found.diagnostics)
        return found.net, found.recipe

    def to_onnx(
        self,
        path: Path,
        weights: Mapping[str, np.ndarray] | nn.Module | None = None,
        *,
        opset: int = 18,
        target: str = "onnxruntime",
        verify: bool = True,
    ) -> None:
        """Write the net to an ONNX file, verified against torch in onnxruntime before it is left there.

        `weights`: a module made by `module()`, or arrays by state-dict key; without it, fresh weights of seed 0. Raises
        `VerificationError` (and leaves no file) where onnxruntime and torch disagree.
        """
        from netdsl.verify.export import export_onnx

        export_onnx(self, path, weights, opset=opset, target=target, verified=verify)

    def verify(self, module: nn.Module | None = None, *, opset: int = 18, gate: float = 1e-5) -> list[Case]:
        """Compare onnxruntime with torch at several batch sizes, sizes and weights; one `Case` for each comparison.

        `module`: made by `module()`; without it, fresh weights of seed 0. `gate`: the largest difference accepted,
        relative to the largest output.
        """
        from functools import partial

        from netdsl.verify.compare import verify

        return verify(self.checked, module or self.module(seed=0).eval(), partial(self.onnx, opset=opset), gate=gate)

    def plan(
        self, recipe: str | None = None, *, samples: int | None = None, settings: Mapping[str, str] | None = None
    ) -> Plan:
        """Plan what a recipe will do, without doing it, as `netdsl recipe` shows it: steps, rates, groups, cost.

        `recipe`: one of the spec's, `SPEC:NAME` of another spec, or `"none"` for the defaults; without it, the spec's
        own. `samples`: of the training split, where the data are not here; `settings`: fields of the recipe by path,
        as text. Raises SpecError.
        """
        from netdsl.planning.plan import plan
        from netdsl.recipe.schema import training_size

        net, found = self._selected(recipe, settings)
        return plan(net, found, training_size(found, samples))

    def train(
        self,
        recipe: str | None = None,
        *,
        data: Any = None,
        settings: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        **wishes: Unpack[Wishes],
    ) -> Run:
        """Train the net with a recipe, as `netdsl train` does, and return the run.

        `recipe`: as for `plan`; `data`: a source as in a recipe (`"digits"`), arrays `(x, y)`, a DataFrame
        with `target="column"` (and `missing="mean"` where numbers are missing), or a torch Dataset, and `test` of the
        same kind, without which a part is held out; `group`: the column, or an array with the group of each sample
        that testing and training do not share; `ordered=True`: samples are in the order of time;
        `settings`: fields of the recipe by path (`{"epochs": 3, "optimizer.lr": 1e-3}`); `folder`: of the run, by
        default the next `runs/<net>-<n>`;
        `device`: `"cpu"`, `"cuda"`, `"cuda:1"`; `onnx=False` leaves out model.onnx, `quiet=True` what is printed.
        `loss`: a function of output, target (and inputs) that is minimised in place of the recipe's; `metrics`:
        functions by name, of all outputs and targets of a split;
        `on_step`, `on_evaluation`, `on_checkpoint`: called with the numbers as a dict; one that returns `"stop"` ends
        the training. Raises SpecError for mistakes in the recipe, TrainingError for what goes wrong with the data or
        while training.
        """
        from pathlib import Path as FilePath

        from netdsl.training.from_python import begin
        from netdsl.training.run import Run

        fields = {name: _as_text(value) for name, value in (settings or {}).items()}
        if data is not None:
            fields["data"] = data if isinstance(data, str) else "python"
        net, chosen = self._selected(recipe, fields)
        place = None if folder is None else FilePath(folder)
        given = None if isinstance(data, str) else data
        return Run(begin(net, chosen, tuple(fields), place, given, wishes))


def _as_text(value: Any) -> str:
    """A setting as it is written in a recipe."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def open_run(folder: Path) -> Run:
    """A run that `net.train` or `netdsl train` has left in a folder. Raises TrainingError where there is none."""
    from netdsl.training.run import Run

    return Run(folder)


class Comparison:
    """Runs, compared; `str()` of it is the text of `netdsl compare`, and a notebook shows its page with the curves."""

    def __init__(self, folders: Sequence[Path]) -> None:
        from netdsl.records.record import Record
        from netdsl.training.from_python import in_words

        with in_words():
            self.records = [Record(f) for f in folders]

    def __str__(self) -> str:
        from netdsl.records.compare import comparison_text

        return comparison_text(self.records)

    def page(self) -> str:
        """The page of `netdsl compare -o` as HTML."""
        from netdsl.records.page import comparison_page

        return comparison_page(self.records)

    def _repr_html_(self) -> str:
        from html import escape

        return f'<iframe srcdoc="{escape(self.page())}" style="width: 100%; height: 40em; border: 0"></iframe>'


def compare_runs(*runs: Run | Path) -> Comparison:
    """Compare runs, given as values or as folders: results, settings that differ, curves. Raises TrainingError where
    a folder is not a run directory."""
    return Comparison([r if isinstance(r, str | os.PathLike) else r.folder for r in runs])


def open_spec(path: Path | Source) -> Spec:
    """A spec file, a spec of the zoo by name (`"resnet"`), or a text given as `Source`. Raises SpecError."""
    if isinstance(path, Source):
        return Spec(path, read_import)
    try:
        return Spec(load_source(locate(path)), read_import)
    except LoadError as error:
        raise SpecError((error.diagnostic,)) from None


def from_onnx(path: Path, *, name: str = "Net", library: bool = True) -> Lift:
    """An ONNX file, or a program of torch.export (`.pt2`), as a spec (`text`) with its weights (`state`), proven in
    onnxruntime to compute what the file computes. `library`: a net of the installed zoo is an import of it (`zoo` says
    which). Raises OSError, and `diagnostics.UserError` for what has no form."""
    from netdsl.lift.lift import lift

    return lift(path, name, library)


def from_torch(module: nn.Module, *inputs: Tensor, name: str = "Net", library: bool = True) -> Lift:
    """A PyTorch module as a spec with its weights, as `from_onnx`; `inputs` are what it is called with, and their first
    axis is the batch. Torch exports it to ONNX in memory, which runs the module's code. Raises `UserError`."""
    from netdsl.lift.exported import exported
    from netdsl.lift.lift import lift_model

    return lift_model(exported(module, inputs), name, library)


def check(path: Path | Source) -> tuple[Diagnostic, ...]:
    """Every mistake of a spec, as `netdsl check` reports it: empty where there is none. Never imports torch.

    They are values; printed, or as the last line of a notebook's cell, they are shown as the command line shows them.
    """
    from netdsl.render.diagnostics import Diagnostics

    try:
        found = open_spec(path).diagnostics
    except SpecError as error:
        found = error.diagnostics
    return Diagnostics(found)


def load(
    path: Path | Source, net: str | None = None, *, sizes: Mapping[str, int] | None = None, **arguments: Any
) -> Net:
    """Compile one net of a spec.

    `path`: a file, or the name of a spec of the zoo; `net` names the net, as `"resnet:ResNet50"` does (without a name:
    the first that needs no further arguments); `arguments` are the net's own (`classes=10`); `sizes` fixes named sizes
    of its inputs (`{"H": 224}`). Raises SpecError with every mistake found.
    """
    if net is None and isinstance(path, str):
        path, net = referred(path)
    return open_spec(path).net(net, arguments, sizes)
