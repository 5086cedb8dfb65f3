"""A card whose figures are made up, for tests of what reads, draws and writes cards."""

from charlstm.card import (
    Bin,
    CalibrationFloor,
    Card,
    CardInBrief,
    Changed,
    Comparison,
    Contestant,
    LowPrecision,
    OtherTexts,
    OtherTextsInBrief,
    Part,
    Reached,
    Reliability,
    RunOfRecipe,
    Speed,
    Spread,
)

GROUPED = Reached(rows=10, accuracy=0.7, auc=0.8, how="measured")
ARTICLE = Reached(rows=11, accuracy=0.9, auc=0.95, how="recorded")


def made_up_card(version: str, **changes: object) -> Card:
    """Make up the card of a version of a model."""
    card = Card(
        model_version=version,
        package_version="0",
        data_sha256="0" * 64,
        brief=CardInBrief(
            intended_use="tests",
            not_for=("anything else", "truth"),
            scores={"article": ARTICLE, "grouped": GROUPED},
            calibration_error=0.02,
            part="test part of the grouped split (seed 42)",
            robustness={"as they are": 0.7, "upper case": 0.6},
            neither=(OtherTextsInBrief(label="Neutral", rows=4, mean=0.5, undecided=0.25, called_negative=0.5),),
        ),
        comparison=Comparison(
            data="made-up.csv",
            split_seed=42,
            splits=("article", "grouped"),
            contestants=(
                Contestant(name="a | simple $ method $", is_model=False, reached={"article": ARTICLE}),
                Contestant(name="a better one", is_model=False, reached={"article": ARTICLE, "grouped": GROUPED}),
                Contestant(name="tiny", is_model=True, reached={"article": ARTICLE, "grouped": GROUPED}),
            ),
            notes=("* recorded",),
        ),
        paraphrased={"article": 0.999, "grouped": 0.0},
        runs=tuple(
            RunOfRecipe(
                seed=seed,
                split_seed=42,
                split="grouped",
                rows=10,
                accuracy=0.7 + seed / 10,
                auc=0.8,
                calibration_error=0.02,
            )
            for seed in range(2)
        ),
        unrepeated=Part(name="not repeated", rows=8, accuracy=0.65, auc=0.75),
        spreads=(
            Spread(
                split="grouped",
                split_seed=42,
                runs=2,
                mean_accuracy=0.75,
                mean_auc=0.8,
                std_accuracy=0.0707,
                std_auc=0.0,
            ),
        ),
        before=Reliability(
            temperature=1.0,
            calibration_error=0.1,
            floor=CalibrationFloor(draws=10, mean=0.025, low=0.01, high=0.04),
            bins=(Bin(rows=10, mean=0.6, negative=0.5),),
        ),
        after=Reliability(
            temperature=1.7,
            calibration_error=0.02,
            floor=CalibrationFloor(draws=10, mean=0.03, low=0.01, high=0.05),
            bins=(Bin(rows=10, mean=0.52, negative=0.5),),
        ),
        changes=(
            Changed(
                name="upper case", rows=10, accuracy=0.6, auc=0.7, altered=9, altered_before=0.7, altered_after=0.55
            ),
            Changed(
                name="without emoji", rows=10, accuracy=0.7, auc=0.8, altered=0, altered_before=None, altered_after=None
            ),
        ),
        lengths=(Part(name="1 to 9 characters", rows=10, accuracy=0.7, auc=0.8),),
        entities=(
            Part(name="$game$", rows=6, accuracy=0.8, auc=None),
            Part(name="a|b", rows=4, accuracy=0.5, auc=0.5),
        ),
        neither=(
            OtherTexts(
                label="Neutral",
                rows=4,
                mean=0.5,
                undecided=0.25,
                called_negative=0.5,
                quartiles=(0.2, 0.5, 0.8),
                histogram=(0, 1, 0, 0, 1, 0, 0, 0, 2, 0),
            ),
        ),
        learnt_from_neither=False,
        low_precision=LowPrecision(
            rows=10,
            accuracy_float32=0.7,
            accuracy_bfloat16=0.6,
            other_labels=1,
            mean_difference=0.001,
            largest_difference=0.01,
        ),
        machine="an abacus",
        speeds=(
            Speed(
                name="tiny",
                architecture="1 layer of 8 units, embedding of 6",
                parameters=1000,
                accuracy=0.7,
                float32=1234.0,
                bfloat16=2345.0,
            ),
        ),
    )
    return card.model_copy(update=changes)
