"""RandAugment, TrivialAugment and AutoAugment: which operation each sample gets, and how much of it."""

from __future__ import annotations

import torch
from torch import Tensor

from netdsl.recipe.augmentations import AutoAugment, RandAugment, TrivialAugment
from netdsl.training.augment.learned import POLICIES
from netdsl.training.augment.operations import RAND, TIMM, WIDE, Reading, amount_of, operate
from netdsl.training.augment.parts import changed
from netdsl.training.augment.registry import APPLY, Frame, known

Both = tuple[Tensor, Tensor | None]


def reading(component: RandAugment | TrivialAugment | AutoAugment, frame: Frame, device: torch.device) -> Reading:
    """How the component's moves read an image. The mean colour is what the net will see as 0; it stays on the device,
    where mean and deviation lie with the net."""
    zero = torch.zeros(1, 1, 1, device=device)
    return Reading(component.interpolation, frame.pixels(zero) if component.fill == "mean" else 0.0)


def chosen(
    x: Tensor, names: tuple[str, ...], which: Tensor, amount: dict[str, Tensor], used: Tensor, how: Reading
) -> Tensor:
    """Each sample under operation `names[which]` with its amount; those not `used` stay."""

    def change(number: int, images: Tensor, places: Tensor) -> Tensor:
        name = names[number]
        return images if name == "identity" else operate(name, images, amount[name][places], how)

    return changed(x, torch.where(used, which, len(names)), len(names), change)


@APPLY.of(RandAugment)
def randaugment(component: RandAugment, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    space = TIMM if component.increasing else RAND
    names = tuple(space)
    for turn in range(component.count):
        level = torch.full((len(x),), component.strength / 10, device=x.device)
        if component.std:
            most = max(1.0, component.strength / 10)
            level = (level + component.std / 10 * frame.normal(f"strength{turn}")).clamp(0, most)
        sign = torch.where(frame.uniform(f"sign{turn}") < 0.5, -1.0, 1.0)
        amounts = {n: amount_of(space[n], level, sign, x.shape) for n in names}
        used = frame.uniform(f"used{turn}") < component.p
        x = chosen(
            x, names, frame.integers(f"which{turn}", len(names)), amounts, used, reading(component, frame, x.device)
        )
    return x, mask


@APPLY.of(TrivialAugment)
def trivialaugment(component: TrivialAugment, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    names = tuple(WIDE)
    level = frame.integers("level", 31).float() / 30
    sign = torch.where(frame.uniform("sign") < 0.5, -1.0, 1.0)
    amounts = {n: amount_of(WIDE[n], level, sign, x.shape) for n in names}
    everywhere = torch.ones(len(x), dtype=torch.bool, device=x.device)
    which = frame.integers("which", len(names))
    return chosen(x, names, which, amounts, everywhere, reading(component, frame, x.device)), mask


@APPLY.of(AutoAugment)
def autoaugment(component: AutoAugment, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    policy = POLICIES[component.policy]
    pairs = frame.integers("policy", len(policy))
    for turn in range(2):
        names = tuple(dict.fromkeys(pair[turn][0] for pair in policy))
        table = [(names.index(name), chance, strength / 9) for name, chance, strength in (p[turn] for p in policy)]
        which, chance, level = (known(column, x.device)[pairs] for column in zip(*table, strict=True))
        sign = torch.where(frame.uniform(f"sign{turn}") < 0.5, -1.0, 1.0)
        used = frame.uniform(f"used{turn}") < chance
        amounts = {n: amount_of(RAND.get(n, TIMM[n]), level, sign, x.shape) for n in names}
        x = chosen(x, names, which.long(), amounts, used, reading(component, frame, x.device))
    return x, mask
