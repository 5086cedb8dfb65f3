"""Everything that can go wrong in the core, as one tree.

CharLSTMError
├── TextError                a text that the model cannot read
│   ├── EmptyTextError       it holds nothing to read
│   │   └── NothingLeftError   because what it held was to be left out
│   ├── InvalidCharacterError  it holds a character that is no text
│   └── TextTooLongError     it is longer than the model's limit
├── ArtifactError            a file of a model is missing, damaged or does not fit the others
├── DeviceError              the requested device is not there
└── MissingPackageError      something needs an optional package
"""

_OWN_PACKAGES = ("charlstm", "service", "training")


class CharLSTMError(Exception):
    """Base of every error that this package raises on purpose."""


class TextError(CharLSTMError, ValueError):
    """A text that the model cannot read.

    Attributes:
        index: Which one it is of several that were given together, from 0; None if it came alone.
    """

    index: int | None = None


class EmptyTextError(TextError):
    """A text with nothing to read in it."""

    def __init__(self, unit: str) -> None:
        super().__init__(f"must hold at least 1 {unit}, found none")
        self.limit = 1
        self.found = 0


class NothingLeftError(EmptyTextError):
    """A text of which so much was to be left out that nothing is left to read."""

    def __init__(self, unit: str) -> None:
        super().__init__(unit)
        self.args = (f"must leave at least 1 {unit} of the text to read, found none left",)


class InvalidCharacterError(TextError):
    """A NUL or half of a surrogate pair: neither is text, and neither survives a round trip through UTF-8 tools."""

    def __init__(self, character: str, offset: int) -> None:
        name = "a NUL character" if character == "\0" else "a lone surrogate"
        super().__init__(f"must be valid Unicode text, found {name} (U+{ord(character):04X}) at offset {offset}")
        self.offset = offset


class TextTooLongError(TextError):
    """A text of more tokens than the model reads, where cutting it was not allowed."""

    def __init__(self, limit: int, found: int, unit: str) -> None:
        super().__init__(f"must be at most {limit} {unit}s long, found {found}; `truncate` lets it be cut")
        self.limit = limit
        self.found = found


class ArtifactError(CharLSTMError):
    """One file of a saved model is unusable: which file, what was expected of it, and what was found."""

    def __init__(self, file: str, expected: str, found: str) -> None:
        super().__init__(f"{file}: expected {expected}, found {found}")
        self.file = file
        self.expected = expected
        self.found = found


class DeviceError(CharLSTMError):
    """The requested device is not available on this machine."""


class MissingPackageError(CharLSTMError, ImportError):
    """A view of a trace, or the network, needs a package that is not installed.

    Args:
        package: Which.
        extra: That would install it.
    """

    def __init__(self, package: str, extra: str = "plots") -> None:
        super().__init__(f"this needs {package}, which is not installed: {how_to_install(extra)}", name=package)


def how_to_install(extras: str) -> str:
    """Return the command that installs optional packages into the project's own environment."""
    return f".venv/bin/pip install -c constraints.txt -e '.[{extras}]'"


def missing_package(error: ModuleNotFoundError, extra: str) -> ImportError:
    """Say which extra would install what is missing; an error about a part of this project is returned as it is."""
    package = (error.name or "").partition(".")[0]
    return error if package in _OWN_PACKAGES or not package else MissingPackageError(package, extra)
