"""Types of values: the shape of one sample (no batch axis) and the kind of its numbers."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from netdsl.sizes.dims import Dim, product, symbols

LARGEST = 2**63 - 1
"""The largest size of a tensor, in PyTorch and in ONNX."""

MOST_AXES = 63
"""The most axes of a sample: with the batch they are 64, the most that PyTorch and numpy compute with."""


UNCLEAR = -1
"""The place of features that can't be told any more: of values that were cut apart, or joined across axes."""


def fits(size: Dim) -> bool:
    """Whether a tensor can have this size, and a symbolic one whole numbers that are no larger."""
    return size <= LARGEST if isinstance(size, int) else all(abs(c) <= LARGEST for _, c in size.terms)


class TensorType(Struct, frozen=True):
    """A tensor of one sample: `[C, H, W]` for an image, `[L, D]` for a sequence, `[F]` for a vector.

    `batched` is False for what is the same for every sample (a parameter): its batch axis has size 1, or is absent
    where it is a vector. `features`: the axis that layers work along where what made the value says so, or `UNCLEAR`;
    None where only the rank does: the last of `[L, D]`, the channels of `[C, H, W]`.
    """

    shape: tuple[Dim, ...]
    dtype: str = "float32"
    batched: bool = True
    features: int | None = None

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

    def with_features(self, axis: int | None) -> TensorType:
        """The same with its features there. Those of a vector are where they are."""
        axis = axis if self.rank > 1 else None
        return self if axis == self.features else TensorType(self.shape, self.dtype, self.batched, axis)

    def same(self, other: TensorType) -> bool:
        """Whether both have one shape and one kind of numbers, wherever their features are."""
        return self.shape == other.shape and self.dtype == other.dtype and self.batched == other.batched

    @property
    def marked(self) -> str:
        """The type as text, with the features marked where they are known to be on another axis than the rank says."""
        usual = self.rank - 1 if self.rank <= 2 else 0
        if self.features in (None, UNCLEAR, usual):
            return str(self)
        sizes = [f"*{s}" if i == self.features else str(s) for i, s in enumerate(self.shape)]
        return str(self).replace(f"[{', '.join(map(str, self.shape))}]", f"[{', '.join(sizes)}]")

    def __str__(self) -> str:
        text = f"[{', '.join(map(str, self.shape))}]"
        return text if self.dtype == "float32" else f"{text} {self.dtype}"


def joined(rank: int, values: Iterable[TensorType]) -> int | None:
    """Where the features of a result of several values are: a known place wins, two of them are unclear."""
    found = {x.features for x in values if x.rank == rank} - {None}
    known = found - {UNCLEAR}
    return next(iter(known)) if len(known) == 1 else UNCLEAR if found else None


UNKNOWN = TensorType((), "unknown")
"""The type of a value after an error: whatever reads it stays silent."""
