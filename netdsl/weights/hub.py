"""Weights by name: repositories of the Hugging Face Hub, and folders that look like one."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import first_line
from netdsl.weights.unwrap import WeightsError

WANTED = ("*.safetensors", "*.safetensors.index.json", "config.json", "preprocessor_config.json", "README.md")
"""Files of a repository that are taken. Pickled weights are not among them."""

TORCHVISION = re.compile(r"torchvision/(\w+?)_Weights\.(IMAGENET1K_V1|IMAGENET1K_V2)")
OF_TORCHVISION = {
    "ResNet18": ("resnet18", 1), "ResNet34": ("resnet34", 1), "ResNet50": ("resnet50", 2),
    "ResNet101": ("resnet101", 2), "ResNet152": ("resnet152", 2), "ResNeXt50_32X4D": ("resnext50_32x4d", 2),
    "Wide_ResNet50_2": ("wide_resnet50_2", 2), "DenseNet121": ("densenet121", 1), "DenseNet169": ("densenet169", 1),
    "DenseNet201": ("densenet201", 1), "Inception_V3": ("inception_v3", 1), "VGG11": ("vgg11", 1),
    "VGG13": ("vgg13", 1), "VGG16": ("vgg16", 1), "VGG19": ("vgg19", 1), "VGG11_BN": ("vgg11_bn", 1),
    "VGG13_BN": ("vgg13_bn", 1), "VGG16_BN": ("vgg16_bn", 1), "VGG19_BN": ("vgg19_bn", 1),
}  # fmt: skip
"""torchvision's weights, which timm holds as safetensors: its name for the net, and how many versions there are."""


class Repository(Struct, frozen=True):
    """A repository as it lies on the disk. `revision`: the commit, empty for a plain folder; `sha256`: of each file of
    weights; `license`: its identifier, empty where nothing is said; `preprocessing`: how its images were prepared."""

    name: str
    folder: Path
    revision: str
    sha256: dict[str, str]
    license: str
    preprocessing: dict[str, Any]

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use, by its identifier."""
        return bool(re.search(r"(^|-)nc(-|$)|non-?commercial", self.license))

    @property
    def notes(self) -> dict[str, str]:
        """Where weights come from, as texts for the header of a file."""
        files = " ".join(f"{name}:{digest}" for name, digest in self.sha256.items())
        said = {"pretrained": self.name, "revision": self.revision, "sha256": files, "license": self.license}
        return {k: v for k, v in said.items() if v}


def find(name: str, revision: str | None = None) -> Repository:
    """A repository by its name on the Hub, torchvision's name for weights that timm holds there, or a folder.

    Downloads what the cache lacks, unless `HF_HUB_OFFLINE` is set. Raises WeightsError, also where a file is not what
    the Hub says it is.
    """
    if os.path.isdir(name):
        return _described(name, Path(name), "")
    name = _of_torchvision(name)
    folder = _snapshot(name, revision)
    found = _described(name, folder, folder.name)
    for file, digest in found.sha256.items():
        stored = (folder / file).resolve().name  # the cache calls a large file by its SHA-256
        if len(stored) == 64 and stored != digest:
            hint = f"delete {(folder / file).resolve()} and load it again"
            raise WeightsError("unreadable-weights", f"{file} of {name} is damaged: its SHA-256 is {digest}", hint)
    return found


def _of_torchvision(name: str) -> str:
    if not name.startswith("torchvision/"):
        return name
    match = TORCHVISION.fullmatch(name)
    net, versions = OF_TORCHVISION.get(match[1], ("", 0)) if match else ("", 0)
    version = int(match[2][-1]) if match else 0
    if not net or version > versions:
        known = ", ".join(OF_TORCHVISION)
        hint = f"`torchvision/ResNet50_Weights.IMAGENET1K_V2`; known: {known}"
        raise WeightsError("no-such-file", f"no repository with safetensors is known for {name}", hint)
    return f"timm/{net}.tv{'2' if version == 2 else ''}_in1k"


def _snapshot(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        hint = "pip install 'netdsl[hub]'"
        raise WeightsError("missing-package", "weights by name need the package `huggingface_hub`", hint) from None
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(WANTED)))
    except (OSError, ValueError) as error:  # the package's own mistakes are of these
        hint = "names are as on huggingface.co: `timm/resnet50.a1_in1k`; a folder with model.safetensors will do too"
        raise WeightsError(
            "no-such-file", f"there is no repository {name} to be had: {first_line(error)}", hint
        ) from None


def _described(name: str, folder: Path, revision: str) -> Repository:
    weights = sorted(p.name for p in folder.glob("*.safetensors"))
    if not weights:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pth", ".pt"))
        hint = f"{pickled[0]} can be named itself: `netdsl weights SPEC FILE`" if pickled else None
        raise WeightsError("no-such-file", f"{name} holds no safetensors", hint)
    digests = {file: _sha256(folder / file) for file in weights}
    return Repository(name, folder, revision, digests, _license(folder), _preprocessing(folder))


def _sha256(path: Path) -> str:
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


def _preprocessing(folder: Path) -> dict[str, Any]:
    """Mean, deviation, size, crop and interpolation, as timm and transformers write them."""
    timm = _json(folder / "config.json").get("pretrained_cfg", {})
    own = _json(folder / "preprocessor_config.json")
    found: dict[str, Any] = {}
    for ours, theirs in (("mean", "mean"), ("std", "std"), ("size", "input_size"), ("interpolation", "interpolation")):
        if isinstance(timm, dict) and theirs in timm:
            found[ours] = timm[theirs][-1] if ours == "size" and timm[theirs] else timm[theirs]
    if isinstance(timm, dict) and isinstance(timm.get("crop_pct"), int | float) and "size" in found:
        found["resize"] = int(found["size"] / timm["crop_pct"])
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std"), ("size", "size")):
        if theirs in own:
            found.setdefault(ours, own[theirs])
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
