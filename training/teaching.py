"""From texts to what is taught of them: minutes of work, so it is kept on disk under a hash of what shapes it.

What is not in the hash are constants of the teacher's own code: whoever changes one empties the cache.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from charlstm.replacing import replacing
from training.data import LabelledTexts
from training.distillation import Teaching
from training.errors import TrainingError
from training.minilm import MiniLM
from training.sentences import Reading, SentenceEncoder, Vectors, read_by_words
from training.teacher import FOLDS, Classroom, inverse_penalty, judge_by_words

Arrays = dict[str, npt.NDArray[Any]]


def teach(room: Classroom, load_encoder: Callable[[], SentenceEncoder], cache: Path) -> Teaching:
    """Work out what a student is to learn of texts, or find it where an earlier run has kept it.

    Args:
        room: Who is taught what. Its labelled and then its unlabelled texts are all read once, for whatever split comes
            later, and then those that are made of them; of the labelled ones outside its rows nothing is learnt, and no
            label is looked at.
        load_encoder: Makes the sentence encoder; called only where it is needed.
        cache: The folder to keep results in.

    Raises:
        TrainingError: There is too little to teach a teacher with, or no sentence encoder.
    """
    data, made = room.data, room.made
    reading = read_texts(room.written, load_encoder, cache)
    if made.texts:
        reading = reading.followed_by(read_texts(made.texts, load_encoder, cache))
    penalty = inverse_penalty(by_group=room.by_group)
    kind = {"folds": FOLDS, "by_group": room.by_group, "penalty": penalty, "tuned": room.tuned}
    if not room.unlabelled:  # else as it was before there was this choice: what was kept then is still found
        kind["unlabelled"] = False
    made_of = [made.texts, made.sources.tolist()]
    shaped_by = [MiniLM.name, kind, data.rows_sha256, data.unlabelled_sha256, room.rows.tolist(), *made_of]
    judged = _remembered(
        cache, "judgement", shaped_by, lambda: {"log_odds": judge_by_words(room, reading, load_encoder)}
    )
    return Teaching(reading, scipy.special.expit(judged["log_odds"]).astype(np.float32))


def embed_texts(data: LabelledTexts, load_encoder: Callable[[], SentenceEncoder], cache: Path) -> Vectors:
    """Return where a sentence encoder sees each of the R labelled texts: (R, D); reads all of each.

    A teacher reads the same texts, and what one has read the other finds, unless the network reads less of some.
    """
    reading = read_texts(data.texts + data.unlabelled, load_encoder, cache)
    return reading.whole[: len(data.texts)].astype(np.float32)


def read_texts(texts: Sequence[str], load_encoder: Callable[[], SentenceEncoder], cache: Path) -> Reading:
    """Embed every beginning of every text that ends with a word, or find it where an earlier run has kept it.

    Raises:
        TrainingError: There is no sentence encoder, or what was kept cannot be read.
    """
    arrays = _remembered(cache, "reading", [MiniLM.name, texts], lambda: vars(read_by_words(load_encoder(), texts)))
    return Reading(**arrays)


def _remembered(folder: Path, name: str, shaped_by: object, make: Callable[[], Arrays]) -> Arrays:
    """Make arrays, or load those that were made of the same."""
    path = folder / f"{name}-{hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        return _load(path)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(path.with_suffix(".lock")):
        if path.exists():
            return _load(path)
        made = make()
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        with replacing(path, unfinished):
            _save(made, unfinished)
        return made


def _save(made: Arrays, path: Path) -> None:
    try:
        save_file(made, path)
    except SafetensorError as error:  # which it makes of an OSError, too
        raise TrainingError(f"{path}: what is kept of the teacher cannot be written: {error}") from error


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait for other runs: of two that want the same, one makes it, and the other finds it then."""
    with lock.open("a") as file:
        with suppress(OSError):  # some file systems have no locks: then both make it
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _load(path: Path) -> Arrays:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise TrainingError(f"{path}: what was kept of the teacher cannot be read; delete it to ask again") from error
