"""Noise while training: `dropout`, `dropout2d`, `gaussian_dropout`, `gaussian_noise`, `alpha_dropout`, `drop_path`, the
identity at inference; and `dropconnect`, a linear layer with noise on its weights."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Torch, register
from netdsl.ops.features import feature_size, floating
from netdsl.ops.linear import Linear
from netdsl.ops.lowering import full_shape
from netdsl.ops.spatial import optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

Rate = Annotated[float, Meta(ge=0, le=1)]

DROP_PATH_HELPER = '''\
class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): drops each sample's branch with probability `rate`."""

    def __init__(self, rate: float, mode: str = "row") -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(float(rate)), persistent=False)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.rate
        drawn = 1 if self.mode == "batch" else x.shape[0]
        kept = torch.rand(drawn, *[1] * (x.ndim - 1), device=x.device) < keep
        return x * (kept / keep.clamp(min=1e-6)).to(x.dtype)
'''


AT_INFERENCE = dict.fromkeys(
    ("always", "training", "inference"),
    "it draws while training alone, so that a net gives the same for the same input; draws at inference are an input "
    "of the net: `input draws [16]`, then `mean + deviation * draws`",
)


class Noise(Op, frozen=True):
    """The base of all noise: the type stays, and it is the identity at inference."""

    module: ClassVar[str]

    p: Rate = 0.5

    is_layer = True
    vanishes = True
    has_dropout = True
    hints = AT_INFERENCE

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call(self.module, (self.p,)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return x[0].name


@register("dropout")
class Dropout(Noise, frozen=True):
    """Zeroes each number with probability `p` while training and scales the rest by `1 / (1 - p)` (Srivastava et al.,
    2014), as torch.nn.Dropout."""

    positional = 1
    module = "nn.Dropout"
    saves_beside = 1
    examples = (Example("dropout"), Example("dropout(0.2)", ("[7]",)))


@register("dropout2d")
class Dropout2d(Noise, frozen=True):
    """Zeroes whole channels with probability `p` while training (Tompson et al., 2015), as torch.nn.Dropout2d."""

    layout = "channels"
    positional = 1
    module = "nn.Dropout2d"
    examples = (Example("dropout2d(0.2)"), Example("dropout2d", ("[4, 9]",)), Example("dropout2d", ("[2, 3, 4, 5]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if not 2 <= inputs[0].rank <= 4:
            raise OpError(f"`dropout2d` needs channels and 1 to 3 spatial axes, found {inputs[0]}", operand=0)
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call(f"nn.Dropout{inputs[0].rank - 1}d", (self.p,)))


GAUSSIAN_HELPER = '''\
class GaussianDropout(nn.Module):
    """Multiplies by noise of mean 1 and variance p / (1 - p) (Srivastava et al., 2014)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (1 + (self.p / (1 - self.p)) ** 0.5 * torch.randn_like(x))
'''


@register("gaussian_dropout")
class GaussianDropout(Noise, frozen=True):
    """Multiplies each number by normal noise of mean 1 and variance `p / (1 - p)` while training: the mean and variance
    of dropout (Srivastava et al., 2014, section 10)."""

    p: Annotated[float, Meta(ge=0, lt=1)] = 0.5

    positional = 1
    examples = (Example("gaussian_dropout"), Example("gaussian_dropout(0.2)", ("[7]",)))

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("GaussianDropout", (self.p,)), helper=GAUSSIAN_HELPER)


NOISE_HELPER = '''\
class GaussianNoise(nn.Module):
    """While training, adds normal noise of a given deviation."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x
'''


@register("gaussian_noise")
class GaussianNoise(Op, frozen=True):
    """Adds normal noise of mean 0 and deviation `std` while training (denoising autoencoders, Vincent et al.,
    2010); the identity at inference."""

    std: Annotated[float, Meta(ge=0)]

    positional = 1
    is_layer = True
    vanishes = True
    saves = "nothing"
    hints = AT_INFERENCE
    examples = (Example("gaussian_noise(0.1)"), Example("gaussian_noise(0.5)", ("[7]",)))

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return floating(inputs[0], "gaussian_noise")

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("GaussianNoise", (self.std,)), helper=NOISE_HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return x[0].name


LIKE_HELPER = '''\
class Noise(nn.Module):
    """Standard normal noise of the shape of the input while training, zeros at inference."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.randn_like(x) if self.training else torch.zeros_like(x)
'''


@register("noise")
class NoiseLike(Op, frozen=True):
    """Standard normal noise of the shape of the value while training, and its mean, 0, at inference: what a variational
    autoencoder draws its code by (Kingma & Welling, 2013), `mean + deviation * (mean -> noise)`."""

    is_layer = True
    zero_at_zero = True
    saves = "nothing"
    hints = AT_INFERENCE
    examples = (Example("noise"), Example("noise", ("[7]",)))

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return floating(inputs[0], "noise")

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("Noise"), helper=LIKE_HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Expand", g.const(0.0), full_shape(g, x[0].type, *x[0].type.shape))


DROPCONNECT_HELPER = '''\
class DropConnect(nn.Linear):
    """A linear layer whose weights are dropped while training (Wan et al., 2013)."""

    def __init__(self, in_features: int, out_features: int, p: float, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.dropout(self.weight, self.p, self.training), self.bias)
'''


@register("dropconnect")
class DropConnect(Linear, frozen=True, kw_only=True):
    """A linear layer, as `linear`, of whose weights each is zeroed with probability `p` while training, the rest scaled
    by `1 / (1 - p)` (Wan et al., 2013): one draw for a batch; at inference the mean weights, without the paper's
    sampling of Gaussians. For `[F]` and `[L, D]`.
    """

    p: Rate = 0.5

    positional = 1
    has_dropout = True
    examples = (  # type: ignore[assignment] # as many as it likes
        Example("dropconnect(5)", ("[7]",)),
        Example("dropconnect(5, p=0.2, bias=false)", ("[7]",)),
        Example("dropconnect(6)", ("[5, 4]",)),
    )

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if self._is_pointwise(inputs[0]):
            raise OpError(f"`dropconnect` is for vectors and sequences, found {inputs[0]}", operand=0)
        return super().infer(assume, *inputs)

    def torch(self, *inputs: TensorType) -> Torch:
        sizes = (feature_size(inputs[0], self.axis), self.out_features)
        options = optional({"bias": True}, bias=self.bias)
        return Torch(Call("DropConnect", (*sizes, self.p), options), helper=DROPCONNECT_HELPER)


@register("alpha_dropout")
class AlphaDropout(Noise, frozen=True):
    """Dropout that keeps mean and variance under SELU (Klambauer et al., 2017), as torch.nn.AlphaDropout."""

    positional = 1
    module = "nn.AlphaDropout"
    saves_beside = 1
    examples = (Example("alpha_dropout(0.1)"),)


@register("drop_path")
class DropPath(Noise, frozen=True):
    """Stochastic depth: zeroes the whole value of a sample with probability `p` while training and scales the rest by
    `1 / (1 - p)` (Huang et al., 2016). `mode=batch` draws once for the whole batch. A recipe's `drop_path` gives
    every residual link its own rate.
    """

    mode: Literal["row", "batch"] = "row"

    positional = 1
    has_dropout = False
    saves = "nothing"
    examples = (Example("drop_path(0.1)"), Example("drop_path(0.1, mode=batch)", ("[5, 4]",)))

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        return {"rate": Buffer((), persistent=False)}

    def torch(self, *inputs: TensorType) -> Torch:
        options = optional({"mode": "row"}, mode=self.mode)
        return Torch(Call("DropPath", (self.p,), options), helper=DROP_PATH_HELPER)
