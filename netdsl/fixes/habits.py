"""Names of PyTorch, Keras, timm and einops, with their spellings in this language: one table.

A line gives the names elsewhere, what they are called here, and the arguments elsewhere in order: `-name` is not
written here (it is inferred, or has no meaning), `name>own` is called `own` here, `@name>own` counts axes with the
batch, `name!` follows as a layer of its own. A line that is indented continues with the one before.
"""

from __future__ import annotations

import re
from functools import cache

from msgspec import Struct

_KERAS = "-data_format -input_shape -name -kernel_initializer -bias_initializer -kernel_regularizer"
_HEADS = "num_attention_heads>heads n_heads>heads n_head>heads nhead>heads -d_model -hidden_size"


class Habit(Struct, frozen=True):
    """A call of another framework: its name here, and its arguments there in order."""

    op: str
    arguments: str


_TABLE = """
Conv2d Conv1d Conv3d conv2d conv1d Conv conv LazyConv2d Conv2dSame StdConv2d | conv | -in_channels out_channels
    kernel_size stride padding dilation groups bias padding_mode -device -dtype features>out_channels strides>stride
    use_bias>bias
    kernel_dilation>dilation feature_group_count>groups channels>out_channels out>out_channels kernel>kernel_size
    -rngs -key activation! act!
Conv2D Conv1D Conv3D Convolution2D | conv | filters>out_channels kernel_size strides>stride padding
    -data_format dilation_rate>dilation groups activation! use_bias>bias KERAS
DepthwiseConv2D DepthwiseConv DWConv | dwconv | kernel_size strides>stride padding activation! use_bias>bias KERAS
ConvTranspose2d ConvTranspose1d conv_transpose2d conv_transpose ConvTranspose deconv upconv | upconv | -in_channels
    out_channels kernel_size stride padding output_padding groups bias dilation features>out_channels
    strides>stride use_bias>bias
Conv2DTranspose Deconvolution2D | upconv | filters>out_channels kernel_size strides>stride padding activation! KERAS
Linear linear LazyLinear | linear | -in_features out_features bias -device -dtype -rngs -key
    num_classes>out_features classes>out_features out>out_features features>out_features out_dim>out_features
    hidden_size>out_features output_dim>out_features hidden_dim>out_features activation! act!
Dense dense fc FC fully_connected InnerProduct | linear | units>out_features activation! use_bias>bias
    features>out_features num_classes>out_features KERAS
BatchNorm2d BatchNorm1d BatchNorm3d SyncBatchNorm SyncBN batch_norm bn | bn | -num_features eps momentum affine
    -track_running_stats
BatchNormalization BatchNorm batchnorm | bn | -axis -momentum epsilon>eps -center -scale -use_running_average
    -axis_name -use_bias -use_scale
InstanceNorm2d InstanceNorm1d instance_norm instancenorm | instancenorm | -num_features eps -momentum affine
GroupNorm group_norm groupnorm | groupnorm | num_groups -num_channels eps affine groups>num_groups
GroupNormalization | groupnorm | groups>num_groups -axis epsilon>eps
LayerNorm layer_norm LayerNorm2d layernorm ln | layernorm | -normalized_shape eps elementwise_affine bias epsilon>eps
    use_bias>bias
LayerNormalization | layernorm | -axis epsilon>eps
RMSNorm rms_norm rmsnorm | rmsnorm | -normalized_shape eps elementwise_affine
RMSNormalization | rmsnorm | -axis epsilon>eps
LocalResponseNorm lrn | lrn | size alpha beta k
RNN SimpleRNN rnn | rnn | -input_size hidden_size num_layers nonlinearity bias -batch_first dropout bidirectional
    units>hidden_size -return_sequences
LSTM lstm | lstm | -input_size hidden_size num_layers bias -batch_first dropout bidirectional
    units>hidden_size -return_sequences
GRU gru | gru | -input_size hidden_size num_layers bias -batch_first dropout bidirectional
    units>hidden_size -return_sequences
MultiheadAttention | attention | -embed_dim num_heads>heads dropout bias -batch_first HEADS
MultiHeadAttention SelfAttention attention mha | attention | num_heads>heads -key_dim -value_dim dropout -qkv_features
    dropout_rate>dropout -embed_dim HEADS
MaxPool2d MaxPool1d MaxPool3d max_pool2d max_pool1d maxpool max_pool pool pooling Pool | maxpool |
    kernel_size stride padding dilation -return_indices ceil_mode strides>stride window_shape>kernel_size
    pool_size>kernel_size
MaxPooling2D MaxPool2D MaxPooling1D | maxpool | pool_size>kernel_size strides>stride padding -data_format
AvgPool2d AvgPool1d avg_pool2d avgpool avg_pool average_pool | avgpool | kernel_size stride padding ceil_mode
    count_include_pad strides>stride window_shape>kernel_size pool_size>kernel_size
AveragePooling2D AveragePooling1D | avgpool | pool_size>kernel_size strides>stride padding -data_format
AdaptiveAvgPool2d AdaptiveAvgPool1d adaptive_avg_pool2d | adaptive_avgpool | output_size
AdaptiveMaxPool2d adaptive_max_pool2d | adaptive_maxpool | output_size
GlobalAveragePooling2D GlobalAveragePooling1D GlobalAvgPool2d SelectAdaptivePool2d global_avg_pool
    global_average_pool global_average_pooling global_pool GAP mean_pool | gap |
    -output_size -pool_type -flatten -keepdims
GlobalMaxPooling2D GlobalMaxPool2D GlobalMaxPooling1D | gmp | -keepdims
Dropout dropout Dropout1d SpatialDropout1D | dropout | p -inplace -training -seed rate>p prob>p
    -deterministic -rngs
Dropout2d SpatialDropout2D dropout2d | dropout2d | p -inplace rate>p
AlphaDropout alpha_dropout | alpha_dropout | p -inplace
GaussianDropout | gaussian_dropout | rate>p
DropPath StochasticDepth droppath stochastic_depth | drop_path | p mode drop_prob>p
Embedding Embed embedding embed | embed | num_embeddings embedding_dim -padding_idx input_dim>num_embeddings
    output_dim>embedding_dim features>embedding_dim hidden_size>embedding_dim vocab_size>num_embeddings
    embed_dim>embedding_dim dim>embedding_dim -mask_zero -input_length
Flatten flatten | flatten | @start_dim>start @end_dim>end -data_format
PReLU prelu | prelu | num_parameters init
LeakyReLU leaky_relu | leaky_relu | negative_slope -inplace alpha>negative_slope
ELU elu | elu | alpha -inplace
GELU gelu | gelu | approximate
Softmax softmax | softmax | @dim>axis -_stacklevel -dtype
LogSoftmax log_softmax | log_softmax | @dim>axis -_stacklevel -dtype
GLU glu | glu | @dim>axis
ReLU relu relu_ Relu | relu | -inplace
ReLU6 relu6 | relu6 | -inplace
CELU celu | celu | alpha -inplace
RReLU rrelu | rrelu | lower upper -inplace
Threshold threshold | threshold | threshold value -inplace
Hardshrink hardshrink | hardshrink | lambd
Softshrink softshrink | softshrink | lambd
Tanhshrink tanhshrink | tanhshrink |
LPPool2d lp_pool2d | lppool | norm_type kernel_size stride ceil_mode
BlurPool2d BlurPool | blurpool | -channels filt_size>kernel_size stride
FeatureAlphaDropout | alpha_dropout | p -inplace
SELU selu | selu | -inplace
SiLU silu Swish swish | silu | -inplace
Mish mish | mish | -inplace
Hardtanh hardtanh | hardtanh | min_val max_val -inplace
Hardswish hardswish HardSwish | hardswish | -inplace
Hardsigmoid hardsigmoid | hardsigmoid | -inplace
Sigmoid sigmoid | sigmoid |
Tanh tanh | tanh |
Softplus softplus | softplus | beta threshold
Identity Identity2d Noop | identity |
Upsample upsample interpolate UpsamplingBilinear2d UpsamplingNearest2d | upsample | size scale_factor mode
    align_corners -recompute_scale_factor antialias
UpSampling2D | upsample | size>scale_factor scale>scale_factor factor>scale_factor -data_format interpolation>mode
Resize | upsample | size
PixelShuffle pixel_shuffle depth_to_space | pixel_shuffle | upscale_factor block_size>upscale_factor
PixelUnshuffle pixel_unshuffle space_to_depth | pixel_unshuffle | downscale_factor block_size>downscale_factor
Unfold unfold | unfold | kernel_size dilation padding stride
Fold fold | fold | output_size kernel_size dilation padding stride
grid_sample | grid_sample | grid mode padding_mode align_corners
randn_like | noise | -dtype -device
GaussianNoise gaussian_noise | gaussian_noise | std stddev>std sigma>std
ChannelShuffle channel_shuffle | channel_shuffle | groups
pad ZeroPad2d ConstantPad2d | pad | padding mode value pad>padding
ZeroPadding2D | pad | padding
LayerScale layer_scale | scale | -dim init init_values>init
PatchEmbed PatchEmbedding | patchify | -img_size patch_size>kernel_size -in_chans embed_dim>out_channels
mean reduce_mean avg average | reduce_mean | @dim>axis keepdim>keepdims axis keepdims
sum reduce_sum | reduce_sum | @dim>axis keepdim>keepdims axis keepdims
std reduce_std | reduce_std | @dim>axis keepdim>keepdims axis keepdims
var reduce_var | reduce_var | @dim>axis keepdim>keepdims axis keepdims
amax max reduce_max | reduce_max | @dim>axis keepdim>keepdims axis keepdims
amin min reduce_min | reduce_min | @dim>axis keepdim>keepdims axis keepdims
norm | reduce_l2 | -p @dim>axis keepdim>keepdims
normalize | l2_normalize | -p @dim>axis eps
UnitNormalization | l2_normalize | -axis
unsqueeze expand_dims | unsqueeze | @dim>axis axis
squeeze | squeeze | @dim>axis axis
chunk | chunk | chunks @dim>axis
split | split | split_size>sizes @dim>axis
roll | roll | shifts @dims>axes
narrow | narrow | @dim>axis start length
index_select select | take | @dim>axis index
clamp clip | clamp | min max
abs absolute | absolute |
pow | pow | exponent
exp | exp |
log | log |
sqrt | sqrt |
sin | sin |
cos | cos |
square | square |
sign | sign |
rsqrt | rsqrt |
erf | erf |
gt greater | greater | other>value
lt less | less | other>value
eq | equal | other>value
clamp_min | clamp | min
one_hot | one_hot | num_classes
to type astype | cast | dtype
"""


def _parsed() -> dict[str, Habit]:
    found: dict[str, Habit] = {}
    for entry in _TABLE.strip().replace("\n    ", " ").replace("KERAS", _KERAS).replace("HEADS", _HEADS).splitlines():
        names, op, arguments = (part.strip() for part in entry.split("|"))
        found |= {name: Habit(op, arguments) for name in names.split()}
    return found


HABITS = _parsed()
"""Every layer and function of elsewhere by its own name."""


def loose(name: str) -> str:
    """A name without what is spelt in several ways: capitals and `_`."""
    return name.lower().replace("_", "")


@cache
def _loosely() -> dict[str, Habit]:
    return {loose(name): habit for name, habit in reversed(HABITS.items())}


@cache
def _without_rank() -> dict[str, Habit]:
    """Layers by their names without the number of spatial axes, which are inferred here."""
    return {re.sub(r"[123]d$", "", name): habit for name, habit in reversed(_loosely().items())}


def habit_of(name: str) -> Habit | None:
    """A layer or function of elsewhere by its name, however it is spelt."""
    plain = re.sub(r"^lazy|(?:withindices|same)$", "", loose(name))
    found = HABITS.get(name) or _loosely().get(loose(name)) or _loosely().get(plain)
    return found or _without_rank().get(re.sub(r"[123]d$", "", plain))


NEEDLESS_ARGUMENTS = (
    "from_logits", "verbose", "last_epoch", "name", "reduction_axis", "inplace", "batch_first", "device", "dtype",
    "training", "seed", "rngs", "key", "foreach", "fused", "download", "root", "num_workers", "pin_memory", "train",
    "transform", "target_transform",
)  # fmt: skip
"""Arguments of elsewhere that say nothing here, whatever takes them."""


def is_needless(op: str, argument: str) -> bool:
    """Whether an argument of elsewhere is not written here: what it says is inferred, or has no meaning."""
    return argument in NEEDLESS_ARGUMENTS or any(
        h.op == op and f"-{argument}" in h.arguments.split() for h in HABITS.values()
    )


EXACT = {
    "gelu_new": "gelu(approximate=tanh)", "gelu_tanh": "gelu(approximate=tanh)",
    "gelu_pytorch_tanh": "gelu(approximate=tanh)", "gelu_fast": "gelu(approximate=tanh)",
    "quick_gelu": "it * (it * 1.702 -> sigmoid)", "QuickGELU": "it * (it * 1.702 -> sigmoid)",
    "Softmax2d": "softmax(axis=0)", "softsign": "softsign", "LogSigmoid": "logsigmoid", "log_sigmoid": "logsigmoid",
    "exp2": "it * log(2) -> exp", "expm1": "exp - 1", "log2": "log / log(2)", "log10": "log / log(10)",
    "log1p": "it + 1 -> log", "tan": "sin / cos", "sinh": "(exp - (neg -> exp)) * 0.5",
    "cosh": "(exp + (neg -> exp)) * 0.5", "erfc": "1 - erf", "expit": "sigmoid", "logit": "it / (1 - it) -> log",
    "sgn": "sign", "negative": "neg", "positive": "identity", "trunc": "sign * (absolute -> floor)",
    "frac": "it - sign * (absolute -> floor)", "deg2rad": "it * 0.017453292519943295",
    "rad2deg": "it * 57.29577951308232", "float": "cast(float32)", "long": "cast(int64)", "clone": "identity",
    "contiguous": "identity", "h_swish": "hardswish", "hard_swish": "hardswish", "h_sigmoid": "hardsigmoid",
    "hard_sigmoid": "hardsigmoid", "hard_tanh": "hardtanh", "relu2": "relu -> square", "squared_relu": "relu -> square",
    "GeM": "clamp(min=1e-6) -> pow(3) -> gap -> pow(1 / 3)", "invert": "logical_not", "bitwise_not": "logical_not",
    "zeros_like": "it * 0", "ones_like": "it * 0 + 1",
}  # fmt: skip
"""Layers of elsewhere that are said whole, with arguments or by several layers."""

_LOOSE = {loose(name): code for name, code in reversed(EXACT.items())}


def exact(name: str) -> str | None:
    """The code for a layer of elsewhere, said whole, however it is spelt: `h_swish`, `HSwish`."""
    return EXACT.get(name) or _LOOSE.get(loose(name))


NAMESPACES = frozenset((
    "nn", "torch", "torch.nn", "F", "nn.functional", "torch.nn.functional", "functional", "np", "jnp", "jax.nn",
    "optim", "torch.optim", "lr_scheduler", "optim.lr_scheduler", "transforms", "T", "v2", "torchvision.transforms",
    "activations", "optimizers", "metrics", "initializers", "schedulers", "augmentations",
    "keras", "layers", "keras.layers", "tf", "tf.nn", "tf.keras", "tf.keras.layers", "tf.keras.activations",
    "flax.linen", "timm.layers", "einops", "losses", "regularizers", "schedules",
))  # fmt: skip
"""What stands before a dot and is no tensor."""

PACKAGES = frozenset((
    "torch", "torchvision", "torchaudio", "timm", "transformers", "einops", "tf", "tensorflow", "keras", "tfa", "jax",
    "flax", "nnx", "optax", "eqx", "equinox", "hk", "haiku", "mmengine", "lightning", "pl", "albumentations",
))  # fmt: skip
"""Packages: whatever stands behind one of them and before the last dot is no tensor either."""


ALIASES = ("nn", "F", "optim", "layers", "lr_scheduler", "transforms", "np", "jnp", "datasets")
"""What parts of packages are imported as."""


def is_namespace(receiver: str) -> bool:
    """Whether what stands before the last dot is a part of a package, and no tensor."""
    return receiver in NAMESPACES or receiver.partition(".")[0] in (*PACKAGES, *ALIASES)


JOINED = {"cat": "concat", "concat": "concat", "concatenate": "concat", "Concatenate": "concat", "hstack": "concat",
          "stack": "stack"}  # fmt: skip
BINARY = {
    "add": "add", "Add": "add", "subtract": "sub", "sub": "sub", "mul": "mul", "Multiply": "mul", "multiply": "mul",
    "matmul": "matmul", "bmm": "matmul", "mm": "matmul", "maximum": "maximum", "minimum": "minimum", "fmax": "maximum",
    "fmin": "minimum", "div": "div", "divide": "div", "true_divide": "div", "where": "where",
    "scaled_dot_product_attention": "sdpa",
}  # fmt: skip
"""Functions of several tensors."""

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
"""The operators that are ops of two tensors, and take numbers too."""

SPELT = {
    "lerp": "{0} + {2} * ({1} - {0})", "hypot": "{0} * {0} + {1} * {1} -> sqrt", "addcmul": "{0} + {1} * {2}",
    "addcdiv": "{0} + {1} / {2}", "rsub": "{1} - {0}", "floor_divide": "{0} / {1} -> floor",
    "remainder": "{0} - {1} * ({0} / {1} -> floor)",
    "logaddexp": "maximum({0}, {1}) + ({0} - {1} -> absolute -> neg -> softplus)",
}  # fmt: skip
"""Functions of several tensors that are written out here, in their order."""

COMPONENTS = {
    "StepLR": "step", "MultiStepLR": "multistep", "step": "multistep", "multistep": "step",
    "CosineAnnealingLR": "cosine", "CosineAnnealingWarmRestarts": "restarts", "CosineDecay": "cosine",
    "ExponentialLR": "exponential", "OneCycleLR": "onecycle", "ReduceLROnPlateau": "plateau", "LinearLR": "linear",
    "PolynomialLR": "polynomial", "LinearWarmup": "warmup", "CrossEntropyLoss": "cross_entropy",
    "BCEWithLogitsLoss": "bce", "BCELoss": "bce", "MSELoss": "mse", "L1Loss": "l1", "SmoothL1Loss": "huber",
    "HuberLoss": "huber", "NLLLoss": "cross_entropy", "SparseCategoricalCrossentropy": "cross_entropy",
    "CategoricalCrossentropy": "cross_entropy", "RandomCrop": "crop", "RandomHorizontalFlip": "hflip",
    "RandomVerticalFlip": "vflip", "RandomRotation": "rotate", "RandomResizedCrop": "random_resized_crop",
    "ScaleJitter": "scale_jitter", "LargeScaleJitter": "scale_jitter",
    "Resize": "resize", "ColorJitter": "color_jitter", "RandAugment": "randaugment",
    "TrivialAugmentWide": "trivialaugment", "RandomErasing": "random_erasing", "EarlyStopping": "early_stopping",
    "MixUp": "mixup", "Mixup": "mixup", "CutMix": "cutmix", "ImageFolder": "imagefolder", "RandomFlip": "hflip",
    "BinaryCrossentropy": "bce",
    "MeanSquaredError": "mse", "MeanAbsoluteError": "l1", "cosine_decay_schedule": "cosine",
    "GlorotUniform": "xavier", "HeNormal": "kaiming", "RandomAffine": "affine", "clip_by_global_norm": "norm",
    "clip_grad_norm_": "norm", "CIFAR10": "cifar10", "CIFAR100": "cifar100", "MNIST": "mnist",
    "FashionMNIST": "fashion_mnist", "Normalize": "fixed", "normalize": "fixed",
}  # fmt: skip
"""Components of recipes by their names elsewhere; others are tried in small letters."""
