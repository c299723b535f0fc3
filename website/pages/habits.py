"""What people bring from elsewhere and what it is here: tables of calls that `netdsl check --fix` has rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.apply import fix
from netdsl.fixes.habits import COMPONENTS
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.recipe.aliases import FIELDS
from netdsl.source import Source

INPUTS = ("x [64, 32, 32]", "x [16, 64]", "x [64]", "x [16] int64", "x [3, 32, 32]")
"""What may flow into a call: maps, tokens, a vector, words, an image."""

CALLS = {
    "pytorch": {
        "Layers": (
            "nn.Conv2d(64, 128, 3, stride=2, padding=1)",
            "nn.Conv2d(in_channels=64, out_channels=64, kernel_size=3, groups=64)",
            "nn.ConvTranspose2d(64, 32, 2, stride=2)", "nn.Linear(64, 10)", "nn.Linear(64, 10, bias=False)",
            "nn.BatchNorm2d(64)", "nn.LayerNorm(64)", "nn.GroupNorm(32, 64)", "nn.ReLU(inplace=True)", "nn.GELU()",
            "nn.LeakyReLU(0.2)", "nn.Softmax(dim=1)", "nn.MaxPool2d(3, 2, 1)", "nn.AvgPool2d(2)",
            "nn.AdaptiveAvgPool2d(1)", "nn.Dropout(0.5)", "nn.Flatten()", "nn.Embedding(1000, 64)",
            "nn.LSTM(64, 128, batch_first=True)", "nn.MultiheadAttention(64, 8)", "nn.Upsample(scale_factor=2)",
            "nn.PixelShuffle(2)", "nn.Identity()", "nn.Sequential(nn.Conv2d(64, 32, 3), nn.ReLU())",
        ),
        "Functions and methods": (
            "F.relu(x)", "F.max_pool2d(x, 2)", "F.interpolate(x, scale_factor=2, mode='bilinear')",
            "torch.cat([x, y], 1)", "torch.add(x, y)", "torch.matmul(x, y)", "x.view(-1, 64 * 32 * 32)",
            "x.flatten(1)", "x.mean([2, 3])", "x.permute(0, 2, 3, 1)", "x.transpose(1, 2)", "x.unsqueeze(1)",
            "torch.sigmoid(x)",
        ),
    },
    "keras": {
        "Layers": (
            "layers.Conv2D(64, 3, activation='relu')", "layers.Conv2D(64, (3, 3), strides=2, padding='valid')",
            "layers.DepthwiseConv2D(3)", "layers.Conv2DTranspose(32, 2, strides=2)", "layers.Dense(10)",
            "layers.Dense(10, activation='softmax')", "layers.BatchNormalization()", "layers.LayerNormalization()",
            "layers.Activation('relu')", "layers.MaxPooling2D()", "layers.MaxPooling2D(pool_size=(2, 2))",
            "layers.AveragePooling2D(2)", "layers.GlobalAveragePooling2D()", "layers.Flatten()",
            "layers.Dropout(0.5)", "layers.SpatialDropout2D(0.1)", "layers.UpSampling2D(2)",
            "layers.ZeroPadding2D(1)", "layers.Embedding(1000, 64)", "layers.LSTM(128)",
            "layers.MultiHeadAttention(num_heads=8, key_dim=64)", "layers.GaussianNoise(0.1)",
        ),
        "The functional and the sequential style": (
            "layers.Dense(10)(x)", "layers.Conv2D(64, 3)(x)", "layers.Concatenate()([x, y])", "layers.Add()([x, y])",
            "model.add(layers.Dense(10))", "tf.nn.relu(x)", "keras.Sequential([layers.Dense(64), layers.Dense(10)])",
        ),
    },
    "timm": {
        "Layers": (
            "PatchEmbed(patch_size=16, embed_dim=768)", "DropPath(0.1)", "LayerScale(64, 1e-6)",
            "SelectAdaptivePool2d(pool_type='avg')", "LayerNorm2d(64)", "nn.Hardswish(inplace=True)",
        ),
    },
}  # fmt: skip
"""Calls of elsewhere, by where they come from."""

COMPONENTS_OF = {
    "pytorch": (
        "StepLR", "MultiStepLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "OneCycleLR",
        "LinearLR", "PolynomialLR", "ReduceLROnPlateau", "CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss",
        "SmoothL1Loss", "RandomCrop", "RandomHorizontalFlip", "RandomResizedCrop", "RandomRotation", "ColorJitter",
        "RandAugment", "TrivialAugmentWide", "RandomErasing", "MixUp", "CutMix", "ImageFolder", "CIFAR10", "MNIST",
    ),
    "keras": ("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "CosineDecay", "EarlyStopping",
              "ReduceLROnPlateau"),
    "timm": ("Mixup", "RandomErasing"),
    "mmengine": ("LinearLR", "MultiStepLR", "StepLR", "CosineAnnealingLR", "CrossEntropyLoss", "L1Loss", "MSELoss",
                 "RandomResizedCrop", "RandomFlip", "RandomCrop", "Resize", "ColorJitter", "RandAugment",
                 "RandomErasing", "Mixup", "CutMix"),
    "lightning": ("EarlyStopping",),
}  # fmt: skip
"""Classes of schedules, losses, augmentations and data, by where they come from."""

FIELDS_OF = {
    "pytorch": ("batch_size", "lr", "momentum", "weight_decay", "label_smoothing", "criterion", "scheduler",
                "transform", "num_workers", "grad_clip", "amp", "epochs"),
    "keras": ("learning_rate", "batch_size", "validation_split", "callbacks", "loss_weights", "class_weight",
              "early_stopping", "metric"),
    "timm": ("opt", "lr", "weight_decay", "sched", "warmup_epochs", "min_lr", "mixup", "cutmix", "smoothing",
             "drop_path", "clip_grad", "model_ema_decay", "reprob", "aa", "amp", "batch_size", "pretrained",
             "layer_decay"),
    "mmengine": ("optim_wrapper", "param_scheduler", "train_cfg", "train_dataloader", "train_pipeline", "custom_hooks",
                 "load_from", "max_epochs", "max_iters", "samples_per_gpu", "paramwise_cfg", "frozen_stages"),
    "lightning": ("max_epochs", "max_steps", "gradient_clip_val", "accumulate_grad_batches", "precision", "devices",
                  "callbacks", "val_check_interval", "lr_scheduler", "batch_size", "num_workers", "deterministic"),
}  # fmt: skip
"""Words of training scripts and configurations, by where they come from."""

SAME = {"precision", "deterministic", "epochs", "drop_path", "layer_decay"}
"""Words that are fields of a recipe here, too."""


def table(framework: str) -> str:
    """Everything that the tables know of one framework, as Markdown. Raises LookupError for what they do not know."""
    return "\n".join(_tables(framework))


def _tables(framework: str) -> Iterator[str]:
    for title, calls in CALLS.get(framework, {}).items():
        yield from (f"### {title}\n", "| there | here |", "|---|---|")
        yield from (f"| `{call}` | `{rewritten(call)}` |" for call in calls)
        yield ""
    if framework in COMPONENTS_OF:
        yield from ("### Schedules, losses, augmentations, data\n", "| there | here |", "|---|---|")
        yield from (f"| `{name}` | `{COMPONENTS[name]}` |" for name in COMPONENTS_OF[framework])
        yield ""
    yield from ("### Settings of training\n", "| there | here |", "|---|---|")
    for name in FIELDS_OF[framework]:
        yield f"| `{name}` | {'the same field' if name in SAME else FIELDS[name]} |"
    yield ""


@cache
def rewritten(call: str) -> str:
    """A call as `check --fix` writes it, in the first net where the result has no mistake. Raises LookupError."""
    for given in INPUTS:
        second = [f"  input y {given.partition(' ')[2]}"] if re.search(r"\by\b", call) else []
        text = "\n".join(["net N {", f"  input {given}", *second, f"  {call}", "}", ""])
        fixed = fix(Source(text, "example.net"), _diagnostics, unsafe=True)
        left = _diagnostics(Source(fixed.text, "example.net"))
        if fixed.count and not any(d.severity == "error" for d in left):
            return fixed.text.splitlines()[-2].strip()
    raise LookupError(f"`netdsl check --fix` does not rewrite `{call}`")


def _diagnostics(source: Source) -> tuple[Diagnostic, ...]:
    return Spec(source, read_import).diagnostics
