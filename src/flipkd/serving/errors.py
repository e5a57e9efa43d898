"""Refusals in the shape of OpenAI's errors, which clients parse."""

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, FailFast
from starlette.responses import JSONResponse

TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "unavailable_error",
}
"""OpenAI's `type` by status; any other status is an `invalid_request_error`."""


class ErrorDetail(BaseModel):
    """What was wrong.

    Attributes:
        message: What, where, and the mend.
        type: Its kind, by status.
        param: The field it is about, if any.
        code: A word for programs, if any.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is not answered.

    Args:
        status: Of HTTP.
        message: What, where, and the mend. It goes to the client and is not logged.
        param: The field it is about.
        code: A word for programs.
        headers: Of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = ErrorDetail(
            message=message, type=TYPES.get(status, "invalid_request_error"), param=param, code=code
        )
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse({"error": self.detail.model_dump()}, self.status, self.headers)


class FirstFault(FailFast):
    """Ends the reading of a list at its first fault: a million of them would take seconds, and all the memory."""

    __hash__ = object.__hash__  # a union asks for it


def refusal_of(error: RequestValidationError) -> Refused:
    """The first fault that pydantic found. What was sent is not repeated."""
    found: Any = error.errors()
    first = found[0]
    if first["type"] == "json_invalid":
        return Refused(400, f"The body is not JSON: {first['ctx']['error']}.", code="invalid_json")
    where = first["loc"]
    if len(where) > 2 and isinstance(where[-1], str):
        # A field that may be one of several types: the last part names the type, and there is a fault for each.
        where = where[:-1]
        found = [other for other in found if other["loc"][: len(where)] == where]
    else:
        found = [first]
    place = ".".join(str(part) for part in where[1:])
    message = "; or ".join(dict.fromkeys(other["msg"].removeprefix("Value error, ") for other in found))
    if not place and first["type"] in ("model_attributes_type", "missing"):
        message = "The body must be a JSON object, sent with Content-Type: application/json"
    return Refused(400, f"{place}: {message}" if place else message, param=place or None, code="invalid_request")


STATUSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request cannot be understood; the message says which field.", "model": ErrorAnswer},
    401: {"description": "The key is missing or wrong.", "model": ErrorAnswer},
    404: {"description": "There is no artefact of this name.", "model": ErrorAnswer},
    408: {"description": "The body took too long.", "model": ErrorAnswer},
    413: {"description": "The body is too large.", "model": ErrorAnswer},
    421: {"description": "The Host header is not this machine's, and no key guards it.", "model": ErrorAnswer},
    429: {"description": "The queue is full; Retry-After says when to come again.", "model": ErrorAnswer},
    500: {"description": "A fault of the server, logged under the request's id.", "model": ErrorAnswer},
    503: {"description": "The server is being stopped, or its index does not answer.", "model": ErrorAnswer},
    "default": {"description": "Any other refusal.", "model": ErrorAnswer},
}
"""For the OpenAPI description."""
