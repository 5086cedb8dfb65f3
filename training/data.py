"""From a CSV file, or a zip with one in it, to labelled texts.

By default the file is Kaggle's "Twitter Sentiment Analysis" (jp797498e/twitter-entity-sentiment-analysis): no header;
tweet ID, entity, sentiment, text. Any other CSV is read by naming its columns.
"""

import hashlib
import io
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from charlstm.config import NEGATIVE, POSITIVE
from charlstm.delimiter import choose_delimiter
from training.data_format import COLUMN_FLAGS, DataFormat
from training.errors import DataError

_OTHER_LABEL = "label "  # how the reason begins that keeps such a row out
_OTHER_DELIMITERS = (";", "\t", "|")  # what stands between cells where no comma does
_LABELS_SHOWN, _LETTERS_SHOWN = 5, 20  # of the labels that were found, in an error


@dataclass(frozen=True)
class Dropped:
    """Rows that were left out, and why."""

    reason: str
    rows: int
    first_line: int


@dataclass(frozen=True)
class LabelledTexts:
    """The usable rows of a data file, in its order.

    Attributes:
        name: The file's name.
        sha256: Hash of the CSV's bytes.
        texts: R texts.
        labels: (R,) 1 for negative, 0 for positive.
        groups: (R,) which texts belong together, as numbers; None if the file does not say.
        rows_read: All rows of the file.
        dropped: The rows that are not here, by reason.
        unlabelled: The texts of dropped rows with another label, which a teacher may still judge. Those that share a
            group with a labelled row are not here: where there are groups, none is a paraphrase of a test text.
        unlabelled_as: What the file calls each of the unlabelled texts instead, such as Neutral.
        entities: What each of the R texts is about; None if the file does not say.
    """

    name: str
    sha256: str
    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None
    rows_read: int
    dropped: tuple[Dropped, ...]
    unlabelled: tuple[str, ...] = ()
    unlabelled_as: tuple[str, ...] = ()
    entities: tuple[str, ...] | None = None

    def texts_of(self, rows: Iterable[int]) -> list[str]:
        """Pick the texts of some rows."""
        return [self.texts[row] for row in rows]

    @cached_property
    def rows_sha256(self) -> str:
        """Hash of what a split and a model are made from: texts, labels and groups, in their order."""
        groups = None if self.groups is None else self.groups.tolist()
        rows = json.dumps([self.texts, self.labels.tolist(), groups])
        return hashlib.sha256(rows.encode()).hexdigest()

    @cached_property
    def unlabelled_sha256(self) -> str:
        """Hash of the unlabelled texts, in their order."""
        return hashlib.sha256(json.dumps(self.unlabelled).encode()).hexdigest()


def read_data(path: Path, form: DataFormat | None = None) -> LabelledTexts:
    """Read every row that has a text and one of the two labels.

    Raises:
        DataError: The file is missing, is no such CSV, or has no row of a class; names the line where there is one.
    """
    form = form or DataFormat()
    if form.positive == form.negative:
        raise DataError(str(path), f"--positive and --negative are the same label, {form.positive!r}")
    for flag, column in (("--text-column", form.text_column), ("--label-column", form.label_column)):
        if form.groups_in == column:
            raise DataError(str(path), f"--group-column and {flag} are the same column, {column!r}")
    content = _read_bytes(path)
    delimiter = _delimiter(path, form)
    rows = _select(path, _parse(path, _decode(path, content, form.encoding), delimiter), form)
    reasons = _reasons_to_drop(rows, form)
    kept = rows[reasons.isna()]
    for label in (form.positive, form.negative):
        if not (kept["label"] == label).any():
            none = f"no row with a text is labelled {label!r} in column {form.label_column}"
            raise DataError(str(path), f"{none}; {_labels_found(rows)}")
    others = _unlabelled(rows, reasons)
    return LabelledTexts(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        texts=tuple(kept["text"]),
        labels=np.where(kept["label"] == form.negative, NEGATIVE, POSITIVE).astype(np.int64),
        groups=_numbered(kept["group"]) if form.groups_in else None,
        rows_read=len(rows),
        dropped=_dropped(rows["line"], reasons),
        unlabelled=tuple(others["text"]),
        unlabelled_as=tuple(others["label"]),
        entities=tuple(kept["entity"]) if form.entities_in else None,
    )


def _labels_found(rows: pd.DataFrame) -> str:
    """Say which labels there are instead, the most frequent ones first, and what to do about it."""
    labels = list(rows["label"][rows["text"] != ""].value_counts().index)
    if not labels:
        return "no row has a text"
    shown = [label if len(label) <= _LETTERS_SHOWN else label[:_LETTERS_SHOWN] + "…" for label in labels]
    more = f" and {len(labels) - _LABELS_SHOWN:,} more" if len(labels) > _LABELS_SHOWN else ""
    named = ", ".join(map(repr, shown[:_LABELS_SHOWN]))
    return f"found {named}{more}; --positive and --negative say which to read"


def _delimiter(path: Path, form: DataFormat) -> str:
    try:
        return choose_delimiter(path.suffix.lower(), form.delimiter)
    except ValueError as error:
        raise DataError(str(path), str(error)) from error


def _parse(path: Path, text: str, delimiter: str) -> pd.DataFrame:
    """Read all cells as they stand, and the line on which each row begins as the index."""
    rows = text.lstrip("\r\n")  # the parser takes a blank first line for the end
    first_line = 1 + text.count("\n", 0, len(text) - len(rows))
    try:
        cells = _cells(rows, delimiter)
    except pd.errors.EmptyDataError:
        raise DataError(str(path), "is empty") from None
    except pd.errors.ParserError as error:
        row, message = _fault(str(error))
        line = None if row is None else first_line + (_lines(_cells(rows, delimiter, row)) if row else 0)
        hint = _other_delimiter(list(_cells(rows, delimiter, 1).iloc[0])) if row else ""
        raise DataError(str(path), message + hint, line) from error
    newlines_inside = _newlines_inside(cells)
    cells.index = pd.Index(first_line + np.arange(len(cells)) + newlines_inside.cumsum() - newlines_inside)
    return cells


def _cells(text: str, delimiter: str, rows: int | None = None) -> pd.DataFrame:
    # A tweet may well say "null" or "NA": only an empty cell is empty.
    return pd.read_csv(
        io.StringIO(text, newline=""),
        sep=delimiter,
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        nrows=rows,
    ).fillna("")


def _other_delimiter(first_row: list[str]) -> str:
    """Say what seems to stand between the cells where the first row is one cell; nothing if nothing does."""
    for delimiter in _OTHER_DELIMITERS:
        if len(first_row) == 1 and delimiter in first_row[0]:
            return f"; the file seems to need --delimiter {delimiter!r}"
    return ""


def _newlines_inside(cells: pd.DataFrame) -> "pd.Series[int]":
    """Count for each row the line breaks within its cells."""
    counts: pd.Series[int] = cells.apply(lambda column: column.str.count("\n")).sum(axis=1)
    return counts


def _lines(cells: pd.DataFrame) -> int:
    return len(cells) + int(_newlines_inside(cells).sum())


def _select(path: Path, cells: pd.DataFrame, form: DataFormat) -> pd.DataFrame:
    """Pick the wanted columns under our own names: line, label, text, and group and entity if there are any."""
    first = list(cells.iloc[0])
    body = cells.iloc[1:] if form.header else cells
    body = body[(body != "").any(axis=1)]  # blank lines are no rows
    columns = {"line": body.index.to_numpy()}
    for ours, theirs in form.columns.items():
        try:
            position = _position(theirs, first, header=form.header)
        except ValueError as error:
            raise DataError(str(path), f"{COLUMN_FLAGS[ours]}: {error}{_other_delimiter(first)}", 1) from None
        columns[ours] = body.iloc[:, position].to_numpy()
    return pd.DataFrame(columns)


def _position(column: str, first: list[str], *, header: bool) -> int:
    """Find a column by its position or by its name in the first row; a ValueError says why it's not there."""
    if column.isdecimal():
        if int(column) >= len(first):
            or_names = "" if header else "; with --header, columns have names"
            raise ValueError(f"there is no column {column}, positions go from 0 to {len(first) - 1}{or_names}")
        return int(column)
    if not header:
        raise ValueError(f"column {column!r} is a name, but the file is read without a --header")
    if column not in first:
        raise ValueError(f"there is no column {column!r}; the header names {', '.join(map(repr, first))}")
    return first.index(column)


def _reasons_to_drop(rows: pd.DataFrame, form: DataFormat) -> "pd.Series[str]":
    """Say for each row why it cannot be used; missing where it can."""
    reasons = pd.Series(pd.NA, index=rows.index, dtype="string")
    reasons[rows["text"].str.contains("\0", regex=False)] = "a NUL character in the text"
    reasons[rows["text"] == ""] = "no text"
    other = ~rows["label"].isin([form.positive, form.negative])
    reasons[other] = _OTHER_LABEL + rows["label"][other].map(repr)
    return reasons


def _unlabelled(rows: pd.DataFrame, reasons: "pd.Series[str]") -> pd.DataFrame:
    """Pick the rows that only their label keeps out."""
    readable = (rows["text"] != "") & ~rows["text"].str.contains("\0", regex=False)
    others = rows[readable & reasons.str.startswith(_OTHER_LABEL).fillna(value=False)]
    if "group" in rows:
        labelled = rows["group"][reasons.isna()]
        others = others[~others["group"].isin(labelled[labelled != ""])]
    return others


def _numbered(groups: "pd.Series[str]") -> npt.NDArray[np.int64]:
    """Number the groups in their own order, as numbers where all are numbers: a split depends on that order.

    A row whose cell is blank belongs to no other, and comes after all that do.
    """
    names = set(groups[groups != ""])
    as_numbers = all(name.isascii() and name.isdecimal() for name in names)
    order = sorted(names, key=_size_of_digits if as_numbers else None)
    number = {name: at for at, name in enumerate(order)}
    alone = itertools.count(len(order))
    return np.array([number[name] if name else next(alone) for name in groups], dtype=np.int64)


def _size_of_digits(digits: str) -> tuple[int, str, str]:
    """Give what orders numbers by their size, however many digits they have."""
    significant = digits.lstrip("0")
    return len(significant), significant, digits


def _dropped(lines: "pd.Series[int]", reasons: "pd.Series[str]") -> tuple[Dropped, ...]:
    counts = reasons.value_counts()
    return tuple(Dropped(str(why), int(count), int(lines[reasons == why].iloc[0])) for why, count in counts.items())


def _fault(message: str) -> tuple[int | None, str]:
    """Turn the parser's message into the row, from 0, and ours: what it calls a line is a row, counted from 1."""
    reason = message.strip().rsplit("C error: ", maxsplit=1)[-1]
    if found := re.search(r"EOF inside string starting at row (\d+)", reason):
        return int(found[1]), "the row that begins here has a quoted field that never ends"
    if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", reason):
        return int(found[2]) - 1, f"expected {found[1]} columns, as in the first row, found {found[3]}"
    return None, f"is not a CSV file ({reason})"


def _read_bytes(path: Path) -> bytes:
    try:
        is_zip = path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)
        return _read_zip(path) if is_zip else path.read_bytes()
    except FileNotFoundError:
        raise DataError(str(path), "there is no such file") from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(str(path), f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _read_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        # macOS puts a twin of every file under __MACOSX/
        files = (name for name in archive.namelist() if not name.startswith("__MACOSX/"))
        names = [name for name in files if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise DataError(str(path), f"expected one CSV file in the zip, found {len(names)}")
        return archive.read(names[0])


def _decode(path: Path, content: bytes, encoding: str) -> str:
    try:
        text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1  # error.object: without the mark at the beginning
        message = f"byte 0x{error.object[error.start]:02x} is not valid {encoding}; name the right --encoding"
        raise DataError(str(path), message, line) from error
    except LookupError:
        raise DataError(str(path), f"there is no encoding called {encoding!r}") from None
    except UnicodeError as error:
        raise DataError(str(path), f"cannot be read as {encoding} ({error})") from error
    if half := re.search("[\ud800-\udfff]", text):
        line = text.count("\n", 0, half.start()) + 1
        raise DataError(str(path), f"half of a surrogate pair is no text; {encoding} may be the wrong --encoding", line)
    return text
