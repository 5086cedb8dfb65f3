"""Training with a teacher, from labelled and unlabelled texts to artifacts, with a stub for the sentence encoder."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from charlstm import load_artifacts
from charlstm.vocabulary import PADDING_ID
from tests.stub_sentences import StubEncoder
from tests.tiny import tiny_artifacts
from tests.training_data import labelled, sentiment_rows
from training.augmentation import MadeTexts, augment
from training.checkpoint import EpochRecord
from training.corpus import Corpus
from training.data import LabelledTexts
from training.distillation import Answers, LessonBatch, Student
from training.errors import CheckpointError, TrainingError
from training.fit import fit, last_saved
from training.fit_settings import FitSettings
from training.recipe import Recipe
from training.sentences import Offsets, Vectors
from training.splits import Rows, SplitName, hold_out, split_rows
from training.teacher import Classroom
from training.teaching import teach
from training.trainer import Run, train

RECIPE = Recipe(
    embedding_dim=8,
    hidden_size=16,
    epochs=3,
    batch_size=16,
    by_length=True,
    learning_rate=0.02,
    mask_rate=0.02,
    dropout=0.1,
    validation_fraction=0.2,
    teacher_share=0.7,
    tuned_teacher=True,
    unlabelled=True,
    word_weight=1.0,
    embedding_weight=3.0,
)
FILES = {"config.json", "vocabulary.json", "model.safetensors", "learning-curve.png", "metrics.json"}


class KilledError(Exception):
    """Stands for whatever ends a process."""


class Listener:
    """Hears of every epoch, and kills the run when the given one begins."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.epochs: list[int] = []
        self.prepared: list[str] = []
        self._killed_at = killed_at

    def preparing(self, what: str) -> None:
        self.prepared.append(what)

    def run_started(self, title: str, epochs: int) -> None:
        """It does not matter here."""

    def epoch_started(self, epoch: int, batches: int) -> None:
        assert batches > 1
        if epoch == self._killed_at:
            raise KilledError
        self.epochs.append(epoch)

    def batch_done(self, mean_loss: float) -> None:
        assert mean_loss > 0

    def epoch_done(self, record: EpochRecord) -> None:
        assert record.epoch == self.epochs[-1]


@pytest.fixture
def data() -> LabelledTexts:
    return data_to_learn_from()


def data_to_learn_from() -> LabelledTexts:
    unlabelled = tuple(row.text + "?" for row in sentiment_rows(tweets=10, paraphrases=2, seed=5))
    return dataclasses.replace(labelled(sentiment_rows(tweets=60)), unlabelled=unlabelled)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FitSettings:
    monkeypatch.setattr("training.taught.MiniLM", lambda _: StubEncoder())
    cpu = torch.device("cpu")
    return FitSettings(
        "default", RECIPE, SplitName.GROUPED, None, split_seed=42, seed=0, device=cpu, cache=tmp_path / "cache"
    )


def changed(settings: FitSettings, **recipe: Any) -> FitSettings:
    return dataclasses.replace(settings, recipe=Recipe.model_validate(settings.recipe.model_dump() | recipe))


def trained_on(
    data: LabelledTexts, output: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> tuple[Corpus, Corpus]:
    """Return what a run trains and validates on."""
    runs: list[Run] = []

    def listen(model: Any, run: Run, progress: Any) -> Any:
        runs.append(run)
        return train(model, run, progress)

    monkeypatch.setattr("training.fit.train", listen)
    fit(data, output, settings, Listener())
    return runs[0].train, runs[0].validation


def held_out(data: LabelledTexts, part: str, name: SplitName = SplitName.GROUPED) -> Rows:
    """Return the rows of the test part, or of the validation part."""
    split = split_rows(data, name, 42)
    return split.test if part == "test" else hold_out(data, split.train, name, 0.2, 42).test


def weights(folder: Path) -> dict[str, Tensor]:
    return dict(load_artifacts(folder).model.state_dict())


def test_it_learns_what_can_be_learnt(tmp_path: Path, settings: FitSettings) -> None:
    """Of tweets that it never saw, half of which are positive."""
    longer = changed(settings, epochs=10, dropout=0.0, batch_size=32)
    assert fit(labelled(sentiment_rows()), tmp_path / "model", longer, Listener()).metrics["grouped"].accuracy > 0.85


def test_the_folder_holds_the_network_and_nothing_of_the_teacher(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings
) -> None:
    fit(data, tmp_path / "model", settings, Listener())
    assert {file.name for file in (tmp_path / "model").iterdir()} == FILES
    assert not any("pointer" in name for name in weights(tmp_path / "model"))
    record = load_artifacts(tmp_path / "model").config.training
    assert record is not None
    split = split_rows(data, SplitName.GROUPED, 42)
    assert record.rows_trained == len(hold_out(data, split.train, SplitName.GROUPED, 0.2, 42).train)
    assert Recipe.model_validate(record.options) == RECIPE


def test_a_killed_run_goes_on_to_the_same_result(data: LabelledTexts, tmp_path: Path, settings: FitSettings) -> None:
    """To the bit, the layer that is thrown away included, for it shapes the rest."""
    fit(data, tmp_path / "whole", settings, Listener())
    with pytest.raises(KilledError):
        fit(data, tmp_path / "killed", settings, Listener(killed_at=2))
    resumed = Listener()
    fit(data, tmp_path / "killed", settings, resumed)
    assert resumed.epochs == [2]
    torch.testing.assert_close(weights(tmp_path / "killed"), weights(tmp_path / "whole"), rtol=0, atol=0)
    histories = [json.loads((tmp_path / name / "metrics.json").read_bytes())["epochs"] for name in ("killed", "whole")]
    for one, other in zip(*histories, strict=True):
        assert (one["train_loss"], one["validation"]) == (other["train_loss"], other["validation"])


def test_an_unfinished_run_on_other_unlabelled_texts_is_not_continued(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings
) -> None:
    with pytest.raises(KilledError):
        fit(data, tmp_path / "model", settings, Listener(killed_at=1))
    with pytest.raises(CheckpointError, match="other data or settings"):
        fit(dataclasses.replace(data, unlabelled=("another",)), tmp_path / "model", settings, Listener())


def test_a_text_is_trained_on_as_its_teachers_and_its_label_say(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.7 of the mean opinion on its group and 0.3 of its label; unlabelled texts as the teacher says."""
    found, _ = trained_on(data, tmp_path / "model", settings, monkeypatch)
    rows = hold_out(
        data, split_rows(data, SplitName.GROUPED, 42).train, SplitName.GROUPED, RECIPE.validation_fraction, 42
    ).train
    taught = teach(Classroom(data, rows, by_group=True, unlabelled=True, tuned=True), StubEncoder, tmp_path / "cache")
    assert data.groups is not None
    expected = []
    for row in rows:
        group = [other for other in rows if data.groups[other] == data.groups[row]]
        expected.append(0.7 * taught.of_whole_texts(group).mean() + 0.3 * data.labels[row])
    extra = taught.of_whole_texts(range(len(data.texts), len(data.texts) + len(data.unlabelled)))
    np.testing.assert_allclose(found.labels, [*expected, *extra], rtol=1e-5)
    assert found.lessons is not None
    assert len(found.lessons.starts) == len(found) + 1
    assert bool(found.lessons.probabilities.isfinite().all())  # none is of a text outside the training rows


def test_a_group_that_holds_both_labels_says_not_one_thing(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All texts of an author, say: each keeps the opinion on itself."""
    authors = dataclasses.replace(data, groups=np.arange(len(data.texts)) % 12)
    found, _ = trained_on(authors, tmp_path / "model", settings, monkeypatch)
    split = split_rows(authors, SplitName.GROUPED, 42)
    rows = hold_out(authors, split.train, SplitName.GROUPED, RECIPE.validation_fraction, 42).train
    room = Classroom(authors, rows, by_group=True, unlabelled=True, tuned=True)
    opinions = teach(room, StubEncoder, tmp_path / "cache").of_whole_texts(rows.tolist())
    assert all(len(set(data.labels[authors.groups == author])) == 2 for author in range(12))
    np.testing.assert_allclose(found.labels[: len(rows)], 0.7 * opinions + 0.3 * data.labels[rows], rtol=1e-5)


def test_validation_is_on_labels_alone(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, validation = trained_on(data, tmp_path / "model", settings, monkeypatch)
    assert set(validation.labels.tolist()) == {0.0, 1.0}
    assert validation.lessons is None


def test_unlabelled_texts_are_read_only_if_asked(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    without, _ = trained_on(data, tmp_path / "model", changed(settings, unlabelled=False), monkeypatch)
    everything, _ = trained_on(data, tmp_path / "other", settings, monkeypatch)
    assert len(everything) - len(without) == len(data.unlabelled)


def test_texts_can_be_made_of_the_others(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those to train on alone, and what is learnt of them is what the teacher says."""
    plain, _ = trained_on(data, tmp_path / "plain", changed(settings, epochs=1), monkeypatch)
    more, _ = trained_on(data, tmp_path / "more", changed(settings, epochs=1, augmentations=2), monkeypatch)
    assert len(more) == 3 * len(plain)
    assert torch.equal(more.labels[: len(plain)], plain.labels)
    assert more.lessons is not None
    last = more.lessons.starts[len(plain) + 1 :] - 1  # of each made text
    assert torch.equal(more.labels[len(plain) :], more.lessons.probabilities[last])
    assert bool(more.lessons.probabilities.isfinite().all())  # so none is made of a text that nobody may judge


@pytest.mark.parametrize("split", list(SplitName))
def test_made_texts_can_have_the_label_of_what_they_are_made_of(
    tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch, split: SplitName
) -> None:
    """In the same share, at the end and, if asked, after each word; what has no label has none to give."""
    data = data_to_learn_from()
    here = dataclasses.replace(changed(settings, epochs=1, label_after_words=True, augmentations=2), split=split)
    taught, mixed = (
        trained_on(data, tmp_path / name, changed(here, label_made_texts=on), monkeypatch)[0]
        for name, on in (("taught", False), ("mixed", True))
    )
    rows = hold_out(data, split_rows(data, split, 42).train, split, RECIPE.validation_fraction, 42).train
    own = torch.from_numpy(data.labels[rows]).float()
    before, after = (found.labels.reshape(3, -1) for found in (taught, mixed))  # the texts; made texts; made texts
    assert torch.equal(after[0], before[0])
    for made in (1, 2):
        torch.testing.assert_close(after[made, : len(rows)], 0.7 * before[made, : len(rows)] + 0.3 * own)
        assert torch.equal(after[made, len(rows) :], before[made, len(rows) :])
    assert mixed.lessons is not None
    last = mixed.lessons.starts[1:][-2 * after.shape[1] :] - 1
    torch.testing.assert_close(after[1:].flatten(), mixed.lessons.probabilities[last])


@pytest.mark.parametrize("split", list(SplitName))
def test_no_word_of_a_held_out_text_is_in_a_made_one(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch, split: SplitName
) -> None:
    """Words that are put in come from the texts to train on, or are the sentence encoder's own.

    By the article's split a held-out text has paraphrases among those to train on.
    """
    texts = list(data.texts)
    for part, word in (("test", "xylophone"), ("validation", "marimba")):
        for row in held_out(data, part, split):
            texts[row] += f" {word}"
    found: list[str] = []

    def listen(*arguments: Any) -> MadeTexts:
        made = augment(*arguments)
        found.extend(made.texts)
        return made

    monkeypatch.setattr("training.taught.augment", listen)
    here = dataclasses.replace(changed(settings, epochs=1, augmentations=5), split=split)
    fit(dataclasses.replace(data, texts=tuple(texts)), tmp_path / "model", here, Listener())
    written = " ".join(found)
    assert "xylophone" not in written
    assert "marimba" not in written
    assert all(word in written for word in StubEncoder.words)


# Under the article's split a held-out text has paraphrases to learn from.
@pytest.mark.parametrize(
    ("split", "made"),
    [
        (SplitName.GROUPED, {}),
        (SplitName.ARTICLE, {"augmentations": 1, "label_made_texts": True, "label_after_words": True}),
    ],
)
@pytest.mark.parametrize("part", ["test", "validation"])
def test_held_out_labels_shape_nothing_that_is_learnt(
    tmp_path: Path, settings: FitSettings, split: SplitName, made: dict[str, Any], part: str
) -> None:
    """Neither those of the test part nor, but for the choice of the best epoch, those of the validation part."""
    data = data_to_learn_from()
    labels, rows = data.labels.copy(), held_out(data, part, split)
    labels[rows] = 1 - labels[rows]
    here = dataclasses.replace(changed(settings, epochs=1, **made), split=split)
    with pytest.MonkeyPatch.context() as patched:
        found = [
            trained_on(each, tmp_path / name, here, patched)[0]
            for name, each in (("one", data), ("other", dataclasses.replace(data, labels=labels)))
        ]
    assert torch.equal(found[0].labels, found[1].labels)
    assert found[0].lessons is not None
    assert found[1].lessons is not None
    assert torch.equal(found[0].lessons.probabilities, found[1].lessons.probabilities)
    torch.testing.assert_close(weights(tmp_path / "one"), weights(tmp_path / "other"), rtol=0, atol=0)


@pytest.mark.parametrize("weight", ["word_weight", "embedding_weight", "teacher_share"])
def test_each_weight_counts(data: LabelledTexts, tmp_path: Path, settings: FitSettings, weight: str) -> None:
    fit(data, tmp_path / "one", changed(settings, epochs=1), Listener())
    fit(data, tmp_path / "other", changed(settings, epochs=1, **{weight: 0.1}), Listener())
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "other")
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


def test_labels_can_be_learnt_after_each_word_too(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each word of a labelled text is as near to its label as the end is; what has no label keeps its teacher."""
    plain, mixed = (
        trained_on(data, tmp_path / name, changed(settings, epochs=1, label_after_words=on), monkeypatch)[0].lessons
        for name, on in (("plain", False), ("mixed", True))
    )
    assert plain is not None
    assert mixed is not None
    labelled_texts = len(plain.starts) - 1 - len(data.unlabelled)
    words = int(plain.starts[labelled_texts])
    pulled = (mixed.probabilities[:words] - 0.7 * plain.probabilities[:words]) / 0.3
    torch.testing.assert_close(pulled, pulled.round(), rtol=0, atol=1e-5)
    assert set(pulled.round().tolist()) == {0.0, 1.0}
    assert torch.equal(mixed.probabilities[words:], plain.probabilities[words:])


def test_whole_words_can_be_masked(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word is shown or is not, from its first step to its lesson's."""
    found: list[bool] = []
    forward = Student.forward

    def listen(self: Student, token_ids: Tensor, lengths: Tensor, lessons: LessonBatch) -> Answers:
        unknown = token_ids == self.model.config.num_embeddings - 1
        begin, text = 0, -1
        for which, step in zip(lessons.texts.tolist(), lessons.steps.tolist(), strict=True):
            begin = begin if which == text else 0
            kinds = set(unknown[which, begin : step + 1].tolist())
            assert len(kinds) == 1
            found.append(kinds.pop())
            begin, text = step + 1, which
        assert torch.equal((token_ids != PADDING_ID).sum(dim=1), lengths)
        return forward(self, token_ids, lengths, lessons)

    monkeypatch.setattr(Student, "forward", listen)
    plain = changed(settings, epochs=2, mask_rate=0.0, word_mask_rate=0.25, unlabelled=False)
    fit(data, tmp_path / "model", plain, Listener())
    assert np.mean(found) == pytest.approx(0.25, abs=0.05)


def test_a_teacher_reads_no_further_than_the_network(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would say something after every word of a long text, and none of it could be learnt."""
    asked: list[str] = []

    class Noting(StubEncoder):
        def read(self, texts: Sequence[str]) -> list[tuple[Offsets, Vectors]]:
            asked.extend(texts)
            return super().read(texts)

    monkeypatch.setattr("training.taught.MiniLM", lambda _: Noting())
    long = dataclasses.replace(
        data, texts=tuple(text + " and so on" * 50 for text in data.texts), unlabelled=("so it was " * 50,)
    )
    fit(long, tmp_path / "model", changed(settings, epochs=1, max_length=30), Listener())
    assert set(asked) == {text[:30] for text in (*long.texts, *long.unlabelled)}


def test_a_cache_that_cannot_be_written_is_found_before_the_work(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="is no folder"):
        fit(data, tmp_path / "model", dataclasses.replace(settings, cache=tmp_path / "file" / "cache"), Listener())


def test_a_finished_model_is_found_before_the_teacher_is_asked(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings
) -> None:
    model, heard = tiny_artifacts(tmp_path / "model"), Listener()
    with pytest.raises(TrainingError, match="--fresh replaces it"):
        fit(data, model, settings, heard)
    assert heard.prepared == []
    assert not settings.cache.exists()


def test_another_unfinished_run_is_found_before_the_teacher_is_asked(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings
) -> None:
    with pytest.raises(KilledError):
        fit(data, tmp_path / "model", settings, Listener(killed_at=1))
    heard = Listener()
    with pytest.raises(CheckpointError, match="other data or settings"):
        fit(data, tmp_path / "model", dataclasses.replace(settings, split_seed=43), heard)
    assert heard.prepared == []


def test_what_a_teacher_lacks_costs_no_unfinished_run(
    data: LabelledTexts, tmp_path: Path, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is thrown away for a new one only when that begins to learn."""

    def lacking(_: object) -> StubEncoder:
        raise TrainingError("not installed")

    with pytest.raises(KilledError):
        fit(data, tmp_path / "model", settings, Listener(killed_at=1))
    monkeypatch.setattr("training.taught.MiniLM", lacking)
    anew = dataclasses.replace(settings, fresh=True, cache=tmp_path / "other")
    with pytest.raises(TrainingError, match="not installed"):
        fit(data, tmp_path / "model", anew, Listener())
    assert last_saved(tmp_path / "model", settings.split) is not None


def test_progress_says_that_the_teacher_is_asked(data: LabelledTexts, tmp_path: Path, settings: FitSettings) -> None:
    heard = Listener()
    both = dataclasses.replace(changed(settings, epochs=1), also_score=SplitName.ARTICLE)
    fit(data, tmp_path / "model", both, heard)
    assert [line.partition(":")[0] for line in heard.prepared] == ["grouped split", "article split"]
