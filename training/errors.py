"""What can go wrong in training on a person's own data and folders, as one tree.

CharLSTMError (the core's)
└── TrainingError
    ├── DataError        the data file cannot be used; names its line where there is one
    └── CheckpointError  an unfinished run stands in the way
"""

from charlstm.errors import CharLSTMError


class TrainingError(CharLSTMError):
    """Base of what the training commands report in one line."""


class DataError(TrainingError):
    """The data file is missing, unreadable, or does not hold what was asked of it."""

    def __init__(self, file: str, message: str, line: int | None = None) -> None:
        super().__init__(f"{file}{'' if line is None else f', line {line}'}: {message}")
        self.line = line


class CheckpointError(TrainingError):
    """An unfinished run in the output folder does not belong to this one, or cannot be read."""
