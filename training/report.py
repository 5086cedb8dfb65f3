"""Tables for a terminal, of what `describe`, `evaluate` and `compare` find, and of the presets."""

from collections.abc import Mapping

from rich.table import Table

from charlstm.card import Comparison, Reached
from charlstm.config import Scores
from training.describe import Description, Part
from training.evaluate import Evaluation
from training.flags import flag_of, shown
from training.recipe import Preset, Recipe


def description_table(found: Description) -> Table:
    """Lay out a description."""
    table = _table(f"{found.data}, {found.split} split (seed {found.split_seed})")
    table.add_row("rows read", f"{found.rows_read:,}")
    table.add_row("rows kept", f"{found.rows_kept:,}")
    for dropped in found.dropped:
        table.add_row(f"  dropped: {dropped.reason}", f"{dropped.rows:,} (first on line {dropped.first_line:,})")
    table.add_row("training part", _part(found.train))
    table.add_row("test part", _part(found.test))
    if found.test_paraphrased is not None:
        share = found.test_paraphrased / found.test.rows
        table.add_row("test rows with a paraphrase in training", f"{found.test_paraphrased:,} ({share:.1%})")
    lengths = found.lengths
    table.add_row("characters a training text", f"mean {lengths.mean:.6f}, std {lengths.std:.6f}")
    low, middle, high = lengths.quartiles
    table.add_row("", f"min {lengths.min}, quartiles {low:g} / {middle:g} / {high:g}, max {lengths.max}")
    table.add_row("vocabulary, with <UNK>", f"{found.vocabulary_size}")
    table.add_row("its first ten", " ".join(map(repr, found.first_tokens)))
    return table


def evaluation_table(found: Evaluation) -> Table:
    """Lay out an evaluation, with a warning where the model has seen what it is tested on."""
    table = scores_table(found.scores, found.part)
    if found.seen is not None:
        table.add_row("rows the model was trained on", _seen(found.seen, found.scores.rows))
    if found.paraphrases_seen is not None:
        table.add_row("rows of which it saw a paraphrase", _seen(found.paraphrases_seen, found.scores.rows))
    return table


def scores_table(scores: Scores, title: str) -> Table:
    """Lay out scores."""
    table = _table(title)
    table.add_row("rows", f"{scores.rows:,}")
    table.add_row("accuracy", f"{scores.accuracy:.4f}")
    table.add_row("AUC", f"{scores.auc:.4f}")
    table.add_row("log loss", f"{scores.log_loss:.4f}")
    table.add_row("F1 of negative", f"{scores.f1:.4f}")
    table.add_row("expected calibration error", f"{scores.calibration_error:.4f}")
    (right_positive, wrong_positive), (wrong_negative, right_negative) = scores.confusion
    table.add_row("positive texts", f"{right_positive:,} called positive, {wrong_positive:,} negative")
    table.add_row("negative texts", f"{right_negative:,} called negative, {wrong_negative:,} positive")
    return table


def comparison_table(found: Comparison) -> Table:
    """Lay out what several methods reached on the test parts of some splits: accuracy, and AUC in brackets."""
    title = f"{found.data}, accuracy (AUC) on the test part, split seed {found.split_seed}"
    table = Table(title=title, title_justify="left")
    table.add_column("method", overflow="fold")
    for split in found.splits:
        table.add_column(f"{split} split")
    for one in found.contestants:
        cells = (reached_in_words(one.reached.get(split)) for split in found.splits)
        table.add_row(one.name, *cells, style="bold" if one.is_model else None)
    return table


def presets_table(recipes: Mapping[Preset, Recipe]) -> Table:
    """Lay out recipes beside each other: a row for each flag of `fit` that changes one."""
    table = Table(title="what each flag of `fit` is in each preset", title_justify="left")
    table.add_column("flag", no_wrap=True)
    for preset in recipes:
        table.add_column(preset.value)
    for field in Recipe.model_fields:
        table.add_row(flag_of(field), *(shown(getattr(recipe, field)) for recipe in recipes.values()))
    return table


def reached_in_words(found: Reached | None) -> str:
    """Write accuracy and, in brackets, AUC; a star marks what was not measured now. Nothing, if there is neither."""
    if found is None:
        return ""
    return f"{found.accuracy:.3f} ({found.auc:.3f})" + (" *" if found.how == "recorded" else "")


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    return table


def _part(part: Part) -> str:
    groups = "" if part.groups is None else f", {part.groups:,} distinct tweets"
    return f"{part.rows:,} rows, {part.negative / part.rows:.1%} negative{groups}"


def _seen(seen: int, rows: int) -> str:
    return f"{seen:,} ({seen / rows:.1%})" + (": this score measures memory" if seen > rows / 10 else "")
