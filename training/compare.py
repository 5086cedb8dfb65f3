"""A model beside simple methods, on the same splits, and beside itself: what a split flatters is seen at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from charlstm.card import Comparison, Contestant, Reached
from charlstm.predictor import Predictor
from training.baselines import LEXICON, lexicon_is_installed, score_baselines
from training.data import LabelledTexts
from training.evaluate import score_rows
from training.preconditions import check_labels
from training.progress import Step
from training.sentences import Vectors
from training.splits import SplitName, split_rows

RECORDED = (
    "* recorded when the model was trained, since it knows texts of this test part, or paraphrases of them. For the "
    "split that it was not trained on, the figure comes from a second model of the same recipe, trained on that "
    "split's own training part"
)
NO_LEXICON = f"{LEXICON}, is left out: it needs the package vaderSentiment (extra `lexicon`)"


class Candidate(NamedTuple):
    """A model under the name it is shown by."""

    name: str
    predictor: Predictor


def load_candidates(folders: Sequence[Path]) -> list[Candidate]:
    """Load the models of some folders, to run on the CPU.

    Raises:
        ArtifactError: One of them cannot be used.
    """
    return [Candidate(str(folder), Predictor.load(folder, "cpu")) for folder in folders]


def compare(  # noqa: PLR0913  the last one only adds a method
    data: LabelledTexts,
    candidates: Sequence[Candidate],
    splits: Sequence[SplitName],
    split_seed: int,
    step: Step,
    *,
    embeddings: Vectors | None = None,
) -> Comparison:
    """Train and score the simple methods, and score the models.

    Args:
        data: The labelled texts.
        candidates: The models.
        splits: Which splits, in this order.
        split_seed: Their seed.
        step: Told what is done next.
        embeddings: As in `score_baselines`.

    Raises:
        TrainingError: The data does not allow a split, or one of its parts has texts of one label only.
    """
    baselines: dict[str, dict[str, Reached]] = {}
    for split in splits:
        divided = split_rows(data, split, split_seed)
        parts = {"training": divided.train, "test": divided.test}
        check_labels(data, split, {part: data.labels[rows] for part, rows in parts.items()})
        by_group = split is SplitName.GROUPED
        for name, reached in score_baselines(data, divided, _within(split, step), embeddings, by_group=by_group):
            baselines.setdefault(name, {})[split] = reached
    contestants = [Contestant(name=name, is_model=False, reached=reached) for name, reached in baselines.items()]
    for candidate in candidates:
        step(f"scoring {candidate.name}")
        by_split = {split.value: _reach(candidate, data, split, split_seed) for split in splits}
        known = {split: reached for split, reached in by_split.items() if reached is not None}
        contestants.append(Contestant(name=candidate.name, is_model=True, reached=known))
    found = Comparison(
        data=data.name, split_seed=split_seed, splits=tuple(splits), contestants=tuple(contestants), notes=()
    )
    return found.model_copy(update={"notes": tuple(_notes(data, candidates, found))})


def _within(split: SplitName, step: Step) -> Step:
    return lambda what: step(f"{split} split: {what}")


def _reach(candidate: Candidate, data: LabelledTexts, split: SplitName, split_seed: int) -> Reached | None:
    """Score a model on a test part that it does not know; of another one, give what was recorded, if anything was."""
    config = candidate.predictor.artifacts.config
    record, recorded = config.training, config.metrics.get(split.value)
    may_know = record is not None and record.rows_sha256 == data.rows_sha256
    is_own = record is not None and (record.split, record.split_seed) == (split, split_seed)
    if is_own or not may_know:
        scores = score_rows(candidate.predictor, data, split_rows(data, split, split_seed).test)
        return Reached(rows=scores.rows, accuracy=scores.accuracy, auc=scores.auc, how="measured")
    if recorded is None:
        return None
    return Reached(rows=recorded.rows, accuracy=recorded.accuracy, auc=recorded.auc, how="recorded")


def _notes(data: LabelledTexts, candidates: Sequence[Candidate], found: Comparison) -> Iterator[str]:
    if any(reached.how == "recorded" for one in found.contestants for reached in one.reached.values()):
        yield RECORDED
    for candidate, contestant in zip(candidates, found.contestants[-len(candidates) :], strict=False):
        record = candidate.predictor.artifacts.config.training
        if record is None or record.rows_sha256 != data.rows_sha256:
            yield f"{candidate.name}: it can't be told whether it was trained on these rows"
        elif record.split_seed != found.split_seed:
            yield f"{candidate.name}: trained with split seed {record.split_seed}, and its figures are of that division"
        for split in found.splits:
            if split not in contestant.reached:
                yield f"{candidate.name}: learnt from test texts of the {split} split, so it has no score there"
    if not lexicon_is_installed():
        yield NO_LEXICON
