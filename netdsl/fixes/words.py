"""Words about names of elsewhere, where no edit can be verified to fix."""

from __future__ import annotations

_ENCODER = (
    "it is written out: `residual { layernorm -> attention(8) }` and "
    "`residual { layernorm -> linear(4 * dim) -> gelu -> linear(dim) }`"
)
_PHASES = "phases follow each other: `schedule = warmup(5 epochs) -> cosine`"
_MLP = "it is written out: `linear(4 * dim) -> gelu -> linear(dim)`"
_SQUEEZE = "it is written out: `it * (gap -> linear(c // 16) -> relu -> linear(c) -> sigmoid)`"
_CONV_NORM = "it is written out: `conv(64, 3, bias=false) -> bn -> relu`"

_GATED = (
    "it is written out: `gate, value = linear(512) -> chunk(2, axis=-1)`, then `(gate -> silu) * value -> linear(128)`"
)
_MASKED = "no size depends on what a tensor holds: `where(condition=mask, a=x, b=0 * x)` keeps the shape"
_RANDOM = "no op draws numbers at inference: `noise` is there while training, `dropout(0.5)` drops values"
_DOT = "it is written `a * b -> reduce_sum(axis=0)`; of directions, `l2_normalize` comes before"
_AXES = "axes are exchanged as `x -> permute((1, 0))`, counted without the batch"
_RESIDUAL = "it is written out: `residual { conv(64, 3) -> bn -> relu -> conv(64, 3) -> bn }`"
_DECODER = (
    "it is written out: `residual { layernorm -> attention(8, causal=true) }`, "
    "`residual { layernorm -> cross_attention(8, context=memory) }` and an MLP in a third"
)
_SEPARABLE = "it is written out: `dwconv(3) -> bn -> relu -> conv(64, 1) -> bn -> relu`"
_PYRAMID = "it is written out: `concat(it, maxpool(5, stride=1, padding=2), maxpool(9, stride=1, padding=4))`"
_DISTILLED = 'a net learns from another one by a field of its own: `distill = teacher("runs/Large-1")`'
_GRADIENT = "a gradient flows through every value of a net: nothing stops it here"
_GRID = "places are made of `arange(n)`, `unsqueeze` and `expand`; a fixed tensor is `constant([[1, 0], [0, 1]])`"
_EYE = "the matrix of 1 on the diagonal is `constant([[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)])`"
_REPEATED = (
    "heads of queries share those of keys in `sdpa(q, k, v, enable_gqa=true)`; positions are repeated by `upsample`, "
    "axes of size 1 by `expand`"
)
_TRANSFORM = (
    "no value is complex; the real part of a Fourier transform is a product with a table of cosines: "
    '`einsum("l d, l m -> m d", it, table)`'
)
_GRN = "it is a block of the zoo: `from convnext_v2 import GRN`"
_POSITIONS = (
    "learnt positions are added to the tokens, `it + param((64, 128))`; the tables of Vaswani et al. are computed "
    "from `arange`"
)
_NONE = "there is no such function here"
_COMPARED = "`greater(0)`, `less(0)` and `equal(0)` give masks, and `less(0) -> logical_not` where it is at least 0"
_MASKS = "`where(condition=a, a=b, b=a)` is `a and b` of two masks, `where(condition=a, a=a, b=b)` is `a or b`"

_HEAD = "the last layers are `gap -> linear(classes)`; `head: ...` labels them"
_NORMS = "norms are layers of their own: `bn`, `layernorm`, `groupnorm(32)`"
_ACTS = "activations are layers of their own: `relu`, `gelu`, `silu`"
_DOUBLE = "it is written out: `conv(64, 3, bias=false) -> bn -> relu -> conv(64, 3, bias=false) -> bn -> relu`"
_DOWN = "it is written out: `conv(128, 1, stride=2, bias=false) -> bn`"
_CAUSAL = "it is written `attention(8, causal=true)`"
_AUGMENTED = "how images are augmented is a field of the recipe: `augment = crop(32, padding=4) -> hflip`"
_CELL = "cells over time are one layer: `lstm(64)`, `gru(64)`, `rnn(64)`"
_PADDED = "what the margin holds is `mode`: `pad(1, mode=reflect)`, `replicate` or `circular`"
_TEXTS = 'texts are cut into numbers where they are read: `data = text("book.txt", length=64)`'
_LISTED = "layers of a list follow each other in a loop: `for layer in layers { layer }`; labels name them"

_LAST = (
    "the last place of a sequence is `take(-1, axis=0)`; a recurrent layer also gives its last state: `y, h = gru(64)`"
)

WORDS = {
    "stack": "tensors are stacked along a new axis as `stack(a, b)`; axes are counted without the batch",
    "randn": "`param((4, 8))` is a learned tensor, `constant(...)` a fixed one; `x -> noise` is noise while training",
    "rand": "nothing is random in a net: `param((4, 8))` is a learned tensor, `dropout(0.5)` drops values",
    "view": "a tensor is reshaped as `x -> reshape((...))`, without the batch; `flatten` makes it a vector",
    "transpose": "axes are exchanged as `x -> permute((1, 0))`, counted without the batch",
    "swapaxes": "axes are exchanged as `x -> permute((1, 0))`, counted without the batch",
    "spectral_norm": "it is an option of a layer: `conv(64, 3, spectral_norm=true)`",
    "weight_norm": "it is an option of a layer: `conv(64, 3, weight_norm=true)`",
    "arange": "numbers that depend on nothing are `arange(n)` or `linspace(a, b, n)`, of a length that is known",
    "einsum": 'it is written `einsum("l d, d e -> l e", a, b)`: the batch is no axis, and axes are words',
    "rearrange": 'it is written `x -> rearrange("c h w -> (h w) c")`: the batch is no axis',
    "repeat_interleave": _REPEATED, "repeat_kv": _REPEATED,
    "tile": "a tensor is repeated along new axes by `expand((...))`",
    "flip": "positions are reversed as `x -> flip(axis=0)`; the augmentation is `hflip`",
    "topk": "the largest values and their places are `scores, places = x -> topk(5)`",
    "triu": "a causal mask is `attention(heads, causal=true)` or `sdpa(q, k, v, causal=true)`",
    "tril": "a causal mask is `attention(heads, causal=true)` or `sdpa(q, k, v, causal=true)`",
    "zeros": "a fixed tensor is `constant(...)` of numbers, a learned one `param((4, 8), init=0)`",
    "ones": "a fixed tensor is `constant(...)` of numbers, a learned one `param((4, 8), init=1)`",
    "output": "the last value of a net is its output; `output name = ...` declares one",
    "Sequential": "layers follow each other with `->`, or on lines of their own",
    "Activation": "an activation is a layer of its own: `-> relu`",
    "Lambda": "a pipeline in parentheses is a function of `it`",
    "Parameter": "a learned tensor is `param((4, 8))`",
    "size": "sizes are named by the input, `input image [3, H, W]`, or by the signature of a block",
    "shape": "sizes are named by the input, `input image [3, H, W]`, or by the signature of a block",
    "positional_encoding": _POSITIONS,
    "warmup_cosine_decay_schedule": _PHASES, "get_cosine_schedule_with_warmup": _PHASES,
    "get_linear_schedule_with_warmup": _PHASES, "LinearWarmupCosineAnnealingLR": _PHASES, "SequentialLR": _PHASES,
    "OneCycleLR": "it is called `onecycle(rise=0.3)`; its peak is the `lr` of the optimizer",
    "where": "it is written `where(condition=x -> greater(0), a=x, b=0.1 * x)`",
    "DepthwiseConv2D": "it is called `dwconv`; several filters for each channel are `conv(2 * c, 3, groups=c)`",
    "Save": "a value is named by `as`: `conv(64, 3) as skip`; `concat(it, skip)` takes it up again",
    "Load": "a value is named by `as`: `conv(64, 3) as skip`; `concat(it, skip)` takes it up again",
    "print": "nothing is printed: `netdsl summary` shows shapes, and `expect` holds a net to them",
    "Input": "an input is declared, without the batch and channels first: `input image [3, 32, 32]`",
    "InputLayer": "an input is declared, without the batch and channels first: `input image [3, 32, 32]`",
    "input": "an input is declared, without the batch and channels first: `input image [3, 32, 32]`",
    "ToTensor": "leave it out: images are read as numbers from 0 to 1",
    "assert": "what a body demands of sizes and arguments is written `require c % 8 == 0`",
    "logspace": "values are listed, `[1e-4, 1e-3]`; a range of a search is `log(1e-4, 1e-1)`",
    "Mlp": _MLP, "SqueezeExcite": _SQUEEZE, "SEModule": _SQUEEZE, "SELayer": _SQUEEZE, "SqueezeExcitation": _SQUEEZE,
    "SEBlock": _SQUEEZE,
    "TransformerEncoderLayer": _ENCODER, "TransformerEncoder": _ENCODER, "transformer_block": _ENCODER,
    "transformer": _ENCODER, "TransformerEncoderBlock": _ENCODER, "transformer_layer": _ENCODER,
    "FeedForward": _MLP, "ffn": _MLP,
    "Repeat": "a tensor is repeated by `expand` or `upsample`; layers, by `repeat 3 { conv(64, 3) -> relu }`",
    "DropBlock2d": "there is no DropBlock: `dropout2d(0.1)` drops whole channels, `dropout(0.1)` single numbers",
    "DropBlock": "there is no DropBlock: `dropout2d(0.1)` drops whole channels, `dropout(0.1)` single numbers",
    "ConvNormAct": _CONV_NORM, "ConvBNAct": _CONV_NORM, "ConvBnAct": _CONV_NORM, "ConvBNReLU": _CONV_NORM,
    "Conv2dNormActivation": _CONV_NORM, "ConvModule": _CONV_NORM,
    "create_model": "a net of the zoo is imported, `from resnet import ResNet18`, and used as a part, `ResNet18`",
    "Model": "a net is declared as `net Name { ... }`, and its input in it: `input image [3, 32, 32]`",
    "from_pretrained": 'weights by name are a field of the recipe: `init = pretrained("timm/resnet50.a1_in1k")`',
    "normalize": "images are normalised as the field `standardize` says; a vector, as `l2_normalize` does",
    "Normalize": "images are normalised as the field `standardize` says",
    "norm": "norms are layers of their own, `bn` or `layernorm`; the length of a vector is `reduce_l2`",
    "last": _LAST, "last_step": _LAST, "last_state": _LAST, "take_last": _LAST,
    **dict.fromkeys(("ge", "le", "ne", "greater_equal", "less_equal", "not_equal"), _COMPARED),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or"), _MASKS),
    **dict.fromkeys((
        "asin", "acos", "atan", "asinh", "acosh", "atanh", "arcsin", "arccos", "arctan", "atan2", "sinc", "erfinv",
        "digamma", "lgamma", "isnan", "isinf", "isfinite", "nan_to_num", "prod", "cumprod", "median", "fmod", "xlogy",
        "heaviside", "copysign", "double", "half", "all", "any", "kron", "Involution", "DeformConv2d", "EvoNorm2d",
        "FilterResponseNorm",
    ), _NONE),
    **dict.fromkeys((
        "create_classifier", "ClassifierHead", "NormMlpClassifierHead", "ClNormMlpClassifierHead", "OutConv",
        "classification_head", "LinearClassifierHead",
    ), _HEAD),
    **dict.fromkeys(("get_norm_layer", "norm_layer", "get_norm", "create_norm_layer", "SimpleNorm"), _NORMS),
    **dict.fromkeys(("get_act_layer", "act_layer", "create_act_layer", "nonlin", "get_activation", "act_fn"), _ACTS),
    **dict.fromkeys(("conv_layer", "create_conv2d", "ConvLayer", "MixedConv2d"), "it is `conv(64, 3)`"),
    **dict.fromkeys(("EcaModule", "ChannelAttention", "GatherExcite", "CbamModule", "attn_layer"), _SQUEEZE),
    **dict.fromkeys(("EffectiveSEModule", "EffectiveSqueezeExcite"), "it is `it * (gap -> linear(c) -> hardsigmoid)`"),
    **dict.fromkeys(("Downsample", "DownsampleConv", "DownsampleAvg", "Down"), _DOWN),
    **dict.fromkeys(("DoubleConv", "InConv"), _DOUBLE),
    **dict.fromkeys(("CausalSelfAttention", "MaskedSelfAttention"), _CAUSAL),
    **dict.fromkeys(("AttentionBlock", "GroupQueryAttention", "Attention2d", "AdditiveAttention"), _ENCODER),
    **dict.fromkeys(("mlp_layer", "ConvMlp"), _MLP),
    **dict.fromkeys(("Block", "PreNorm", "Residual"), "it is written out: `residual { layernorm -> attention(8) }`"),
    **dict.fromkeys((
        "RandomCrop", "RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "RandomContrast",
        "RandomBrightness", "RandomErasing", "RandAugment",
    ), _AUGMENTED),
    **dict.fromkeys(("LSTMCell", "GRUCell", "RNNCell", "StackedRNNCells", "RNNBase"), _CELL),
    **dict.fromkeys((
        "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
        "ReplicationPad3d", "CircularPad1d", "CircularPad2d", "CircularPad3d",
    ), _PADDED),
    **dict.fromkeys(("TextVectorization", "StringLookup", "IntegerLookup", "Hashing", "Discretization"), _TEXTS),
    **dict.fromkeys(("ModuleList", "ModuleDict", "ParameterList", "ParameterDict"), _LISTED),
    **dict.fromkeys(("LearnedPositionalEmbedding", "SinusoidalPositionEmbedding", "TimestepEmbedding"), _POSITIONS),
    **dict.fromkeys((
        "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "FractionalMaxPool2d",
        "gumbel_softmax", "affine_grid", "NonLocalAttn", "SelectiveKernel", "SplitAttn", "HaloAttn", "LambdaLayer",
        "CondConv2d", "AttentionPool2d", "RotAttentionPool2d", "AttentionPoolLatent", "DropKey", "PatchDropout",
    ), _NONE),
    "TokenEmbedding": "a vector for each token is `embed(1000, 64)`",
    "EmbeddingBag": "it is `embed(1000, 64) -> reduce_mean(axis=0)`",
    "AdaptiveAvgMaxPool2d": "it is `(gap + gmp) * 0.5`", "DataParallel": "`netdsl train --devices 2` trains on several",
    "PairwiseDistance": "it is `a - b -> reduce_l2(axis=0)`", "pairwise_distance": "it is `a - b -> reduce_l2(axis=0)`",
    "Bilinear": 'a bilinear map is `einsum("i, j, k i j -> k", a, b, param((8, 16, 16)))`',
    "GroupNorm1": "it is `groupnorm(1)`", "Cropping2D": "the middle is `crop(24)`; a side, `narrow(2, 24, axis=1)`",
    "Reduce": 'it is written `reduce("l d -> d", mean)`: the batch is no axis',
    "trunc_normal_": "how weights begin is a field of the recipe: `init = trunc_normal(std=0.02)`",
    "Softmin": "it is `neg -> softmax`", "conv1x1": "a convolution of each position by itself is `conv(64, 1)`",
    "logsumexp": "it is written out: `exp -> reduce_sum(axis=1) -> log`, of numbers below 88",
    "argmin": "it is `neg -> argmax`: the place of the least is that of the largest of the negative",
    "detach": _GRADIENT,
    **dict.fromkeys(("SwiGLU", "GEGLU", "ReGLU", "GluMlp", "GatedMlp"), _GATED),
    **dict.fromkeys(("masked_select", "nonzero", "unique", "argwhere"), _MASKED),
    **dict.fromkeys(("randperm", "bernoulli", "multinomial", "normal", "uniform"), _RANDOM),
    **dict.fromkeys(("dot", "inner", "vdot", "Dot", "cosine_similarity"), _DOT),
    **dict.fromkeys(("outer", "tensordot"), 'it is written `einsum("i, j -> i j", a, b)`: the batch is no axis'),
    **dict.fromkeys(("movedim", "moveaxis", "swapdims", "rot90"), _AXES),
    **dict.fromkeys(("ResBlock", "ResidualBlock", "ResidualAdd", "Residual", "SkipConnection", "Skip"), _RESIDUAL),
    **dict.fromkeys(("BasicBlock", "Bottleneck"), "blocks of the zoo are imported: `from resnet import Bottleneck`"),
    **dict.fromkeys(
        ("InvertedResidual", "MBConv"), "blocks of the zoo are imported: `from mobilenet_v2 import Inverted`"
    ),
    **dict.fromkeys(("rope", "RotaryEmbedding", "rotary_embedding"), "it is `rotary`, of queries and keys"),
    **dict.fromkeys(("PositionalEmbedding", "PosEmbed", "SinusoidalEmbedding"), _POSITIONS),
    **dict.fromkeys(("ClassToken", "cls_token"), "it is joined: `concat(param((1, 64), role=embedding), it)`"),
    **dict.fromkeys(("TransformerDecoder", "TransformerDecoderLayer"), _DECODER),
    **dict.fromkeys(("DepthwiseSeparableConv", "DSConv"), _SEPARABLE),
    **dict.fromkeys(("PointwiseConv2d", "pointwise", "conv1x1"), "a convolution of single pixels is `conv(64, 1)`"),
    **dict.fromkeys(("SPP", "SPPF", "SpatialPyramidPooling"), _PYRAMID),
    **dict.fromkeys(("sort", "argsort"), "the largest values in falling order, and their places, are `topk(5)`"),
    **dict.fromkeys(("broadcast_to", "expand_as", "RepeatVector"), "a tensor is repeated by `expand((8, 64))`"),
    **dict.fromkeys(("unbind", "unstack"), "parts are named by `a, b = chunk(2)`, a position is `take(0)`"),
    **dict.fromkeys(("hstack", "vstack", "dstack", "cat", "merge"), "values are joined by `concat(a, b, axis=0)`"),
    **dict.fromkeys(("Rescaling", "Normalization"), "images are standardised as the field `standardize` says"),
    **dict.fromkeys(("StopGradient", "stop_gradient", "no_grad"), _GRADIENT),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like"), "`it * 0 + 1` has the shape of what flows"),
    "LambdaLR": _PHASES, "kl_div": _DISTILLED, "KLDivLoss": _DISTILLED,
    **dict.fromkeys(("Compose", "RandomApply"), "augmentations follow each other: `crop(padding=4) -> hflip`"),
    **dict.fromkeys(("shuffle", "random"), "leave it out: samples come in another order in every epoch"),
    "CenterCrop": "the middle is cut where images are read: `imagefolder(..., crop=224)`; in a net, `crop(24)`",
    "Masking": "what is padding is an input, `input keep [L] bool`, and a mask: `attention(8, mask=keep)`",
    "Average": "the mean of two values is `(a + b) * 0.5`", "meshgrid": _GRID, "eye": _EYE,
    "BatchNormAct2d": "it is two layers: `bn -> relu`", "CategoryEncoding": "it is called `one_hot`",
    "ActivityRegularization": "it is a field of the recipe: `penalty = l2(1e-4)`",
    "classifier": "the last layer is `linear(classes)`; `head: ...` labels it",
    "head": "the last layer is `linear(classes)`; `head: ...` labels it",
    "CBL": _CONV_NORM, "conv3x3": "a kernel of 3 x 3 is `conv(64, 3)`",
    "Focus": "it is `pixel_unshuffle(2) -> conv(64, 3)`",
    "GlobalResponseNorm": _GRN, "GRN": _GRN,
    "PatchMerging": "it is `pixel_unshuffle(2) -> layernorm -> linear(128)`",
    "slice": "a part of a tensor is `narrow(0, 2)`, one position `take(-1, axis=0)`; the batch is no axis",
    "diff": "it is the difference of two parts: `(x -> narrow(1, 7)) - (x -> narrow(0, 7))`",
    "StarReLU": "it is written out: `relu -> square -> affine`",
    "squareplus": _NONE, "sparsemax": _NONE, "Maxout": _NONE, "Highway": _NONE,
    "ScaleNorm": "the nearest is `l2_normalize -> scale`, with a scale for each feature",
    "bmm": "it is `matmul(a, b)`: the batch is no axis", "scatter_add": "it is called `scatter` here",
    **dict.fromkeys(("fft", "rfft", "ifft", "irfft", "fft2", "stft"), _TRANSFORM),
    **dict.fromkeys(("pixel_norm", "PixelNorm"), "it is `rmsnorm(elementwise_affine=false, eps=1e-8)`"),
    **dict.fromkeys((
        "roi_align", "nms", "ctc_loss", "CTCLoss", "crf", "CRF", "selective_scan", "inverse", "trace", "kthvalue",
        "bucketize", "searchsorted", "logcumsumexp", "cdist",
    ), _NONE),
    "forward": "a body is a list of statements: `x -> layer`",
}  # fmt: skip
"""Hints for names, where no fix is verified."""

_LOOSE = {name.lower().replace("_", ""): words for name, words in reversed(WORDS.items())}


def words_for(name: str) -> str | None:
    """The words for a name of elsewhere, however it is spelt: `TransformerBlock`, `transformer_block`."""
    return WORDS.get(name) or _LOOSE.get(name.lower().replace("_", ""))


OF_RECIPES = frozenset((
    "warmup_cosine_decay_schedule", "get_cosine_schedule_with_warmup", "get_linear_schedule_with_warmup",
    "LinearWarmupCosineAnnealingLR", "SequentialLR", "OneCycleLR", "LambdaLR", "ToTensor", "Normalize", "Rescaling",
    "Compose", "RandomApply", "CenterCrop", "normalize",
    "from_pretrained", "kl_div", "KLDivLoss", "flip", "shuffle", "random",
))  # fmt: skip
"""Those of them that are said of components of recipes."""
