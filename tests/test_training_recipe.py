"""The recipes, and the flags that are made of them."""

import inspect
from typing import Any

import pytest
import typer
from pydantic import BaseModel, Field, ValidationError
from typer.testing import CliRunner

from training.flags import flags_from
from training.recipe import RECIPES, SPLIT_OF, Preset, Recipe
from training.splits import SplitName

SIZES: dict[str, Any] = {"embedding_dim": 2, "hidden_size": 2, "epochs": 1, "batch_size": 1, "learning_rate": 0.1}


def test_the_article_preset_is_the_article() -> None:
    """One unit, embedding 16, padded and cut to 200 steps that are all read, Adam at 0.001, batches of 32.

    Nothing else is on: no schedule, decay, dropout, masking, clipping or held-out rows.
    """
    assert RECIPES[Preset.ARTICLE] == Recipe(
        level="character",
        casefold=False,
        max_length=200,
        min_count=1,
        pad_to=200,
        embedding_dim=16,
        hidden_size=1,
        num_layers=1,
        dropout=0.0,
        epochs=100,
        batch_size=32,
        by_length=False,
        learning_rate=0.001,
        warmup=None,
        weight_decay=0.0,
        mask_rate=0.0,
        clip_norm=None,
        precision="float32",
        validation_fraction=0.0,
        forget_bias=0.0,
        teacher_share=0.0,
        tuned_teacher=False,
        unlabelled=False,
        augmentations=0,
        label_made_texts=False,
        word_weight=0.0,
        label_after_words=False,
        word_mask_rate=0.0,
        embedding_weight=0.0,
    )


@pytest.mark.parametrize("preset", list(Preset))
def test_every_preset_is_a_model_that_can_be_built(preset: Preset) -> None:
    recipe = RECIPES[preset]
    settings, preprocessing = recipe.model_settings(30), recipe.preprocessing
    assert (settings.num_embeddings, settings.hidden_size) == (30, recipe.hidden_size)
    assert (settings.embedding_dim, settings.pad_to) == (recipe.embedding_dim, recipe.pad_to)
    assert (settings.num_layers, settings.dropout) == (recipe.num_layers, recipe.dropout)
    assert (preprocessing.level, preprocessing.max_length) == (recipe.level, recipe.max_length)
    assert preprocessing.casefold == recipe.casefold


@pytest.mark.parametrize("preset", [Preset.LABELS, Preset.DEFAULT, Preset.MEMORY])
def test_presets_for_use_hold_rows_out(preset: Preset) -> None:
    """Without them there is no best epoch and no calibration."""
    assert RECIPES[preset].validation_fraction > 0


def test_every_preset_is_for_a_split() -> None:
    """What is to be learnt by heart is asked of paraphrases of it; what is to be used, of new texts."""
    by_heart = {Preset.ARTICLE, Preset.MEMORY}
    assert {preset: SplitName.ARTICLE if preset in by_heart else SplitName.GROUPED for preset in Preset} == SPLIT_OF


def test_labels_alone_need_no_teacher() -> None:
    assert RECIPES[Preset.LABELS].teacher_share == 0
    assert RECIPES[Preset.DEFAULT].teacher_share > 0
    assert RECIPES[Preset.MEMORY].teacher_share > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("level", "syllable"),
        ("epochs", 0),
        ("hidden_size", 0),
        ("hidden_size", 10**7),
        ("num_layers", 101),
        ("dropout", 1.0),
        ("warmup", 1.0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("mask_rate", -0.1),
        ("clip_norm", 0.0),
        ("precision", "float16"),
        ("validation_fraction", 1.0),
        ("teacher_share", 1.1),
        ("word_weight", -1.0),
        ("embedding_weight", -1.0),
        ("momentum", 0.9),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Recipe.model_validate(SIZES | {field: value})


@pytest.mark.parametrize("max_length", [None, 101])
def test_a_text_must_fit_into_its_padding(max_length: int | None) -> None:
    """Said before training, not by the artifacts after it."""
    with pytest.raises(ValidationError, match=r"--max-length must be at most --pad-to \(100\)"):
        Recipe(**SIZES, pad_to=100, max_length=max_length)
    assert Recipe(**SIZES, pad_to=100, max_length=100).pad_to == 100


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tuned_teacher", True),
        ("unlabelled", True),
        ("augmentations", 1),
        ("word_weight", 1.0),
        ("label_after_words", True),
        ("word_mask_rate", 0.1),
        ("embedding_weight", 0.1),
    ],
)
def test_only_a_teacher_teaches(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"--{field.replace('_', '-')} needs a teacher"):
        Recipe.model_validate(SIZES | {field: value})
    assert Recipe.model_validate(SIZES | {field: value, "teacher_share": 0.1}).teacher_share == pytest.approx(0.1)


def test_only_made_texts_can_be_labelled() -> None:
    taught = SIZES | {"teacher_share": 0.5, "label_made_texts": True}
    with pytest.raises(ValidationError, match="--label-made-texts needs made texts"):
        Recipe.model_validate(taught)
    assert Recipe.model_validate(taught | {"augmentations": 1}).label_made_texts


class Oven(BaseModel):
    """Something to make flags of."""

    heat: int = Field(default=180, description="How hot.")
    fan_speed: float | None = Field(default=None, description="How windy.")
    light: bool = Field(default=False, description="Whether it is lit.")


def flags_of_an_oven(*, show_defaults: bool) -> tuple[typer.Typer, list[tuple[str, dict[str, Any]]]]:
    app, calls = typer.Typer(), list[tuple[str, dict[str, Any]]]()

    @app.command()
    @flags_from(Oven, into="changes", panel="The oven", show_defaults=show_defaults)
    def bake(what: str, *, changes: dict[str, Any]) -> None:
        """Bake it."""
        calls.append((what, changes))

    assert "changes" not in inspect.signature(bake).parameters
    return app, calls


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ([], {}),
        (["--heat", "200"], {"heat": 200}),
        (["--fan-speed", "1.5", "--light"], {"fan_speed": 1.5, "light": True}),
        (["--no-light", "--heat", "0"], {"light": False, "heat": 0}),
    ],
)
def test_a_command_gets_the_fields_that_were_given(arguments: list[str], changes: dict[str, Any]) -> None:
    """And no others, so that false and 0 can be told from nothing."""
    app, calls = flags_of_an_oven(show_defaults=True)
    assert CliRunner().invoke(app, ["bread", *arguments]).exit_code == 0
    assert calls == [("bread", changes)]


def test_a_flag_of_the_wrong_type_is_refused() -> None:
    app, calls = flags_of_an_oven(show_defaults=True)
    assert CliRunner().invoke(app, ["bread", "--heat", "hot"]).exit_code == 2
    assert not calls


@pytest.mark.parametrize("show_defaults", [True, False])
def test_help_describes_each_field(*, show_defaults: bool) -> None:
    app, _ = flags_of_an_oven(show_defaults=show_defaults)
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert all(part in text for part in ("The oven", "--heat", "How hot.", "--fan-speed", "How windy.", "--no-light"))
    assert ("180" in text) == show_defaults
    assert ("How hot. Default: 180." in text, "Whether it is lit. Default: no." in text) == (
        show_defaults,
        show_defaults,
    )
    assert "None" not in text
