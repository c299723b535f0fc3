"""Laws of drawings, over the zoo: nothing overlaps, lines meet what they connect, and all of the program is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from random import Random

import pytest
from generated_programs import LIBRARY, Writer
from zoo_tables import spec, specs

from netdsl.ir.flatten import flatten
from netdsl.ir.model import Definition, Program, Step, Value
from netdsl.loader import read_import
from netdsl.ops.base import Op
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.view.drawing import TIMES, Box, Drawing, Drawings, Line, Port, fitting
from netdsl.view.folds import ALIKE, MOST
from netdsl.view.item import Body
from netdsl.view.parallel import WIDE

FEW = [(path.stem, spec(path.stem).nets[-1]) for path in specs() if spec(path.stem).nets]
EVERY = [(path.stem, net) for path in specs() for net in spec(path.stem).nets]


def program(text: str) -> Program:
    return Spec(Source(text), read_import).net().checked


def drawings_of(net: Program) -> Iterator[tuple[Drawing, Body]]:
    """The net as it is drawn without being asked, two levels further, and each definition by itself."""
    drawings = Drawings(net.main)
    depth = fitting(drawings, net.main)
    found = [d for deeper in (0, 2) for d in every(drawings.of(net.main, depth + deeper))]
    seen: set[Definition] = set()
    waiting = [net.main]
    while waiting:
        definition = waiting.pop()
        if definition not in seen:
            seen.add(definition)
            found.append(drawings.of(definition, 1))
            waiting += [i.body for i in drawings.bodies.of(definition).items if i.body]
    yield from ((drawing, drawings.bodies.of(drawing.definition)) for drawing in found)


def every(drawing: Drawing) -> Iterator[Drawing]:
    yield drawing
    for box in drawing.boxes:
        if box.inner:
            yield from every(box.inner)


def check(net: Program) -> None:
    for drawing, body in drawings_of(net):
        check_boxes(drawing)
        check_lines(drawing)
        check_arrows(drawing)
        check_apart(drawing)
        check_values(drawing, body)
        check_bundles(body)
    check_unfolded(net)


def check_boxes(drawing: Drawing) -> None:
    for i, box in enumerate(drawing.boxes):
        assert box.x >= -0.11, box.item.label
        assert box.y >= 0, box.item.label
        assert box.x + box.width <= drawing.width + 0.11
        assert box.y + box.height <= drawing.height
        for other in drawing.boxes[i + 1 :]:
            assert not overlap(box, other), f"{box.item.label} covers {other.item.label}"


def overlap(a: Box, b: Box) -> bool:
    beside = a.x + a.width <= b.x + 0.11 or b.x + b.width <= a.x + 0.11
    return not (beside or a.y + a.height <= b.y or b.y + b.height <= a.y)


def check_lines(drawing: Drawing) -> None:
    """Lines run straight from the bottom of what makes a value to the border of what reads it, past the rest."""
    for line in drawing.lines:
        first, last = line.points[0], line.points[-1]
        if line.source >= 0:
            box = drawing.boxes[line.source]
            assert first[1] == pytest.approx(box.y + box.height, abs=0.2)
            assert box.x <= first[0] <= box.x + box.width
        else:
            assert any(meets(p, first, p.height) for p in drawing.inputs)
        if line.target >= 0:
            assert on_border(drawing.boxes[line.target], last), line
        else:
            assert any(meets(p, last, 0) for p in drawing.outputs)
        for a, b in zip(line.points, line.points[1:], strict=False):
            assert a[0] == b[0] or a[1] == b[1], "a diagonal"
            hit = [x.item.label for x in drawing.boxes if crosses(a, b, x)]
            assert not hit, f"{line.value.name} of {drawing.definition.name} runs through {hit}"


def check_arrows(drawing: Drawing) -> None:
    """The arrows of a box can be told from one another."""
    ends: dict[int, list[tuple[float, float]]] = {}
    for line in drawing.lines:
        if line.target >= 0 and drawing.boxes[line.target].inner is None:
            ends.setdefault(line.target, []).append(line.points[-1])
    for found in ends.values():
        for a, b in pairwise(sorted(found)):
            assert abs(a[0] - b[0]) + abs(a[1] - b[1]) > 4.9, f"arrows of {drawing.definition.name}"


def check_apart(drawing: Drawing) -> None:
    """Lines of different values run along one another only on their way to the same closed box."""
    pieces: dict[tuple[int, float], list[tuple[float, float, Line]]] = {}
    for line in drawing.lines:
        for a, b in zip(line.points, line.points[1:], strict=False):
            axis = int(a[1] == b[1])  # 1: horizontal
            start, end = sorted((a[1 - axis], b[1 - axis]))
            pieces.setdefault((axis, a[axis]), []).append((start, end, line))
    for along in pieces.values():
        along.sort(key=lambda p: p[:2])
        for (_, end, line), (start, _, other) in pairwise(along):
            closed = line.target == other.target and (line.target < 0 or drawing.boxes[line.target].inner is None)
            apart = start > end - 1 or line.value.name == other.value.name or closed
            assert apart, f"{line.value.name} and {other.value.name} of {drawing.definition.name}"


def meets(port: Port, point: tuple[float, float], down: float) -> bool:
    """Whether a line ends at a port: anywhere along one that has a name, in its place at one of a frame."""
    return abs(point[0] - port.x) <= max(port.width / 2, 0.6) and abs(point[1] - port.y - down) <= 0.6


def on_border(box: Box, point: tuple[float, float]) -> bool:
    x, y = point
    on_top = abs(y - box.y) < 0.2 and box.x <= x <= box.x + box.width
    return on_top or (min(abs(x - box.x), abs(x - box.x - box.width)) < 0.2 and box.y <= y <= box.y + box.height)


def crosses(a: tuple[float, float], b: tuple[float, float], box: Box) -> bool:
    """Whether a piece of a line runs through the inside of a box."""
    (left, right), (top, bottom) = sorted((a[0], b[0])), sorted((a[1], b[1]))
    apart = right <= box.x + 0.3 or left >= box.x + box.width - 0.3
    return not (apart or bottom <= box.y + 0.3 or top >= box.y + box.height - 0.3)


def check_values(drawing: Drawing, body: Body) -> None:
    """Every value goes to all its readers, and bears the type it has in the program."""
    types = {v.name: v.type for v in drawing.definition.inputs}
    types |= {v.name: v.type for s in drawing.definition.steps for v in s.outs}
    assert all(line.value.type == types[line.value.name] for line in drawing.lines)
    drawn = Counter((line.target, line.value.name) for line in drawing.lines if line.target >= 0)
    assert drawn == Counter((i, v.name) for i, box in enumerate(drawing.boxes) for v in box.item.inputs)
    leaving = Counter(line.value.name for line in drawing.lines if line.target < 0)
    assert leaving == Counter(v.name for gate in body.outputs for v in gate.values)
    labelled = {line.value.name for line in drawing.lines if line.labelled}
    if not drawing.inputs or drawing.inputs[0].height:
        assert labelled == {line.value.name for line in drawing.lines}


def check_bundles(body: Body) -> None:
    """What a step reads from elsewhere is one of the values that come to its box, be it in a line for several."""

    def all_of(values: Iterable[Value]) -> set[str]:
        return {w.name for v in values for w in body.bundles.get(v.name, (v,))}

    for item in body.items:
        made = {v.name for s in item.steps for v in s.outs}
        assert {v.name for s in item.steps for v in s.inputs} - made <= all_of(item.inputs), item.label
        assert all_of(item.outs) <= made


def check_unfolded(net: Program) -> None:
    """The steps of all boxes are the ops of the flat program."""
    drawings = Drawings(net.main)

    def ops(steps: tuple[Step, ...]) -> Iterator[tuple[Op, tuple[object, ...]]]:
        for step in steps:
            if isinstance(step.callee, Definition):
                for item in drawings.bodies.of(step.callee).items:
                    yield from ops(item.steps)
            else:
                yield step.callee, tuple(v.type for v in step.outs)

    drawn = Counter(found for item in drawings.bodies.of(net.main).items for found in ops(item.steps))
    flat = Counter((n.op, tuple(v.type for v in n.outputs)) for n in flatten(net, training=True))
    assert drawn == flat


@pytest.mark.parametrize(("name", "net"), FEW)
def test_the_laws_hold_for_the_zoo(name: str, net: str) -> None:
    check(spec(name).net(net).checked)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "net"), [e for e in EVERY if e not in FEW])
def test_the_laws_hold_for_the_rest_of_the_zoo(name: str, net: str) -> None:
    check(spec(name).net(net).checked)


@pytest.mark.parametrize("seed", range(12))
def test_the_laws_hold_for_generated_programs(seed: int) -> None:
    spec = Spec(Source(Writer(Random(seed)).spec(), "generated.net"), lambda *_: Source(LIBRARY, "library.net"))
    for net in spec.nets:
        check(spec.net(net).checked)


def test_equal_neighbours_fold() -> None:
    drawing = Drawings().of(spec("resnet").net("ResNet50").checked.main, 2)
    inside = [[(b.item.label, b.item.count) for b in box.inner.boxes] for box in drawing.boxes if box.inner]
    assert inside[1:5] == [[("Bottleneck", 1), ("Bottleneck", n)] for n in (2, 3, 5, 2)]


def test_blocks_that_alternate_fold() -> None:
    drawings = Drawings()
    drawing = drawings.of(spec("swin").net("Swin_T").checked.main, 2)
    inside = [[(b.item.label, b.item.count) for b in box.inner.boxes] for box in drawing.boxes if box.inner]
    assert ("Block, Block", 3) in inside[3]
    (pairs,) = [b.item for b in drawing.boxes[3].inner.boxes if b.item.count == 3]  # type: ignore[union-attr]
    assert pairs.body
    assert [len(i.steps) for i in drawings.bodies.of(pairs.body).items] == [1, 1]
    assert len(pairs.steps) == 6


def test_blocks_that_grow_fold() -> None:
    drawing = Drawings().of(spec("densenet").net("DenseNet121").checked.main, 2)
    stages = next(b.inner for b in drawing.boxes if b.inner and b.item.label == "DenseStages")
    assert [b.item.count for b in stages.boxes if b.item.count > 1] == [6, 12, 24, 16]


def test_a_residual_link_is_a_lane_and_the_branch_is_straight() -> None:
    net = program("net N { input x [8, H, W]\n residual { conv(8, 3, padding=1) -> bn -> relu } }")
    drawing = Drawings().of(net.main, 1)
    (skip,) = [line for line in drawing.lines if line.skip]
    assert skip.points[-1][0] > drawing.boxes[skip.target].x
    straight = {line.points[0][0] for line in drawing.lines if not line.skip}
    assert straight == {line.points[-1][0] for line in drawing.lines if not line.skip}
    assert len(straight) == 1


def test_hardly_a_line_of_the_zoo_jogs_by_a_few_pixels() -> None:
    drawings = [d for stem, net in FEW[::3] for d, _ in drawings_of(spec(stem).net(net).checked)]
    lines = [line for d in drawings for line in d.lines]
    pieces = [(a, b) for line in lines for a, b in zip(line.points, line.points[1:], strict=False)]
    assert sum(a[1] == b[1] and abs(a[0] - b[0]) < 10 for a, b in pieces) <= len(lines) / 100


TOWERS = """net N {
  input image [3, 32, 32]
  input extra [12]
  e = extra -> linear(256) -> layernorm -> gelu -> linear(16)
  image -> conv(16, 3) -> relu
  it * e -> gap -> linear(10)
}"""
BRANCHES = """net N {
  input x [3, 32, 32]
  conv(16, 3)
  a = conv(8, 1) -> relu -> conv(8, 3)
  b = conv(8, 1) -> relu -> conv(8, 3) -> relu
  concat(conv(8, 1), a, b, maxpool(3, stride=1, padding=1) -> conv(8, 1))
}"""


@pytest.mark.parametrize("text", [TOWERS, BRANCHES])
def test_a_line_between_boxes_of_different_widths_does_not_jog(text: str) -> None:
    drawing = Drawings().of(program(text).main, 1)
    corners = [(a, b) for line in drawing.lines for a, b in zip(line.points, line.points[1:], strict=False)]
    assert all(a[0] == b[0] or abs(a[0] - b[0]) > 10 for a, b in corners)


def test_the_shapes_of_several_outputs_stand_beside_one_another() -> None:
    drawing = Drawings().of(spec("wavenet").net("WaveNet").checked.main, 1)
    starts = [line.points[0] for line in drawing.lines]
    apart = {abs(a[0] - b[0]) for a in starts for b in starts if a[1] == b[1] and a[0] != b[0]}
    assert min(apart) > 40


def test_a_long_net_is_drawn_in_segments() -> None:
    layers = "\n".join(f"linear({8 + i * i % 29})" for i in range(5000))
    net = program(f"net Long {{ input x [8]\n{layers}\n}}")
    drawings = Drawings()
    drawing = drawings.of(net.main, fitting(drawings, net.main))
    assert 1 < len(drawing.boxes) <= MOST
    assert all(box.item.count > 1 for box in drawing.boxes[:-1])
    assert sum(len(box.item.steps) for box in drawing.boxes) == 5000


def written_out(lines: Iterable[str]) -> str:
    return "net Long {{ input x [8]\n{} }}".format("\n".join(lines))


@pytest.mark.parametrize("pairs", [100, 333, 2000])
def test_segments_are_cut_between_pairs(pairs: int) -> None:
    drawings = Drawings()
    main = program(written_out(f"linear({8 + i * i % 11}) -> relu" for i in range(pairs))).main
    assert {i.label for i in drawings.bodies.of(main).items} == {"linear ... relu"}


ROUNDS = {
    "linear(8) -> relu": "linear, relu",
    "residual { layernorm -> linear(8) -> gelu }": "layernorm ... add",
    "a{i} = tanh\n it * a{i}": "tanh, mul",
}


@pytest.mark.parametrize("line", ROUNDS)
@pytest.mark.parametrize("rounds", [70, 2500])
def test_equal_rounds_of_a_long_net_fold(line: str, rounds: int) -> None:
    drawings = Drawings()
    net = program(written_out(line.replace("{i}", str(i)) for i in range(rounds)))
    (item,) = drawings.bodies.of(net.main).items
    assert (item.label, item.count) == (ROUNDS[line], rounds)
    assert item.body
    assert len(item.steps) == rounds * len(item.body.steps) == len(net.main.steps)
    check(net)


@pytest.mark.parametrize("at", [0, 1, 3, 67, 68, 69])
def test_what_is_read_from_outside_of_a_round_does_not_fold(at: int) -> None:
    """A round of which something later reads another value than its last one, and those that this value passes."""
    lines = [f"linear(8) as a{i}\n relu" for i in range(70)]
    net = program(written_out([*lines, f"it + a{at}"]))
    check(net)
    items = Drawings().bodies.of(net.main).items
    assert sum(i.count for i in items if i.label == "linear, relu") == (at if at >= ALIKE else 0)


@pytest.mark.parametrize("blocks", [61, 80, 125, 333, 1000])
def test_segments_are_cut_between_blocks_that_are_written_out(blocks: int) -> None:
    """Not inside of them, where two values pass: such drawings cost four times as much, and are harder to read."""
    net = program(written_out(f"a{i} = tanh\n it {'+*'[i * i % 7 > 3]} a{i}" for i in range(blocks)))
    drawings = Drawings()
    segments = [i for i in drawings.bodies.of(net.main).items if i.body is not None]
    assert 1 < len(segments) <= MOST // 2
    assert all(len(s.inputs) == len(s.outs) == 1 for s in segments)
    inner = [i for s in segments for i in drawings.bodies.of(s.body).items]  # type: ignore[arg-type]
    assert sum(len(i.steps) for i in inner) == len(net.main.steps)


def test_boxes_say_what_is_computed() -> None:
    net = program("""net N {
  input x [4, 8]
  gate = 1 - (linear(8) -> sigmoid)
  einsum("l d, l d -> l", gate, x * 0.5)
  output low = x -> reduce("l d -> d", min)
}""")
    boxes = {(b.item.label, b.item.detail) for b in Drawings().of(net.main, 1).boxes}
    assert {("1 - x", ""), ("x * 0.5", ""), ("einsum", "l d, l d → l"), ("reduce", "l d → d, min")} <= boxes


def test_blocks_fold_that_know_more_of_their_input_than_the_first() -> None:
    net = program("block B { conv(8, 3) -> relu }\nnet N { input x [8, 16, 16]\n repeat 5 { B } }")
    assert [(b.item.label, b.item.count) for b in Drawings().of(net.main, 1).boxes] == [("B", 5)]


BRANCH = "block Branch(c) { conv(c, 1) -> bn -> relu -> conv(c, 3, padding=1) }\n"
EQUAL = {
    "conv(4, 1)": "conv 1x1",
    "conv(4, 1) -> relu": "conv 1x1, relu",
    "conv(4, 1) -> relu -> conv(4, 3) -> gelu": "conv 1x1 ... gelu",
    "relu -> conv(3, 1) -> conv(3, 1)": "relu, conv 1x1",
    "Branch(8)": "Branch",
    "concat(conv(2, 1), conv(2, 1), conv(2, 1), conv(2, 1))": "conv 1x1, concat",
    "conv(3, 1) -> residual { relu -> conv(3, 1) }": "conv 1x1 ... add",
}


@pytest.mark.parametrize("branch", EQUAL)
@pytest.mark.parametrize("summed", [False, True])
def test_equal_branches_fold(branch: str, summed: bool) -> None:
    every = [f"(it -> {branch})"] * 200
    row = " + ".join(every) if summed else f"concat({', '.join(every)})"
    net = program(f"{BRANCH}net N {{ input x [3, 16, 16]\n tanh\n {row}\n sigmoid }}")
    check(net)
    drawings = Drawings(net.main)
    items = drawings.bodies.of(net.main).items
    assert [i.label for i in items] == ["tanh", EQUAL[branch], "sum of 200" if summed else "concat", "sigmoid"]
    assert (items[1].parallel, items[1].count) == (True, 200)
    drawing = drawings.of(net.main, 1)
    assert drawing.width < 300
    assert [line.shape for line in drawing.lines][2].startswith(f"200 {TIMES} [")


UNLIKE = {
    "of several sizes": ("Branch({c})", ["Branch"]),
    "of several kinds": ("conv({c}, 1) -> {f}", None),
    "one equal run among them": ("conv({d}, 1) -> {g}", None),
}


@pytest.mark.parametrize("case", UNLIKE)
@pytest.mark.parametrize("number", [13, 30, 145, 400])
def test_a_row_of_unlike_branches_is_cut_into_parts(case: str, number: int) -> None:
    branch, labels = UNLIKE[case]
    every = [
        branch.format(c=4 + i % 37, f=("relu", "gelu", "tanh")[i % 3], d=4 + min(i, 8), g="tanh" if i < 9 else "relu")
        for i in range(number)
    ]
    net = program(BRANCH + "net N { input x [3, 16, 16]\n tanh\n concat(" + ", ".join(every) + ")\n sigmoid }")
    check(net)
    drawings = Drawings(net.main)
    wide = [max(map(len, rows(d))) for d, _ in drawings_of(net)]
    assert max(wide) <= WIDE
    items = drawings.bodies.of(net.main).items
    assert labels is None or [i.label for i in items if i.parallel] == labels
    assert sum(len(i.steps) for i in items) == len(net.main.steps)


def rows(drawing: Drawing) -> Iterable[list[Box]]:
    """The boxes of a drawing that stand side by side."""
    found: dict[float, list[Box]] = {}
    for box in drawing.boxes:
        found.setdefault(box.y + box.height / 2, []).append(box)
    return found.values()


def test_inputs_and_heads_of_one_kind_are_drawn_as_one() -> None:
    lines = [f"input x{i} [8]" for i in range(40)]
    lines += [f"y = concat({', '.join(f'x{i} -> linear(4)' for i in range(40))}) -> relu"]
    lines += [f"output head{i} = y -> linear(10) -> softmax" for i in range(40)]
    net = program("net N {\n" + "\n".join(lines) + "\n}")
    check(net)
    drawing = Drawings(net.main).of(net.main, 1)
    assert [(b.item.label, b.item.count) for b in drawing.boxes] == [
        ("linear", 40), ("concat", 1), ("relu", 1), ("linear, softmax", 40),
    ]  # fmt: skip
    assert [p.name for p in (*drawing.inputs, *drawing.outputs)] == ["x0 ... x39", "head0 ... head39"]
    assert [line.shape for line in drawing.lines if line.labelled] == [
        f"40 {TIMES} [8]", f"40 {TIMES} [4]", "[160]", "[160]", f"40 {TIMES} [10]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "concat(linear(4), linear(4), linear(4))",
        "a = linear(4)\n b = linear(4)\n c = linear(4)\n d = linear(4)\n concat(a, b, c, d) + concat(d, c, b, a)",
        "concat(linear(4), linear(5), linear(4), linear(5), linear(4), linear(5), linear(4), linear(5))",
        "concat(linear(4), gelu, linear(4), gelu, linear(4), gelu, linear(4), gelu)",
        "y = tanh\n concat(linear(4), y -> linear(4), linear(4), y -> linear(4))",
    ],
)
def test_what_is_not_equal_or_not_beside_one_another_does_not_fold(body: str) -> None:
    net = program(f"net N {{ input x [8]\n {body}\n linear(3) }}")
    check(net)
    assert not any(i.parallel for i in Drawings(net.main).bodies.of(net.main).items)


def test_a_sum_of_what_each_layer_gives_stays_a_chain() -> None:
    drawing = Drawings().of(spec("wavenet").net("WaveNet").checked.main, 1)
    assert not any("sum" in b.item.label for b in drawing.boxes)


def test_many_links_to_one_reader_have_room() -> None:
    layers = "".join(f"a{i} = a{i - 1} -> linear(8) -> relu\n" for i in range(1, 30))
    every = ", ".join(f"a{i}" for i in range(30))
    check(program(f"net N {{ input x [8]\n a0 = x -> tanh\n {layers} concat({every}) }}"))


def test_sums_of_many_values_are_one_box() -> None:
    net = program("net N { input x [8]\n x + (x -> tanh) + (x -> relu) + (x -> gelu) + (x -> sigmoid) }")
    check(net)
    assert "sum of 5" in {i.label for i in Drawings(net.main).bodies.of(net.main).items}


@pytest.mark.parametrize("rounds", [3, 5, 20])
def test_a_chain_of_blocks_that_each_give_something_to_a_sum_does_not_fold(rounds: int) -> None:
    """Nor lose what it gives: the blocks of N-BEATS pass a residual on and add up their forecasts."""
    block = (
        "block B { x = it\n h = linear(16) -> relu\n output rest = x - (h -> linear(8))\n output f = h -> linear(4) }"
    )
    chain = "\n".join(f"r{i}, f{i} = r{i - 1} -> B" for i in range(1, rounds + 1))
    total = " + ".join(f"f{i}" for i in range(1, rounds + 1))
    net = program(f"{block}\nnet N {{ input x [8]\n r0 = x -> tanh\n {chain}\n {total} }}")
    check(net)
    assert all(i.count == 1 for i in Drawings(net.main).bodies.of(net.main).items)
