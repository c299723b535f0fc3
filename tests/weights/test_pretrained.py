"""`init = pretrained(...)`: repositories in their real layouts on the disk, random numbers, no network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import onnxruntime
import pytest
import torch
from photographs import write_photographs
from PIL import Image
from safetensors.numpy import load_file, save_file

from netdsl.backends.onnx.file import load, metadata
from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import UserError
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.recipe.inits import Pretrained
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import ImageFolder, Synthetic
from netdsl.recipe.standardization import Channel, Fixed, Nothing
from netdsl.training.setup import prepare
from netdsl.weights.hub import beside, find, mistake_of
from netdsl.weights.repository import Preparation, described, of_timm, of_transformers
from netdsl.weights.unwrap import WeightsError

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CARD = "---\nlicense: {}\ntags:\n- image-classification\n---\n# A card\n"
TIMM = {
    "architecture": "small", "num_classes": 5, "label_names": ["ant", "bee", "cat", "dog", "elk"],
    "pretrained_cfg": {
        "mean": MEAN, "std": STD, "input_size": [3, 24, 24], "crop_pct": 0.75, "crop_mode": "center",
        "interpolation": "bicubic",
    },
}  # fmt: skip
SPEC = """
net Small(classes=5) {
  input image [3, 24, 24]
  conv(8, 3, bias=false) -> bn -> relu -> conv(8, 3, stride=2, bias=false) -> bn -> relu -> gap -> linear(classes)
}
net Two = Small(classes=2)
net Open(classes=5) {
  input image [3, H, W]
  conv(8, 3, bias=false) -> bn -> relu -> conv(8, 3, stride=2, bias=false) -> bn -> relu -> gap -> linear(classes)
}
net OpenTwo = Open(classes=2)
net Twice(classes=2) {
  input image [3, 24, 24]
  body: Small(classes=5)
  linear(classes)
}
recipe Tune for Two {
  data   = imagefolder("photos")
  init   = pretrained("small")
  epochs = 1
  batch  = 4
  optimizer = sgd(lr=0.001)
}
"""
SHAPES: dict[str, tuple[int, ...]] = {"conv1.weight": (8, 3, 3, 3), "conv2.weight": (8, 8, 3, 3)}
for _norm in ("bn1", "bn2"):
    SHAPES |= {f"{_norm}.{n}": (8,) for n in ("weight", "bias", "running_mean", "running_var")}
SHAPES |= {"fc.weight": (5, 8), "fc.bias": (5,)}


def numbers(shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {k: (rng.random(s) * (0.1 if len(s) > 1 else 1) + 0.1).astype(np.float32) for k, s in shapes.items()}


def repository(folder: Path, config: Any = TIMM, license: str = "apache-2.0", **files: Any) -> Path:
    """A folder as the Hub has it."""
    folder.mkdir(parents=True)
    save_file(numbers(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(CARD.format(license))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, photographs of two classes, and a repository, all in one folder."""
    base = tmp_path_factory.mktemp("pretrained")
    (base / "nets.net").write_text(SPEC)
    write_photographs(base / "photos", ("cat", "dog"), 4, (40, 30, 3), seed=1)
    repository(base / "small")
    return base


@pytest.fixture(scope="module")
def trained(base: Path) -> Path:
    assert main(["train", f"{base}/nets.net", "--recipe", "Tune", "-q", "-o", str(base / "run")]) == 0
    return base / "run"


def test_weights_are_taken_and_the_head_is_new(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--recipe", "Tune", "--set", "optimizer.lr=1e-30", "-o", str(base / "still")]
    assert main(["train", f"{base}/nets.net", *given]) == 0
    said = capsys.readouterr().err
    assert "weights of" in said
    assert "licence: apache-2.0" in said
    assert f"standardize = fixed(mean={MEAN}, std={STD}), as for the weights" in said
    assert "data: resize = 32, interpolation = bicubic, as for the weights" in said
    assert "linear.weight` is [2, 8], the file's [5, 8]: other classes: initialized" in said
    theirs, ours = numbers(), load_file(base / "still" / "model.safetensors")
    kernels = [a for a in ours.values() if a.ndim == 4]
    for mine, other in zip(kernels, ("conv1.weight", "conv2.weight"), strict=True):
        np.testing.assert_allclose(mine, theirs[other], rtol=1e-6)
    head = next(a for a in ours.values() if a.shape == (2, 8))
    assert np.abs(head).max() <= 1 / np.sqrt(8)


def test_licence_and_preparation_are_kept(trained: Path) -> None:
    about = json.loads((trained / "run.json").read_text())
    (origin,) = about["pretrained"]
    assert origin["license"] == "apache-2.0"
    assert origin["sha256"].startswith("model.safetensors:")
    assert (about["mean"], about["classes"]) == (pytest.approx(MEAN), ["cat", "dog"])
    said = metadata(load(trained / "model.onnx"))
    assert json.loads(said["pretrained"]) == [origin]
    view = json.loads(said["preprocessing"])
    assert (view["standardized"], view["resize"], view["interpolation"]) == (True, 32, "bicubic")
    recipe = json.loads((trained / "recipe.json").read_text())
    assert recipe["standardize"] == {"component": "fixed", "mean": MEAN, "std": STD}


def cut(photo: Path, resize: int, size: int) -> Any:
    """Pixels [1, 3, size, size] from 0 to 1: the shorter side to `resize`, bicubic, and the middle."""
    with Image.open(photo) as image:
        small = image.resize((resize, int(resize * image.height / image.width)), Image.Resampling.BICUBIC)
    left, top = round((small.width - size) / 2), round((small.height - size) / 2)
    pixels = np.asarray(small.crop((left, top, left + size, top + size)), np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]) / 255


def test_predict_prepares_images_as_the_file_says(
    trained: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both for the run and for its ONNX file alone."""
    photo = base / "photos" / "val" / "cat" / "0.png"
    pixels = cut(photo, 32, 24)
    logits = onnxruntime.InferenceSession(trained / "model.onnx").run(None, {"image": pixels})[0][0]
    expected = np.exp(logits) / np.exp(logits).sum()
    for model in (trained, trained / "model.onnx"):
        capsys.readouterr()
        assert main(["predict", str(model), str(photo), "--probabilities", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert list(found["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_run_resumes_without_its_repository(trained: Path, base: Path, tmp_path: Path) -> None:
    """The checkpoint has every weight; what is said of where they began stays."""
    shutil.copytree(trained, tmp_path / "run")
    before = json.loads((trained / "run.json").read_text())
    (base / "small").rename(base / "away")
    try:
        assert main(["train", "--resume", str(tmp_path / "run"), "--set", "epochs=2", "-q"]) == 0
    finally:
        (base / "away").rename(base / "small")
    after = json.loads((tmp_path / "run" / "run.json").read_text())
    assert after["pretrained"] == before["pretrained"] != []
    said = metadata(load(tmp_path / "run" / "model.onnx"))["pretrained"]
    assert json.loads(said) == before["pretrained"]


@pytest.mark.parametrize("part", [1e-320, -1, 0, 2, 10**400, "a", float("nan")])
def test_a_part_that_is_none_is_the_usual_one(part: Any) -> None:
    assert of_timm({"input_size": [3, 224, 224], "crop_pct": part, "mean": [10**400] * 3}).resize == 224
    assert of_transformers({"size": {"shortest_edge": 224}, "crop_pct": part}).resize == 256


def test_a_path_that_is_no_folder_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        find(str(tmp_path / "nothing"))


def test_a_run_resumes_without_its_repository_changing(trained: Path, base: Path) -> None:
    assert main(["train", "--resume", str(trained), "--set", "epochs=2", "-q"]) == 0
    assert json.loads((trained / "run.json").read_text())["pretrained"][0]["license"] == "apache-2.0"


def prepared(base: Path, net: str, **fields: Any) -> Any:
    """What a training begins with, before its first step."""
    spec = Spec(load_source(str(base / "nets.net")), read_import)
    recipe = Recipe(**{"data": ImageFolder(folder="photos"), **fields})
    return prepare(spec.net(net), recipe, base, torch.device("cpu"))


def head_of(found: Any) -> Any:
    """Whether the head is the file's."""
    head = next(a.numpy() for a in found.module.state_dict().values() if a.shape == (5, 8))
    return np.array_equal(head, numbers()["fc.weight"])


FIVE = Synthetic(classes=5, train=8, test=8)


def test_data_without_names_take_those_of_the_weights(base: Path) -> None:
    found = prepared(base, "Small", init=(Pretrained("small"),), data=FIVE)
    assert head_of(found)
    assert found.data.classes == ("ant", "bee", "cat", "dog", "elk")
    assert found.recipe.standardize == Fixed(tuple(MEAN), tuple(STD))


def test_what_a_recipe_says_stays(base: Path) -> None:
    data = ImageFolder(folder="photos", resize=26)
    found = prepared(base, "Two", init=(Pretrained("small"),), data=data, standardize=Nothing())
    assert (found.recipe.data, found.recipe.standardize) == (data, Nothing())
    found = prepared(base, "Two", init=(Pretrained("small", preprocessing=False),))
    assert (found.recipe.data, found.recipe.standardize) == (ImageFolder(folder="photos"), Channel())


def test_a_new_head_is_asked_for(base: Path) -> None:
    found = prepared(base, "Small", init=(Pretrained("small", head="new"),), data=FIVE)
    assert not head_of(found)
    assert found.data.classes == ("0", "1", "2", "3", "4")
    assert any("initialized: `linear.weight`" in n for n in found.notes)


def test_a_part_of_a_net(base: Path) -> None:
    found = prepared(base, "Twice", init=(Pretrained("small", into="body"),))
    assert head_of(found)
    assert found.recipe.standardize == Channel()  # the images are the net's own


def test_a_net_of_any_size_is_trained_on_the_size_of_the_weights(base: Path) -> None:
    found = prepared(base, "OpenTwo", init=(Pretrained("small"),))
    assert found.recipe.data == ImageFolder(folder="photos", resize=32, crop=24, interpolation="bicubic")


def test_a_file_without_a_head(base: Path, tmp_path: Path) -> None:
    folder = repository(tmp_path / "headless")
    save_file({k: a for k, a in numbers().items() if "fc" not in k}, folder / "model.safetensors")
    found = prepared(base, "Small", init=(Pretrained(str(folder)),), data=FIVE)
    assert any("not in the file, initialized: `linear.weight`, `linear.bias`" in n for n in found.notes)
    for missing in ("conv2.weight", "bn2.weight"):
        save_file({k: a for k, a in numbers().items() if k != missing}, folder / "model.safetensors")
        with pytest.raises(UserError):
            prepared(base, "Small", init=(Pretrained(str(folder)),), data=FIVE)


def test_other_names_of_classes_are_said(base: Path, tmp_path: Path) -> None:
    folder = repository(tmp_path / "named", {**TIMM, "label_names": ["cow", "dog"]})
    state = {k: a[:2] if "fc" in k else a for k, a in numbers().items()}
    save_file(state, folder / "model.safetensors")
    found = prepared(base, "Two", init=(Pretrained(str(folder)),))
    assert any(n.startswith("warning: class 0 is `cat`, for the weights `cow`") for n in found.notes)


def test_a_compiled_net_predicts_as_its_repository_says(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ONNX file standardises, says how images are cut, what classes are called, and where its weights are from."""
    out = tmp_path / "out"
    assert main(["compile", f"{base}/nets.net:Small", "--pretrained", str(base / "small"), "-o", str(out)]) == 0
    said = metadata(load(out / "model.onnx"))
    assert json.loads(said["pretrained"])[0]["license"] == "apache-2.0"
    photo = base / "photos" / "val" / "cat" / "0.png"
    assert main(["predict", str(out / "model.onnx"), str(photo), "--probabilities", "--json"]) == 0
    (found,) = json.loads("[" + capsys.readouterr().out.partition("\n[")[2])
    plain = tmp_path / "plain"
    assert main(["compile", f"{base}/nets.net:Small", "--weights", str(base / "small"), "-o", str(plain)]) == 0
    pixels = (cut(photo, 32, 24) - np.float32(MEAN)[:, None, None]) / np.float32(STD)[:, None, None]
    logits = onnxruntime.InferenceSession(plain / "model.onnx").run(None, {"image": pixels})[0][0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert found["probabilities"] == pytest.approx(dict(zip(TIMM["label_names"], expected, strict=True)), abs=1e-5)
    assert main(["compile", f"{base}/run", "--pretrained", str(base / "small"), "-o", str(out)]) == 2
    both = ["--pretrained", str(base / "small"), "--weights", "x.pth"]
    assert main(["compile", f"{base}/nets.net:Small", *both, "-o", str(out)]) == 2


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            {"mean": MEAN, "std": STD, "input_size": [3, 288, 288], "crop_pct": 0.95, "interpolation": "bicubic"},
            Preparation(tuple(MEAN), tuple(STD), 288, 303, "bicubic"),
        ),
        (
            {"mean": MEAN, "std": STD, "input_size": [3, 384, 384], "crop_pct": 1.0, "crop_mode": "squash"},
            Preparation(tuple(MEAN), tuple(STD), 384, 0, "", "warp"),
        ),
        ({"mean": "half", "std": [0, 1, 1], "input_size": 7, "crop_pct": True, "interpolation": 3}, Preparation()),
    ],
)
def test_what_timm_says(said: dict[str, Any], found: Preparation) -> None:
    assert of_timm(said) == found


HALF = [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (  # google/vit-base-patch16-224
            {"do_normalize": True, "do_resize": True, "image_mean": HALF, "image_std": HALF, "resample": 2,
             "size": {"height": 224, "width": 224}, "do_rescale": True, "rescale_factor": 0.00392156862745098},
            Preparation((0.5,) * 3, (0.5,) * 3, 224, 0, "bilinear", "warp"),
        ),
        (  # microsoft/resnet-50
            {"crop_pct": 0.875, "do_normalize": True, "image_mean": MEAN, "image_std": STD, "resample": 3,
             "size": {"shortest_edge": 224}},
            Preparation(tuple(MEAN), tuple(STD), 224, 256, "bicubic"),
        ),
        (  # openai/clip-vit-base-patch32
            {"crop_size": 224, "do_center_crop": True, "do_normalize": True, "image_mean": MEAN, "image_std": STD,
             "resample": 3, "size": 224},
            Preparation(tuple(MEAN), tuple(STD), 224, 224, "bicubic"),
        ),
        (  # google/mobilenet_v2_1.0_224
            {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "image_mean": HALF, "image_std": HALF,
             "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}},
            Preparation((0.5,) * 3, (0.5,) * 3, 224, 256, "bilinear"),
        ),
        ({"do_rescale": False, "image_mean": [51.0], "image_std": [255.0]}, Preparation((0.2,), (1.0,))),
        ({"do_normalize": False, "image_mean": HALF, "image_std": HALF}, Preparation()),
        ({"size": {"shortest_edge": "big"}, "resample": "x", "image_mean": [0.5], "image_std": [0.0]}, Preparation()),
    ],
)  # fmt: skip
def test_what_transformers_says(said: dict[str, Any], found: Preparation) -> None:
    assert of_transformers(said) == found


def test_a_repository_of_transformers(tmp_path: Path) -> None:
    config = {"architectures": ["ResNet"], "id2label": {"0": "tench", "1": "goldfish"}}
    found = described("x", repository(tmp_path / "hf", config, "other\nlicense_name: llama2"), "")
    assert (found.classes, found.license, found.images) == (("tench", "goldfish"), "llama2", Preparation())
    counted = repository(tmp_path / "b", {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, preprocessor_config={})
    assert described("x", counted, "").classes == ()


REAL = [
    ("resnet:ResNet18", "timm/resnet18"),
    ("mobilenet_v2:MobileNetV2", "torchvision/mobilenet_v2"),
    ("vit:DeiT_Ti", "timm/vit_tiny_patch16_224"),
]


@pytest.mark.parametrize(("own", "layout"), REAL)
def test_real_keys_in_shards(own: str, layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The keys of the real repositories, in two shards with an index; a licence against commerce is said."""
    rng = np.random.default_rng(0)
    state = {
        t.key: np.zeros(t.shape, np.int64) if t.constant and not t.shape else rng.random(t.shape, np.float32)
        for t in layouts.tensors(layout)
    }
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    parts = [dict(list(state.items())[i::2]) for i in range(2)]
    where = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    for name, part in zip(names, parts, strict=True):
        save_file(part, tmp_path / name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (tmp_path / "README.md").write_text(CARD.format("cc-by-nc-4.0"))
    out = tmp_path / "ours" / "own.safetensors"
    assert main(["weights", own, "--pretrained", str(tmp_path), "-o", str(out)]) == 0
    assert "the licence cc-by-nc-4.0" in capsys.readouterr().err
    ours = load_file(out)
    for mine, other in layouts.truth(own, layout).items():
        np.testing.assert_array_equal(ours[mine], state[other])


@pytest.mark.parametrize(
    ("init", "said"),
    [
        ('pretrained("no such name")', "`no such name` is neither a folder nor the name of a repository"),
        ('pretrained("torchvision/ResNet18_Weights.IMAGENET1K_V2")', "no repository with safetensors is known for"),
        ('pretrained("timm/x", into="bodies")', "the net has no part `bodies`"),
        ('pretrained("")', "pretrained"),
        ('pretrained(name="timm/x", heads=1)', "heads"),
    ],
)
def test_check_says_what_needs_no_network(
    init: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nets.net").write_text(SPEC.replace('pretrained("small")', init))
    assert main(["check", str(tmp_path / "nets.net")]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", ["timm/resnet50.a1_in1k", "gpt2", "torchvision/VGG16_Weights.IMAGENET1K_V1"])
def test_names_that_may_be(name: str) -> None:
    assert mistake_of(name) is None


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def not_finite(folder: Path) -> None:
    save_file({k: a * np.float32("nan") for k, a in numbers().items()}, folder / "model.safetensors")


def other_net(folder: Path) -> None:
    save_file({"a.weight": np.zeros((3, 3), np.float32)}, folder / "model.safetensors")


def mislabelled(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")


@pytest.mark.parametrize("damage", [truncated, not_finite, other_net, mislabelled])
def test_a_bad_file_ends_before_anything_is_written(
    damage: Any, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(repository(tmp_path / "bad"))
    given = ["--recipe", "Tune", "--set", f'init=pretrained("{tmp_path}/bad")', "-o", str(tmp_path / "run")]
    assert main(["train", f"{base}/nets.net", *given]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_is_looked_for_beside_the_spec(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of that name where the command was called is another one."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no repository elsewhere|package `huggingface_hub`"):
        prepared(base, "Two", init=(Pretrained("elsewhere"),))


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_file_of_the_preparation_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"config\.json"):
        described("x", tmp_path, "")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "some.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="is a file") as refused:
        beside("some.pth", tmp_path / "some.pth")
    assert refused.value.hint is not None
    assert 'weights("some.pth")' in refused.value.hint
    assert beside("none", tmp_path / "none") is None
