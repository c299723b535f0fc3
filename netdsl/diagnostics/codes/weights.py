"""Codes of weights and models: files of tensors, mappings of their names, ONNX files."""

from netdsl.diagnostics.codes.code import Code, net

TINY = ("small.net", net("input x [4]\nlinear(3)"))

WEIGHTS = (
    Code(
        "unreadable-weights",
        "A file of weights cannot be read",
        "Weights are read from files of safetensors, `torch.save`, numpy and ONNX that hold tensors under names. Files "
        "that hold other objects are refused, because loading them could run code: save `model.state_dict()`.",
        "$ netdsl weights lenet notes.safetensors\n",
        "",
        files=(("notes.safetensors", "to do: train it\n"),),
    ),
    Code(
        "unfit-weights",
        "Weights do not belong to this net",
        "Names or shapes of the tensors in the file are not those of the net. `netdsl weights SPEC FILE` shows the two "
        "sides and maps one onto the other; `--partial` initializes what is missing.",
        "$ netdsl compile small.net -o out\n$ netdsl weights deep.net out/model.onnx\n",
        "$ netdsl weights small.net out/model.onnx\n",
        files=(
            TINY,
            ("deep.net", net("input x [4]\nlinear(3) -> relu -> linear(2)")),
        ),
    ),
    Code(
        "unclear-weights",
        "A file holds several sets of weights, or none under the key",
        "A checkpoint may hold several state dicts, for example one of averaged weights: `--inside KEY` chooses one.",
        "$ netdsl compile small.net -o out\n$ netdsl weights small.net out/model.onnx --inside ema\n",
        "$ netdsl weights small.net out/model.onnx\n",
        files=(TINY,),
    ),
    Code(
        "ambiguous-weights",
        "Several tensors of the file fit one of the net",
        "Names and shapes do not decide which one is meant. `netdsl weights SPEC FILE --stub map.toml` writes a "
        "mapping to be filled in, `--map map.toml` reads it.",
        "$ netdsl compile small.net -o out\n$ netdsl weights other.net out/model.onnx\n",
        "",
        files=(
            ("small.net", net("input x [4]\na: linear(4)\nb = x -> linear(4)\nit + b")),
            ("other.net", net("input x [4]\np = x -> { first: linear(4) }\nq = x -> { other: linear(4) }\np * q")),
        ),
    ),
    Code(
        "bad-mapping",
        "A mapping of weights has a mistake",
        'A mapping is a TOML file with one table, `[map]`, of lines `"key of the net" = "key of the file"`, or the '
        'constant `weights = [("key of the file", "key of the net")]` of a spec. Both keys exist.',
        "$ netdsl compile small.net -o out\n$ netdsl weights small.net out/model.onnx --map map.toml\n",
        "",
        files=(TINY, ("map.toml", '[map]\nlinear = "fc"\n')),
    ),
    Code(
        "no-way-back",
        "Weights cannot be written under the keys of the file",
        "`--reverse` undoes every conversion. Resized position tables and spectral normalization cannot be undone.",
        unshown="its file holds the weights of another project, which are no text",
    ),
    Code(
        "other-output",
        "The net computes other values than the given ones",
        "All shapes agree, so a constant differs that no shape shows: the eps of norms, where strides are, paddings, "
        "the activation.",
        unshown="its files are arrays, which are no text",
    ),
    Code(
        "unreadable-model",
        "onnxruntime cannot load the ONNX file",
        "The file is damaged, or it needs operators that the installed onnxruntime does not have. The message repeats "
        "the first line of its reason.",
        "$ netdsl eval notes.onnx\n",
        "",
        files=(("notes.onnx", "to do: export it\n"),),
    ),
    Code(
        "not-a-model",
        "The file holds no ONNX model",
        "Its bytes are not those of an ONNX model, or the model has no nodes. A spec or weights under this name?",
        "$ netdsl lift notes.onnx\n",
        "",
        files=(("notes.onnx", "to do: export it\n"),),
    ),
    Code(
        "foreign-model",
        "The ONNX file was not made from this net",
        "netdsl writes the spec of a net into each ONNX file that it makes, and names the values of the graph after "
        "its layers. This file has neither.",
        unshown="its file is an ONNX model of another project, which is no text",
    ),
    Code(
        "precision-loss",
        "The smaller file loses too much",
        "`netdsl compile --precision` measures the smaller ONNX file on the test split and writes it only if it loses "
        "at most `--max-drop`. The message holds the metric before and after, the hint the layers that lose most; "
        "`--keep` leaves layers in float.",
        unshown="it depends on trained weights",
    ),
    Code(
        "unknown-layer",
        "No layer has this name",
        "`--keep` names layers with weights as `netdsl summary` shows them, or a prefix of them: `head`, `stages.0`.",
        "$ netdsl compile lenet --precision int8 --calibrate digits --keep nothing -o made\n",
        "",
    ),
    Code(
        "unverified",
        "onnxruntime and PyTorch compute different values",
        "Before an ONNX file is written its outputs are compared with those of the PyTorch module. They differ by more "
        "than rounding explains. This is a bug in netdsl: please report it with the spec.",
        unshown="only a bug of an op's ONNX form gives it",
    ),
    Code(
        "not-exportable",
        "The net has no ONNX form",
        "In no opset is there an operator that computes what a layer does. The message names the layer. "
        "`--emit torch` writes the net as PyTorch, and a training leaves everything but model.onnx.",
        "$ netdsl compile enlarged.net\n",
        "$ netdsl compile enlarged.net --emit torch\n",
        files=(
            (
                "enlarged.net",
                net("input image [3, 8, 8]\nupsample(2, mode=bilinear, align_corners=true, antialias=true)"),
            ),
        ),
    ),
    Code(
        "not-liftable",
        "The model cannot be written as a spec",
        "It branches or loops while it runs, has operators that the language has no form for, or mixes the samples of "
        "a batch. The message names the node and the reason. Nothing is written.",
        unshown="its file is an ONNX model of another project, which is no text",
    ),
)
