"""A folder of weights with what stands beside them: a licence, the preparation of images, names of classes.

The layouts are those of timm (`config.json` with a `pretrained_cfg`), of transformers (`config.json` with `id2label`,
and `preprocessor_config.json`), and of `netdsl push`, which writes the first.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from netdsl.diagnostics.diagnostic import first_line
from netdsl.weights.unwrap import WeightsError

LOOKED_FOR = "a model.safetensors is looked for, as on the Hub"
NO_JSON = "it says how images are prepared: load it again, or delete it where the recipe says that itself"
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of them, as `preprocessor_config.json` has them."""

EVERY_SCALE, WARPED = 0.875, 384
"""The part of a resized image that is cut out where ConvNeXt's `preprocessor_config.json` does not say it, and the side
from which on its images are squeezed whole."""


SMALLEST_PART = 0.01
"""Of an image that is cut out: below it the image before the cut would have more pixels than any."""


class Preparation(Struct, frozen=True):
    """How images become what a net takes. `mean`, `std`: of pixels from 0 to 1, empty where the net takes these;
    `size`: the side of the cut, 0 where nothing is said; `resize`: the shorter side before it; `fit`: as `fit` of a
    recipe's images."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int = 0
    resize: int = 0
    interpolation: str = ""
    fit: Literal["cut", "warp"] = "cut"

    @property
    def said(self) -> dict[str, Any]:
        """The known facts, by name."""
        found = {n: getattr(self, n) for n in self.__struct_fields__ if n != "fit" or self.fit == "warp"}
        return {n: [*v] if isinstance(v, tuple) else v for n, v in found.items() if v}

    def resized_for(self, side: int) -> int:
        """The shorter side before a cut of another side: the same part of the image is cut out."""
        return round(side * self.resize / self.size) if self.size and self.resize else 0


class Repository(Struct, frozen=True):
    """A repository as it lies on the disk. `revision`: the commit, empty for a plain folder; `sha256`: of each file of
    weights; `license`: its identifier, empty where nothing is said; `classes`: their names, where it has them."""

    name: str
    folder: Path
    revision: str
    sha256: dict[str, str]
    license: str
    images: Preparation
    classes: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """Warnings of what its licence forbids, as far as its identifier says so."""
        forbids = forbids_commerce(self.license)
        return [f"warning: the licence {self.license} of {self.name} forbids commercial use"] if forbids else []

    @property
    def notes(self) -> dict[str, str]:
        """Where weights come from, as texts for the header of a file."""
        files = " ".join(f"{name}:{digest}" for name, digest in self.sha256.items())
        said = {"pretrained": self.name, "revision": self.revision, "sha256": files, "license": self.license}
        return {k: v for k, v in said.items() if v}

    @property
    def about(self) -> list[str]:
        """The lines for whoever takes the weights."""
        lines = [f"{self.name}" + (f" at {self.revision}" if self.revision else "")]
        lines.append(f"licence: {self.license or 'nothing is said'}")
        if said := self.images.said:
            lines.append("images: " + ", ".join(f"{k} {v}" for k, v in said.items()))
        return lines


def forbids_commerce(license: str) -> bool:
    """Whether a licence forbids commercial use, by its identifier."""
    return bool(re.search(r"(^|-)nc(-|$)|non-?commercial", license))


def described(name: str, folder: Path, revision: str) -> Repository:
    """Read what a folder says of its weights. Raises WeightsError where it has none that are safetensors."""
    weights = sorted(p.name for p in folder.glob("*.safetensors") if p.is_file())
    if not weights:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pth", ".pt"))
        hint = f"{pickled[0]} can be named itself: `netdsl weights SPEC FILE`" if pickled else LOOKED_FOR
        raise WeightsError("no-such-file", f"{name} holds no safetensors", hint)
    digests = {file: sha256_of(folder / file) for file in weights}
    config, processor = _json(folder / "config.json"), _json(folder / "preprocessor_config.json")
    timm = config.get("pretrained_cfg")
    images = of_timm(timm) if isinstance(timm, dict) else of_transformers(processor)
    return Repository(name, folder, revision, digests, _license(folder), images, _classes(config))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits, computed again only once the file has another size or time."""
    about = path.stat()
    return _sha256(path, about.st_size, about.st_mtime_ns)


@lru_cache(256)
def _sha256(path: Path, size: int, time: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _license(folder: Path) -> str:
    """The licence in the card's front matter: `license: apache-2.0`, or the name of another one."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.S)
    fields = re.findall(r"^(license|license_name):[ \t]*['\"]?([\w.+-]+)", head[1] if head else "", re.M)
    said: dict[str, str] = dict(fields)
    found = said.get("license", "")
    return (said.get("license_name", found) if found in ("", "other") else found).lower()


def _classes(config: dict[str, Any]) -> tuple[str, ...]:
    """Names of classes: timm's `label_names`, or transformers' `id2label` where it does not just count them."""
    names: Any = config.get("label_names")
    if isinstance(by_number := config.get("id2label"), dict) and names is None:
        names = [by_number.get(str(i)) for i in range(len(by_number))]
        names = None if names[:1] == ["LABEL_0"] else names
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        return ()
    return tuple(names) if len(set(names)) == len(names) else ()


def of_timm(said: dict[str, Any]) -> Preparation:
    """The preparation that a `pretrained_cfg` of timm says: the image is resized to `size / crop_pct`."""
    size = said.get("input_size")
    side = _side(size[-1] if isinstance(size, list) and size[-1:] == size[-2:-1] else None)
    part = _part(said.get("crop_pct"), 1.0)
    warp = said.get("crop_mode") == "squash"
    resize = math.floor(side / part) if side and not warp else 0
    return Preparation(
        *_statistics(said.get("mean"), said.get("std")), side, resize, _interpolation(said.get("interpolation")),
        "warp" if warp else "cut",
    )  # fmt: skip


def of_transformers(said: dict[str, Any]) -> Preparation:
    """The preparation that a `preprocessor_config.json` says. Without a cut, both sides are resized."""
    scale = 255 * (_number(said.get("rescale_factor")) or 1 / 255) if said.get("do_rescale", True) else 255.0
    normal = said.get("do_normalize", True)
    mean, std = _statistics(said.get("image_mean"), said.get("image_std"), scale) if normal else ((), ())
    number = said.get("resample")
    interpolation = RESAMPLE.get(number, "") if isinstance(number, int) else ""
    side, resize, fit = _cut(said)
    return Preparation(mean, std, side, resize, interpolation, fit)


def _cut(said: dict[str, Any]) -> tuple[int, int, Literal["cut", "warp"]]:
    """The side of the cut, the shorter side before it, and whether whole images are squeezed into it."""
    shorter, whole = _sides(said.get("size"))
    side = max(_sides(said.get("crop_size")))
    if whole and not (side and said.get("do_center_crop")):
        return whole, 0, "warp"
    if "crop_pct" in said and shorter:  # ConvNeXt's: `size` is what is cut out
        part = _part(said["crop_pct"], EVERY_SCALE)
        return (shorter, 0, "warp") if shorter >= WARPED else (shorter, int(shorter / part), "cut")
    return (side, shorter or whole, "cut") if side else (shorter, 0, "cut")


def _sides(size: Any) -> tuple[int, int]:
    """The shorter side, or the side of a square; 0 for what is not said."""
    if isinstance(size, dict):
        return _side(size.get("shortest_edge")), _side(size.get("height"))
    return _side(size), 0


def _statistics(mean: Any, std: Any, scale: float = 1.0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels from 0 to 1, where the numbers are of pixels times `scale`; none where they are not
    such numbers."""
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    means, stds = _numbers(mean), _numbers(std)
    if len(means) != len(stds) or min(stds, default=0) <= 0:
        return (), ()
    return tuple(m / scale for m in means), tuple(s / scale for s in stds)


def _numbers(values: Any) -> list[float]:
    """A list of numbers; empty where one of them is none."""
    found = [_number(v) for v in values] if isinstance(values, list) else []
    return [] if None in found else [v for v in found if v is not None]


def _number(value: Any) -> float | None:
    """A finite number; None for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:  # JSON's integers have any length
        return None
    return found if math.isfinite(found) else None


def _part(value: Any, usual: float) -> float:
    """The part of an image that is cut out; the usual one for what is none."""
    found = _number(value)
    return found if found is not None and SMALLEST_PART <= found <= 1 else usual


def _side(value: Any) -> int:
    """A side of an image; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 16 else 0


def _interpolation(value: Any) -> str:
    return value if value in INTERPOLATIONS else ""


def _json(path: Path) -> dict[str, Any]:
    """Read a JSON file; nothing where there is none. Raises WeightsError for one that cannot be read: images would be
    prepared otherwise than for the weights."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError("unreadable-weights", f"{path} cannot be read: {first_line(error)}", NO_JSON) from None
    if not isinstance(found, dict):
        raise WeightsError("unreadable-weights", f"{path} is no JSON object", NO_JSON)
    return found
