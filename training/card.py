"""The card of a trained model: every figure measured anew on texts that it was not trained on, or quoted as recorded.

The same model, data and runs give the same card on the same machine, but for the speed. The runs are those named now
and those that the card before told of; without that card, they are forgotten.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.card import (
    Card,
    CardInBrief,
    Changed,
    Comparison,
    OtherTexts,
    OtherTextsInBrief,
    Part,
    RunOfRecipe,
    Speed,
    load_card,
)
from charlstm.config import Calibration, TrainingRecord
from charlstm.errors import ArtifactError
from charlstm.predictor import Predictor
from training.calibration import reliability
from training.compare import Candidate, compare
from training.data import LabelledTexts
from training.errors import TrainingError
from training.evaluate import has_token, probabilities_negative
from training.progress import Step
from training.robustness import Judgement, by_entity, by_length, judge_neither, measure_changes
from training.runs import spreads_of, table_of_runs, with_earlier
from training.sentences import Vectors
from training.speed import machine, measure_low_precision, measure_speed
from training.splits import Rows, SplitName, paraphrased, part_in_words, repeated, split_rows

INTENDED_USE: Final = (
    "Estimate how probably a short text of the kind it was trained on is negative rather than positive, over many "
    "texts, and show what the network's memory held on the way: for summing up, for exploring, for teaching."
)
NOT_FOR: Final = (
    "decisions about a person, or about what a person may say: moderation, hiring, lending, policing, health",
    "a verdict on a single text that nobody reads: {wrong:.0%} of the texts {tested} got the wrong label",
    "texts that are neither positive nor negative: it has no word for them, and calls them one or the other",
    "texts of another kind, time or language than those it was trained on, without scoring it on such texts first",
)


TESTED: Final = {
    SplitName.GROUPED: "it had never seen",
    SplitName.ARTICLE: "of a random part, where there are groups mostly paraphrases of what it had seen,",
}


@dataclass(frozen=True)
class CardSettings:
    """What a card is to show beside the model itself.

    Attributes:
        runs: Folders of other models of the same recipe, to show how far runs are apart; those that the card before
            told of are kept.
        beside: Folders of other models, to compare accuracy and speed with.
        embeddings: As in `compare`.
        speed_texts: How many texts are read to measure speed.
        speed_rounds: How many times; the median counts.
    """

    runs: tuple[Path, ...] = ()
    beside: tuple[Path, ...] = ()
    embeddings: Vectors | None = None
    speed_texts: int = 2000
    speed_rounds: int = 3


def make_card(directory: Path, data: LabelledTexts, settings: CardSettings, step: Step) -> Card:
    """Measure everything that a card tells of the model in a folder.

    Args:
        directory: The model's folder. A card that it holds of the same version is read for the runs that it tells of.
        data: What it was trained on, with the test part.
        settings: What else to show.
        step: Told what is done next.

    Raises:
        ArtifactError: A model cannot be used, or the card before cannot be read.
        TrainingError: It is not known what the model was trained on, or it is not this data; or a further run is of
            another recipe, or there twice.
    """
    predictor = Predictor.load(directory, "cpu")
    artifacts = predictor.artifacts
    record = _record_of(directory, artifacts, data)
    candidates = [Candidate(artifacts.config.name, predictor), *map(_beside, settings.beside)]
    found = table_of_runs([(directory, artifacts), *((folder, load_artifacts(folder)) for folder in settings.runs)])
    runs = with_earlier(found, _runs_of_earlier_card(directory, artifacts.version))
    own = SplitName(record.split)
    split = split_rows(data, own, record.split_seed)
    comparison = compare(data, candidates, _splits_of(data), record.split_seed, step, embeddings=settings.embeddings)
    step("scoring texts as they are")
    judged = Judgement.of(predictor, data, split.test)
    changes, neither = tuple(measure_changes(predictor, judged, step)), tuple(judge_neither(predictor, data, step))
    step("scoring without calibration")
    uncalibrated = probabilities_negative(_uncalibrated(artifacts), judged.texts)
    step("scoring in bfloat16")
    low_precision = measure_low_precision(predictor, judged)
    groups = None if data.groups is None else data.groups[judged.rows]
    after = reliability(judged.labels, groups, judged.negative, artifacts.config.calibration.temperature)
    brief = _in_brief(
        comparison,
        [judged.all(), *changes],
        neither,
        record,
        after.calibration_error,
    )
    return Card(
        model_version=artifacts.version,
        package_version=version("charlstm"),
        data_sha256=data.sha256,
        brief=brief,
        comparison=comparison,
        paraphrased=_paraphrased(data, record.split_seed),
        unrepeated=_unrepeated(judged, _learnt_from(data, split.train, record)),
        runs=runs,
        spreads=spreads_of(runs),
        before=reliability(judged.labels, groups, uncalibrated, 1.0),
        after=after,
        changes=changes,
        lengths=tuple(by_length(judged)),
        entities=tuple(by_entity(judged, data)),
        neither=neither,
        learnt_from_neither=_learnt_from_neither(record, data),
        low_precision=low_precision,
        machine=machine(),
        speeds=tuple(_speeds(comparison, candidates, judged, settings, step)),
    )


def _record_of(directory: Path, artifacts: Artifacts, data: LabelledTexts) -> TrainingRecord:
    record = artifacts.config.training
    if record is None:
        raise TrainingError(f"{directory}: a card needs a model that says what it was trained on; this one does not")
    if record.rows_sha256 != data.rows_sha256:
        raise TrainingError(
            f"{directory}: a card needs the data that the model was trained on, {record.data} with the same columns; "
            f"the rows of {data.name} are others"
        )
    return record


def _learnt_from_neither(record: TrainingRecord, data: LabelledTexts) -> bool:
    return bool(record.options.get("unlabelled", False)) and bool(data.unlabelled)


def _unrepeated(judged: Judgement, learnt_from: Sequence[str]) -> Part | None:
    """Score the texts that the model has not seen under another group."""
    unrepeated = ~repeated(judged.texts, learnt_from)
    return judged.part("not repeated", unrepeated) if unrepeated.any() else None


def _learnt_from(data: LabelledTexts, train: Rows, record: TrainingRecord) -> list[str]:
    """Return all texts of the data that shaped the model, those that chose its epoch and temperature among them."""
    return data.texts_of(train) + (list(data.unlabelled) if _learnt_from_neither(record, data) else [])


def _runs_of_earlier_card(directory: Path, version: str) -> tuple[RunOfRecipe, ...]:
    try:
        card = load_card(directory, version)
    except ArtifactError as error:
        hint = f"a card that can be read, or none: delete it, and name the runs that it told of ({error.expected})"
        raise ArtifactError(error.file, hint, error.found) from error
    return () if card is None else card.runs


def _beside(folder: Path) -> Candidate:
    predictor = Predictor.load(folder, "cpu")
    return Candidate(f"{predictor.artifacts.config.name} ({folder.name})", predictor)


def _splits_of(data: LabelledTexts) -> list[SplitName]:
    return [split for split in SplitName if split is not SplitName.GROUPED or data.groups is not None]


def _paraphrased(data: LabelledTexts, seed: int) -> dict[str, float]:
    """Work out by how much each split leaks."""
    shares = {}
    for name in _splits_of(data):
        split = split_rows(data, name, seed)
        count = paraphrased(data, split.test, split.train)
        if count is not None:
            shares[name.value] = count / len(split.test)
    return shares


def _uncalibrated(artifacts: Artifacts) -> Predictor:
    config = artifacts.config.model_copy(update={"calibration": Calibration()})
    return Predictor(dataclasses.replace(artifacts, config=config), "cpu")


def _in_brief(
    comparison: Comparison,
    changes: Sequence[Part | Changed],
    neither: Sequence[OtherTexts],
    record: TrainingRecord,
    calibration_error: float,
) -> CardInBrief:
    split = SplitName(record.split)
    scores = next(contestant.reached for contestant in comparison.contestants if contestant.is_model)
    return CardInBrief(
        intended_use=INTENDED_USE,
        not_for=tuple(reason.format(wrong=1 - changes[0].accuracy, tested=TESTED[split]) for reason in NOT_FOR),
        scores=scores,
        calibration_error=calibration_error,
        part=part_in_words(split, record.split_seed),
        robustness={found.name: found.accuracy for found in changes},
        neither=tuple(
            OtherTextsInBrief(**{name: getattr(found, name) for name in OtherTextsInBrief.model_fields})
            for found in neither
        ),
    )


def _speeds(
    comparison: Comparison, candidates: Sequence[Candidate], judged: Judgement, settings: CardSettings, step: Step
) -> Iterator[Speed]:
    drawn = np.random.default_rng(0).permutation(len(judged.texts))[: settings.speed_texts]
    texts = [judged.texts[index] for index in drawn]
    models = [contestant for contestant in comparison.contestants if contestant.is_model]
    for contestant, (name, predictor) in zip(models, candidates, strict=True):
        step(f"measuring the speed of {name}")
        readable = [text for text in texts if has_token(predictor, text)]
        yield measure_speed(contestant, predictor, readable, settings.speed_rounds)
