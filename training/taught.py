"""What a taught network trains on: the texts, those made of them, and what is to be learnt of each."""

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from charlstm.encoding import TextEncoder
from charlstm.errors import EmptyTextError
from training.augmentation import MadeTexts, augment
from training.calibration import sharing_a_label
from training.corpus import Corpus, encode_corpus
from training.data import LabelledTexts
from training.distillation import lessons_of
from training.fit_settings import FitSettings
from training.metrics import Labels, Probabilities
from training.minilm import MiniLM
from training.splits import Rows, SplitName
from training.teacher import Classroom
from training.teaching import teach

Groups = npt.NDArray[np.int64]


def taught_corpus(
    data: LabelledTexts, rows: Rows, encoder: TextEncoder, split: SplitName, settings: FitSettings
) -> Corpus:
    """Encode the texts to train on with all that a teacher says of them.

    They are in this order: those of `rows`, unlabelled ones, and those that are made of either. What the network does
    not read of a long text its teacher does not read either.

    Raises:
        TrainingError: There is too little to teach a teacher with, or no sentence encoder.
    """
    recipe, device = settings.recipe, settings.device
    data = _as_read(data, encoder)
    by_group = split is SplitName.GROUPED
    texts = {row: data.texts[row] for row in rows.tolist()}
    if recipe.unlabelled:
        texts |= dict(enumerate(data.unlabelled, start=len(data.texts)))
    load_encoder = functools.cache(lambda: MiniLM(device))
    made = augment(texts, recipe.augmentations, load_encoder().words) if recipe.augmentations else MadeTexts()
    room = Classroom(data, rows, by_group=by_group, unlabelled=recipe.unlabelled, tuned=recipe.tuned_teacher, made=made)
    teaching = teach(room, load_encoder, settings.cache)
    texts |= dict(enumerate(made.texts, start=len(room.written)))
    opinions = teaching.of_whole_texts(list(texts))
    labelled = room.with_made_of(rows) if recipe.label_made_texts else rows
    labels = data.labels[room.sources(labelled)]
    if recipe.label_after_words:
        teaching = teaching.mixed_with_labels(labelled, labels, recipe.teacher_share)
    blended = np.isin(list(texts), labelled)
    alone = len(rows) + np.arange(len(labelled) - len(rows))  # a made text says what no other does
    alike = np.concatenate([_alike(data, rows, by_group=by_group), alone])
    opinions[blended] = _blend(opinions[blended], labels, alike, recipe.teacher_share)
    corpus = encode_corpus(encoder, list(texts.values()), opinions.tolist(), recipe.pad_to, device)
    return dataclasses.replace(corpus, lessons=lessons_of(encoder, texts, teaching, device))


def _as_read(data: LabelledTexts, encoder: TextEncoder) -> LabelledTexts:
    """Cut the texts where the network stops reading; of the rest a teacher would say something after every word."""

    def read(text: str) -> str:
        try:
            return encoder.encode(text, truncate=True).text
        except EmptyTextError:
            return text

    return dataclasses.replace(data, texts=tuple(map(read, data.texts)), unlabelled=tuple(map(read, data.unlabelled)))


def _alike(data: LabelledTexts, rows: Rows, *, by_group: bool) -> Groups:
    """Number (R,) rows so that those of a group with one label share a number, or each has its own."""
    return sharing_a_label(data.labels[rows], data.groups[rows] if by_group and data.groups is not None else None)


def _blend(opinions: Probabilities, labels: Labels, groups: Groups, share: float) -> Probabilities:
    """Mix what a teacher says of R texts, averaged over each group, with their labels.

    Paraphrases of one text say the same; what their teachers say of them together is right more often.
    """
    _, group = np.unique(groups, return_inverse=True)
    of_group = np.bincount(group, weights=opinions) / np.bincount(group)
    blended: npt.NDArray[np.float64] = share * of_group[group] + (1 - share) * labels
    return blended
