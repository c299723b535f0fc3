"""A bias that the normalisation of each channel right behind it subtracts again."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, key, kind_of, op_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.ir.model import Step
from netdsl.source import Place, Span

BIASED = ("conv", "dwconv", "upconv", "patchify", "linear")
NORMS = ("bn", "instancenorm")


def check(file: File) -> Iterator[Diagnostic]:
    """Reported where the norm follows wherever the layer's text is used."""
    done: set[At] = set()
    for link in file.flow.links:
        kind, place = kind_of(link.producer), link.producer.place
        if kind not in BIASED or not op_of(link.producer).bias or not file.owns(place) or key(place) in done:
            continue
        done.add(key(place))
        readers = [other.consumer for other in file.flow.from_place(place)]
        if all(r is not None and _cancels(r) for r in readers):
            norm = min(kind_of(r) for r in readers if r is not None)
            message = f"the bias of `{kind}` has no effect: `{norm}` subtracts the mean of each channel"
            yield warning("bias-before-norm", message, place, _without_bias(place))


def _cancels(norm: Step) -> bool:
    """Whether a step subtracts the mean of each channel by itself."""
    if kind_of(norm) != "groupnorm":
        return kind_of(norm) in NORMS
    given = norm.inputs[0].type
    return given.rank > 1 and given.shape[0] == op_of(norm).num_groups


def _without_bias(place: Place) -> Hint:
    """The fix is not safe: stored weights have the bias."""
    text = place.text
    if not text.endswith(")") or "bias" in text:
        return Hint("give it `bias=false`")
    end = place.span.end - 1
    return Hint("give it `bias=false`", (Edit(Place(place.source, Span(end, end)), ", bias=false"),), safe=False)
