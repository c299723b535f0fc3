"""Types of values: the shape of one sample (no batch axis) and the kind of its numbers."""

from __future__ import annotations

from msgspec import Struct

from netdsl.sizes.dims import Dim, product, symbols

LARGEST = 2**63 - 1
"""The largest size of a tensor, in PyTorch and in ONNX."""


def fits(size: Dim) -> bool:
    """Whether a tensor can have this size, and a symbolic one whole numbers that are no larger."""
    return size <= LARGEST if isinstance(size, int) else all(abs(c) <= LARGEST for _, c in size.terms)


class TensorType(Struct, frozen=True):
    """A tensor of one sample: `[C, H, W]` for an image, `[L, D]` for a sequence, `[F]` for a vector.

    `batched` is False for what is the same for every sample (a parameter): its batch axis has size 1, or is absent
    where it is a vector.
    """

    shape: tuple[Dim, ...]
    dtype: str = "float32"
    batched: bool = True

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def spatial(self) -> tuple[Dim, ...]:
        """The sizes after the channels, channels first."""
        return self.shape[1:]

    @property
    def elements(self) -> Dim:
        return product(self.shape)

    @property
    def names(self) -> frozenset[str]:
        """The named sizes of the shape."""
        return frozenset[str]().union(*map(symbols, self.shape))

    def with_shape(self, *shape: Dim) -> TensorType:
        return TensorType(shape, self.dtype, self.batched)

    def __str__(self) -> str:
        text = f"[{', '.join(map(str, self.shape))}]"
        return text if self.dtype == "float32" else f"{text} {self.dtype}"


UNKNOWN = TensorType((), "unknown")
"""The type of a value after an error: whatever reads it stays silent."""
