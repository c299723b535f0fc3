"""Weights by name: repositories of the Hugging Face Hub, and folders that look like one."""

from __future__ import annotations

import re
from pathlib import Path

from netdsl.diagnostics.diagnostic import first_line
from netdsl.diagnostics.packages import needed_by
from netdsl.weights.repository import Repository, described
from netdsl.weights.unwrap import WeightsError

WANTED = ("*.safetensors", "*.safetensors.index.json", "config.json", "preprocessor_config.json", "README.md")
"""Files of a repository that are taken. Pickled weights are not among them."""

NAME = re.compile(r"(?![.-])(?!.*(--|\.\.))[\w.-]{1,95}(/(?![.-])[\w.-]{1,95})?(?<![.-])")
"""Names of the Hub: `timm/resnet50.a1_in1k`, `gpt2`."""

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


def mistake_of(name: str) -> str | None:
    """Why a name cannot be that of a repository; None where it can, as far as this is known without asking."""
    try:
        name = _of_torchvision(name)
    except WeightsError as error:
        return error.message
    return None if NAME.fullmatch(name) else f"`{name}` is neither a folder nor the name of a repository"


def looks_like_a_path(name: str) -> bool:
    """Whether a name can only be that of a folder."""
    return name.startswith((".", "/", "~")) or (name.count("/") > 1) or name.endswith("/")


def find(name: str, revision: str | None = None, base: str | Path = "") -> Repository:
    """A folder in `base`, or what `of_hub` gives for a name. Raises WeightsError."""
    return beside(name, Path(base, name)) or of_hub(name, revision)


def beside(name: str, path: Path) -> Repository | None:
    """The weights in a folder; None where there is none. Raises WeightsError, also for a file."""
    if path.is_file():
        how = f'`--weights {name}`, in a recipe `init = weights("{name}")`'
        raise WeightsError("unfit-weights", f"{name} is a file, neither a folder nor the name of a repository", how)
    return described(str(path), path, "") if path.is_dir() else None


def of_hub(name: str, revision: str | None = None) -> Repository:
    """A repository by its name on the Hub, or torchvision's name for weights that timm holds there.

    Downloads what the cache lacks, unless `HF_HUB_OFFLINE` is set. Raises WeightsError, also where a file is not what
    the Hub says it is.
    """
    if looks_like_a_path(name):
        raise WeightsError("no-such-file", f"there is no folder {name}", "a folder with model.safetensors is wanted")
    name = _of_torchvision(name)
    folder = _snapshot(name, revision)
    found = described(name, folder, folder.name)
    for file, digest in found.sha256.items():
        stored = (folder / file).resolve().name  # the cache calls a large file by its SHA-256
        if len(stored) == 64 and stored != digest:
            hint = f"delete {(folder / file).resolve()} and load it again"
            raise WeightsError("unreadable-weights", f"{file} of {name} is damaged: its SHA-256 is {digest}", hint)
    return found


def mistakes() -> tuple[type[Exception], ...]:
    """The exceptions of `huggingface_hub`: mistakes of its own, which are of the first two, and those of its
    transport."""
    try:
        from httpx import HTTPError
    except ImportError:
        return OSError, ValueError
    return OSError, ValueError, HTTPError


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
    with needed_by("fetching weights by name"):
        from huggingface_hub import snapshot_download
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(WANTED)))
    except mistakes() as error:
        hint = "names are as on huggingface.co: `timm/resnet50.a1_in1k`; a folder with model.safetensors will do too"
        raise WeightsError(
            "no-such-file", f"there is no repository {name} to be had: {first_line(error)}", hint
        ) from None
