"""From an answer's JSON to one of the service's own records."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from service.client.errors import UnexpectedAnswerError

R = TypeVar("R", bound=BaseModel)


def read_record(record: type[R], content: str | bytes) -> R:
    """Read an answer; fields that only a later service knows are passed over.

    Raises:
        UnexpectedAnswerError: It is something else. The message does not repeat what.
    """
    try:
        return record.model_validate_json(content, extra="ignore")
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the whole"
        raise UnexpectedAnswerError(f"must be a {record.__name__}, found in {where}: {fault['msg']}") from None
