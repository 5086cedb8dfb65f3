"""A card for people to read, `MODEL_CARD.md`: the figures of `card.json`, and the record in `config.json`."""

from collections.abc import Iterator, Sequence
from typing import Final

from charlstm.artifacts import Artifacts
from charlstm.card import Card, Changed, Part
from charlstm.config import TrainingRecord
from training.markdown import table, three_digits
from training.report import reached_in_words

CALIBRATION, COMPARISON, NEITHER, ROBUSTNESS = "calibration.png", "comparison.png", "neither.png", "robustness.png"

_KAGGLE_SHA256: Final = "68ebaee4f44bda5de49b96b5e5630184f1af894970b994aa6bb0aa5e1dbfe9a0"
_KAGGLE: Final = (
    "It is Kaggle's [Twitter Sentiment Analysis]"
    "(https://www.kaggle.com/datasets/jp797498e/twitter-entity-sentiment-analysis), in the public domain (CC0): tweets "
    "about games and companies, each about six times: the original and paraphrases."
)
_OTHER_DATA: Final = "The tool that wrote this does not know its licence: whoever gives the model away has to."
_SPLITS: Final = {
    "article": "Rows are divided at random.",
    "grouped": "Texts of one group, such as a tweet and its paraphrases, stay on one side.",
}


def card_page(card: Card, artifacts: Artifacts) -> str:
    """Write the whole page of a model that says how it was trained."""
    record = artifacts.config.training
    if record is None:
        raise ValueError("a card is made of a model that says how it was trained")
    sections = (
        _head(card, artifacts, record),
        _use(card),
        _data(card, record),
        _results(card),
        _runs(card),
        _calibration(card),
        _robustness(card),
        _subgroups(card),
        _neither(card),
        _speed(card),
        _recipe(artifacts, record),
        _limits(card),
    )
    return "\n".join(line for section in sections for line in section).rstrip() + "\n"


def _head(card: Card, artifacts: Artifacts, record: TrainingRecord) -> Iterator[str]:
    config = artifacts.config
    unit = "character" if config.preprocessing.level == "character" else "word"
    yield f"# Model card: {config.name}"
    yield ""
    yield (
        f"A unidirectional LSTM ({card.speeds[0].architecture}; {card.speeds[0].parameters:,} parameters) that reads a "
        f"text {unit} by {unit} and gives the probability that it is negative. Version `{card.model_version}`, trained "
        f"by the recipe `{record.preset}` on {record.rows_trained:,} labelled texts, measured with charlstm "
        f"{card.package_version}. Every figure on this page was measured on texts that were not trained on, or says "
        "otherwise; the same figures are in `card.json`."
    )
    yield ""


def _use(card: Card) -> Iterator[str]:
    yield from ("## What it is for, and what not", "", card.brief.intended_use, "", "It must not be used for", "")
    yield from (f"- {reason};" for reason in card.brief.not_for[:-1])
    yield f"- {card.brief.not_for[-1]}."
    yield ""


def _data(card: Card, record: TrainingRecord) -> Iterator[str]:
    yield from ("## Data, and two ways to divide it", "")
    licence = _KAGGLE if card.data_sha256 == _KAGGLE_SHA256 else _OTHER_DATA
    yield f"`{record.data}` (SHA-256 of the CSV: `{card.data_sha256}`). {licence}"
    yield ""
    for split in card.comparison.splits:
        line = f"- **{split}** (seed {card.comparison.split_seed}): {_SPLITS[split]}"
        if split in card.paraphrased:
            line += f" {card.paraphrased[split]:.1%} of its test rows have a paraphrase of themselves in training."
        yield line
    yield ""
    yield (
        f"The model was trained on the training part of the {record.split} split; {record.rows_validated:,} of its "
        f"rows were held out to choose the best epoch and the temperature by.{_teacher(card, record)} {_repeated(card)}"
    )
    yield ""


def _teacher(card: Card, record: TrainingRecord) -> str:
    if not record.options.get("teacher_share"):
        return ""
    learnt_from = ["of these texts"]
    if card.learnt_from_neither:
        learnt_from.append("of texts that are neither")
    pieces = record.options.get("augmentations")
    made = f" So it did of further texts, {pieces} pieces of each, most with some words exchanged." if pieces else ""
    return (
        f" Beside the labels it learnt what a teacher thinks {' and '.join(learnt_from)}.{made} The teacher is a bag "
        "of words and a sentence encoder, which had been trained on other texts before, fitted to the same part."
    )


def _repeated(card: Card) -> str:
    """Say how many test texts are not new although they belong to no text of the training part."""
    tested = sum(part.rows for part in card.lengths)
    new = card.unrepeated
    if new is None:
        return (
            "Every test text stands word for word, in whatever case, among the texts of the data that it learnt from."
        )
    if new.rows == tested:
        return "No test text stands word for word among the texts of the data that it learnt from."
    return (
        f"{tested - new.rows:,} of {tested:,} test texts stand word for word, in whatever case, among the texts of "
        f"the data that it learnt from; on the other {new.rows:,} its accuracy is {_reached_by(new)}."
    )


def _reached_by(part: Part) -> str:
    return f"{part.accuracy:.4f}" + ("" if part.auc is None else f" (AUC {part.auc:.4f})")


def _results(card: Card) -> Iterator[str]:
    splits = card.comparison.splits
    yield from ("## Results", "", "Accuracy (AUC) on the test part of each split:", "")
    yield from table(
        ("", *(f"{split} split" for split in splits)),
        (
            (
                f"**{one.name}**" if one.is_model else one.name,
                *(reached_in_words(one.reached.get(split)).replace("*", "\\*") for split in splits),
            )
            for one in card.comparison.contestants
        ),
    )
    yield ""
    for note in card.comparison.notes:
        yield from (note.replace("*", "\\*") + ".", "")
    yield from (f"![Accuracy of every method]({COMPARISON})", "")


def _runs(card: Card) -> Iterator[str]:
    if not card.spreads:
        return
    yield from ("## Other runs of the same recipe", "")
    yield "What each scored when it was trained, on the test part of its own division:"
    yield ""
    yield from table(
        ("split", "seed of the split", "seed of the run", "rows", "accuracy", "AUC", "calibration error"),
        (
            (
                run.split,
                run.split_seed,
                run.seed,
                f"{run.rows:,}",
                *map(three_digits, (run.accuracy, run.auc, run.calibration_error)),
            )
            for run in card.runs
        ),
    )
    yield ""
    yield from table(
        ("split", "seed of the split", "runs", "accuracy: mean ± standard deviation", "AUC"),
        (
            (
                spread.split,
                "all" if spread.split_seed is None else spread.split_seed,
                spread.runs,
                f"{spread.mean_accuracy:.4f} ± {spread.std_accuracy:.4f}",
                f"{spread.mean_auc:.4f} ± {spread.std_auc:.4f}",
            )
            for spread in card.spreads
        ),
    )
    yield ""


def _calibration(card: Card) -> Iterator[str]:
    tested, draws = sum(part.rows for part in card.lengths), card.after.floor.draws
    shared = "" if draws == tested else f", and those of a group share a label, which leaves {draws:,} labels to chance"
    yield from ("## Calibration", "")
    yield f"Expected calibration error over 15 bins, {card.brief.part}:"
    yield ""
    yield from table(
        ("", "calibration error", "by chance, on average", "by chance, in nine of ten cases"),
        (
            (
                name,
                f"{found.calibration_error:.4f}",
                f"{found.floor.mean:.4f}",
                f"{found.floor.low:.4f} to {found.floor.high:.4f}",
            )
            for name, found in (
                ("as trained", card.before),
                (f"with logits divided by the temperature {card.after.temperature:.3f}", card.after),
            )
        ),
    )
    yield ""
    yield (
        "By chance is what the same probabilities would show if every one of them were exactly right: the texts are "
        f"finitely many{shared}."
    )
    yield from ("", f"![Share of negative texts by what the model said]({CALIBRATION})", "")


def _robustness(card: Card) -> Iterator[str]:
    accuracy = next(iter(card.brief.robustness.values()))
    rows = sum(part.rows for part in card.lengths)
    yield from ("## Changes that leave the meaning alone", "")
    yield f"{card.brief.part.capitalize()}; as they are, {rows:,} texts, the accuracy is {accuracy:.4f}."
    yield ""
    yield from table(
        ("", "accuracy", "AUC", "texts it alters", "accuracy on those, before", "after"),
        (
            (
                change.name,
                three_digits(change.accuracy),
                three_digits(change.auc),
                f"{change.altered:,}",
                three_digits(change.altered_before),
                three_digits(change.altered_after),
            )
            for change in card.changes
        ),
    )
    yield ""


def _subgroups(card: Card) -> Iterator[str]:
    yield from ("## By length, and by what texts are about", "")
    yield from _parts(card.lengths)
    if card.entities:
        yield from _parts(card.entities)
    yield from (f"![Accuracy by change, length and subject]({ROBUSTNESS})", "")


def _parts(parts: Sequence[Part | Changed]) -> Iterator[str]:
    yield from table(
        ("", "texts", "accuracy", "AUC"),
        ((part.name, f"{part.rows:,}", three_digits(part.accuracy), three_digits(part.auc)) for part in parts),
    )
    yield ""


def _neither(card: Card) -> Iterator[str]:
    if not card.neither:
        return
    yield from ("## Texts that are neither", "")
    learnt = (
        "The model was trained on such texts with its teacher's opinion of them, and on these very ones."
        if card.learnt_from_neither
        else "It was trained on none of these."
    )
    yield f"The model has no word for a text that is neither positive nor negative, and answers all the same. {learnt}"
    yield ""
    yield from table(
        ("label", "texts", "mean P(negative)", "quartiles", "between 0.4 and 0.6", "called negative"),
        (
            (
                texts.label,
                f"{texts.rows:,}",
                f"{texts.mean:.3f}",
                " / ".join(map(three_digits, texts.quartiles)),
                f"{texts.undecided:.1%}",
                f"{texts.called_negative:.1%}",
            )
            for texts in card.neither
        ),
    )
    yield from ("", f"![How P(negative) is spread]({NEITHER})", "")


def _speed(card: Card) -> Iterator[str]:
    low = card.low_precision
    yield from ("## Speed, and what bfloat16 costs", "")
    yield f"Texts a second, read offline in a continuous batch kept full, on one thread of: {card.machine}."
    yield ""
    yield from table(
        ("model", "architecture", "parameters", "accuracy, grouped split", "float32", "bfloat16"),
        (
            (
                speed.name,
                speed.architecture,
                f"{speed.parameters:,}",
                three_digits(speed.accuracy),
                f"{speed.float32:,.0f}",
                f"{speed.bfloat16:,.0f}",
            )
            for speed in card.speeds
        ),
    )
    yield ""
    yield (
        f"In bfloat16, {low.other_labels:,} of {low.rows:,} texts get another label (accuracy "
        f"{low.accuracy_bfloat16:.4f} instead of {low.accuracy_float32:.4f}); probabilities differ "
        f"by {low.mean_difference:.4f} on average and by {low.largest_difference:.3f} at most."
    )
    yield ""


def _recipe(artifacts: Artifacts, record: TrainingRecord) -> Iterator[str]:
    most = artifacts.config.preprocessing.max_length
    longest = "every token" if most is None else f"at most {most:,} tokens"
    yield from ("## Recipe", "")
    yield (
        f"Seed {record.seed}; epoch {record.best_epoch} of {record.epochs} (from 0) was kept; {record.seconds:,.0f} s "
        f"of learning on {record.device}, "
        + ", ".join(f"{name} {its}" for name, its in record.versions.items())
        + f". Of a text it reads {longest}. The choices of `python -m training fit`, each a flag:"
    )
    yield ""
    yield from table(("", ""), ((f"`{name}`", f"`{value}`") for name, value in record.options.items()))
    yield ""


def _limits(card: Card) -> Iterator[str]:
    yield from ("## Limits", "")
    parts = [*card.lengths, *card.entities]
    worst = min(parts, key=lambda part: part.accuracy)
    best = max(parts, key=lambda part: part.accuracy)
    hardest = min(card.changes, key=lambda change: change.accuracy)
    yield (
        f"- It is not equally good everywhere: {worst.accuracy:.3f} on {worst.name} ({worst.rows:,} texts), "
        f"{best.accuracy:.3f} on {best.name} ({best.rows:,} texts)."
    )
    yield f"- The change that costs most, {hardest.name}, leaves an accuracy of {hardest.accuracy:.3f}."
    yield f"- {_best_baseline(card)}"
    yield "- It reads from left to right, once, and has no knowledge of the world, of irony, or of who is meant."
    yield "- It is measured against the labels of its data, and nobody has measured how right those are."


def _best_baseline(card: Card) -> str:
    split = "grouped" if "grouped" in card.comparison.splits else card.comparison.splits[0]
    simple = [one for one in card.comparison.contestants if not one.is_model and split in one.reached]
    best = max(simple, key=lambda one: one.reached[split].accuracy)
    ours = card.brief.scores.get(split)
    if ours is None:
        return f"The best simple method on the {split} split is {best.name}; of this model no figure is known there."
    difference = ours.accuracy - best.reached[split].accuracy
    verb = "is ahead of" if difference > 0 else "is behind"
    return (
        f"On the {split} split it {verb} the best simple method, {best.name}, by {abs(difference):.3f}."
        if difference
        else f"On the {split} split the simple method {best.name} does as well."
    )
