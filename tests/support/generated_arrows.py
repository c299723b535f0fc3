"""Random arrows for generated programs: what flows in and out has a known type."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

Type = tuple[Any, ...]
"""The sizes of a sample: numbers, or the text of symbolic ones. The first of three is the channels."""

POINTWISE = (
    "relu", "gelu", "gelu(approximate=tanh)", "silu", "hardswish", "tanh", "sigmoid", "leaky_relu(0.1)", "elu",
    "softplus", "mish", "absolute", "square", "neg", "sin", "erf", "clamp(min=-1, max=2)", "hardtanh(-0.5, 0.7)",
    "softsign", "identity", "dropout(0.2)", "softshrink(0.2)", "threshold(0.1, 0.1)", "prelu", "rrelu",
    "celu(0.5)", "cos", "tanh -> exp", "hardsigmoid", "logsigmoid", "relu6", "selu", "tanhshrink", "pow(2) -> it * 0.1",
    "maximum(it, tanh)", "minimum(it, 0.5 * it)", "it / (sigmoid -> it + 1)", "sigmoid -> it + 1 -> sqrt",
    "absolute -> it + 1 -> rsqrt", "1 / (it * it + 1)", "sigmoid -> it + 0.5 -> log", "alpha_dropout(0.1)",
    "square -> it + 1 -> reciprocal", "gaussian_dropout(0.1)", "hardshrink(0)", "drop_path(0.1)",
    "it * 0.5 + 1", "1 - it", "it / 3", "2 * it - 0.25", "(it * it) * 0.1", "0.5 * it", "it - 0.1", "-1 * it",
)  # fmt: skip


def sized(t: Type) -> str:
    return f"[{', '.join(map(str, t))}]"


def listed(t: Sequence[Any]) -> str:
    return f"({', '.join(map(str, t))}{',' if len(t) == 1 else ''})"


class Arrows:
    """Draws arrows. `names`: tensors in scope; `blocks`: blocks that keep an image's type, with their parameters."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names: list[tuple[str, Type]] = []
        self.blocks: list[tuple[str, tuple[str, ...]]] = []
        self.known: list[str] = []

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.random.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    # Arrows that keep the type

    def pipeline(self, t: Type, depth: int) -> str:
        return " -> ".join(self.arrow(t, depth) for _ in range(self.random.randint(1, 3)))

    def arrow(self, t: Type, depth: int = 1) -> str:
        """One stage or a sum, which may stand between arrows."""
        if depth > 0 and self.chance(0.35):
            return self.arithmetic(t, depth)
        if depth > 0 and self.chance(0.25):
            return self.nested(t, depth)
        return self.stage(t)

    def arithmetic(self, t: Type, depth: int) -> str:
        operators = [self.pick("+-*") for _ in range(self.random.randint(1, 2))]
        text = self.operand(t, depth - 1, whole=True)
        for operator in operators:
            text += f" {operator} {self.operand(t, depth - 1)}"
        return f"({text}) * 0.5" if self.chance(0.3) else text

    def operand(self, t: Type, depth: int, whole: bool = False) -> str:
        """What may stand on one side of an operator; `whole`: of the type itself, not a vector or a number."""
        fitting = [n for n, other in self.names if other == t or (not whole and len(t) == 3 and other == t[:1])]
        options = ["it", "stage", "pipe", "long"] + ["name"] * 2 * bool(fitting)
        options += [] if whole else ["number", "parameter"]
        kind = self.pick(options)
        if kind == "it":
            return "it"
        if kind == "name":
            return str(self.pick(fitting))
        if kind == "stage":
            stage = self.stage(t)
            return f"({stage})" if " " in stage else stage
        if kind == "pipe":
            inner = self.pipeline(t, depth) if depth > 0 else f"{self.stage(t)} -> {self.stage(t)}"
            return f"({inner})"
        if kind == "long":
            return f"({self.long(t)})"
        if kind == "number":
            return str(self.pick(("0.5", "2", "-1", "1e-1", "(1 + 2)")))
        return self.parameter(t)

    def parameter(self, t: Type) -> str:
        """A learnt tensor of the type, or of one number for each channel."""
        features = t[0] if len(t) == 3 else t[-1]
        if all(isinstance(s, int) for s in t) and len(t) <= 3 and self.chance(0.7):
            chain = self.pick(("", f" -> {self.long(t)}", f" -> {self.pick(POINTWISE[:5])}"))
            text = f"param({listed(t)}, init=normal, std=1){chain}"
            return f"({text})" if chain else text
        if isinstance(features, int) and len(t) <= 3:
            return f"param(({features},), init=normal)"
        return "it"

    def nested(self, t: Type, depth: int) -> str:
        kind = self.pick(("residual", "body", "brackets", "conditional", "index", "concat", "shortcut", "splat"))
        if kind == "residual":
            options = self.pick(("", "", "(scale=1e-1)", "(drop_path=0.1)"))
            options = options if isinstance(t[0] if len(t) >= 3 else t[-1], int) else ""
            return f"residual{options} {{ {self.pipeline(t, depth - 1)} }}"
        if kind == "body":
            return f"{{ {self.pipeline(t, depth - 1)} }}"
        if kind == "brackets":
            return f"({self.pipeline(t, depth - 1)})"
        if kind == "conditional":
            return f"({self.stage(t)} if {self.pick(('HALF == 1', 'false', '1 < 2'))} else {self.stage(t)})"
        if kind == "index":
            return f"[{self.stage(t)}, {self.stage(t)}][{self.pick((0, 1, -1))}]"
        if len(t) != 3 or not isinstance(t[0], int):
            return self.stage(t)
        if kind == "shortcut":
            return f"residual(shortcut=conv({t[0]}, 1)) {{ {self.pipeline(t, depth - 1)} }}"
        if kind == "splat":
            return f"concat(it, *[conv(c, k) for c, k in [(1, 3), (2, 1)] if c < 3]) -> conv({t[0]}, 1)"
        fitting = [n for n, other in self.names if len(other) == 3 and other[1:] == t[1:]]
        other = self.pick(fitting) if fitting else f"conv({self.pick((1, 2))}, 3)"
        return f"concat({other}, {self.operand(t, depth - 1, whole=True)}) -> conv({t[0]}, 1)"

    def stage(self, t: Type) -> str:
        """One call, or a chain that is always written out."""
        if self.chance(0.35) or len(t) > 3:
            return str(self.pick(POINTWISE))
        if self.chance(0.25):
            return self.long(t)
        return self.layer(t)

    def layer(self, t: Type) -> str:
        return {1: self.of_vector, 2: self.of_sequence, 3: self.of_image}[len(t)](t)

    def of_vector(self, t: Type) -> str:
        (f,) = t
        return str(self.pick((
            f"linear({f})", f"linear({f}, bias=false)", f"linear({f}, spectral_norm=true)",
            "bn", "layernorm", f"linear({2 * f}) -> glu",
            "softmax", "softmin",
            "log_softmax", "rmsnorm",
            f"groupnorm({f // 2 if f % 2 == 0 else 1})", "l2_normalize", "scale(0.5)", "affine",
            f"dropconnect({f})", f"unsqueeze(axis=0) -> {self.of_sequence((1, f))} -> squeeze(axis=0)",
        )))  # fmt: skip

    def of_sequence(self, t: Type) -> str:
        length, d = t
        heads = 2 if d % 2 == 0 else 1
        fixed = isinstance(length, int)
        options = [
            f"linear({d})", f"linear({d}, bias=false)", "layernorm", "rmsnorm", f"attention({heads})",
            f"attention({heads}, causal=true)", f"lstm({d})", f"gru({d})", f"rnn({d}, nonlinearity=relu)",
            "softmax", "softmin(axis=0)", "log_softmax", "scale(0.1)", "affine", f"sdpa(it, linear({d}), tanh)",
            f"cross_attention({heads}, context=tanh)",
            "(it @ (tanh -> permute((1, 0))) -> softmax(axis=-1)) @ it", "l2_normalize(axis=0)",
            f"linear({2 * d}) -> glu",
            *(["rotary", "rotary(interleaved=true, base=100)"] if d % 2 == 0 else ()),
            f"it + (linspace(-1, 1, {d}) -> sin)", f"it * (arange({d}) % 3 // 2 + 1 -> cast(float32))",
            'einsum("l d, m d, m e -> l e", it, l2_normalize, tanh) * 0.1', 'einsum("i j, j -> i j", it, take(0))',
            f"gru({d // 2}, bidirectional=true)" if d % 2 == 0 else "identity", f"Grid({d}, heads={heads})",
        ]  # fmt: skip
        if fixed:
            options += [
                f"it + (arange({length}) -> embed({length}, {d}))",
                f"it * (arange({length * d}) - {d} -> cast(float32) -> it / {d} -> tanh -> reshape(({length}, {d})))",
                f"attention({heads}, mask=param(({length}, {length}), init=normal))",
                f"permute((1, 0)) -> linear({length}) -> permute((1, 0))",
                f"concat(take(0) -> unsqueeze(axis=0), narrow(0, {length})) -> narrow(1, {length})",
            ]
        return str(self.pick(options))

    def of_image(self, t: Type) -> str:
        c, h, w = t
        k = "k" if "k" in self.known and self.chance(0.5) else self.pick((1, 3, 5))
        act = "act" if "act" in self.known else self.pick(("relu", "gelu"))
        options = [
            f"conv({c}, {k})", f"conv({c}, {k}, bias=false) -> bn", f"conv({c}, 3, padding_mode=replicate)",
            f"conv({c}, 3, dilation=2)",
            f"conv({c}, 3, weight_norm=true)", "dwconv(3)", f"dwconv({k}, bias=false)", "bn",
            "layernorm", "groupnorm(1)",
            "instancenorm", "maxpool(3, stride=1, padding=1)", "avgpool(3, stride=1, padding=1)", "scale(0.1)",
            "affine", "Gate(2)", "Gate", f"Unit({c})", f"Unit({c}, act={act})", "Pair", f"Deep({self.pick((0, 1, 2))})",
            f"Apply(conv({c}, 1))", f"Apply(f=Unit({c}), times=1)", "Doubled(dwconv(3))", f"Squash({c})", "lrn(3)",
            f"upconv({c}, 3, padding=1)", f"linear({c})", f"pad(1) -> conv({c}, 3, padding=0)", "rmsnorm", act,
            f"conv({c}, 3, weight_standardization=true)", "ACTS[0]", f"scaled_conv({c}, 3)", "blurpool(stride=1)",
            "standardize(std=0.5)", "subsample(1)", "lppool(1, 1)", "dropout2d(0.1)", "softmax", f"patchify({c}, 1)",
            f"pad(1, mode=replicate) -> narrow(1, {h}, axis=1) -> narrow(1, {w}, axis=-1)", "crop(like=it)",
            f"fill(0.5, channels={c}) * it",
            'it * reduce("c h w -> c", max)', 'it * reduce("c h w -> 1 h w", mean)',
            "it * (gap -> sigmoid)", "it - gap", "it + noise", "(gmp -> tanh) * it", "adaptive_avgpool(1) -> flatten",
        ]  # fmt: skip
        options.pop()
        if "f" in self.known:
            options += ["f"] * 6
        options += [self.called(*b) for b in self.blocks for _ in range(3)]
        if isinstance(c, int) and c % 2 == 0:
            options += [
                "Halves",
                "channel_shuffle(2)",
                "groupnorm(2)",
                f"conv({c}, 3, groups=2)",
                "glu -> concat(it, it)",
            ]
        if isinstance(h, int):
            options += ["upsample(2) -> maxpool(2)", f"upsample(size=({h}, {w}), mode=bilinear)", "roll((1, -1))"]
            options += [f"adaptive_maxpool(({h}, {w}))", f"unfold(3, padding=1) -> fold(({h}, {w}), 3, padding=1)"]
        if isinstance(h, int) and h % 2 == w % 2 == 0 and isinstance(c, int):
            options += [f"windows(2, shift=1) -> attention(1) -> unwindows({h}, {w}, shift=1)"] * 4
            options += ["pixel_unshuffle(2) -> pixel_shuffle(2)"] * 2
        return str(self.pick(options))

    def called(self, name: str, parameters: tuple[str, ...]) -> str:
        given = {"k=3": ["", "k=1"], "k=1": ["", "k=3"], "act=relu": ["", "act=tanh"], "f": ["f=silu", "f=dwconv(3)"]}
        arguments = [a for a in (self.pick(given[p]) for p in parameters) if a]
        return f"{name}({', '.join(arguments)})" if arguments else name

    def long(self, t: Type) -> str:
        """A chain of methods in PyTorch, before or between which sums may stand."""
        between = self.pick(("", f" -> {self.pick(POINTWISE)}", " -> it + tanh", " -> it * 0.5 - sigmoid"))
        if len(t) == 1:
            return f"unsqueeze(axis=0){between} -> squeeze(axis=0) -> unsqueeze(axis=1) -> permute((1, 0)) -> flatten"
        if len(t) == 2:
            length, d = t
            chain = f"permute((1, 0)){between} -> reshape(({d}, {length})) -> permute((1, 0))"
            return self.pick(
                (
                    chain,
                    f"unsqueeze(axis=0){between} -> flatten(start=0, end=1)",
                    f"unsqueeze(axis=1){between} -> squeeze(axis=1)",
                )
            )
        c, h, w = t
        reduced = self.pick(("mean", "sum", "max", "min", "l2"))
        image = f"reshape(({c}, {h}, {w}))"  # its layout is meant, whatever was there before
        return str(self.pick((
            f"flatten(start=1){between} -> {image} -> {image}",
            f"flatten(start=1) -> permute((1, 0)){between} -> permute((1, 0)) -> {image} -> {image}",
            f"permute((1, 2, 0)){between} -> permute((2, 0, 1))",
            f'rearrange("c h w -> (h w) c"){between} -> rearrange("(h w) c -> c h w", h={h})',
            f"unsqueeze(axis=1){between} -> squeeze(axis=1)",
            f"reduce_{reduced}(axis=0, keepdims=true){between} -> expand(({c}, {h}, {w})) -> {image}",
            f"take(0){between} -> unsqueeze(axis=0) -> expand(({c}, {h}, {w})) -> {image}",
            f"flatten(start=0, end=1){between} -> {image} -> {image}",
        )))  # fmt: skip

    # Arrows that change the type

    def back(self, t: Type, wanted: Type) -> str:
        return f"conv({wanted[0]}, 1)" if len(t) == 3 else f"linear({wanted[-1]})"

    def change(self, t: Type) -> tuple[str, Type]:
        if len(t) == 1:
            width = self.pick((2, 4, 6))
            return f"linear({width})", (width,)
        if len(t) == 2:
            width = self.pick((2, 4))
            return self.pick(((f"linear({width})", (t[0], width)), ("reduce_max(axis=0)", (t[1],))))
        c, h, w = t
        width = self.pick((2, 3, 4))
        if isinstance(h, int) and isinstance(w, int):
            half = ((h - 1) // 2 + 1, (w - 1) // 2 + 1)
            return self.pick((  # type: ignore[no-any-return]
                (f"conv({width}, 3, stride=2)", (width, *half)),
                ("maxpool(3, stride=2, padding=1)", (c, *half)),
                (f"Unit({width}, 2)", (width, *half)),
                ("adaptive_avgpool((3, 2))", (c, 3, 2)), ("adaptive_maxpool(2)", (c, 2, 2)),
                ("pixel_unshuffle(2)", (4 * c, h // 2, w // 2)) if h % 2 == w % 2 == 0 else ("gmp", (c,)),
                ("blurpool", (c, *half)), ("subsample(2)", (c, *half)),
                ("maxpool(2, ceil_mode=true)", (c, -(h // -2), -(w // -2))),
                (f"upconv({width}, 2, stride=2)", (width, 2 * h, 2 * w)),
                (f"residual(shortcut=conv({width}, 1, stride=2)) {{ conv({width}, 3, stride=2) }}", (width, *half)),
                ("flatten(start=1) -> permute((1, 0))", (h * w, c)),
                (f"conv({width}, 1)", (width, h, w)), ("pixel_shuffle(2)", (c // 4, 2 * h, 2 * w))
                if c % 4 == 0 else ("gap", (c,)),
            ))  # fmt: skip
        return self.pick((  # type: ignore[no-any-return]
            (f"conv({width}, 3, stride=1)", (width, h, w)), ("gap", (c,)),
            ("flatten(start=1) -> permute((1, 0))", (f"({h}) * ({w})", c)),
            (f"conv({width}, 3, stride=2)", (width, f"(({h}) + 1) // 2", f"(({w}) + 1) // 2")),
            ("upsample(2)", (c, f"2 * ({h})", f"2 * ({w})")),
            (f"concat(it, conv({width}, 1))", (c + width, h, w)),
        ))  # fmt: skip
