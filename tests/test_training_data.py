"""Reading a data file: what comes back as it stands, what is left out, and what is said of a file that is no use."""

import codecs
import csv
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training_data import Row, sentiment_rows, unusable_rows, write_kaggle, write_rows
from training.data import Dropped, LabelledTexts, read_data
from training.data_format import DataFormat
from training.errors import DataError

GOOD = Row("1", "game", "Positive", "good")
BAD = Row("2", "game", "Negative", "bad")
BOTH = b"1,game,Positive,good\r\n2,game,Negative,bad\r\n"


def read(path: Path, content: bytes, **form: Any) -> LabelledTexts:
    path.write_bytes(content)
    return read_data(path, DataFormat(**form))


def failure(path: Path, content: bytes, **form: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, content, **form)
    assert str(path) in str(caught.value)
    return caught.value


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tweets.csv"


def test_kaggles_form_is_read_without_being_told(path: Path) -> None:
    rows = sentiment_rows(tweets=10)
    data = read_data(write_rows(path, [*unusable_rows(), *rows]))
    assert data.texts == tuple(row.text for row in rows)
    assert data.labels.tolist() == [int(row.sentiment == "Negative") for row in rows]
    assert data.rows_read == len(rows) + len(unusable_rows())
    assert (data.name, data.sha256) == ("tweets.csv", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("text", ["null", "NA", "nan", "None", " ", "1", 'say "hi", ok', "a\nb\r\n\n\rc", "é 🎮\u2028"])
def test_a_text_comes_back_as_it_stands(path: Path, text: str) -> None:
    """Words that data tools take for nothing, quotes, commas and every kind of line break are text."""
    assert read_data(write_rows(path, [GOOD, BAD._replace(text=text), BAD])).texts == ("good", text, "bad")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_what_csv_writer_writes_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Any texts, as Python's own csv module writes them."""
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows = [row._replace(text=text) for text in texts for row in (GOOD, BAD)]
    assert read_data(write_rows(path, rows)).texts == tuple(row.text for row in rows)


def test_a_byte_order_mark_is_no_text(path: Path) -> None:
    with_mark = codecs.BOM_UTF8 + b"text,label\r\ngood,Positive\r\nbad,Negative\r\n"
    data = read(path, with_mark, header=True, text_column="text", label_column="label", group_column="")
    assert data.texts == ("good", "bad")


def test_blank_lines_are_no_rows(path: Path) -> None:
    data = read(path, b"\r\n\r\n" + BOTH + b"\r\n\r\n3,game,Neutral,so so\r\n\r\n")
    assert (data.texts, data.rows_read) == (("good", "bad"), 3)
    assert data.dropped == (Dropped("label 'Neutral'", 1, first_line=7),)


def test_a_zip_holds_the_same_data_as_its_csv(tmp_path: Path) -> None:
    plain = read_data(write_kaggle(tmp_path / "tweets.csv", tweets=5))
    inside = read_data(zipped(tmp_path / "tweets.zip", {"tweets.csv": (tmp_path / "tweets.csv").read_bytes()}))
    assert (inside.texts, inside.sha256) == (plain.texts, plain.sha256)


def test_what_macos_adds_to_a_zip_is_no_data(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "tweets.zip", {"tweets.csv": BOTH, "__MACOSX/._tweets.csv": b"\0\5\26\7", "notes.txt": b""}
    )
    assert read_data(path).texts == ("good", "bad")


def test_columns_may_be_named(path: Path) -> None:
    content = b"when,body,user,mood\n1,good,ann,+\n2,bad,bob,-\n3,hm,ann,?\n4,fine,ann,+\n"
    form = {"header": True, "text_column": "body", "label_column": "mood", "group_column": "user"}
    data = read(path, content, **form, positive="+", negative="-")
    assert (data.texts, data.labels.tolist(), data.rows_read) == (("good", "bad", "fine"), [0, 1, 0], 4)
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0]
    assert data.dropped == (Dropped("label '?'", 1, first_line=4),)


def test_the_encoding_may_be_named(path: Path) -> None:
    content = "1,x,Positive,schön\r\n2,x,Negative,öde\r\n".encode("utf-16")
    assert read(path, content, encoding="utf-16").texts == ("schön", "öde")


def test_only_a_file_like_kaggles_has_groups_by_itself(path: Path) -> None:
    """In another one the first column may be anything: here it is the label."""
    data = read(path, b"Positive,good\nNegative,bad\nPositive,fine\n", text_column="1", label_column="0")
    assert data.groups is None
    assert data.entities is None
    assert read(path, BOTH).groups is not None


def test_without_a_group_column_there_are_no_groups(path: Path) -> None:
    assert read(path, BOTH, group_column="").groups is None


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        (("10", "9", "10", "100"), [1, 0, 1, 2]),
        (("b10", "b9", "b10", "a"), [1, 2, 1, 0]),
        (("9007199254740993", "9007199254740992", "9", "1" * 5000), [2, 1, 0, 3]),
        (("1e3", "1000", "007", "7"), [2, 1, 0, 3]),
        (("", "b", "", "b"), [1, 0, 2, 0]),
    ],
    ids=["numbers", "names", "large numbers", "other ways to write a number", "blank"],
)
def test_groups_are_numbered_in_their_own_order(path: Path, ids: tuple[str, ...], numbers: list[int]) -> None:
    """In the order of numbers where all are numbers, else of the alphabet; not in that of their first appearance.

    Two cells are one group only if they are the same; blank ones belong to nobody.
    """
    rows = [row._replace(tweet_id=tweet_id) for tweet_id, row in zip(ids, [GOOD, BAD] * 2, strict=True)]
    groups = read_data(write_rows(path, rows)).groups
    assert groups is not None
    assert groups.tolist() == numbers


def test_dropped_rows_are_counted_with_their_first_line(path: Path) -> None:
    """Lines, not rows: texts of several lines stand before them."""
    rows = [
        GOOD._replace(text="three\nlines\r\nlong"),  # lines 1 to 3
        Row("3", "game", "Neutral", "so\nso"),  # 4 and 5
        BAD,  # 6
        Row("4", "two\nlines", "Positive", ""),  # 7 and 8
        Row("5", "game", "Neutral", ""),  # 9
        Row("6", "game", "Positive", "nu\0l"),  # 10
        Row("7", "game", "Negative", ""),  # 11
    ]
    data = read_data(write_rows(path, rows))
    assert data.texts == ("three\nlines\r\nlong", "bad")
    assert set(data.dropped) == {
        Dropped("label 'Neutral'", 2, first_line=4),
        Dropped("no text", 2, first_line=7),
        Dropped("a NUL character in the text", 1, first_line=10),
    }
    assert data.rows_read == len(data.texts) + sum(dropped.rows for dropped in data.dropped)


def test_texts_that_only_their_label_keeps_out_are_unlabelled(path: Path) -> None:
    """In their order, without those that are no text, and without paraphrases of a labelled text."""
    rows = [
        Row("7", "game", "Neutral", "it is"),
        GOOD,
        Row("3", "game", "Irrelevant", "shoes"),
        Row("4", "game", "Neutral", ""),
        Row("5", "game", "Neutral", "nu\0l"),
        Row(GOOD.tweet_id, "game", "Neutral", "good as such"),
        BAD,
        Row("8", "game", "Negative", ""),
    ]
    data = read_data(write_rows(path, rows))
    assert (data.texts, data.unlabelled) == (("good", "bad"), ("it is", "shoes"))
    assert data.unlabelled_as == ("Neutral", "Irrelevant")
    without_groups = read_data(path, DataFormat(group_column=""))
    assert without_groups.unlabelled == ("it is", "shoes", "good as such")


def test_two_rows_without_a_group_are_no_paraphrases(path: Path) -> None:
    data = read_data(write_rows(path, [GOOD._replace(tweet_id=""), BAD, Row("", "game", "Neutral", "it is")]))
    assert data.unlabelled == ("it is",)


def test_what_texts_are_about_is_kept(path: Path) -> None:
    """Of the rows that are kept: in Kaggle's form without being told, elsewhere by the column's name."""
    data = read_data(write_rows(path, [Row("9", "shop", "Neutral", "so so"), GOOD, BAD._replace(entity="bank")]))
    assert data.entities == ("game", "bank")
    assert data.texts_of([1, 0]) == ["bad", "good"]
    named = b"what,body,mood\nnews,good,Positive\nfood,bad,Negative\n"
    form = {"header": True, "text_column": "body", "label_column": "mood"}
    assert read(path, named, **form, entity_column="what").entities == ("news", "food")
    assert read(path, named, **form).entities is None


@pytest.mark.parametrize("form", [{"entity_column": ""}, {"text_column": "0", "label_column": "2"}])
def test_where_the_file_is_not_kaggles_texts_are_about_nothing(path: Path, form: dict[str, str]) -> None:
    assert read(path, BOTH, **form).entities is None


def test_unlabelled_texts_have_a_hash_of_their_own(path: Path) -> None:
    """That of the labelled rows, which models on disk name, does not depend on them."""
    one, other = (
        read_data(write_rows(path, [GOOD, BAD, Row("3", "game", "Neutral", text)])) for text in ("so so", "so")
    )
    assert one.rows_sha256 == other.rows_sha256
    assert one.unlabelled_sha256 != other.unlabelled_sha256


def test_a_row_with_too_few_columns_has_no_text(path: Path) -> None:
    data = read(path, BOTH + b"3,game,Positive\r\n")
    assert data.dropped == (Dropped("no text", 1, first_line=3),)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    for name in ("none.csv", "none.zip"):
        with pytest.raises(DataError, match="there is no such file"):
            read_data(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_data(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\r\n\r\n", codecs.BOM_UTF8], ids=["no bytes", "blank lines", "mark alone"])
def test_an_empty_file_is_said_to_be_empty(path: Path, content: bytes) -> None:
    assert str(failure(path, content)).endswith("is empty")


@pytest.mark.parametrize("names", [(), ("a.csv", "b.csv")])
def test_a_zip_must_hold_one_csv(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = zipped(tmp_path / "tweets.zip", {"readme.txt": b"hello"} | dict.fromkeys(names, BOTH))
    with pytest.raises(DataError, match=f"expected one CSV file in the zip, found {len(names)}"):
        read_data(path)


def damaged_zips(path: Path) -> dict[str, bytes]:
    whole = zipped(path, {"a.csv": BOTH * 50}).read_bytes()
    central = whole.index(b"PK\1\2")

    def changed(**at: int) -> bytes:
        content = bytearray(whole)
        content[at["local"]] = content[central + at["central"]] = at["value"]
        return bytes(content)

    return {
        "cut off": whole[:60],
        "no zip at all": BOTH,
        "wrong sum": whole[:45] + bytes([whole[45] ^ 0xFF]) + whole[46:],
        "broken stream": whole[:35] + b"\xff\xff\xff\xff" + whole[39:],
        "encrypted": changed(local=6, central=8, value=1),
        "unknown compression": changed(local=8, central=10, value=99),
    }


@pytest.mark.parametrize(
    "damage", ["cut off", "no zip at all", "wrong sum", "broken stream", "encrypted", "unknown compression"]
)
def test_a_zip_that_cannot_be_read_is_reported(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "tweets.zip"
    path.write_bytes(damaged_zips(path)[damage])
    with pytest.raises(DataError, match="cannot be read"):
        read_data(path)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"text_column": "4"}, "--text-column: there is no column 4, positions go from 0 to 3; with --header"),
        (
            {"group_column": "4", "header": True},
            "line 1: --group-column: there is no column 4, positions go from 0 to 3",
        ),
        ({"entity_column": "9"}, "--entity-column: there is no column 9"),
        ({"label_column": "mood"}, "--label-column: column 'mood' is a name, but the file is read without a --header"),
        (
            {"label_column": "mood", "header": True},
            "line 1: --label-column: there is no column 'mood'; the header names '1', 'game', 'Positive', 'good'",
        ),
        ({"encoding": "klingon"}, "there is no encoding called 'klingon'"),
        ({"encoding": "undefined"}, "cannot be read as undefined"),
        ({"positive": "Negative"}, "--positive and --negative are the same label, 'Negative'"),
        ({"group_column": "2"}, "--group-column and --label-column are the same column, '2'"),
        ({"group_column": "3"}, "--group-column and --text-column are the same column, '3'"),
        ({"positive": "happy"}, "no row with a text is labelled 'happy' in column 2"),
        ({"header": True}, "no row with a text is labelled 'Positive' in column 2"),
        ({"delimiter": ""}, "--delimiter has to be one character that no word, number or quote has, found ''"),
        ({"delimiter": ";;"}, "found ';;'"),
        ({"delimiter": "x"}, "found 'x'"),
        ({"delimiter": '"'}, "--delimiter has to be one character"),
        ({"delimiter": "é"}, "--delimiter has to be one character"),
    ],
)
def test_a_form_that_does_not_fit_the_file_is_explained(path: Path, form: dict[str, Any], message: str) -> None:
    assert message in str(failure(path, BOTH, **form))


@pytest.mark.parametrize("missing", ["Positive", "Negative"])
def test_rows_of_both_classes_are_needed(path: Path, missing: str) -> None:
    content = BOTH.replace(missing.encode(), b"Neutral")
    assert f"no row with a text is labelled {missing!r}" in str(failure(path, content))


def test_a_file_without_any_text_is_refused(path: Path) -> None:
    message = str(failure(path, b"1,game,Positive,\r\n2,game,Negative,\r\n"))
    assert "no row with a text" in message
    assert message.endswith("; no row has a text")


def test_the_labels_that_were_found_instead_are_named(path: Path) -> None:
    """The most frequent ones first, five at most, long ones shortened; those of rows without a text do not count."""
    rows = [BAD._replace(sentiment=label) for label in ("neg", "pos", "x" * 30, "a", "b", "c", "d")]
    more = [BAD._replace(sentiment="pos"), BAD._replace(sentiment="Positive", text="")]
    with pytest.raises(DataError) as caught:
        read_data(write_rows(path, [*rows, *more]))
    found = str(caught.value).partition("; ")[2]
    assert (
        found == f"found 'pos', 'neg', '{'x' * 20}…', 'a', 'b' and 2 more; --positive and --negative say which to read"
    )


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "\\t", "\\", " "])
def test_another_delimiter_may_stand_between_the_cells(path: Path, delimiter: str) -> None:
    """A backslash and a t are a tab, as they are typed; the delimiter in quotes is text."""
    between = delimiter.replace("\\t", "\t")
    content = between.join(("7", "game", "Positive", f'"good,{between}really"')) + "\n"
    content += between.join(("8", "game", "Negative", "bad,really")) + "\n"
    data = read(path, content.encode(), delimiter=delimiter)
    assert data.texts == (f"good,{between}really", "bad,really")


def test_tabs_stand_between_the_cells_of_a_tsv(tmp_path: Path) -> None:
    """As its name says, unless something else is asked for."""
    path = tmp_path / "tweets.TSV"
    assert read(path, BOTH.replace(b",", b"\t")).texts == ("good", "bad")
    assert read(path, BOTH, delimiter=",").texts == ("good", "bad")


NAMED = {"header": True, "text_column": "text", "label_column": "mood"}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        (b"text;mood\ngood;Positive\nbad;Negative\n", NAMED, "--label-column: there is no column 'mood'"),
        (b"text;mood\ngood, really;Positive\n", NAMED, "line 2: expected 1 columns"),
        (b"1;game;Positive;good\n", {}, "--label-column: there is no column 2"),
    ],
    ids=["name", "comma in a text", "position"],
)
def test_a_file_that_seems_to_need_another_delimiter_is_told_so(
    path: Path, content: bytes, form: dict[str, Any], message: str, delimiter: str
) -> None:
    error = str(failure(path, content.replace(b";", delimiter.encode()), **form))
    assert message in error
    assert error.endswith(f"; the file seems to need --delimiter {delimiter!r}")


def test_a_file_of_several_columns_needs_no_other_delimiter(path: Path) -> None:
    assert "--delimiter" not in str(failure(path, b"1;a,game,Positive;,good\n", text_column="9"))


LONG = b'1,game,Positive,"one\r\ntwo\nthree"\r\n2,game,Negative,bad\r\n'  # 4 lines, 2 rows


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"3,game,Positive,good,really\r\n", (3, "expected 4 columns, as in the first row, found 5")),
        (b'3,game,Positive,"good\r\n4,game,Negative,bad\r\n', (3, "a quoted field that never ends")),
        (b"3,game,Positive,gut\r\n4,game,Negative,schlecht \xfc\r\n", (4, "byte 0xfc is not valid utf-8")),
    ],
    ids=["columns", "quote", "encoding"],
)
@pytest.mark.parametrize("before", [0, 1, 4000], ids=["alone", "after", "far down"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "mark"])
def test_a_fault_is_named_with_its_line(
    path: Path, content: bytes, fault: tuple[int, str], before: int, mark: bytes
) -> None:
    """The line as an editor counts, also when texts of several lines come first."""
    line, message = fault
    error = failure(path, mark + BOTH + LONG * before + content)
    assert error.line == line + 4 * before
    assert f", line {error.line}: " in str(error)
    assert message in str(error)


def test_a_fault_in_the_first_row_is_on_line_1(path: Path) -> None:
    assert failure(path, b'1,game,Positive,"good').line == 1


def test_half_of_a_surrogate_pair_is_no_text(path: Path) -> None:
    error = failure(path, b"1,game,Positive,good\n2,game,Negative,+2AA-\n", encoding="utf-7")
    assert (error.line, "half of a surrogate pair" in str(error)) == (2, True)


def test_labels_are_counted_as_an_independent_reader_counts_them(path: Path) -> None:
    """Against Python's own csv module, on a file with everything in it."""
    write_kaggle(path, tweets=30)
    rows = [Row(*row) for row in csv.reader(io.StringIO(path.read_text("utf-8"), newline=""))]
    used = [row for row in rows if row.text and row.sentiment in {"Positive", "Negative"}]
    data = read_data(path)
    assert data.texts == tuple(row.text for row in used)
    assert np.array_equal(data.labels, [row.sentiment == "Negative" for row in used])
