"""The beginnings of learned tensors elsewhere, as they are said here: a number, or `normal` and a deviation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.calls import Argument, Call, calls
from netdsl.fixes.written import as_tuple, as_typed, call, listed

NUMBERS = {"zeros": "0", "zeros_": "0", "ones": "1", "ones_": "1", "zero": "0", "one": "1"}
"""Beginnings of one number, by their names in PyTorch, Keras and Flax."""

FULL = ("constant", "constant_", "full", "fill_")
NORMAL = {"normal": "", "normal_": "1", "trunc_normal": "", "trunc_normal_": "1", "random_normal": "0.05", "randn": "1"}
"""Normal ones, with the deviation that each has without being told; "" for that of this language."""

MADE = {"zeros": "", "ones": ", init={}", "randn": ", init=normal, std={}"}
"""How tensors begin, times a factor."""

WIDEST = 0.4
"""The largest deviation that the cut of `trunc_normal` at +-2 leaves as it is: five times it is 2."""

_ZERO = re.compile(r"0?\.?0*")
_NUMBER = re.compile(r"\d*\.?\d+(?:e-?\d+)?")
_FACTOR = re.compile(r"([\w.]+(?:e-\d+)?|[\w.]+ ?\*\* ?-?[\w.]+) ?\* ?$")
_AFTER = re.compile(r" ?([*/]) ?([\w.]+)$")
_DRAWN = re.compile(r"\.(normal_|zero_|fill_)\((.*)\)$")


def begun(given: list[Argument]) -> Iterator[str]:
    """`param((8,), init=ones)`: the same parameter, with its beginning as it is said here."""
    init = next((a for a in given if a.name == "init"), None)
    std = next((a.text for a in given if a.name == "std"), "")
    begins = _beginning(init.text) if init is not None and not _is_cut(init.text, std) else None
    if begins is not None:
        left_out = ("init", "std") if "std=" in begins else ("init",)
        yield call("param", [*(as_typed(a) for a in given if a.name not in left_out), begins])


def _beginning(text: str) -> str | None:
    """The arguments that say what a word or a call says; None where nothing here does."""
    text = text.strip("\"'")
    made = next(calls(text), None)
    if made is None or (made.start, made.end) != (0, len(text)):
        return None
    name = made.name.rpartition(".")[2]
    if name in NUMBERS:
        return f"init={NUMBERS[name]}"
    if name in FULL and len(made.given) == 1:
        return f"init={made.given[0].text}"
    return _normal(name, list(made.given)) if name in NORMAL else None


def _normal(name: str, given: list[Argument]) -> str | None:
    """`normal(0.0, 0.02)`, `trunc_normal(std=0.02)`: one of mean 0."""
    said = {"mean": "0", "std": NORMAL[name]} | _moments(name, given)
    if len(said) > 2 or not _ZERO.fullmatch(said["mean"]) or _is_cut(name, said["std"]):
        return None
    return f"init=normal, std={said['std']}" if said["std"] else "init=normal"


def _moments(name: str, given: list[Argument]) -> dict[str, str]:
    """Mean and deviation as they are given, and whatever else is: one by position is the mean in PyTorch alone."""
    bare = [a.text for a in given if not a.name]
    order = ("std",) if len(bare) == 1 and name[-1] != "_" else ("mean", "std", "more")
    named = {"std" if a.name == "stddev" else a.name: a.text for a in given if a.name}
    return dict(zip(order, bare, strict=False)) | named


def _is_cut(name: str, std: str) -> bool:
    """Whether a cut at +-2 is near enough to a deviation to count."""
    return "trunc" in name and std != "" and not (_NUMBER.fullmatch(std) and float(std) <= WIDEST)


def learned(text: str) -> Iterator[str]:
    """`nn.Parameter(0.02 * torch.randn(1, 8))`: a parameter of that shape and beginning."""
    made = next((c for c in calls(text) if c.arguments is not None), None)
    if made is None or not made.given:
        return
    drawn = _DRAWN.fullmatch(text[made.end :])
    factor = "" if drawn and not made.start else _factor(text[: made.start], text[made.end :])
    if factor is not None:
        shape = [made.given[0]] if made.name.endswith("full") else [a for a in made.given if not a.name]
        for begins in _begins(made, factor, drawn):
            yield from parameters(listed(shape), begins)


def _factor(before: str, after: str) -> str | None:
    """The factor before or behind a tensor, "" for none; None where something else stands there."""
    first, last = _FACTOR.fullmatch(before), _AFTER.fullmatch(after)
    if (before and not first) or (after and not last) or (first and last):
        return None
    if last is not None:
        return str(last[2]) if last[1] == "*" else f"1 / {last[2]}"
    return str(first[1]) if first else ""


def _begins(made: Call, factor: str, drawn: re.Match[str] | None) -> Iterator[str]:
    """The beginning of what a call makes, times a factor, or of what is drawn in its place."""
    name = made.name.rpartition(".")[2]
    if drawn is not None:
        said = "init=0" if drawn[1] == "zero_" else _beginning(f"{drawn[1]}({drawn[2]})")
        yield from [f", {said}"] if said is not None else []
    elif name == "full":
        yield from [f", init={made.given[1].text}"] if len(made.given) == 2 and not factor else []
    elif name in MADE:
        yield MADE[name].format(factor or 1)


def parameters(sizes: list[str], begins: str) -> Iterator[str]:
    """Parameters of a shape: where it begins with 1, that is the batch, or an axis."""
    for shape in (sizes[1:], sizes) if sizes[:1] == ["1"] and len(sizes) > 1 else (sizes,):
        if "(" not in "".join(shape):
            yield f"param({as_tuple(shape) if shape else '()'}{begins})"
