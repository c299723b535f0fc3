"""Random small nets of ops that move, cut or join positions, on images and sequences of named sizes: arguments at the
edges of what they may be."""

from __future__ import annotations

from random import Random

MODES = ("zeros", "reflect", "replicate", "circular")


class Ops:
    """Draws an op as text. `rank`: 3 for an image [C, H, W], 2 for [C, L] or [L, C]."""

    def __init__(self, random: Random, rank: int) -> None:
        self.random = random
        self.rank = rank

    def op(self) -> str:
        makers = (self.conv, self.upconv, self.pool, self.pad, self.cut, self.adaptive, self.resized, self.moved,
                  self.part, self.joined, self.reduced, self.reshaped, self.normed)  # fmt: skip
        return self.random.choice(makers)()

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def maybe(self, text: str, chance: float = 0.5) -> str:
        return text if self.random.random() < chance else ""

    def number(self, low: int, high: int) -> str:
        """A number for each axis, or one for all."""
        numbers = [str(self.random.randint(low, high)) for _ in range(self.rank - 1)]
        return f"({', '.join(numbers)})" if self.rank == 3 and self.random.random() < 0.5 else numbers[0]

    def size(self) -> str:
        return self.pick("H", "H - 1", "H // 2", "W * 2") if self.rank == 3 else self.pick("L", "L - 1", "L // 3")

    def axis(self) -> str:
        return self.pick("0", "1", "-1")

    def conv(self) -> str:
        stride, padding = f", stride={self.number(1, 5)}", f", padding={self.number(0, 4)}"
        rest = self.maybe(f", padding_mode={self.random.choice(MODES)}") + self.maybe(f", dilation={self.number(1, 4)}")
        return f"conv({self.pick('2', '6')}, {self.number(1, 5)}{self.maybe(stride)}{padding}{rest})"

    def upconv(self) -> str:
        rest = f", padding={self.number(0, 5)}" + self.maybe(f", output_padding={self.number(0, 3)}")
        dilation = self.maybe(f", dilation={self.number(1, 4)}")
        return f"upconv({self.pick('2', '3')}, {self.number(1, 5)}, stride={self.number(1, 4)}{rest}{dilation})"

    def pool(self) -> str:
        kind, rest = self.pick("maxpool(", "avgpool(", "lppool(2, "), self.maybe(", ceil_mode=true")
        rest += self.maybe(f", padding={self.number(0, 3)}") if kind != "lppool(2, " else ""
        return f"{kind}{self.number(1, 5)}{self.maybe(f', stride={self.number(1, 9)}')}{rest})"

    def pad(self) -> str:
        sides = [f"({self.random.randint(-3, 3)}, {self.random.randint(-3, 3)})" for _ in range(self.rank - 1)]
        one = f"(({'), ('.join(s[1:-1] for s in sides)}))" if self.rank == 3 else sides[0]
        mode = self.maybe(f", mode={self.random.choice(MODES)}")
        return self.pick(
            f"pad({one}{mode})", f"pad({self.number(-3, 3)}{mode})", f"pad({sides[0]}, axis={self.axis()})"
        )

    def cut(self) -> str:
        start, length = self.pick("0", "1", "2", "-1", "-2"), self.pick("1", "2", self.size())
        narrow = f"narrow({start}, {length}, axis={self.axis()})"
        return self.pick(
            narrow, f"crop({self.number(1, 6)})", f"crop({self.size()})", f"subsample({self.number(1, 9)})"
        )

    def adaptive(self) -> str:
        return f"adaptive_{self.pick('avg', 'max')}pool({self.pick(self.number(1, 5), self.size())})"

    def resized(self) -> str:
        to = self.pick(
            "2", "0.5", "1.5", "0.3", "0.7", "0.29", "2.33", f"size={self.number(1, 7)}", f"size={self.size()}"
        )
        linear = self.pick(", mode=bilinear", ", mode=bilinear, align_corners=true", ", mode=bicubic")
        return f"upsample({to}{self.maybe(linear)})"

    def moved(self) -> str:
        shuffled = self.pick(
            f"pixel_unshuffle({self.pick('2', '3')})", "pixel_shuffle(2)", "windows(2) -> permute((2, 0, 1))"
        )
        around = f"roll({self.pick('1', '-3', '100')}{self.maybe(f', axes={self.axis()}')})"
        return self.pick(around, f"flip(axis={self.axis()})", *([shuffled] if self.rank == 3 else []))

    def part(self) -> str:
        taken = f"take({self.pick('0', '-1', '2', '-3')}, axis={self.axis()}) -> unsqueeze(axis={self.axis()})"
        unfold = f"unfold({self.number(1, 4)}, stride={self.number(1, 3)}, dilation={self.number(1, 2)})"
        return self.pick(taken, unfold) if self.rank == 3 else taken

    def joined(self) -> str:
        stacked = f"stack(it, it, axis={self.axis()}) -> flatten(start={self.pick('0', '1')}, end=1)"
        return self.pick(f"concat(it, it, axis={self.axis()})", stacked, "it * 0.5")

    def reduced(self) -> str:
        kind = self.pick("mean", "sum", "max", "var", "l2")
        return self.pick(f"reduce_{kind}(axis={self.axis()}, keepdims=true)", f"cumsum(axis={self.axis()})")

    def reshaped(self) -> str:
        if self.rank == 2:
            return self.pick("permute((1, 0))", "reshape((-1, 2))", 'rearrange("(a b) c -> a (b c)", b=2)')
        split = self.pick("c (h p) w -> (c p) h w", "c h (w p) -> c (h p) w")
        return self.pick("permute((0, 2, 1))", "reshape((1, -1, W))", f'rearrange("{split}", p=2)', "flatten(start=1)")

    def normed(self) -> str:
        return self.pick("instancenorm", "groupnorm(1)", "lrn(3)", "softmax(axis=-1)", "l2_normalize", "blurpool")


def open_net(seed: int) -> str:
    """A net of one to three ops, of which some are joined with what they were given."""
    random = Random(seed)
    rank = random.choice((3, 3, 2))
    kinds = ("[2, H, W]", "[3, H, H]", "[1, 2*H, W]", "[6, H, 4]") if rank == 3 else ("[2, L]", "[L, 4]")
    ops, lines = Ops(random, rank), [f"input x {random.choice(kinds)}"]
    for _ in range(random.choice((1, 1, 2, 3))):
        form = random.choice(("{}", "{}", "{}", "concat(it, {})", "it + ({})"))
        lines.append(form.format(ops.op()))
    return "net N {\n  " + "\n  ".join(lines) + "\n}\n"
