"""Combinations that train without an error and not as meant: one rule each, as a warning or an error at the field."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic, Severity, diagnostic
from netdsl.recipe.augmentations import AutoAugment, RandAugment, TrivialAugment
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.data_checks import DATA_RULES
from netdsl.recipe.idle_checks import IDLE_RULES
from netdsl.recipe.losses import Bce, Contrastive, CrossEntropy, DiceCe
from netdsl.recipe.metrics import TARGETS
from netdsl.recipe.optimizers import Adam, Lamb, Lars, Lion, Muon, Sgd
from netdsl.recipe.places import Places
from netdsl.recipe.progressive import GROWS, grown
from netdsl.recipe.regularizers import ByProduct, ClipAdaptive, DropPath, LayerDecay
from netdsl.recipe.retention import Best
from netdsl.recipe.schedule_checks import SCHEDULE_RULES
from netdsl.recipe.schema import DEFAULT_EPOCHS, Recipe
from netdsl.recipe.sources import Shards
from netdsl.recipe.standardization import Fixed
from netdsl.recipe.unusual_checks import UNUSUAL_RULES
from netdsl.source import Place


def check(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Report what is wrong or questionable about a recipe as a whole, each at the field to blame."""
    for rule in RULES:
        yield from rule(recipe, places)


def _say(severity: Severity, code: str, message: str, at: Place | None, hint: str | None = None) -> Diagnostic:
    return diagnostic(code, message, at, hint, severity=severity)


def _time(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    if recipe.epochs is not None and recipe.steps is not None:
        yield _say(
            "error", "conflicting-fields", "`epochs` and `steps` both say when training ends", places.at("steps")
        )
    if recipe.micro_batch > recipe.batch:
        message = f"`micro_batch` {recipe.micro_batch} is larger than `batch` {recipe.batch}"
        yield _say("error", "conflicting-fields", message, places.at("micro_batch"))


def _targets(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    loss = recipe.loss
    if isinstance(loss, DiceCe) and recipe.data.sure and recipe.data.task != "mask":
        message = f"`dice_ce` is for masks, `{component_name(recipe.data)}` has none"
        yield _say("error", "hard-loss", message, places.at("loss", "data"))
    if isinstance(loss, CrossEntropy | Bce) and loss.label_smoothing > 0.5:
        yield _say(
            "warning",
            "heavy-smoothing",
            "more than half of every target is spread over all classes",
            places.at("loss"),
        )
    if isinstance(loss, Bce) and loss.threshold is not None and not recipe.mix and not loss.label_smoothing:
        yield _say(
            "warning", "idle-option", "`threshold` changes nothing without `mix` or label smoothing", places.at("loss")
        )


def _label_noise(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Other classes need classes."""
    numbers = recipe.loss.task == "numbers" and not recipe.data.sure
    if recipe.label_noise and (recipe.data.task != "classes" or numbers):
        named = component_name(recipe.loss if numbers else recipe.data)
        has = f"`{named}` is for numbers" if numbers else f"`{named}` has none"
        message = f"`label_noise` replaces classes of samples, and {has}"
        yield _say("error", "not-supported", message, places.at("label_noise"))


def _weights(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    given, path = recipe.loss.class_weights, f"loss.{recipe.loss.balances}"
    if given and not any(given):
        learnt = "only noes are" if isinstance(recipe.loss, Bce) else "nothing is"
        message = f"every class has the weight 0 in `{path}`: {learnt} learnt"
        yield _say("error", "bad-value", message, places.at(path))


def _mixing(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Mixed targets need a loss that takes them."""
    loss, data = component_name(recipe.loss), component_name(recipe.data)
    if not recipe.mix:
        return
    if recipe.data.task in ("mask", "tokens", "nodes"):
        message = f"`mix` mixes classes or numbers, and the targets are {TARGETS[recipe.data.task]}"
        yield _say("error", "hard-loss", message, places.at("mix"))
    elif not recipe.loss.soft:
        yield _say("error", "hard-loss", f"`{loss}` cannot take the mixed targets of `mix`", places.at("mix"))
    elif recipe.loss.task == "numbers" and recipe.data.sure:
        mix = component_name(recipe.mix[0])
        message = f"`{mix}` needs a loss that takes soft targets, or targets that are numbers: `{data}` has classes"
        hint = "use `loss = cross_entropy` or `bce`, or leave out `mix`"
        yield _say("error", "hard-loss", message, places.at("loss"), hint)


def _selection(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    if recipe.stop is not None and not recipe.validation:
        hint = "hold out a part of the training split: `validation = 0.1`"
        message = "early stopping on the test split chooses the weights by what it reports"
        yield _say("warning", "stops-on-test", message, places.at("stop"), hint)
    if isinstance(recipe.final, Best) and not recipe.validation and recipe.stop is None:
        hint = "hold out a part of the training split: `validation = 0.1`"
        message = "the weights are chosen on the test split, by what is reported of them"
        yield _say("warning", "chosen-on-test", message, places.at("final"), hint)
    if recipe.swa is not None and recipe.ema is not None:
        yield _say(
            "error", "conflicting-fields", "`swa` and `ema` both say which average is evaluated", places.at("swa")
        )
    if recipe.ema is not None and recipe.ema.decay > 0.999 and _shorter(recipe, 5000) and not recipe.ema.warmup:
        message = f"an average with decay {recipe.ema.decay:g} still holds initial weights after {recipe.steps} steps"
        yield _say("warning", "slow-average", message, places.at("ema"), "use a smaller decay, or `warmup=true`")


def _shorter(recipe: Recipe, steps: int) -> bool:
    """Whether training surely ends before so many steps."""
    return recipe.steps is not None and recipe.steps < steps


NESTEROV = "usual is `momentum=0.9`"


def _optimizer(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    chosen, at = recipe.optimizer, places.at("optimizer")
    if isinstance(chosen, Sgd) and chosen.nesterov and (not chosen.momentum or chosen.dampening):
        yield _say("error", "conflicting-fields", "`nesterov` needs momentum and no dampening", at, NESTEROV)
    if isinstance(chosen, Adam) and chosen.weight_decay >= 1e-3:
        message = "`adam` adds the decay to the gradient, where its denominator mostly cancels it"
        yield _say("warning", "coupled-decay", message, at, "use `adamw` for decoupled decay")
    if isinstance(chosen, Lamb) and chosen.max_norm and recipe.clip is not None:
        yield _say(
            "warning",
            "clipped-twice",
            "`lamb` clips the gradient itself: set `max_norm=0` or drop `clip`",
            places.at("clip"),
        )
    if isinstance(chosen, Lion) and chosen.lr > 1e-3:
        yield _say("warning", "large-lr", "Lion's steps all have size lr: 3 to 10 times below AdamW's is usual", at)
    if isinstance(recipe.layer_decay, LayerDecay) and recipe.layer_decay.rate == 0:
        yield _say(
            "error", "bad-value", "a rate of 0 stops every layer but the head: use `freeze`", places.at("layer_decay")
        )


def _augmentation(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    policies = [a for a in recipe.augment if isinstance(a, RandAugment | TrivialAugment | AutoAugment)]
    if len(policies) > 1:
        yield _say(
            "warning",
            "two-policies",
            "more than one augmentation policy is applied to every image",
            places.at("augment"),
        )
    if recipe.repeat > 1 and not recipe.augment:
        yield _say(
            "warning",
            "idle-option",
            "`repeat` shows the same image several times: there is no `augment`",
            places.at("repeat"),
        )
    if recipe.tta is not None and recipe.data.task in ("tokens", "nodes"):
        message = f"`tta` mirrors images, and `{component_name(recipe.data)}` has none"
        yield _say("error", "not-supported", message, places.at("tta"))
    if recipe.augment and recipe.data.task == "tokens":
        yield _say("error", "not-supported", "augmentations are for images", places.at("augment"))


def _imbalance(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Samples are chosen by their class, from all there are, once."""
    if recipe.sampling is None:
        return
    at, data = places.at("sampling"), component_name(recipe.data)
    if recipe.data.sure and recipe.data.task != "classes":
        message = f"`sampling` chooses samples by their class, and `{data}` has none for a sample"
        yield _say("error", "not-supported", message, at)
    elif isinstance(recipe.data, Shards):
        message = "`sampling` takes samples from all files at once, and shards are read from front to back"
        yield _say("error", "not-supported", message, at, f"`loss = {component_name(recipe.loss)}(weight=balanced)`")
    elif recipe.repeat > 1:
        message = "`repeat` and `sampling` both say how often a sample is shown"
        yield _say("error", "conflicting-fields", message, at)
    elif recipe.loss.is_open:
        message = f"`{recipe.loss.balances}=balanced` counts the classes of the data, and `sampling` shows others"
        yield _say("warning", "balanced-twice", message, at, "leave out one of them")


def _folds(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Samples are tested on once, in parts that are drawn from all of them."""
    if recipe.folds is None:
        return
    if isinstance(recipe.data, Shards) or recipe.data.task == "nodes":
        message = f"`folds` cuts samples in parts, and `{component_name(recipe.data)}` is read as a whole"
        yield _say("error", "not-supported", message, places.at("folds"))


def _distillation(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Classes are compared with a teacher's by their softmax."""
    if recipe.distill is None:
        return
    loss, at = component_name(recipe.loss), places.at("distill")
    if not isinstance(recipe.loss, CrossEntropy):
        message = f"`distill` compares classes by their softmax, and `{loss}` does not"
        yield _say("error", "conflicting-fields", message, at, "use `loss = cross_entropy`")
    elif not recipe.distill.alpha:
        yield _say("warning", "idle-option", "with `alpha=0` the teacher changes nothing", at)


def _unfreezing(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Layers begin to train one after the other, before the run ends."""
    at = places.at("unfreeze")
    if recipe.unfreeze and not recipe.freeze:
        hint = "write what is frozen first: `freeze stem, stages`"
        yield _say("error", "idle-option", "`unfreeze` has nothing to unfreeze", at, hint)
    if recipe.unfreeze and recipe.shard is not None:
        yield _say("error", "conflicting-fields", "`unfreeze` does not go with `shard`", at)
    end = recipe.epochs or (DEFAULT_EPOCHS if recipe.steps is None else None)
    before: dict[str, float] = {}
    for step in recipe.unfreeze:
        amount, unit = step.time.amount, step.time.unit
        if amount < before.get(unit, 0):
            yield _say("error", "conflicting-fields", f"`after({step.time})` follows a later time", at)
        before[unit] = amount
        if (last := {"epochs": end, "steps": recipe.steps}[unit]) is not None and amount >= last:
            message = f"training ends after {last} {unit}: what begins after {step.time} never trains"
            yield _say("error", "schedule-too-long", message, at)


def _sharding(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Report what needs the whole of a weight, where each device has a part of it."""
    if recipe.shard is None:
        return
    whole: list[tuple[str, str]] = []
    if isinstance(recipe.optimizer, Lamb | Lars | Muon):
        whole.append(("optimizer", f"`{component_name(recipe.optimizer)}` needs whole weights: use `adamw`"))
    if isinstance(recipe.clip, ClipAdaptive):
        whole.append(("clip", "adaptive clipping needs whole weights: use `clip = 1.0`"))
    if any(isinstance(p, ByProduct) for p in recipe.penalty):
        whole.append(("penalty", "the factors of a weight are made on one device: use `l1`"))
    if recipe.precision == "fp16":
        whole.append(("precision", "the scaler of fp16 needs whole gradients: use `bf16`"))
    if recipe.layout == "channels_last":
        whole.append(("layout", "weights are cut along their memory: leave `layout` at `auto`"))
    if recipe.exchange != "fp32":
        whole.append(("exchange", "parts of gradients are exchanged as they are: leave `exchange` out"))
    if recipe.compile == "on":
        whole.append(("compile", "a net in shards is not compiled: leave `compile` out"))
    for field, reason in whole:
        message = f"`{field}` does not go with `shard = {recipe.shard}`"
        yield _say("error", "conflicting-fields", message, places.at(field, "shard"), reason)


def _progressive(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    growth, at = recipe.progressive, places.at("progressive")
    if growth is None:
        return
    if not grown(recipe, 0):
        hint = "`progressive(size=[128, 300], strength=[5, 15])`"
        yield _say("error", "idle-option", "`progressive` says nothing that grows", at, hint)
    for name, kinds in GROWS.items():
        if getattr(growth, name) is not None and not any(isinstance(w, kinds) for w in (*recipe.augment, *recipe.mix)):
            needed = " or ".join(f"`{component_name(k)}`" for k in kinds)
            field = "mix" if name in ("mixup", "cutmix") else "augment"
            yield _say("error", "idle-option", f"`{name}` grows, and there is no {needed} in `{field}`", at)
    if growth.dropout is not None and recipe.dropout is not None:
        yield _say("error", "conflicting-fields", "`progressive` and `dropout` both say the rate of dropout", at)


def _pixels(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Means and deviations of pixels that were counted from 0 to 255; other data hold any numbers."""
    chosen = recipe.standardize
    if recipe.data.gives != "images" or not isinstance(chosen, Fixed):
        return
    if max((*chosen.mean, *chosen.std), default=0) > SCALE:
        message = "pixels are numbers from 0 to 1, and these are a mean and a deviation of pixels from 0 to 255"
        mean, std = ([float(f"{number / 255:.3g}") for number in each] for each in (chosen.mean, chosen.std))
        hint = f"did you mean `fixed({mean}, {std})`?"
        yield _say("warning", "scaled-pixels", message, places.at("standardize"), hint)


SCALE = 2.0
"""More than any mean or deviation of pixels from 0 to 1, in whatever units they are turned into."""


def _always_dropped(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A residual branch that no sample ever passes, and dropout that leaves nothing."""
    path = recipe.drop_path.rates if isinstance(recipe.drop_path, DropPath) else recipe.drop_path
    grows = recipe.progressive.dropout if recipe.progressive is not None else None
    rates = {
        "drop_path": (_highest(path), "the branch for every sample: it never learns anything", "0.1 to 0.5"),
        "dropout": (_highest(recipe.dropout), "all that its layers are given: nothing is left", "0.1 to 0.5"),
        "progressive.dropout": (max(grows or (0.0,)), "all that its layers are given: nothing is left", "0.1 to 0.3"),
    }
    for field, (highest, what, usual) in rates.items():
        if highest == 1:
            message = f"a rate of 1 drops {what}"
            yield _say("warning", "always-dropped", message, places.at(field), f"usual are {usual}")


def _highest(rates: Component | None) -> float:
    """The highest rate of dropout, or of stochastic depth by a rule, over depth and time."""
    return max(getattr(rates, name, 0.0) for name in ("rate", "start", "to"))


def _contrastive(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Every sample of a batch is compared with every other: nothing may take it apart, and no target counts."""
    if not isinstance(recipe.loss, Contrastive):
        return
    loss, apart = component_name(recipe.loss), "it compares all samples of a batch with each other"
    found = {
        "micro_batch": (bool(recipe.micro_batch), apart), "shard": (recipe.shard is not None, apart),
        "mix": (bool(recipe.mix), "it compares samples, and no targets"),
        "tta": (recipe.tta is not None, "an evaluation compares two augmented views already"),
    }  # fmt: skip
    for field, (given, reason) in found.items():
        if given:
            message = f"`{field}` does not go with `{loss}`: {reason}"
            yield _say("error", "conflicting-fields", message, places.at(field, "loss"))
    if recipe.batch < 2:
        yield _say("error", "bad-value", f"`{loss}` compares the samples of a batch: one is none", places.at("batch"))


RULES = (
    _time, *SCHEDULE_RULES, _targets, _label_noise, _weights, _mixing, _selection, _optimizer, _augmentation,
    _imbalance, _folds, _distillation, *DATA_RULES, *IDLE_RULES, *UNUSUAL_RULES, _sharding, _unfreezing, _progressive,
    _contrastive, _pixels, _always_dropped,
)  # fmt: skip
"""The rules of a recipe on its own; what it asks of a net is in `netdsl.planning`."""
