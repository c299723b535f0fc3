"""Trains the seeds of a cell as one batched model, in a worker, where that is possible and faster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdsl.experiment.files import RUN, TRIAL, Mark, read, write_json
from netdsl.experiment.jobs import Answer, Job, Line, answered, failed, request_of

if TYPE_CHECKING:
    from netdsl.training.diagnose import Diverged
    from netdsl.training.together import Member


def attempt_all(job: Job, line: Line, one: Callable[[Job], Answer]) -> Answer:
    """Train the runs of a job and measure them, by `one` each; `apart` where they have to be trained one by one."""
    return answered(job, lambda: _trained(job, line, one))


def _trained(job: Job, line: Line, one: Callable[[Job], Answer]) -> Answer:
    from netdsl.training.together import Together, members_of

    begun = {j.row: read(Path(j.folder) / RUN, dict[str, Any]) for j in job.together}
    open_ones = [j for j in job.together if not (begun[j.row] or {}).get("result")]
    members = members_of([(j.row, request_of(j, Path(j.folder), begun[j.row] is not None)) for j in open_ones])
    if members and not _fit(job, line, members):
        return Answer(apart=True)
    for j in open_ones:
        write_json(Path(j.folder) / TRIAL, Mark(j.key, j.label))
    Together(members, job.rows).train(lambda text: print(text, file=sys.stderr))
    codes = {member.row: member.code for member in members}
    return Answer(each=tuple(_outcome(j, codes.get(j.row, 0), one) for j in job.together))


def _fit(job: Job, line: Line, members: Sequence[Member]) -> bool:
    """Whether runs are trained as one: where that is possible, and was decided, or is now that it is measured."""
    from netdsl.training.together import alike, speedup

    if not alike(members, decided=job.decided):
        return False
    if job.decided:
        return True
    line.say(Answer(report=(0, speedup(members[0].prepared, job.rows))))
    return line.orders.get().go


def _outcome(job: Job, code: int | Diverged | None, one: Callable[[Job], Answer]) -> Answer:
    """The answer of a run among others by how its training ended; one that has ended well is measured."""
    if code is not None and not isinstance(code, int):
        return failed(job, code.diagnostic)
    return one(job) if code == 0 else Answer(stopped=True)
