"""Codes of lints of recipes: what trains and is hardly meant. Each is a warning of one rule in `netdsl.checks.lint`."""

from netdsl.diagnostics.codes.code import Code, recipe

IMAGE = "input image [3, 32, 32]\n  conv(8, 3) -> relu -> gap -> linear(10)"
GREY = "input image [1, 28, 28]\n  flatten -> linear(10)"
NORMED = "input image [1, 8, 8]\n  conv(8, 3, bias=false) -> bn -> relu -> gap -> linear(10)"
SEQUENCE = "input x [16, 8]\n  layernorm -> flatten -> linear(10)"

RECIPE_LINTS = (
    Code(
        "softmax-before-loss",
        "A net ends with what its loss applies itself",
        "`cross_entropy` takes logits and applies log-softmax, `bce` applies the sigmoid. A net that ends with it is "
        "squashed twice: the loss can't get small and gradients are weak. Leave it out; `predict` shows probabilities.",
        recipe("epochs = 3", "input image [1, 8, 8]\n  flatten -> linear(10) -> softmax"),
        recipe("epochs = 3", "input image [1, 8, 8]\n  flatten -> linear(10)"),
    ),
    Code(
        "activation-on-logits",
        "A classifier ends with an activation",
        "Logits may be any numbers. Behind `relu` no class can get a score below 0, and a class whose score is "
        "negative everywhere gets no gradient.",
        recipe("epochs = 3", "input image [1, 8, 8]\n  flatten -> linear(10) -> relu"),
        recipe("epochs = 3", "input image [1, 8, 8]\n  flatten -> linear(10)"),
    ),
    Code(
        "flipped-digits",
        "Images of digits are mirrored",
        "A mirrored digit is another sign or none, so the net learns from wrong samples (Shorten & Khoshgoftaar 2019, "
        "A survey on image data augmentation: flipping is not label-preserving on digits and text).",
        recipe("data = digits\naugment = hflip"),
        recipe("data = digits\naugment = crop(padding=1)"),
    ),
    Code(
        "lr-out-of-range",
        "The learning rate is far above what the optimizer takes",
        "Each step of Adam moves a weight by about lr, so 0.1 destroys the weights in a few steps; rates like that are "
        "those of SGD.",
        recipe("optimizer = adamw(lr=0.1)"),
        recipe("optimizer = adamw(lr=1e-3)"),
    ),
    Code(
        "small-batch-norm",
        "Batch normalisation over a few samples",
        "The statistics of a few samples are noise, and differ from those used afterwards (Wu & He 2018, Group "
        "normalization, figure 1: the error grows quickly below 8 samples). With `micro_batch` they are those of the "
        "micro-batch.",
        recipe("batch = 2", NORMED),
        recipe("batch = 64", NORMED),
    ),
    Code(
        "ema-outlasts-run",
        "The average of the weights is longer than training",
        "An average with decay d covers about 1 / (1 - d) steps. One that is longer than the run still holds the "
        "initial weights at the end.",
        recipe("data = digits\nepochs = 3\nema = 0.9999"),
        recipe("data = digits\nepochs = 3\nema = 0.9"),
    ),
    Code(
        "vanished-lr",
        "The learning rate is nothing long before training ends",
        "Over the second half of the run lr is less than a millionth of its peak: often steps were counted where "
        "epochs were meant.",
        recipe("data = mnist\nepochs = 90\nschedule = step(30 steps)", GREY),
        recipe("data = mnist\nepochs = 90\nschedule = step(30 epochs)", GREY),
    ),
    Code(
        "batch-exceeds-data",
        "A batch is larger than the training split",
        "Every step takes all samples, of which there are fewer than `batch` says: an epoch is one step.",
        recipe("data = synthetic(train=100)\nbatch = 256"),
        recipe("data = synthetic(train=100)\nbatch = 32"),
    ),
    Code(
        "idle-smoothing",
        "A threshold undoes label smoothing",
        "`threshold` makes targets 0 or 1 after they were smoothed and mixed (Wightman et al. 2021), so smoothing "
        "changes nothing.",
        recipe("loss = bce(threshold=0.2, label_smoothing=0.1)"),
        recipe("loss = bce(label_smoothing=0.1)"),
    ),
    Code(
        "unpaired-resolution",
        "Training images are much smaller than those of the test",
        "Objects then have another apparent size. Training somewhat smaller than testing is usual (Touvron et al. "
        "2019, Fixing the train-test resolution discrepancy); less than half is rather a slip.",
        recipe("augment = random_resized_crop(8)", IMAGE),
        recipe("augment = random_resized_crop(32)", IMAGE),
    ),
    Code(
        "xavier-with-relu",
        "Xavier initialisation in a net of ReLUs without norms",
        "It keeps the variance through linear layers; each ReLU halves it, so deep in the net the signal vanishes "
        "(He et al. 2015, section 2.2).",
        recipe("init = xavier", IMAGE),
        recipe("init = kaiming", IMAGE),
    ),
    Code(
        "decayed-norms",
        "Strong weight decay on the gains and biases of layer normalisation",
        "Decay is meant for weights that are multiplied with the signal; the papers of transformers leave norms and "
        "biases out (GPT-3, Swin, DeiT).",
        recipe("optimizer = adamw(lr=1e-3, weight_decay=0.1)", SEQUENCE),
        recipe("optimizer = adamw(lr=1e-3, weight_decay=0.1)\ngroup norm, bias { weight_decay = 0 }", SEQUENCE),
    ),
)
