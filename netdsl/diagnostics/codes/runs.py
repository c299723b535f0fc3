"""Codes of what ends a run or keeps it from beginning: devices, memory, loss, run directories and checkpoints."""

from netdsl.diagnostics.codes.code import SMALL, Code, recipe

RUNS = (
    Code(
        "no-such-device",
        "The machine has no such device",
        "`--device` takes `cpu`, `cuda` or `cuda:N`. Each process of this machine needs a GPU of its own.",
        "$ netdsl train lenet --device cuda:99\n",
        "",
    ),
    Code(
        "out-of-memory",
        "The memory does not hold what is computed",
        "Fewer samples at a time (`micro_batch`) give the same gradient with less memory; `precision = bf16`, smaller "
        "images or a smaller net need less. Images in files are read while training and need not fit.",
        unshown="it depends on the memory of the machine",
    ),
    Code(
        "cannot-compile",
        "torch.compile cannot work here",
        "On a GPU it needs Triton and a C compiler, on a CPU a C++ compiler. `compile = auto` compiles where it can.",
        unshown="it depends on the compilers of the machine",
    ),
    Code(
        "few-samples",
        "A batch has too few samples",
        "Each process needs a sample, and batch normalisation needs more than one value for each channel. "
        "`drop_last = true` leaves out a last batch that is small.",
        "$ netdsl train normed.net --set batch=1\n",
        "$ netdsl train normed.net\n",
        files=(
            (
                "normed.net",
                recipe(
                    "data = digits\nsteps = 2",
                    "input image [1, 8, 8]\nflatten -> linear(8) -> bn -> relu -> linear(10)",
                ),
            ),
        ),
    ),
    Code(
        "not-finite",
        "The loss, a gradient or a weight is NaN or infinite",
        "In training the message names the step, and the layer where it begins. A lower learning rate, `clip` or a "
        "warm-up usually helps; with fp16, `precision = bf16` has a larger range.",
        "$ netdsl train small.net --set steps=8 --set optimizer.lr=1e38\n",
        "$ netdsl train small.net --set steps=8\n",
        files=(("small.net", SMALL),),
    ),
    Code(
        "reader-died",
        "A process that reads the data has ended",
        "Usually the system ended it for want of memory, or the shared memory of a container is too small "
        "(`--shm-size`). `workers = 0` reads in the training process.",
        unshown="a process has to be ended from outside",
    ),
    Code(
        "process-ended",
        "Another process of this run has ended",
        "Training with several processes ends when one of them does. Its own message says why; the run resumes from "
        "the newest checkpoint.",
        unshown="a process has to be ended from outside",
    ),
    Code(
        "callback-failed",
        "A callback raised an exception",
        "A function that was given to `train` (`on_step`, `on_evaluation`, `on_checkpoint`) failed. The exception is "
        "the cause of the error, and the run is kept with a checkpoint.",
        unshown="only a call from Python gives functions",
    ),
    Code(
        "cannot-write",
        "A file of a run cannot be written",
        "The disk is full, or the operating system refuses. Files are replaced at once or not at all, so what was "
        "there before is unharmed; the run resumes from its newest checkpoint.",
        "$ netdsl train small.net -o small.net/run\n",
        "$ netdsl train small.net -o run\n",
        files=(("small.net", SMALL),),
    ),
    Code(
        "not-empty",
        "The run directory is not empty",
        "A new run begins in a new or an empty directory, so that no run overwrites another. `--resume` resumes one.",
        "$ netdsl train lenet -o run\n",
        "",
        files=(("run/notes.txt", "mine\n"),),
    ),
    Code(
        "run-in-use",
        "Another process trains into the run directory",
        "Two processes would overwrite each other's checkpoints. Wait for the other one, or choose another directory.",
        unshown="two commands have to run at once",
    ),
    Code(
        "not-a-run",
        "The directory is not one of a run",
        "A run directory holds `run.json`, `recipe.json` and the spec; `netdsl train` makes one. The message names the "
        "file that is missing or damaged.",
        "$ netdsl eval run\n",
        "",
        files=(("run/notes.txt", "mine\n"),),
    ),
    Code(
        "unfinished-run",
        "The run has not ended",
        "The final weights are written at the end of training. `netdsl train --resume RUN` trains to the end.",
        unshown="a run has to be stopped from outside",
    ),
    Code(
        "already-ended",
        "The run is past its end",
        "`--set epochs=` or `steps=` ends training before the step that the checkpoint has reached. Resume from an "
        "older checkpoint that is kept, or train longer.",
        "$ netdsl train small.net -o run\n$ netdsl train --resume run --set steps=1\n",
        "$ netdsl train --resume run --set steps=3\n",
        files=(("small.net", SMALL),),
    ),
    Code(
        "changed-data",
        "The data are not those that the run began with",
        "A run is resumed with the same samples, classes and statistics, so that it ends as if it had never stopped. "
        "Restore the data, or begin a new run.",
        unshown="a file has to change between two commands",
    ),
    Code(
        "outdated-run",
        "The spec of a run gives another net today",
        "The spec in the run directory was changed, or a newer version of the language reads it in another way. The "
        "message names the lines. A run of a newer version of netdsl is read by that version.",
        unshown="the spec of a run has to change between two commands",
    ),
    Code(
        "damaged-checkpoint",
        "A checkpoint is damaged",
        "Its bytes are not those that were written, or it is no checkpoint. Resume from an older one (`keep = 2` keeps "
        "more than one).",
        unshown="a file has to be damaged between two commands",
    ),
    Code(
        "unfit-net",
        "The net lacks what a command needs",
        "`predict` needs a net that gives one number for each class, `--mc` a net with dropout.",
        "$ netdsl train small.net -o run\n$ netdsl predict run digit.png --mc 3\n",
        "",
        files=(("small.net", SMALL),),
    ),
)
