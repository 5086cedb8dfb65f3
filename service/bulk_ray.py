"""What `python -m service score --ray` does: judges the files of a folder on all machines of a Ray cluster.

Each file is work for one actor of Ray Data, which has loaded the model once, and becomes a part of the result: the very
file that the command makes of it on one machine. So a part is there whole or not at all, and what was begun of one goes
on where it was stopped, on whatever machine. All machines have to see the folders and the model under the same paths.

Beside the parts, `_task.json` says what all of them are made with, and `_made_of` for each of them what it is made of.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import ray
import ray.data
from ray.exceptions import RayError

from charlstm.artifacts import load_artifacts
from charlstm.errors import CharLSTMError
from charlstm.replacing import replace_files
from service.bulk_command import (
    INTERRUPTED,
    Files,
    Machine,
    Outcome,
    check,
    exit_code,
    load_scorer,
    rate,
    score_file,
    signature,
    summary,
)
from service.bulk_progress import bulk_progress
from service.bulk_result import Counts, Task
from service.bulk_rows import STANDARD, Asked, named_format
from service.errors import CannotGoOnError, CommandError, ServiceError

_TASK: Final = "_task.json"  # readers of a folder pass over names that begin so
_MADE_OF: Final = "_made_of"


@dataclass(frozen=True)
class Job:
    """A folder to be judged: where from, where to, how its files are read, and what judges them."""

    source: Path
    output: Path
    asked: Asked
    machine: Machine
    fresh: bool = False

    def files(self, name: str) -> Files:
        """Return a file by its path in the folder, and where its part goes."""
        source, output = self.source / name, self.output / name
        return Files(source, output, self.asked.layout(source, output))

    def record(self, name: str) -> Path:
        """Return where it says what a part is made of."""
        return self.output / _MADE_OF / f"{name}.json"


class Part(msgspec.Struct, frozen=True):
    """What became of a file: counts, or why there are none."""

    name: str
    counts: Counts = Counts()
    done: int = 0
    error: str | None = None


class Judge:
    """An actor: one model, and one file after the other.

    Raises:
        CharLSTMError: This machine has no such model, or no such device.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._scorer = load_scorer(job.machine)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Judge the files named in a batch; Ray calls it again, elsewhere, if this actor dies over them."""
        return {"part": [msgspec.json.encode(self._judged(str(name))) for name in batch["name"]]}

    def _judged(self, name: str) -> Part:
        try:
            counts, begun, _ = self._make(name)
        except (CharLSTMError, ServiceError) as error:
            return Part(name, error=str(error))
        except OSError as error:
            return Part(name, error=f"cannot write {self._job.output / name}: {error.strerror or error}")
        return Part(name, counts, counts.rows - begun)

    def _make(self, name: str) -> Outcome:
        """Make a part, and note of what; if the file changes in between, the note is of what it was."""
        files, record = self._job.files(name), self._job.record(name)
        check(files)
        for folder in (files.output.parent, record.parent):
            folder.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)  # what it says would be of the part that is replaced
        made_of = _made_of(files)
        outcome = self._score(files)
        replace_files(record.parent, {record.name: made_of})
        return outcome

    def _score(self, files: Files) -> Outcome:
        """Judge a file; what is there of one that is not the same any more, or of another task, is begun anew."""
        try:
            return score_file(files, self._scorer, fresh=self._job.fresh, quiet=True)
        except CannotGoOnError:
            return score_file(files, self._scorer, fresh=True, quiet=True)


def score_folder(job: Job, workers: int | None, *, quiet: bool) -> int:
    """Judge every file that has no part yet; say on standard error what became of them, and return the exit code.

    Args:
        job: What to do.
        workers: How many actors; by default as many as the cluster has room for.
        quiet: Whether to show errors alone.

    Raises:
        CharLSTMError: There is no such model.
        CommandError: There is nothing to judge, the result belongs to something else, or Ray cannot do it.
    """
    if job.output == STANDARD:
        raise CommandError("--ray needs --output, a folder for the parts of the result")
    job = _same_everywhere(job)
    names = _names(job)
    _begin(job)
    left = [name for name in names if not _is_there(job, name)]
    left.sort(key=lambda name: signature(job.source / name) or (0, 0), reverse=True)  # all would wait for the longest
    counts, done, errors, started = Counts(), 0, [], time.monotonic()
    try:
        with bulk_progress(0, quiet=quiet) as progress:
            for number, part in enumerate(_judged(job, left, workers), start=1):
                counts, done = counts + part.counts, done + part.done
                errors += [part.error] if part.error else []
                progress.reached(counts.rows, number / len(left))
    except KeyboardInterrupt:
        how = "without --fresh goes" if job.fresh else "goes"
        print(f"charlstm: stopped; the same command {how} on from here", file=sys.stderr)  # noqa: T201  its user reads it
        return INTERRUPTED
    for error in errors:
        print(f"charlstm: {error}", file=sys.stderr)  # noqa: T201  likewise
    if not quiet:
        before = f", where {len(names) - len(left):,} were already" if len(left) < len(names) else ""
        made = f"wrote {len(left) - len(errors):,} of {len(names):,} parts into {job.output}{before}"
        print(f"{summary(counts)}. {rate(done, time.monotonic() - started)}; {made}", file=sys.stderr)  # noqa: T201  likewise
    return 2 if errors else exit_code(counts)


def _same_everywhere(job: Job) -> Job:
    """Say what would depend on the folder and the machine that the command runs on; links are each machine's own."""
    machine = replace(job.machine, artifacts=job.machine.artifacts.absolute(), threads=job.machine.threads or 1)
    return replace(job, source=job.source.absolute(), output=job.output.absolute(), machine=machine)


def _names(job: Job) -> list[str]:
    """Return the files to judge, by their paths in the folder."""
    if not job.source.is_dir():
        found = "a file" if job.source.exists() else "nothing there"
        raise CommandError(f"{job.source}: expected a folder of files, for --ray, found {found}")
    source, output = job.source.resolve(), job.output.resolve()
    if output.is_relative_to(source):
        raise CommandError(f"--output has to be outside {job.source}, found {job.output}")
    if source.is_relative_to(output):  # a part could take the place of a file
        raise CommandError(f"--output has to be a folder that {job.source} is not in, found {job.output}")
    inside = [path.relative_to(job.source) for path in job.source.rglob("*") if path.is_file()]
    shown = [path for path in inside if not any(name.startswith((".", "_")) for name in path.parts)]
    names = sorted(str(path) for path in shown if job.asked.format or named_format(path))
    if not names:
        raise CommandError(f"{job.source} holds no file of rows (--format says what files of other endings are)")
    return names


def _begin(job: Job) -> None:
    """Note what the parts are made with, or see that it is the same."""
    path, task = job.output / _TASK, _task(job)
    try:
        if path.exists() and not job.fresh:
            if difference := msgspec.json.decode(path.read_bytes(), type=Task).difference(task):
                raise CommandError(f"{job.output} was begun with {difference}; --fresh begins anew")
            return
        job.output.mkdir(parents=True, exist_ok=True)
        _remove_parts(job)
        replace_files(job.output, {_TASK: msgspec.json.encode(task)})
    except OSError as error:
        raise CommandError(f"cannot write {job.output}: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise CommandError(f"{path} cannot be read ({error}); --fresh begins anew") from error


def _remove_parts(job: Job) -> None:
    """Remove every part that is known of, also those whose source is gone: they are another model's."""
    records = job.output / _MADE_OF
    for record in records.rglob("*.json"):
        (job.output / record.relative_to(records).with_suffix("")).unlink(missing_ok=True)
    if records.exists():
        shutil.rmtree(records)


def _task(job: Job) -> Task:
    """Return what all parts have in common; how each file is read, if that is up to its name, is not."""
    options = {
        "--text-column": job.asked.text_column,
        "--prefix": job.asked.prefix,
        "--header": str(job.asked.header),
        "--precision": job.machine.precision,
    }
    return Task(None, load_artifacts(job.machine.artifacts).version, options)


def _is_there(job: Job, name: str) -> bool:
    """Tell whether there is a file's part, made of what the file holds now and read as it would be now."""
    try:
        return job.record(name).read_bytes() == _made_of(job.files(name)) and (job.output / name).is_file()
    except (OSError, CommandError):  # whoever makes it says what is wrong
        return False


def _made_of(files: Files) -> bytes:
    """Say what a part is made of: the file as it is now, and how it is read."""
    return msgspec.json.encode({"source": signature(files.source), "layout": files.layout})


def _judged(job: Job, names: Sequence[str], workers: int | None) -> Iterator[Part]:
    """Have files judged, and return each when it is done."""
    if not names:
        return
    needs = {"num_gpus": 1} if job.machine.device.startswith("cuda") else {"num_cpus": job.machine.threads}
    try:
        _join_cluster()
        pool = ray.data.ActorPoolStrategy(
            size=min(workers or _room(**needs), len(names)), max_tasks_in_flight_per_actor=1
        )
        rows = ray.data.from_items([{"name": name} for name in names], override_num_blocks=len(names))
        judged = rows.map_batches(Judge, fn_constructor_args=(job,), batch_size=1, compute=pool, **needs)
        for row in judged.iter_rows():
            yield msgspec.json.decode(row["part"], type=Part)
    except RayError as error:
        raise CommandError(f"Ray cannot do it: {str(error).strip().splitlines()[-1]}") from error


def _join_cluster() -> None:
    """Join the cluster that RAY_ADDRESS names, or that runs on this machine; if there is none, this machine is one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.WARNING, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the command says itself how it goes


def _room(num_cpus: float = 0, num_gpus: float = 0) -> int:
    """Return how many actors the cluster has room for, at least one."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray says no type there
    return max(1, int(there.get("GPU", 0) // num_gpus if num_gpus else there.get("CPU", 0) // num_cpus))
