"""What stands between the cells of a CSV file: one rule for every command that reads one."""


def choose_delimiter(ending: str, asked: str | None) -> str:
    """Tell the delimiter: the one that is asked for, in which a backslash and a t may be said for a tab, or the usual.

    Args:
        ending: What the file's name ends in, in lower case: after `.tsv` it is a tab, else a comma.
        asked: What a person wants, if anything.

    Raises:
        ValueError: It cannot stand there; the message says what could.
    """
    if asked is None:
        return "\t" if ending == ".tsv" else ","
    delimiter = asked.replace("\\t", "\t")
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '".+-\r\n\0' or delimiter.isalnum():
        raise ValueError(f"--delimiter has to be one character that no word, number or quote has, found {asked!r}")
    return delimiter
