"""Codes of mistakes in recipes, and of what they ask of a net."""

from netdsl.diagnostics.codes.code import Code, recipe

SMALL = "net Example {\n  input x [3]\n  linear(10)\n}\n\n"
RESIDUAL = (
    "input image [1, 8, 8]\n  conv(8, 3)\n  residual { conv(8, 3, bias=false) -> bn }\n  relu\n  gap -> linear(10)"
)
DROPPED = "input image [1, 8, 8]\n  flatten -> linear(32) -> relu -> dropout(0.2) -> linear(10)"
GRAY = "input image [1, 28, 28]\n  flatten -> linear(10)"
TWO = "input x [20]\n  output main = linear(10)\n  output side = x -> linear(10)"

RECIPES = (
    Code(
        "unknown-recipe",
        "There is no recipe of this name",
        "`--recipe NAME` and `extends NAME` name a recipe of the file, or of a file it imports.",
        SMALL + "recipe Long for Example extends Shrt {\n  epochs = 3\n}\n",
        SMALL
        + "recipe Short for Example {\n  epochs = 1\n}\n\nrecipe Long for Example extends Short {\n  epochs = 3\n}\n",
    ),
    Code(
        "cyclic-recipe",
        "A recipe extends itself",
        "Each recipe of the circle waits for the values of another.",
        SMALL
        + "recipe A for Example extends B {\n  epochs = 1\n}\n\nrecipe B for Example extends A {\n  batch = 8\n}\n",
        SMALL + "recipe A for Example {\n  epochs = 1\n}\n\nrecipe B for Example extends A {\n  batch = 8\n}\n",
    ),
    Code(
        "unknown-field",
        "A recipe has no field of this name",
        "`netdsl recipe --fields` lists all fields with their components and defaults.",
        recipe("epochz = 3"),
        recipe("epochs = 3"),
    ),
    Code(
        "duplicate-field",
        "A field is written twice",
        "Each field has one value. A recipe that extends another replaces its fields.",
        recipe("epochs = 3\nepochs = 4"),
        recipe("epochs = 3"),
    ),
    Code(
        "field-value",
        "A field takes something else",
        "The message says what the field takes; `netdsl recipe --fields FIELD` shows it with examples.",
        recipe("drop_path = 0.1"),
        recipe("dropout = linear(0, 0.1)", DROPPED),
    ),
    Code(
        "bad-value",
        "A value is out of its range",
        "Rates lie between 0 and 1, learning rates and batch sizes are above 0.",
        recipe("batch = 0"),
        recipe("batch = 32"),
    ),
    Code(
        "bad-unit",
        "A duration has the wrong unit",
        "Durations are numbers of epochs or steps: `5 epochs`, `1000 steps`.",
        recipe("schedule = warmup(5) -> cosine"),
        recipe("epochs = 30\nschedule = warmup(5 epochs) -> cosine"),
    ),
    Code(
        "conflicting-fields",
        "Two fields contradict each other",
        "Both say the same thing, or one excludes the other. Delete one of them.",
        recipe("epochs = 3\nsteps = 100"),
        recipe("epochs = 3"),
    ),
    Code(
        "unreachable-phase",
        "A phase of the schedule is never reached",
        "A phase without a duration lasts to the end of training. Give it one, or put it last.",
        recipe("epochs = 30\nschedule = cosine -> constant"),
        recipe("epochs = 30\nschedule = constant(10 epochs) -> cosine"),
    ),
    Code(
        "schedule-too-long",
        "The phases last longer than training",
        "What lies behind the end of training never happens. Shorten the phases or train longer.",
        recipe("epochs = 3\nschedule = warmup(5 epochs) -> cosine"),
        recipe("epochs = 30\nschedule = warmup(5 epochs) -> cosine"),
    ),
    Code(
        "schedule-too-short",
        "The phases end before training does",
        "The last phase has a duration, and nothing says what follows.",
        recipe("epochs = 6\nschedule = warmup(2 epochs) -> constant(3 epochs)"),
        recipe("epochs = 6\nschedule = warmup(2 epochs) -> constant"),
    ),
    Code(
        "idle-phase",
        "A phase has no steps",
        "The phases before it take all of training.",
        recipe("epochs = 2\nschedule = warmup(2 epochs) -> cosine"),
        recipe("epochs = 20\nschedule = warmup(2 epochs) -> cosine"),
    ),
    Code(
        "late-warmup",
        "A warm-up follows another phase",
        "It starts again from its low learning rate: usually the warm-up comes first.",
        recipe("epochs = 9\nschedule = cosine -> warmup(1 epochs)"),
        recipe("epochs = 9\nschedule = warmup(1 epochs) -> cosine"),
    ),
    Code(
        "stops-on-test",
        "The test split decides when training ends",
        "The score that is reported was then chosen on the same samples, and is too good. Hold out a "
        "validation split: `validation = 0.1`.",
        recipe("stop = early_stopping(3)"),
        recipe("stop = early_stopping(3)\nvalidation = 0.1"),
    ),
    Code(
        "chosen-on-test",
        "The test split chooses the weights",
        "The score that is reported was then chosen on the same samples, and is too good. Hold out a "
        "validation split: `validation = 0.1`.",
        recipe("final = best"),
        recipe("final = best\nvalidation = 0.1"),
    ),
    Code(
        "hard-loss",
        "The loss cannot take soft targets",
        "Mixup, cutmix and label smoothing make targets that are distributions over classes. Use a loss that "
        "takes them, such as `cross_entropy` or `bce`.",
        recipe("loss = mse\nmix = mixup(0.2)"),
        recipe("loss = cross_entropy\nmix = mixup(0.2)"),
    ),
    Code(
        "heavy-smoothing",
        "Label smoothing hides the label",
        "More than half of every target is spread over all classes. Usual values are 0.1 to 0.2.",
        recipe("loss = cross_entropy(label_smoothing=0.6)"),
        recipe("loss = cross_entropy(label_smoothing=0.1)"),
    ),
    Code(
        "idle-option",
        "An option has no effect",
        "It acts only together with another one that is not there.",
        recipe("epochs = 9\nunfreeze = after(3 epochs)"),
        recipe("epochs = 9"),
    ),
    Code(
        "clipped-twice",
        "Gradients are clipped twice",
        "The optimizer clips by itself. Drop one of the two.",
        recipe("optimizer = lamb(lr=1e-3)\nclip = 1.0"),
        recipe("optimizer = lamb(lr=1e-3)"),
    ),
    Code(
        "coupled-decay",
        "Weight decay acts through Adam's step",
        "Adam divides L2 decay by the gradient's size, so strongly trained weights hardly decay. AdamW decays"
        " weights directly (Loshchilov & Hutter 2019).",
        recipe("optimizer = adam(lr=1e-3, weight_decay=0.05)"),
        recipe("optimizer = adamw(lr=1e-3, weight_decay=0.05)"),
    ),
    Code(
        "large-lr",
        "The learning rate is far above what the optimizer takes",
        "Lion's steps all have the size of the learning rate: 3 to 10 times below AdamW's is usual.",
        recipe("optimizer = lion(lr=1e-2)"),
        recipe("optimizer = lion(lr=1e-4)"),
    ),
    Code(
        "unusual-value",
        "A value is far from any that is used",
        "It is taken, and hardly meant: two numbers the wrong way round, another unit (degrees and radians), a "
        "factor instead of its inverse, or a decay that leaves nothing of the weights.",
        recipe("optimizer = adamw(lr=1e-3, betas=[0.999, 0.9])"),
        recipe("optimizer = adamw(lr=1e-3, betas=[0.9, 0.999])"),
    ),
    Code(
        "tested-on-training",
        "The test split is the training split",
        "The score that is reported then tells how well samples are remembered, not what is known of others.",
        recipe('data = parquet("a-*.parquet", test="a-*.parquet")'),
        recipe('data = parquet("a-*.parquet", test="b-*.parquet")'),
    ),
    Code(
        "slow-average",
        "The average of the weights lasts longer than training",
        "An EMA of decay d averages about 1 / (1 - d) steps. Where training is shorter, the average still "
        "holds the initial weights.",
        recipe("steps = 100\nema = 0.9999"),
        recipe("steps = 100\nema = 0.95"),
    ),
    Code(
        "scaled-pixels",
        "Pixels are standardised by numbers of another scale",
        "Images are read as numbers from 0 to 1. A mean of 124 is one of pixels from 0 to 255: divide it by 255.",
        recipe("data = mnist\nstandardize = fixed([33.3], [78.6])", GRAY),
        recipe("data = mnist\nstandardize = fixed([0.1307], [0.3081])", GRAY),
    ),
    Code(
        "always-dropped",
        "Everything is dropped",
        "A rate of stochastic depth is the chance that a branch is left out, one of dropout that a number is. At 1 "
        "nothing is left to learn from.",
        recipe(
            "drop_path = constant(1)",
            RESIDUAL,
        ),
        recipe(
            "drop_path = constant(0.1)",
            RESIDUAL,
        ),
    ),
    Code(
        "two-policies",
        "Two augmentation policies act on every image",
        "Policies such as RandAugment and TrivialAugment are tuned alone.",
        recipe(
            "augment = randaugment -> trivialaugment",
            "input image [1, 8, 8]\n  conv(8, 3) -> relu -> gap -> linear(10)",
        ),
        recipe("augment = trivialaugment", "input image [1, 8, 8]\n  conv(8, 3) -> relu -> gap -> linear(10)"),
    ),
    Code(
        "not-supported",
        "The combination is not supported",
        "The message names what cannot be combined.",
        recipe('data = graph("citations.npz")\nfolds = 3'),
        recipe('data = npz("measurements.npz")\nfolds = 3'),
    ),
    Code(
        "unknown-output",
        "The net has no output of this name",
        "A loss, a weight or a metric names an output that the net does not declare.",
        recipe("outputs = weights(aux=0.3)", TWO),
        recipe("outputs = weights(side=0.3)", TWO),
    ),
    Code(
        "unknown-selector",
        "A selector matches no parameter",
        "`group`, `freeze` and layer selectors choose parameters by role (`norm`, `bias`), label or path. "
        "Nothing of this net matches.",
        recipe("freeze backbone"),
        recipe("freeze bias"),
    ),
    Code(
        "all-frozen",
        "Nothing is left to train",
        "`freeze` matches every parameter of the net, so that no optimizer step could change anything.",
        recipe("freeze linear, bias"),
        recipe("freeze bias"),
    ),
    Code(
        "no-residual-links",
        "The net has no residual links",
        "`drop_path`, `zero_last_norm`, `fixup` and `skipinit` act on residual links, which are written "
        "`residual { ... }`.",
        recipe("drop_path = linear(0, 0.1)"),
        recipe("dropout = linear(0, 0.1)", DROPPED),
    ),
    Code(
        "balanced-twice",
        "Rare classes are made up for twice",
        "`sampling = balanced` shows rare classes more often, `weight=balanced` counts each of their samples more. One "
        "of the two is enough.",
        recipe("sampling = balanced\nloss = cross_entropy(weight=balanced)"),
        recipe("loss = cross_entropy(weight=balanced)"),
    ),
    Code(
        "unfit-branch",
        "A residual branch has no form that the initialization needs",
        "Fixup and SkipInit scale the layers of each residual branch, and the branch must end with a layer "
        "that has weights.",
        recipe("init = zero_last_norm", RESIDUAL.replace(" -> bn", "")),
        recipe("init = zero_last_norm", RESIDUAL),
    ),
    Code(
        "unfit-size",
        "An image size does not fit the net or the crop",
        "A weight or a shape of the net depends on the size of its input, a crop is larger than the image it is taken "
        "from, or images for training and for testing have other sizes than the net is declared for.",
        recipe("augment = resize(12)"),
        recipe("augment = resize(8)"),
    ),
    Code(
        "unfit-input",
        "The data gives something else than the net takes",
        "Images are [channels, height, width], texts [length]. Grey images are repeated on all channels and all images "
        "are resized; anything else must agree.",
        recipe("data = cifar10"),
        recipe("data = digits"),
    ),
    Code(
        "not-an-image",
        "An augmentation or cutmix is used on what is no image",
        "Augmentations move and recolour pixels. Vectors, tokens and nets with several inputs have none.",
        recipe("augment = hflip", "input x [64]\n  linear(10)"),
        recipe("augment = hflip"),
    ),
    Code(
        "unfit-loss",
        "The loss does not fit the output of the net or the targets",
        "A loss for classes compares one output per class: `[classes]` for a sample, `[classes, H, W]` for a mask, "
        "`[length, classes]` for tokens. Softmax over a single output is always 1.",
        recipe("data = digits", "input image [1, 8, 8]\n  conv(10, 1)"),
        recipe("data = digits"),
    ),
    Code(
        "unfit-metric",
        "A metric cannot be measured",
        "`top5` needs more than five classes, `rmse`, `mae` and `r2` regression targets, `perplexity` tokens; `auroc` "
        "and `average_precision` order samples, and not the places of a mask or a text. A metric that decides "
        "when to stop must be one that is measured.",
        recipe("metrics = [rmse]"),
        recipe("metrics = [top5]"),
    ),
    Code(
        "wrong-count",
        "The number of classes or values does not fit the net",
        "The data and the last layer of the net must agree.",
        recipe("data = cifar100", "input image [3, 32, 32]\n  flatten -> linear(10)"),
        recipe("data = cifar100", "input image [3, 32, 32]\n  flatten -> linear(100)"),
    ),
)
