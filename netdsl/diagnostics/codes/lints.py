"""Codes of lints of nets: what is legal and hardly meant. Each is a warning of one rule in `netdsl.checks.lint`."""

from netdsl.diagnostics.codes.code import Code, net

HEAD = "\ngap -> linear(10)"


def image(body: str, before: str = "") -> str:
    """An example classifier of images."""
    return net(f"input image [3, 32, 32]\n{body}{HEAD}", before)


LINTS = (
    Code(
        "output-named-layer",
        "An output is called as a layer is, which is not applied",
        "`output softmax` gives the value that flows the name `softmax`, as `output logits` would name it `logits`. "
        "What is computed stands behind `=`: `output probabilities = softmax`.",
        net("input image [3, 32, 32]\nconv(8, 3) -> gap -> linear(10)\noutput softmax"),
        net("input image [3, 32, 32]\nconv(8, 3) -> gap -> linear(10)\noutput probabilities = softmax"),
    ),
    Code(
        "narrow-field",
        "Each position sees a small part of the image",
        "Averaging over positions at the end lets a net count what its positions have seen, and nothing that is larger "
        "than their field. ResNet-50 whose positions see 33 of 224 pixels has 87.6% of ImageNet (top 5), not 93; "
        "with 17 pixels what AlexNet has (Brendel & Bethge 2019); 33 of 224, along both axes, is the bound here. "
        "Strides and pooling widen the field of all layers behind them; `netdsl summary` shows it. A net of fewer than "
        "four layers is a sketch.",
        net("input image [3, 96, 96]\nrepeat 6 { conv(16, 3) -> relu }\ngap -> linear(10)"),
        net(
            "input image [3, 96, 96]\n"
            "repeat 3 { conv(16, 3) -> relu -> conv(16, 3) -> relu -> maxpool(2) }\ngap -> linear(10)"
        ),
    ),
    Code(
        "repeated-item",
        "A layer of a list is used more than once",
        "A list holds layers as they are written, and each use makes its own weights: nothing is shared, as it would "
        "be by modules of PyTorch. `share` keeps one set of weights for all uses; braces say that each use is to have "
        "its own.",
        image("layers = [conv(8, 3) -> relu, conv(8, 5)]\nlayers[0] -> layers[1] -> relu -> layers[0]"),
        image("share first = conv(8, 3)\nconv(8, 3) -> relu -> first -> relu -> first"),
    ),
    Code(
        "allow-without-reason",
        "A comment allows a warning and does not say why",
        "`# netdsl: allow CODE: reason` on a line, or above it, silences a warning there. Whoever reads the spec next "
        "needs the reason: the paper does so, the weights that are loaded have it.",
        image("# netdsl: allow bias-before-norm\nconv(8, 3) -> bn -> relu"),
        image("# netdsl: allow bias-before-norm: as the paper\nconv(8, 3) -> bn -> relu"),
    ),
    Code(
        "unused-allow",
        "A comment allows a warning that nothing gives",
        "The line that the comment refers to has no such warning (any more): delete the comment.",
        image("# netdsl: allow bias-before-norm: as the paper\nconv(8, 3) -> relu"),
        image("conv(8, 3) -> relu"),
    ),
    Code(
        "unused-value",
        "Nothing uses a named value",
        "The layers that compute it are counted, stored and decayed, and never get a gradient. `name = ...` names a "
        "value and keeps the current one; `... as name` names it and continues with it. A name that begins with `_` is "
        "meant to be unused.",
        image("skip = conv(8, 3)\nconv(16, 3)"),
        image("conv(8, 3) as skip\nconv(8, 3) -> relu\nit + skip"),
    ),
    Code(
        "unused-argument",
        "A block never uses one of its arguments",
        "Whatever the caller gives, nothing changes: probably the body has a number where the argument is meant.",
        image("Unit(8, 5)", "block Unit(c, k) = conv(c, 3)"),
        image("Unit(8, 5)", "block Unit(c, k) = conv(c, k)"),
    ),
    Code(
        "unused-block",
        "No net of the file uses a block",
        "A file without nets is a library, and its blocks are for others.",
        image("conv(8, 3)", "block Unit(c) = conv(c, 3)"),
        image("Unit(8)", "block Unit(c) = conv(c, 3)"),
    ),
    Code(
        "unused-constant",
        "Nothing uses a constant",
        "Delete it, or use it where the same number is written out. (`weights`, the names of a checkpoint, is read "
        "when weights are loaded.)",
        image("conv(8, 3)", "WIDTH = 8"),
        image("conv(WIDTH, 3)", "WIDTH = 8"),
    ),
    Code(
        "unused-import",
        "Nothing uses an imported block or constant",
        "Nets and recipes may be imported only to be trained from this file; blocks and constants are for its own.",
        "from resnet import Basic\n\n" + image("conv(8, 3)"),
        "from resnet import Basic\n\n" + image("conv(8, 3) -> Basic(8)"),
    ),
    Code(
        "unused-input",
        "No layer reads an input",
        "Who runs the net must give the input, and it changes nothing.",
        net("input image [3, 8, 8]\ninput age [1]\nimage -> gap -> linear(10)"),
        net("input image [3, 8, 8]\ninput age [1]\nconcat(image -> gap, age) -> linear(10)"),
    ),
    Code(
        "dropped-value",
        "The value of a statement is dropped",
        "The next statement starts from something else, so the layers before it are counted and never trained. Name "
        "the value to use it later: `... as low`.",
        image("conv(8, 3) -> relu\nimage -> conv(8, 3)"),
        image("conv(8, 3) -> relu as low\nimage -> conv(8, 3)\nit + low"),
    ),
    Code(
        "it-in-list",
        "`it` is kept in a list",
        "In a list `it` stays the identity, whatever flows in where the list is used, and not the value that flows "
        "here. Name the value, `... as x`, and put `x` into the list.",
        image("conv(3, 3) -> relu\nskips = [it]\nconv(3, 3)\nconcat(it, skips[0])"),
        image("conv(3, 3) -> relu as x\nskips = [x]\nconv(3, 3)\nconcat(it, skips[0])"),
    ),
    Code(
        "bias-before-norm",
        "A normalisation cancels the bias before it",
        "Batch and instance normalisation, and `groupnorm` with a group for each channel, subtract the mean of each "
        "channel, and with it any bias. The parameter costs memory and is trained for nothing; the norm has a shift of "
        "its own (Ioffe & Szegedy 2015, section 3.2).",
        image("conv(8, 3) -> bn -> relu"),
        image("conv(8, 3, bias=false) -> bn -> relu"),
    ),
    Code(
        "repeated-activation",
        "The same activation twice in a row",
        "`relu` of `relu` is `relu`: often a block ends with the activation that its caller applies again. Others "
        "squash the value twice.",
        image("conv(8, 3) -> relu -> relu"),
        image("conv(8, 3) -> relu -> conv(8, 3) -> relu"),
    ),
    Code(
        "adjacent-linear",
        "Two linear maps have nothing between them",
        "A linear map of a linear map is one linear map: without an activation the second adds cost and no "
        "expressiveness. A narrow layer between two wide ones, which limits the rank, is not reported.",
        net("input x [16]\nlinear(32) -> linear(10)"),
        net("input x [16]\nlinear(32) -> relu -> linear(10)"),
    ),
    Code(
        "dropout-before-norm",
        "Dropout stands right before batch normalisation",
        "Dropout changes the variance while training and not afterwards, so the running statistics of the norm are "
        "wrong in use (Li et al. 2019, Understanding the disharmony between dropout and batch normalization).",
        image("conv(8, 3) -> relu -> dropout(0.2) -> bn"),
        image("conv(8, 3, bias=false) -> bn -> relu -> dropout(0.2)"),
    ),
    Code(
        "skipped-pixels",
        "A stride is larger than the kernel",
        "Some positions of the input are never read: a 1x1 convolution with stride 2 drops three pixels of four. The "
        "strided projection of a residual shortcut is usual and is not reported (He et al. 2019, Bag of tricks, "
        "ResNet-D, shows what it costs elsewhere). Patches that do not tile the image leave its last rows out.",
        image("conv(8, 1, stride=2) -> relu"),
        image("conv(8, 3, stride=2) -> relu"),
    ),
    Code(
        "idle-pool",
        "A pool reads a single position",
        "The value has spatial size 1 already, so pooling changes nothing but perhaps the shape (`flatten` says so).",
        net("input image [3, 8, 8]\nconv(8, 8, padding=0) -> relu -> gap -> linear(10)"),
        net("input image [3, 8, 8]\nconv(8, 8, padding=0) -> relu -> flatten -> linear(10)"),
    ),
    Code(
        "activation-ends-branch",
        "An activation without negative values ends a residual branch",
        "The branch can only add to what flows past it, and the signal grows from link to link. Published nets put the "
        "activation behind the sum (He et al. 2016a), or at the start of the branch (He et al. 2016b, figure 4c).",
        image("conv(8, 3)\nresidual { conv(8, 3) -> relu }"),
        image("conv(8, 3)\nresidual { conv(8, 3) }\nrelu"),
    ),
    Code(
        "input-layout",
        "The shape of an input is written in another layout",
        "Shapes are those of one sample, channels first: `[3, 224, 224]`. `[224, 224, 3]` is read as 224 channels of "
        "224 x 3 pixels, `[16, 3, 32, 32]` as a volume of 16 channels, and `[28, 28]` as a sequence of 28 channels.",
        net("input image [32, 32, 3]\nconv(8, 3) -> relu -> gap -> linear(10)"),
        net("input image [3, 32, 32]\nconv(8, 3) -> relu -> gap -> linear(10)"),
    ),
    Code(
        "multiplied-block",
        "Layers are multiplied by a number of layers",
        "`Block(64) * depth` multiplies what one block gives by a number, as every `*` does. Layers in a row are "
        "`repeat depth { Block(64) }`, each with weights of its own.",
        net("input x [16]\n(linear(16) -> relu) * depth").replace("Example {", "Example(depth=4) {"),
        net("input x [16]\nrepeat depth { linear(16) -> relu }").replace("Example {", "Example(depth=4) {"),
    ),
    Code(
        "pinned-size",
        "A named size of an input can only be one number",
        "A size that is named may be any number in each use of the net. Where an operation joins it with another size, "
        "or with weights, one number alone fits: `q @ k` of `[L, 32]` and `[L, 32]` needs `L == 32`, and is no product "
        "of the positions. `netdsl summary` shows what a net holds for.",
        net("input q [L, 32]\ninput k [L, 32]\nq @ k"),
        net("input q [L, 32]\ninput k [L, 32]\nq @ (k -> permute((1, 0)))"),
    ),
    Code(
        "pooled-sum",
        "A map is added to an average over positions",
        "The sum adds one number per channel to every position, which a bias behind it can do as well. A gate "
        "(Hu et al. 2018, squeeze and excitation) multiplies.",
        image("conv(8, 3)\nit + gap"),
        image("conv(8, 3)\nit * (gap -> linear(8) -> sigmoid)"),
    ),
    Code(
        "channels-as-positions",
        "The channels of an image are read as a sequence",
        "A vision transformer makes a token of each position: `[C, H, W]` is flattened to `[C, H * W]` and turned "
        "around (Dosovitskiy et al. 2020, section 3.1). Without the turn, attention and recurrent layers go over the "
        "channels, and every size still fits. Where that is meant (channel attention), a `reshape` to the same shape "
        "says so.",
        image("patchify(8, 4) -> flatten(start=1) -> attention(2) -> permute((1, 0)) -> reshape([8, 8, 8])"),
        image(
            "patchify(8, 4) -> flatten(start=1) -> permute((1, 0)) -> attention(2) -> permute((1, 0)) "
            "-> reshape([8, 8, 8])"
        ),
    ),
    Code(
        "gate-along-features",
        "The gate between positions mixes features",
        "gMLP (Liu et al. 2021, section 2.1) weighs one half of the features by a linear map of the other half along "
        "the positions. A linear layer acts along the features: without `permute` on both sides of it nothing moves "
        "between positions.",
        net("input x [16, 24]\nu, v = chunk(2, axis=-1)\nu * (v -> layernorm -> linear(12))"),
        net(
            "input x [16, 24]\nu, v = chunk(2, axis=-1)\n"
            "u * (v -> layernorm -> permute((1, 0)) -> linear(16) -> permute((1, 0)))"
        ),
    ),
    Code(
        "plain-depth",
        "Many layers in a row without a normalisation or a residual link",
        "The scale of signal and gradient multiplies from layer to layer. With PyTorch's initialisation (a third of "
        "the variance per layer) nothing arrives after two dozen layers (He et al. 2015, section 2.2; He et al. 2016).",
        image("repeat 30 { conv(8, 3) -> relu }"),
        image("repeat 30 { conv(8, 3, bias=false) -> bn -> relu }"),
    ),
    Code(
        "saturating-depth",
        "Many saturating activations in a row",
        "Sigmoid and tanh have a small gradient on both sides, and in a row the gradients multiply (Glorot & Bengio "
        "2010).",
        net("input x [16]\nrepeat 8 { linear(16) -> sigmoid }\nlinear(3)"),
        net("input x [16]\nrepeat 8 { linear(16) -> relu }\nlinear(3)"),
    ),
)
