"""Data sources: `data = cifar10("folder")`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Count, Fraction, Index, NonNegative
from netdsl.recipe.paths import A_PATH, PERHAPS_A_PATH
from netdsl.recipe.registry import component

Folder = Annotated[str, Meta(min_length=1, description="folder of the data, relative to the spec", extra=A_PATH)]
Path = Annotated[str, Meta(min_length=1, description="file of the data, relative to the spec", extra=A_PATH)]


Level = Annotated[int, Meta(ge=0, le=255)]
COLOR = "^#[0-9a-fA-F]{6}$"
Color = Annotated[str, Meta(pattern=COLOR)]


class Data(Component, frozen=True):
    """`task`: what its targets are: classes, numbers, a mask of classes, the next token, a class for every node; where
    only the data know, `sure` is False. `gives`: what a sample is. `published`: samples of its training split, where
    that is always the same."""

    task: ClassVar[str] = "classes"
    sure: ClassVar[bool] = True
    gives: ClassVar[Literal["images", "tokens", "nodes", "graphs", "columns", "anything"]] = "images"
    published: ClassVar[int | None] = None

    def class_count(self) -> int | None:
        """How many classes its targets have; None where only the data know."""
        return None

    def image_shape(self) -> tuple[int, int, int] | None:
        """The channels, height and width of its images before they are resized; None where only the data know."""
        return None

    def input_count(self) -> int | None:
        """How many inputs a sample has; None where only the data know."""
        return 1

    def training_samples(self) -> int | None:
        """Samples of the training split, before a validation part is held out; None where only the data know."""
        return self.published


@component("data")
class Digits(Data, frozen=True, tag="digits"):
    """1,797 handwritten digits of 8 x 8 pixels (scikit-learn's, embedded), resized to what the net takes.

    `test`: the fraction of every class that is held out; the same samples in every run. `margin`: blank pixels around
    each digit, so that it can be moved.
    """

    source: ClassVar[str] = "Alpaydin & Kaynak 1998"
    counts: ClassVar[tuple[int, ...]] = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    """Samples of each class."""
    test: Fraction = 0.2
    margin: Annotated[int, Meta(ge=0, le=100)] = 0

    def training_samples(self) -> int:
        return sum(not (k + 0.5) / n < self.test for n in self.counts for k in range(n))

    def class_count(self) -> int:
        return len(self.counts)

    def image_shape(self) -> tuple[int, int, int]:
        side = 8 + 2 * self.margin
        return 1, side, side


@component("data")
class Clutter(Data, frozen=True, tag="clutter"):
    """Digits placed in clutter with a mask of where each is: segmentation pairs made from the embedded digits."""

    task = "mask"
    train: Count = 800
    test: Count = 200
    size: Count = 32
    seed: Index = 0

    def training_samples(self) -> int:
        return self.train

    def class_count(self) -> int:
        return 2

    def image_shape(self) -> tuple[int, int, int]:
        return 1, self.size, self.size


@component("data")
class Cifar10(Data, frozen=True, tag="cifar10"):
    """CIFAR-10 in its binary version (data_batch_1.bin ... test_batch.bin)."""

    source: ClassVar[str] = "Krizhevsky 2009"
    published = 50_000
    folder: Folder = "cifar-10-batches-bin"

    def class_count(self) -> int:
        return 10

    def image_shape(self) -> tuple[int, int, int]:
        return 3, 32, 32


@component("data")
class Cifar100(Data, frozen=True, tag="cifar100"):
    """CIFAR-100 in its binary version (train.bin, test.bin); the fine labels, or the 20 coarse ones."""

    source: ClassVar[str] = "Krizhevsky 2009"
    published = 50_000
    folder: Folder = "cifar-100-binary"
    labels: Literal["fine", "coarse"] = "fine"

    def class_count(self) -> int:
        return 100 if self.labels == "fine" else 20

    def image_shape(self) -> tuple[int, int, int]:
        return 3, 32, 32


@component("data")
class Mnist(Data, frozen=True, tag="mnist"):
    """MNIST's four idx files, compressed or not."""

    source: ClassVar[str] = "LeCun et al. 1998"
    published = 60_000
    folder: Folder = "mnist"

    def class_count(self) -> int:
        return 10

    def image_shape(self) -> tuple[int, int, int]:
        return 1, 28, 28


@component("data")
class FashionMnist(Data, frozen=True, tag="fashion_mnist"):
    """Fashion-MNIST: the same four idx files."""

    source: ClassVar[str] = "Xiao et al. 2017"
    published = 60_000
    folder: Folder = "fashion-mnist"

    def class_count(self) -> int:
        return 10

    def image_shape(self) -> tuple[int, int, int]:
        return 1, 28, 28


Group = Annotated[
    str,
    Meta(
        description="what images belong to, such as a patient, never divided: `{}` in the pattern of their names, "
        "`{}_*` or `{}/*`"
    ),
]
"""Names of files with `*` for anything, and `{}` for what they belong to."""


class Images(Data, frozen=True, kw_only=True):
    """Image files.

    They are resized to `resize` on their shorter side and cut to `crop` in the middle; without them, to what the net
    takes. Training images are cut from the whole image where `augment` begins with `random_resized_crop`, from the
    resized one where it begins with `crop`.
    """

    resize: Annotated[Index, Meta(description="shorter side before the cut; 0: as `crop`")] = 0
    crop: Annotated[Index, Meta(description="side of the cut; 0: what the net takes")] = 0
    interpolation: Literal["bilinear", "nearest", "bicubic"] = "bilinear"
    fit: Annotated[Literal["cut", "warp"], Meta(description="cut the middle, or squeeze the whole into `crop`")] = "cut"
    reduced: Annotated[
        bool, Meta(description="decode JPEG files at a half, a quarter or an eighth where that is enough: other pixels")
    ] = False


@component("data")
class ImageFolder(Images, frozen=True, tag="imagefolder"):
    """A folder `train` and a folder `val` (or `test`) with one folder of images per class.

    Images are resized to `resize` on their shorter side and cut to `crop` in the middle; without them, to what the
    net takes. Training images are cut from the whole file where `augment` begins with `random_resized_crop`, from the
    resized one where it begins with `crop`.
    """

    folder: Folder
    group: Group = ""


class Table(Images, frozen=True, kw_only=True):
    """A table with a column of images and one of classes."""

    sure = False
    image: Annotated[str, Meta(description="column of the images")] = "image"
    label: Annotated[str, Meta(description="column of the classes: names, numbers, or a list of names")] = "label"
    hold_out: Annotated[Fraction, Meta(description="part of the training split to test on where `test` is empty")] = 0.2
    group: Annotated[str, Meta(description="column of what images belong to, such as a patient; never divided")] = ""


@component("data")
class Parquet(Table, frozen=True, tag="parquet"):
    """Parquet files with a column of images (PNG or JPEG bytes) and one of classes, as the Hugging Face Hub has
    them. Read through `datasets`; sized and cut as in `imagefolder`."""

    files: Annotated[
        str, Meta(min_length=1, description="files, relative to the spec: `data/train-*.parquet`", extra=A_PATH)
    ]
    test: Annotated[str, Meta(description="files to test on; empty: a part of the others", extra=A_PATH)] = ""


@component("data")
class Shards(Images, frozen=True, tag="shards"):
    """Samples in many files, each read from front to back: uncompressed tar files in webdataset's layout (`a.jpg` and
    `a.cls`, one behind the other), or parquet files. Every process reads files of its own, in an order that is the same
    for any number of processes. Sized and cut as in `imagefolder`."""

    source: ClassVar[str] = "webdataset"
    files: Annotated[
        str, Meta(min_length=1, description="files, relative to the spec: `data/train-*.tar`", extra=A_PATH)
    ]
    test: Annotated[str, Meta(min_length=1, description="files to test on", extra=A_PATH)]
    image: Annotated[str, Meta(description="ending or column of the images; empty: any known one, or `image`")] = ""
    label: Annotated[str, Meta(description="ending or column of the classes; empty: `cls`, or `label`")] = ""


@component("data")
class Hub(Table, frozen=True, tag="hf"):
    """A data set of the Hugging Face Hub, by its name, or a folder with one. Read through `datasets`, from its cache
    where there is no network; never runs code of a data set. Sized and cut as in `imagefolder`."""

    name: Annotated[
        str, Meta(min_length=1, description="`user/name`, or a folder relative to the spec", extra=PERHAPS_A_PATH)
    ]
    config: Annotated[str, Meta(description="which of its configurations, where it has several")] = ""
    train: Annotated[str, Meta(description="split to train on")] = "train"
    test: Annotated[str, Meta(description="split to test on; empty: a part of the other")] = "test"
    revision: Annotated[str, Meta(description="branch, tag or commit; empty: the newest")] = ""


@component("data")
class MaskFolder(Images, frozen=True, tag="maskfolder"):
    """Segmentation pairs: folders `images` and `masks` under `train` and `val`, file by file; a mask's pixels are
    class numbers, or with `colors` the colour of each class. Both are resized and cut as in `imagefolder`, masks
    without blending; with `random_resized_crop`, `scale_jitter` or `crop` first in `augment`, both are cut from the
    whole files."""

    task = "mask"
    folder: Folder
    ignore: Annotated[Level | None, Meta(description="value of a mask's pixels that have no class")] = None
    classes: Annotated[tuple[str, ...], Meta(description="names of the classes, from 0; none: their numbers")] = ()
    colors: Annotated[tuple[Color, ...], Meta(description="colour of each class in the masks, from 0: `#80c020`")] = ()
    ignore_color: Annotated[Color | None, Meta(description="colour of pixels that have no class")] = None
    group: Group = ""

    def class_count(self) -> int | None:
        return len(self.classes) or len(self.colors) or None


@component("data")
class Npz(Data, frozen=True, tag="npz"):
    """One numpy file with `x`, `y` (and `x_test`, `y_test`): whole numbers in `y` are classes, others are
    regression targets. For a net with several inputs, `inputs` names their arrays."""

    sure = False
    gives = "anything"
    path: Path
    inputs: Annotated[tuple[str, ...], Meta(min_length=1, description="the array of each input, in order")] = ("x",)
    test: Annotated[Fraction, Meta(description="held out where the file has no x_test")] = 0.2
    group: Annotated[str, Meta(description="array of what samples belong to, such as a patient; never divided")] = ""
    ordered: Annotated[
        bool, Meta(description="samples stand in the order of time: the last ones are tested on, and folds go forward")
    ] = False

    def input_count(self) -> int:
        return len(self.inputs)


@component("data")
class Python(Data, frozen=True, tag="python"):
    """Data passed in Python, `net.train(data=...)`: arrays, a table or a Dataset. What a run's recipe says of
    them; a recipe that is written cannot read them."""

    sure = False
    gives = "anything"

    def input_count(self) -> None:
        return None


@component("data")
class Text(Data, frozen=True, tag="text"):
    """A text file, cut into windows of `length` tokens; the net predicts the next one at every position.

    With `carry`, the text is read as `batch` streams side by side: recurrent layers begin each window with the state in
    which the one before ended, and each stream with zeros (truncated backpropagation through time).
    """

    source: ClassVar[str] = "`carry`: Werbos 1990; Mikolov et al. 2010"
    task = "tokens"
    gives = "tokens"
    path: Path
    length: Annotated[Count, Meta(description="tokens of a window")] = 64
    test: Annotated[Fraction, Meta(description="the part at the end of the text that is held out")] = 0.1
    tokens: Annotated[Literal["characters", "bytes"], Meta(description="what a token is: 256 bytes are any text")] = (
        "characters"
    )
    tokenizer: Annotated[
        str, Meta(description="a `tokenizer.json` of Hugging Face's `tokenizers`; empty: `tokens`", extra=A_PATH)
    ] = ""
    carry: Annotated[bool, Meta(description="recurrent layers keep their states from window to window")] = False

    def class_count(self) -> int | None:
        return 256 if self.tokens == "bytes" and not self.tokenizer else None


@component("data")
class Graph(Data, frozen=True, tag="graph"):
    """One graph as a numpy file: `features` [nodes, F], `edges` [2, E], `labels` [nodes] (-1: none), `train` mask.

    Rows of 0 and 1, `labels` [nodes, L], are labels of which several may hold (-1: not known), for `loss = bce`; with
    `mse`, `l1` or `huber` they are numbers, [nodes] or [nodes, F] (`nan`: not known). A mask `val` says which nodes
    weights are chosen by, `test` which are tested on (without it, all others). The arrays may be called as in PyTorch
    Geometric: `x`, `edge_index`, `y`, `train_mask` ...

    A net with `input edges [2, E] int64` gets the edges, from and to, each once in both directions and none to itself;
    another one the adjacency [nodes, nodes]: 1 where two are joined in either direction, and on the diagonal.
    """

    task = "nodes"
    gives = "nodes"
    path: Path

    def input_count(self) -> int:
        return 2


@component("data")
class Graphs(Data, frozen=True, tag="graphs"):
    """Many graphs, each with a class or numbers of its own, or with a class, labels or numbers for each node: a numpy
    file, or a folder of the TU collection.

    A batch is one graph whose parts are not joined. A net takes it by the names of its inputs: `nodes [N, F]` first,
    `edges [2, E] int64`, `graph [N] int64` (the number of each node's graph), `sizes [G] int64` (the nodes of each
    graph) and `edge_features [E, K]`. It gives something for each graph, `[G, classes]`, or for each node, `[N,
    classes]`: as `labels` of the file has it.
    """

    source: ClassVar[str] = "batches: Fey & Lenssen 2019; folders: Morris et al. 2020"
    sure = False
    gives = "graphs"
    path: Annotated[
        str, Meta(min_length=1, description="file or folder of the graphs, relative to the spec", extra=A_PATH)
    ]
    test: Annotated[Fraction, Meta(description="held out where the file has no `train`")] = 0.2
    group: Annotated[str, Meta(description="array of what graphs belong to, such as a scaffold; never divided")] = ""

    def input_count(self) -> None:
        return None


@component("data")
class Synthetic(Data, frozen=True, tag="synthetic"):
    """Random images of the net's own input shape with a class that can be learnt from them: for trying a recipe
    out."""

    gives = "anything"
    train: Count = 256
    test: Count = 64
    classes: Annotated[Index, Meta(description="0: as many as the net has outputs")] = 0
    noise: NonNegative = 0.3
    seed: Index = 0

    def training_samples(self) -> int:
        return self.train

    def class_count(self) -> int | None:
        return self.classes or None
