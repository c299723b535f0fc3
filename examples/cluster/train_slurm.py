"""Train on several nodes of a Slurm cluster, through submitit: one process for each GPU, one run directory for all.

    python train_slurm.py --nodes 4 --gpus 8 --folder runs/big -- specs/resnet.net:ResNet50 --recipe A2
    python train_slurm.py --nodes 4 --gpus 8 --folder runs/big --resume

`--folder` lies where all nodes see it. A job that runs out of time, or is preempted, is submitted again by submitit and
resumes from its newest checkpoint. `--cluster local` runs the processes on this machine, without Slurm.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import submitit


class Training:
    """`netdsl train` for each process of a job: submitit says which one each is."""

    def __init__(self, folder: Path, words: list[str], resume: bool) -> None:
        self.folder, self.words, self.resume = folder, words, resume
        self.child: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        begun = self.resume or (self.folder / "checkpoint.safetensors").exists()
        words = ["--resume", str(self.folder)] if begun else [*self.words, "-o", str(self.folder)]
        self.child = subprocess.Popen([sys.executable, "-m", "netdsl", "train", *words])
        return self.child.wait()

    def checkpoint(self) -> Any:
        """Before the time runs out: the run saves and ends, and the same job is submitted once more."""
        if self.child is not None:
            self.child.send_signal(signal.SIGTERM)  # of one process: the others are told, and end at the same step
            self.child.wait()
        return submitit.helpers.DelayedSubmission(Training(self.folder, self.words, resume=False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=1, help="processes of a node, one for each GPU")
    parser.add_argument("--cpus", type=int, default=8, help="processor cores of a process")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--partition", help="of the cluster")
    parser.add_argument("--cluster", default="slurm", help="`slurm`, or `local` for a rehearsal")
    parser.add_argument("--folder", type=Path, required=True, help="the run directory, on a disk that all nodes see")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("words", nargs="*", help="of `netdsl train`, behind `--`")
    args = parser.parse_args()
    executor = submitit.AutoExecutor(folder=str(args.folder.parent / "jobs"), cluster=args.cluster)
    more = {"slurm_partition": args.partition} if args.partition else {}
    gpus = {"gpus_per_node": args.gpus} if args.cluster == "slurm" else {}
    executor.update_parameters(
        name="netdsl", nodes=args.nodes, tasks_per_node=args.gpus, cpus_per_task=args.cpus,
        timeout_min=int(60 * args.hours), **gpus, **more,
    )  # fmt: skip
    job = executor.submit(Training(args.folder.absolute(), args.words, args.resume))
    print(f"job {job.job_id}: logs in {job.paths.folder}", flush=True)
    codes = job.results()
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
