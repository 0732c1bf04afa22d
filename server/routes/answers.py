"""Which refusals a route documents, so that OpenAPI says all that may come."""

from litestar.enums import MediaType
from litestar.openapi.datastructures import ResponseSpec

from protocol.http.errors import ErrorBody

_WHY = {
    400: "The request asks for what cannot be done.",
    401: "There is no token.",
    403: "The token is invalid, of another scope, or of another task instance.",
    404: "There is no such thing, or the version that was asked for is older than the first.",
    405: "The path exists, and takes another method.",
    409: "It does not fit the state in force.",
    410: "The attempt was replaced.",
    413: "The body, or a value in it, is too large.",
    422: "The request could not be understood.",
    503: "The database does not answer, for now.",
}
EVERY = (404, 413, 422)
_BEFORE_ANY_ROUTE = {
    status: ResponseSpec(str, description=why, generate_examples=False, media_type=MediaType.TEXT)
    for status, why in {408: "The request came too slowly.", 431: "The head of the request is too long."}.items()
}
"""What `server.connections` answers, which knows of no route."""
EVERY_WITH_TOKEN = (401, 403, *EVERY)


def refusals(*statuses: int, token: bool = True) -> dict[int, ResponseSpec]:
    """Describe these statuses and those that every route may answer."""
    every = EVERY_WITH_TOKEN if token else EVERY
    return _BEFORE_ANY_ROUTE | {
        status: ResponseSpec(ErrorBody, description=_WHY[status], generate_examples=False)
        for status in sorted({*every, *statuses})
    }
