"""What there is to choose of a training run: the recipe, and everything around it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from training.recipe import Recipe
from training.splits import SplitName


@dataclass(frozen=True)
class FitSettings:
    """One training run, apart from its data.

    Attributes:
        name: The preset the recipe comes from.
        recipe: How to train.
        split: How training and test rows are divided; the model is trained on the training part.
        also_score: A second split, on whose own training part a second model of the same recipe is trained, only for
            its score.
        split_seed: The seed of the division.
        seed: The seed of everything else.
        device: What to train on.
        fresh: Whether what stands in the output folder is replaced: a finished model, which is refused otherwise, or
            an unfinished run, which is continued otherwise.
        cache: The folder in which what is taught is kept between runs.
    """

    name: str
    recipe: Recipe
    split: SplitName
    also_score: SplitName | None
    split_seed: int
    seed: int
    device: torch.device
    fresh: bool = False
    cache: Path = Path("runs") / "teacher"
