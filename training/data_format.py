"""How a person says what stands where in a CSV: the flags of every command that reads data."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

# The flag that names the column of each of our own names.
COLUMN_FLAGS: Final = {
    "label": "--label-column",
    "text": "--text-column",
    "group": "--group-column",
    "entity": "--entity-column",
}


class DataFormat(BaseModel):
    """How to read a CSV: by default, Kaggle's. Its fields are flags of every command that reads data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_column: str = Field(default="3", description="Name or position (from 0) of the texts.")
    label_column: str = Field(default="2", description="Name or position of the labels.")
    group_column: str | None = Field(
        default=None,
        description="Name or position of what makes texts one group, such as a tweet's ID; '' for none. A row whose "
        "cell is blank is a group of its own. By default 0 where texts and labels stand as in Kaggle's file, else "
        "none.",
    )
    header: bool = Field(default=False, description="The first line names the columns.")
    entity_column: str | None = Field(
        default=None,
        description="Name or position of what texts are about, such as a product; '' for none. By default 1 where "
        "texts and labels stand as in Kaggle's file, else none.",
    )
    positive: str = Field(default="Positive", description="The label of positive texts.")
    negative: str = Field(default="Negative", description="The label of negative texts; other rows are left out.")
    delimiter: str | None = Field(
        default=None, description="Between the cells. By default a comma, but a tab in a file that ends in .tsv."
    )
    encoding: str = Field(default="utf-8", description="The file's text encoding.")

    @property
    def groups_in(self) -> str:
        """The column of the groups, or '' if there is none."""
        if self.group_column is None:
            return "0" if self._is_kaggles else ""
        return self.group_column

    @property
    def entities_in(self) -> str:
        """The column of what the texts are about, or '' if there is none."""
        if self.entity_column is None:
            return "1" if self._is_kaggles else ""
        return self.entity_column

    @property
    def _is_kaggles(self) -> bool:
        return not self.header and (self.text_column, self.label_column) == ("3", "2")

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are wanted, under our own names for them."""
        wanted = {
            "label": self.label_column,
            "text": self.text_column,
            "group": self.groups_in,
            "entity": self.entities_in,
        }
        return {ours: theirs for ours, theirs in wanted.items() if theirs}
