"""Names that people bring from elsewhere, and how it is said here."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

OF_OPTIMIZER = "it is an argument of the optimizer: `optimizer = {}`"
OF_LOSS = "it is an argument of the loss: `loss = cross_entropy({})`"
PHASE = "it is a phase: `schedule = warmup(5 epochs) -> cosine`"
MICRO = "`micro_batch` says how many samples are computed at once; `batch` stays the samples of a step"
BATCH = "it is called `batch`, and counts the samples of all devices together"
LOGGED = "every step is written to `metrics.jsonl` of the run"
CALLBACKS = "what a callback does is a field: `stop = early_stopping(5)`, `checkpoint = 1 epochs`, `ema = 0.999`"
GROUPS = "groups are written in the recipe: `group norm { weight_decay = 0 }`"
BEST = "the best weights are kept beside the last; `final = best` reports them"
NO_DECAY = "what is not decayed is a group of the recipe: `group ... { weight_decay = 0 }`"
AUGMENTS = "it is a part of `augment`: `augment = hflip -> {}`"
OWN_FIELD = "it is told by a field of its own: `{}`"
STANDARDIZED = OWN_FIELD.format("standardize = fixed(mean=..., std=...)")
GROUPED = (
    "what samples belong to is named in `csv`, `graphs`, `hf`, `imagefolder`, `maskfolder`, `npz`, `parquet`, `table`"
)
OF_HEAD = "the net stands in the head: `recipe Name for Net { ... }`"
INIT = 'it is written `init = weights("file")`'

OF_DATA = {
    "mean": STANDARDIZED, "std": STANDARDIZED, "group": GROUPED,
    "target": "columns to predict are those of `csv(...)`, and of `table(...)` for parquet files",
}  # fmt: skip
"""Hints for arguments that a source of data does not have."""

FIELDS = {
    "lr": OF_OPTIMIZER.format("adamw(lr=...)"), "learning_rate": OF_OPTIMIZER.format("adamw(lr=...)"),
    "weight_decay": OF_OPTIMIZER.format("adamw(weight_decay=...)"),
    "momentum": OF_OPTIMIZER.format("sgd(lr=0.1, momentum=...)"),
    "batch_size": "it is called `batch`", "dataset": "it is called `data`", "augmentation": "it is called `augment`",
    "transforms": "it is called `augment`", "transform": "it is called `augment`",
    "amp": "it is written `precision = bf16`",
    "mixed_precision": "it is written `precision = bf16`", "fp16": "it is written `precision = fp16`",
    "clip_grad_norm": "it is called `clip`", "max_grad_norm": "it is called `clip`", "grad_norm": "it is called `clip`",
    "label_smoothing": OF_LOSS.format("label_smoothing=..."), "smoothing": OF_LOSS.format("label_smoothing=..."),
    "class_weight": OF_LOSS.format("weight=balanced"), "class_weights": OF_LOSS.format("weight=balanced"),
    "mixup": "it is written `mix = mixup(...)`", "cutmix": "it is written `mix = cutmix(...)`",
    "mixup_alpha": "it is written `mix = mixup(...)`", "cutmix_alpha": "it is written `mix = cutmix(...)`",
    "warmup": PHASE, "warmup_epochs": PHASE, "early_stopping": "it is called `stop`",
    "min_lr": "it is an argument of the schedule: `schedule = cosine(to=...)`",
    "patience": "it is an argument: `stop = early_stopping(5)`, `schedule = plateau(0.1, patience=5)`",
    "lr_scheduler": "it is called `schedule`", "scheduler": "it is called `schedule`",
    "sched": "it is called `schedule`", "param_scheduler": "it is called `schedule`",
    "opt": "it is called `optimizer`", "optim_wrapper": "it is called `optimizer`",
    "grad_clip": "it is called `clip`", "gradient_clipping": "it is called `clip`", "clip_grad": "it is called `clip`",
    "gradient_clip_val": "it is called `clip`", "clip_norm": "it is called `clip`", "model_ema": "it is called `ema`",
    "ema_decay": "it is called `ema`", "model_ema_decay": "it is called `ema`",
    "reprob": AUGMENTS.format("random_erasing(0.25)"), "aa": AUGMENTS.format("randaugment(2, 9)"),
    "callbacks": CALLBACKS, "custom_hooks": CALLBACKS, "hooks": CALLBACKS,
    "train_pipeline": "it is called `augment`", "train_dataloader": "it is called `data`, beside `batch` and `workers`",
    "dataloader": "it is called `data`, beside `batch` and `workers`", "val_check_interval": "it is called `evaluate`",
    "train_cfg": "it is called `epochs`, or `steps`", "max_iters": "it is called `steps`",
    "samples_per_gpu": BATCH, "per_device_train_batch_size": BATCH, "per_device_batch_size": BATCH,
    "batch_size_per_gpu": BATCH, "train_batch_size": "it is called `batch`", "batchsize": "it is called `batch`",
    "num_epochs": "it is called `epochs`", "num_train_epochs": "it is called `epochs`",
    "max_epochs": "it is called `epochs`", "max_steps": "it is called `steps`", "iterations": "it is called `steps`",
    "num_workers": "it is called `workers`", "val_split": "it is called `validation`",
    "validation_split": "it is called `validation`",
    "stochastic_depth": "it is called `drop_path`",
    "drop_path_rate": "it is written `drop_path = linear(0, ...)`", "regularization": "it is called `penalty`",
    "accumulation": MICRO, "accumulate": MICRO, "accumulate_grad_batches": MICRO,
    "freeze": "it is written `freeze stem`, without `=`", "frozen_stages": "it is written `freeze stem`",
    "pretrained": INIT, "load_from": INIT,
    "weights": f"{INIT}; of outputs: `outputs = weights(aux=0.3)`",
    "loss_weights": "it is written `outputs = weights(aux=0.3)`",
    "device": "it is an option of the command: `netdsl train --device cpu`",
    "devices": "it is an option of the command: `netdsl train --devices 2`",
    "group": GROUPS, "paramwise_cfg": GROUPS,
    "metric": "it is called `metrics`", "sampler": "it is called `sampling`",
    "test_time_augmentation": "it is called `tta`", "augment_test": "it is called `tta`",
    "kfold": "it is called `folds`", "cv": "it is called `folds`",
    "teacher": "it is written `distill = teacher(\"runs/Large-1\")`", "distillation": "it is called `distill`",
    "net": OF_HEAD, "model": OF_HEAD,
    "criterion": "it is called `loss`", "warmup_ratio": PHASE, "warmup_steps": PHASE, "num_warmup_steps": PHASE,
    "warmup_lr": "it is what a warm-up starts from: `schedule = warmup(5 epochs, start=1e-6) -> cosine`",
    "gradient_accumulation_steps": MICRO, "accumulation_steps": MICRO, "grad_accum": MICRO, "accum_steps": MICRO,
    "load_best_model_at_end": BEST, "save_best_only": BEST, "save_best": BEST, "save_best_model": BEST,
    "keep_best": BEST, "restore_best_weights": BEST,
    "logging_steps": LOGGED, "log_interval": LOGGED, "print_freq": LOGGED, "log_every_n_steps": LOGGED,
    "log_every": LOGGED, "log_freq": LOGGED, "log_steps": LOGGED, "print_every": LOGGED, "logging": LOGGED,
    "weight_decay_exclude": NO_DECAY, "exclude_from_weight_decay": NO_DECAY, "no_weight_decay": NO_DECAY,
    "no_decay": NO_DECAY, "weight_decay_filter": NO_DECAY,
    "save_steps": "it is written `checkpoint = 500 steps`", "save_every": "it is written `checkpoint = 1 epochs`",
    "eval_steps": "it is written `evaluate = 1 epochs`", "eval_every": "it is written `evaluate = 1 epochs`",
    "steps_per_epoch": "an epoch shows every sample once; `steps` counts those of the whole run",
    "shuffle": "the training split is shuffled in every epoch",
    "pin_memory": "how batches reach a device is not a recipe's: leave it out",
    "persistent_workers": "how batches reach a device is not a recipe's: leave it out",
    "validation_data": "`validation = 0.1` holds out a part of the training split; the source of data has a test split",
    "lr_scheduler_type": "it is called `schedule`", "optim": "it is called `optimizer`",
    "loss_fn": "it is called `loss`", "loss_function": "it is called `loss`",
    "auto_augment": AUGMENTS.format("randaugment(2, 9)"), "random_erasing": AUGMENTS.format("random_erasing(0.25)"),
    "color_jitter": AUGMENTS.format("color_jitter(0.4, 0.4, 0.4)"),
}  # fmt: skip

ARGUMENTS = {
    "learning_rate": "lr", "wd": "weight_decay", "l2": "weight_decay", "decay_rate": "factor", "gamma": "factor",
    "step_size": "every", "milestones": "at", "eta_min": "to", "min_lr": "to", "T_max": "over", "T_0": "first",
    "T_mult": "times",
    "rho": "alpha", "beta_1": "betas", "beta_2": "betas", "beta1": "betas", "beta2": "betas",
    "b1": "betas", "b2": "betas",
    "total_steps": "over", "epochs": "over", "steps": "over", "pct_start": "rise", "beta": "betas",
    "epsilon": "eps", "smoothing": "label_smoothing", "probability": "p", "prob": "p", "mu": "momentum",
    "class_weights": "weight", "weights": "weight", "class_weight": "weight", "root": "folder", "dir": "folder",
    "max_norm": "limit", "value": "limit", "n": "count", "num_ops": "count", "m": "strength", "magnitude": "strength",
    "seq_len": "length", "sequence_length": "length", "block_size": "length", "context_length": "length",
    "bptt": "length",
}  # fmt: skip

_VALUES = """
kaiming: he he_normal kaiming_normal kaiming_uniform
xavier: glorot xavier_uniform xavier_normal glorot_uniform glorot_normal
fp16: float16 half
bf16: bfloat16 mixed amp bf16_mixed
fp32: float32 full
cross_entropy: ce sparse_categorical_crossentropy categorical_crossentropy nll nll_loss softmax_cross_entropy
    SoftTargetCrossEntropy CrossEntropyLoss crossentropy log_loss
bce: binary_cross_entropy binary_crossentropy
mse: l2 mean_squared_error MSELoss squared_error
l1: mae lasso mean_absolute_error L1Loss absolute_error
huber: smooth_l1 SmoothL1Loss
top1: accuracy acc error
mean_iou: miou iou iou_score
cosine: cosine_annealing cosinus cosine_decay CosineAnnealingLR
onecycle: one_cycle onecyclelr
plateau: reduce_on_plateau ReduceLROnPlateau
restarts: sgdr cosine_with_restarts CosineAnnealingWarmRestarts
polynomial: poly
dice_ce: dice dice_loss DiceLoss jaccard tversky lovasz
adaptive: agc
randaugment: rand_augment
trivialaugment: trivial_augment
focal: focal_loss FocalLoss
auroc: roc_auc auc
average_precision: ap map
f1: f1_score macro_f1
recall: sensitivity
constant(1): ones
constant(0): zeros zero
l2: ridge
crop: random_crop
hflip: horizontal_flip flip random_flip HorizontalFlip RandomHorizontalFlip
step: StepLR step_lr
multistep: MultiStepLR piecewise piecewise_constant
exponential: ExponentialLR exponential_decay
restarts(10 epochs): cyclic CyclicLR
warmup(5 epochs) -> cosine: warmup_cosine cosine_warmup linear_warmup_cosine cosine_with_warmup
warmup(5 epochs) -> linear: linear_with_warmup
warmup(5 epochs) -> constant: constant_with_warmup linear_warmup
cross_entropy(label_smoothing=0.1): label_smoothing LabelSmoothingCrossEntropy
nt_xent: info_nce contrastive SimCLR ntxent_loss
rotate: random_rotation rotation RandomRotation
vflip: VerticalFlip RandomVerticalFlip
affine(scale=[0.8, 1.2]): zoom RandomZoom
affine(translate=[0.1, 0.1], degrees=15): ShiftScaleRotate
affine: random_affine
color_jitter(0.2): brightness RandomBrightness
color_jitter(contrast=0.2): contrast RandomContrast
color_jitter: jitter
crop(padding=4): pad
grayscale: random_grayscale to_gray
gaussian_noise: noise
pixmix: AugMix
trunc_normal: TruncatedNormal truncated_normal
kaiming(nonlinearity=linear): lecun_normal lecun_uniform variance_scaling
dirac: identity eye
pytorch: default
pretrained("timm/resnet50.a1_in1k"): imagenet
norm(1.0): clip_grad_norm global_norm grad_norm norm_clip clip_by_global_norm
value(1.0): clip_by_value clip_grad_value
channel: zscore
fixed: mean_std normalize
fixed([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]): imagenet
imagefolder("images"): imagenet torchvision folder directory svhn stl10 coco tinyimagenet DataLoader
balanced: weighted WeightedRandomSampler oversample
linear(0, 0.1): stochastic_depth DropPath
early_stopping(10): patience EarlyStopping
sgd(lr=0.1, momentum=0.9): momentum
sgd(lr=0.1, momentum=0.9, nesterov=true): nesterov
shards: webdataset
hf: huggingface load_dataset datasets
npz: numpy
"""


def _loose(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _parsed() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in _VALUES.strip().replace("\n    ", " ").splitlines():
        own, names = line.rsplit(": ", 1)
        for name in map(_loose, names.split()):
            found[name] = (*found.get(name, ()), own)
    return found


VALUES = _parsed()
"""What is said here for components and words of elsewhere, however these are spelt; of several, in different fields."""


PLOTTED = {
    "hue": "color", "c": "color", "colour": "color", "style": "color", "by": "color", "groupby": "color",
    "label": "title", "name": "title", "logx": "xscale", "log_x": "xscale", "logy": "yscale", "log_y": "yscale",
}  # fmt: skip
"""What a plot of elsewhere is told, and what it is called here."""

OF_MEASURES = {
    "accuracy": "top1", "acc": "top1", "error": "top1", "val": "validation", "valid": "validation", "dev": "validation",
    "training": "train", "testing": "test", "parameters": "params", "num_params": "params", "n_params": "params",
    "param_count": "params", "flops": "macs", "FLOPs": "macs", "time": "seconds", "runtime": "seconds",
    "duration": "seconds", "iou": "mean_iou", "miou": "mean_iou", "auc": "auroc",
}  # fmt: skip
"""Parts of the paths of measures by their names elsewhere."""

POSITIONS = {
    "sgd": ("lr", "momentum", "weight_decay", "nesterov"), "adam": ("lr", "betas", "eps", "weight_decay"),
    "adamw": ("lr", "betas", "eps", "weight_decay"), "lamb": ("lr", "betas", "eps", "weight_decay"),
    "lion": ("lr", "betas", "weight_decay"),
}  # fmt: skip
"""What people give to an optimizer by position, in order; lists of it are `betas` alone."""


def positioned(name: str, given: Sequence[tuple[str, str]], known: Container[str]) -> str | None:
    """A call with the arguments that are given by position under their names; None where they have none.

    `given`: the name ("" for none) and the text of each argument. The first stands by position here too.
    """
    order, said = list(POSITIONS.get(name, ())), list[str]()
    bare = [not own for own, _ in given]
    if bare != sorted(bare, reverse=True):  # what follows a name may be a part of its value: `lr=0,1`
        return None
    for own, text in given:
        is_list = text[:1] in ("(", "[")
        fitting = [own] if own else [n for n in order if (n == "betas") == is_list and n in known]
        if not fitting:
            return None
        order = order[order.index(fitting[0]) + 1 :] if fitting[0] in order else order
        said.append(f"{fitting[0]}={text}" if said or own else text)
    return f"{name}({', '.join(said)})"


def of_recipe(name: str, known: Container[str]) -> str | None:
    """A hint for an argument of a component that is a field of the recipe, under this name or another one."""
    other = FIELDS.get(name, "")
    field = name if name in known else other.partition("it is called `")[2].partition("`")[0]
    return OWN_FIELD.format(f"{field} = ...") if field in known else other or None


def meant(name: str, known: Container[str]) -> str | None:
    """A hint where a value is called otherwise here."""
    own = next((o for o in VALUES.get(_loose(name), ()) if re.split(r"\W", o)[0] in known), None)
    return None if own is None else f"it is called `{own}`" if own.isidentifier() else f"write `{own}`"


def called(name: str, table: Mapping[str, str], known: Container[str]) -> str | None:
    """A hint where a name is called otherwise here."""
    other = table.get(name)
    return f"it is called `{other}`" if other is not None and other.partition("(")[0] in known else None
