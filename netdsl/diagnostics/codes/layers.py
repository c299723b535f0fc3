"""Codes of mistakes in layers: shapes, element types, values of arguments, and what a backend cannot express."""

from netdsl.diagnostics.codes.code import Code, net

LAYERS = (
    Code(
        "shape-mismatch",
        "Two shapes that must agree differ",
        "A residual link adds two tensors of one shape; `concat` joins tensors that agree in every axis but one; a "
        "signature states the shape of its input. Shapes are written without the batch.",
        net("input x [64, 56, 56]\nresidual { conv(128, 3, stride=2) }"),
        net("input x [64, 56, 56]\nresidual(shortcut=conv(128, 1, stride=2)) { conv(128, 3, stride=2) }"),
    ),
    Code(
        "dtype-mismatch",
        "A tensor has the wrong element type",
        "Most layers act on floats; `embed` and `one_hot` take whole numbers; conditions are bool. `cast` converts.",
        net("input x [4]\nembed(10, 4)"),
        net("input x [4] int64\nembed(10, 4)"),
    ),
    Code(
        "indivisible",
        "A number does not divide the channels or the size",
        "Groups divide both the input and the output channels, heads divide the width, and windows divide the image.",
        net("input x [18, 8, 8]\nconv(64, 3, groups=4)"),
        net("input x [18, 8, 8]\nconv(64, 3, groups=2)"),
    ),
    Code(
        "kernel-too-large",
        "The kernel is larger than the padded input",
        "A convolution or pool needs at least one position at which its window fits.",
        net("input x [3, 4, 4]\nconv(8, 7, padding=0)"),
        net("input x [3, 4, 4]\nconv(8, 3, padding=0)"),
    ),
    Code(
        "even-kernel",
        "`padding=same` needs an odd kernel",
        "With an even kernel the padding would have to differ on both sides, which PyTorch and ONNX do differently. "
        "Give the padding as a number.",
        net("input x [3, 4, 4]\nconv(8, 2, padding=same)"),
        net("input x [3, 4, 4]\nconv(8, 2, stride=2, padding=0)"),
    ),
    Code(
        "symbolic-weight",
        "The number of weights depends on the size of the input",
        "Weights are made once, so their shapes are numbers. Average over the image (`gap`) before a linear layer, or "
        "fix the size with `--size`.",
        net("input x [3, H, W]\nflatten -> linear(10)"),
        net("input x [3, H, W]\ngap -> linear(10)"),
    ),
    Code(
        "symbolic-size",
        "The layer needs a size that is a number",
        "What the layer computes depends on a size that is only known when the net runs. Fix it with `--size`, or use "
        "a layer that takes any size.",
        net("input x [T]\nx + (arange(T) -> cast(dtype=float32))"),
        net("input x [T]\nx + (arange(512) -> narrow(0, T) -> cast(dtype=float32))"),
    ),
    Code(
        "bad-axis",
        "There is no such axis",
        "Axes are counted from 0 without the batch, or from the end with negative numbers; a list names each "
        "axis once.",
        net("input x [3, 4]\nsoftmax(axis=5)"),
        net("input x [3, 4]\nsoftmax(axis=1)"),
    ),
    Code(
        "feature-axis",
        "The features are on another axis, or can't be told",
        "Images are channels first, `[C, H, W]`, sequences have their features last, `[L, D]`. What made a value says "
        "where its features are: a convolution gives them first, a linear layer, an embedding and attention last. A "
        "layer for the other layout would take positions for features; `permute` brings them there, and a `reshape` "
        "to the same shape says that it is meant. Where features can't be told, `axis` says which axis a layer is for, "
        "or a signature marks it: `[N, L, *D]`.",
        net("input tokens [16] int64\nembed(100, 8) -> conv(32, 3)"),
        net("input tokens [16] int64\nembed(100, 8) -> permute((1, 0)) -> conv(32, 3)"),
    ),
    Code(
        "argument-value",
        "An argument has a value that the layer cannot take",
        "The kind is right, the value is not: a negative size, an even window where a centre is needed, a "
        "margin larger than the image.",
        net("input x [8, 4, 4]\nlrn(4)"),
        net("input x [8, 4, 4]\nlrn(5)"),
    ),
    Code(
        "argument-conflict",
        "Two arguments contradict each other",
        "One of them has an effect only with, or only without, the other.",
        net("input x [8, 4, 4]\nupsample(2, align_corners=true)"),
        net("input x [8, 4, 4]\nupsample(2, mode=bilinear, align_corners=true)"),
    ),
    Code(
        "cannot-share",
        "A shared layer is used in a way that PyTorch source cannot express",
        "A layer that is shared between definitions must be a member of one that contains all its uses.",
        "$ netdsl compile shared.net --emit torch\n",
        "",
        files=(
            (
                "shared.net",
                net(
                    "input a [8]\ninput b [8, 3, 3]\nshare norm = layernorm\noutput c = a -> norm\noutput d = b -> norm"
                ),
            ),
        ),
    ),
    Code(
        "opset",
        "The ONNX opset has no form for this layer",
        "Newer opsets have more operators: `--opset 20`. The message names the first one that has it.",
        "$ netdsl compile resized.net --opset 17\n",
        "$ netdsl compile resized.net --opset 18\n",
        files=(("resized.net", net("input image [3, 8, 8]\nupsample(2, mode=bilinear, antialias=true)")),),
    ),
)
