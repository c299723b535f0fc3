"""Random nets that check and run, as text: every construct of the grammar, every op that a small net can hold.

`Writer(random).spec()` draws from anything with the methods of `random.Random`, so that a number names a program and
Hypothesis can shrink one. A value's type is the tuple of its sizes, as numbers or as the text of a symbolic size.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from generated_arrows import Arrows, Type, sized

LIBRARY = """\
block Squash(c) = conv(c, 1) -> relu

block Twice(f) { f -> f }
"""
"""What generated programs import from, under the name `library`."""

HEADER = """\
from library import Squash, Twice as Doubled

# Numbers that several blocks use.
WIDTHS = [2, 3, 4, 6]
HALF = WIDTHS[1] // 2 + 0x1 - 1
ACTS = [relu, gelu, tanh]

block Gate(r=2): [C, H, W] -> [C, H, W] = it * (gap -> linear(C // r + 1) -> relu -> linear(C) -> sigmoid)

block Unit(c, stride=1, act=relu) {
  conv(c, 3, stride=stride, bias=false) -> bn -> act
  residual { conv(c, 1) -> bn }
}

block Apply(f, times=2) {
  for i in range(times) { f -> leaky_relu(0.1 * (i + 1)) }
}

block Deep(n): [C, _, _] -> [C, _, _] {
  if n > 0 and not n > 9 {
    left: conv(C, 1, bias=false)
    Deep(n - 1)
  } else {
    silu
  }
}

block Halves: [C, H, W] -> [C, H, W] {
  require C % 2 == 0 or C == 1, "an even number of channels"
  a, b = chunk(2)
  mixed: { concat(a -> residual { conv(C // 2, 1) -> bn }, b) }
  concat(take(0) -> unsqueeze(axis=0), narrow(1, C - 1))
}

block Pair: [C, _, _] -> [C, _, _] {
  share f = conv(C, 3) -> tanh
  f -> it * 0.5 + f
}

block Blend(f, other) {
  first: f
  it * 0.5 + (other -> f -> tanh)
}

block Grid(d, heads=1): [N, *D] -> [N, D] {
  mixed = (it -> linear(D)) + scale(0.5) -> linear(d) -> gelu -> linear(D)
  share code = linear(d, bias=false)
  code -> tanh -> linear(D) -> linear(weight=code.weight, bias=false) -> linear(D)
  it * mixed -> attention(heads)
}

net Inner {
  input image [2, P, Q]
  low: conv(3, 3) -> relu
  steps: for i in range(2) { conv(3, 3) -> tanh }
  output small = avgpool(3, stride=1, padding=1)
  output logits = gap -> linear(2) when training
}
"""

FOOTER = """
recipe Short for Generated {
  epochs = 3 epochs
  mix = mixup(0.2) | cutmix(1.0)
  group bias { weight_decay = 0 }
  freeze head
}
recipe Shorter extends Short { epochs = 1 }
"""


class Writer(Arrows):
    """Writes specs: statements here, arrows in `Arrows`."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.count = 0
        self.names: list[tuple[str, Type]] = []
        self.outputs = 0

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def spec(self) -> str:
        """A whole spec; the net to run is `Generated`, or its variant `Chosen`."""
        blocks = [self.block() for _ in range(self.random.randint(0, 2))]
        text = HEADER + "".join(f"\n{b}" for b in blocks) + f"\n{self.net()}"
        if self.chance(0.5):
            text += "\nnet Chosen = Generated(n=1)\nexpect Chosen: params >= 0, macs >= 0\n"
        return text + (FOOTER if self.chance(0.1) else "")

    def block(self) -> str:
        """A block over images of any width, which keeps their type; the arrows may call it from then on."""
        name = self.fresh("Block")
        parameters = self.pick((("k=3", "act=relu"), ("k=1",), ("f",), ()))
        self.names, outer = [], self.blocks
        self.locals = {"k": "kernel", "act": "arrow", "f": "arrow"}
        self.known = [p.partition("=")[0] for p in parameters]
        body = self.body(("C", "H", "W"), 2)
        self.known, self.names = [], []
        self.blocks = [*outer, (name, parameters)]
        given = f"({', '.join(parameters)})" if parameters else ""
        return f"block {name}{given}: [C, H, W] -> [C, H, W] {body}\n"

    def net(self) -> str:
        kind = self.pick(("image", "image", "image", "sequence", "tokens", "vector", "two"))
        sizes: Any = ("H", "W") if self.chance(0.4) else (self.random.randint(6, 11), self.random.randint(6, 11))
        length: Any = "L" if self.chance(0.4) else self.random.randint(3, 7)
        first: Type
        lines = []
        if kind in ("image", "two"):
            first = (self.pick((1, 2, 3, 4)), *sizes)
            lines = [f"input image {sized(first)}"]
        elif kind == "tokens":
            first = (length, 4)
            lines = [f"input tokens [{length}] int64", "embed(5, 4)"]
        elif kind == "sequence":
            first = (length, self.pick((4, 6)))
            lines = [f"input rows {sized(first)}"]
        else:
            first = (self.pick((4, 6, 8)),)
            lines = [f"input features {sized(first)}"]
        if kind == "two":
            second = self.pick((first, (first[0],), (3, *sizes)))
            lines += [f"input other {sized(second)}"]
            self.names = [("image", first), ("other", second)]
            lines += [f"image -> {self.stage(first)}" if self.chance(0.5) else "image"]
        body, _ = self.statements(first, 3, self.random.randint(2, 6), main=True)
        arguments = "(n=2)" if self.chance(0.7) else ""
        arguments = arguments or "(n=WIDTHS[0], head=none)"
        inner = "\n".join(f"  {line}" for line in "\n".join([*lines, *body]).splitlines())
        return f"# A net drawn at random.\nnet Generated{arguments} {{\n{inner}\n}}\n"

    # Statements

    def body(self, t: Type, depth: int) -> str:
        """A braced body that keeps the type."""
        names = list(self.names)
        lines, out = self.statements(t, depth - 1, self.random.randint(1, 3))
        self.names = names
        if out != t:
            lines.append(self.back(out, t))
        inner = "\n".join(f"  {line}" for line in "\n".join(lines).splitlines())
        return f"{{\n{inner}\n}}"

    def statements(self, t: Type, depth: int, count: int, main: bool = False) -> tuple[list[str], Type]:
        lines: list[str] = []
        for _ in range(count):
            makers: list[Callable[[Type, int], tuple[str, Type]]] = [self.plain, self.plain, self.named, self.several]
            if depth > 0:
                makers += [self.label, self.loop, self.repeated, self.branch, self.shared, self.listed, self.numbers]
            if main:
                makers += [self.changed, self.output, self.plain, self.inner]
            line, t = self.pick(makers)(t, depth)
            lines.append(line)
        if main and self.chance(0.4):
            lines.append(self.head(t))
        elif main and self.chance(0.3):
            lines.append(self.output(t, depth)[0])
        return lines, t

    def plain(self, t: Type, depth: int) -> tuple[str, Type]:
        return self.pipeline(t, depth), t

    def changed(self, t: Type, depth: int) -> tuple[str, Type]:
        return self.change(t)

    def named(self, t: Type, depth: int) -> tuple[str, Type]:
        name = self.fresh("v")
        if self.chance(0.3):
            line = f"{self.pipeline(t, depth)} as {name}"
            self.names.append((name, t))
            return line, t
        line = f"{name} = {self.pipeline(t, depth)}"
        self.names.append((name, t))
        if self.chance(0.4):  # a sum before a long chain
            line += f"\n{self.operand(t, depth, whole=True)} {self.pick('+-*')} {name} -> {self.long(t)}"
        return line, t

    def several(self, t: Type, depth: int) -> tuple[str, Type]:
        first = t[0]
        if not isinstance(first, int) or first < 2:
            return self.plain(t, depth)
        a, b = self.fresh("a"), self.fresh("b")
        if first % 2 == 0 and self.chance(0.6):
            one = two = first // 2
            line = f"{a}, {b} = {self.stage(t)} -> chunk(2)"
        else:
            one = self.random.randint(1, first - 1)
            two = first - one
            line = f"{a}, {b} = split([{one}, {two}])"
        self.names += [(a, (one, *t[1:])), (b, (two, *t[1:]))]
        if self.chance(0.6):
            pair = f"{b}, {a}" if self.chance(0.5) else f"{a}, {b} -> {self.stage((two, *t[1:]))}"
            if self.chance(0.3):
                pair = f"{self.fresh('low')}: {b}, {self.fresh('high')}: {a} -> {self.stage((one, *t[1:]))}"
            line += f"\nconcat({pair})"
        return line, t

    def label(self, t: Type, depth: int) -> tuple[str, Type]:
        inner = self.pick((self.plain, self.loop, self.repeated, self.block_body))
        return f"{self.fresh('part')}: {inner(t, depth - 1)[0]}", t

    def block_body(self, t: Type, depth: int) -> tuple[str, Type]:
        return self.body(t, depth), t

    def loop(self, t: Type, depth: int) -> tuple[str, Type]:
        over, targets, use = self.pick((
            ("range(2)", "i", "it * (1 + 0.1 * i)"),
            ("enumerate([3, 5])", "i, k", "it + 0.1 * (i - k)"),
            ("[(1, (2, 3)), (2, (1, 0))]", "a, (b, c)", "it * 0.5 + (a * b - c) / 2"),
            ("zip([relu, gelu], (0.5, 2))", "f, s", "f -> it * s"),
            ("ACTS[0:2]", "f", "f"),
            ("[*ACTS[1:], sigmoid]", "f", "it * f"),
        ))  # fmt: skip
        names = list(self.names)
        lines, out = self.statements(t, depth - 1, self.random.randint(1, 2))
        self.names = names
        lines = [use, *lines, *([self.back(out, t)] if out != t else [])]
        inner = "\n".join(f"  {line}" for line in "\n".join(lines).splitlines())
        return f"for {targets} in {over} {{\n{inner}\n}}", t

    def repeated(self, t: Type, depth: int) -> tuple[str, Type]:
        times = self.pick(("2", "3", "1 + 1", "len(WIDTHS) // 2", "HALF"))
        return f"repeat {times} {self.body(t, depth)}", t

    def branch(self, t: Type, depth: int) -> tuple[str, Type]:
        condition = self.pick((
            "HALF == 1", "2 in WIDTHS", "5 not in WIDTHS", "1 < HALF + 1 <= 2", "not true", "max(1, 2) >= 3",
            "false or HALF != 2", "len([w for w in WIDTHS if w > 2]) == 3", '"conv" == "conv"',
        ))  # fmt: skip
        text = f"if {condition} {self.body(t, depth)}"
        if self.chance(0.3):
            text += f" else if HALF > 1 {self.body(t, depth)}"
        return text + (f" else {self.body(t, depth)}" if self.chance(0.6) else ""), t

    def shared(self, t: Type, depth: int) -> tuple[str, Type]:
        name = self.fresh("shared")
        if len(t) == 2 and self.chance(0.25):
            kind, given = self.pick((("gru", "h0=h"), ("rnn", "h0=h"), ("lstm", "h0=h, c0=c"), ("lstm", "h0=h")))
            rest = ", c" if kind == "lstm" else ""
            cell = f"share {name} = {kind}({t[1]}, states=true)\ny, h{rest} = {name}"
            return f"{cell}\ny, h{rest} = y -> {name}({given})\nit * 0.5 + y", t
        if self.count % 3 == 1:  # the pinned seeds of `test_agreement` stay what they are
            return self.given_tensors(t, name), t
        what = self.layer(t) if self.chance(0.6) else f"{self.layer(t)} -> {self.stage(t)}"
        use = self.pick(
            (f"{name} -> {name}", f"{name} -> {self.stage(t)} -> {name}", f"it + {name}", f"{name} * {name}")
        )
        return f"share {name} = {what}\n{use}", t

    def given_tensors(self, t: Type, name: str) -> str:
        """A shared block, or a shared layer, that each use gives a tensor."""
        fitting = ["it", *[n for n, other in self.names if other == t]]
        first, second = self.pick(fitting), fitting[-1]
        if len(t) == 2 and self.chance(0.5):
            use = f"{name}(context={first}) -> {name}(context={second})"
            return f"share {name} = cross_attention(1)\n{use}"
        use = self.pick((
            f"{name}(other={first}) -> {name}(other={second})", f"{name}(other=it) * {name}(other={second})",
            f"repeat 2 {{ {name}(other={first}) }}", f"residual {{ {name}(other={second}) }} -> {name}(other=it)",
        ))  # fmt: skip
        return f"share {name} = Blend({self.layer(t)})\n{use}"

    def listed(self, t: Type, depth: int) -> tuple[str, Type]:
        name = self.fresh("list")
        items = [self.arrow(t, 1) for _ in range(3)]
        fitting = [n for n, other in self.names if other == t]
        if fitting and self.chance(0.5):  # closed items are tensors, computed where the list stands
            items[:2] = [f"{self.pick(fitting)} -> {item}" for item in items[:2]]
        use = self.pick((
            f"{name}[{self.random.randint(-3, 2)}]", f"{name}[0] -> {name}[1]", f"{name}[1:][0]", f"{name}[::2][-1]",
            f"for f in {name} {{ f }}", f"for f in {name}[1:] {{ residual {{ f }} }}", f"{name}[0] * {name}[2]",
        ))  # fmt: skip
        return f"{name} = [{', '.join(items)}]\n{use}", t

    def numbers(self, t: Type, depth: int) -> tuple[str, Type]:
        name = self.fresh("n")
        value = self.pick((
            "2 ** 3 - 7", "-1 + 2", "7 % 3", "round(1.2)", "sum(w for w in WIDTHS if w > 3) // 10", "min(WIDTHS) // 2",
            "1 if HALF == 1 else 5", "3 // 2", "+1", "len((1, 2, 3)[1:2])",
        ))  # fmt: skip
        check = f'\nrequire {name} == 1, f"{{{name}}} {{{{counted}}}}"' if self.chance(0.3) else ""
        return f"{name} = {value}{check}\nit * {name}", t

    def inner(self, t: Type, depth: int) -> tuple[str, Type]:
        """A net inside the net; nothing of it exists only while training but its second output."""
        if len(t) != 3:
            return self.changed(t, depth)
        if self.chance(0.4):
            a, b = self.fresh("tap"), self.fresh("tap")
            taps = self.pick(('"low", "steps.1"', '"steps"', '"steps.0", "low"'))
            line = f"{self.fresh('part')}: {a}, {b} = conv(2, 1) -> taps(Inner, {taps})\n{a} - {b}"
            return line, (3, *t[1:])
        return "conv(2, 1) -> Inner", (3, *t[1:])

    def output(self, t: Type, depth: int) -> tuple[str, Type]:
        self.outputs += 1
        name = self.fresh("out")
        value = self.pick(("", f" = {self.pipeline(t, 1)}", f" = {self.pipeline(t, 1)} when training"))
        return f"output {name}{value}", t

    def head(self, t: Type) -> str:
        """What ends in a vector."""
        width = self.random.randint(2, 5)
        pooled = (
            {3: "gap -> ", 2: "reduce_mean(axis=0) -> ", 1: ""}[len(t)]
            if len(t) <= 3
            else "flatten(start=1) -> gap -> "
        )
        return f"head: {{\n  {pooled}linear({width})\n}}" if self.chance(0.5) else f"head: {pooled}linear({width})"
