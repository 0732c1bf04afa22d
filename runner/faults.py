"""What can go wrong between a task and its supervisor.

What a task may want to catch and go on from is an `Exception`. What leaves it nothing to go on with is not: an
`except Exception` around an optional variable must not turn a lost supervisor into a task that runs on unwatched.
"""

from protocol.errors import RemoteProtocolError
from protocol.messages.control import ErrorResponse, ErrorType


class AskError(Exception):
    """A question without a usable answer. The task may go on."""


class QuestionFailed(AskError):
    """The supervisor could not answer; the server's own words are in `detail`."""

    def __init__(self, response: ErrorResponse) -> None:
        detail = response.detail or {}
        said = detail.get("message") or detail.get("detail") or "no details"
        status = detail.get("status_code")
        super().__init__(f"{response.error}: {said}" + (f" (status {status})" if status else ""))
        self.error: ErrorType = response.error
        self.detail = detail


class NotFound(QuestionFailed):
    """The thing asked for does not exist."""


class Refused(QuestionFailed):
    """The server does not let this task have it."""


class AnswerLost(AskError):
    """An answer came that cannot be read. Whether the question had its effect is not known."""


class AskedWhileAsking(AskError):
    """A signal handler asked in the middle of a step of another question; a moment later it could have."""


class ChannelLost(BaseException):
    """Nothing can be asked any more, and no outcome can be told."""


class ChannelGarbled(ChannelLost):
    """The supervisor said what cannot be understood."""

    def __init__(self, fault: RemoteProtocolError) -> None:
        super().__init__(f"the supervisor broke the protocol: {type(fault).__name__}: {fault}")
        self.fault = fault


class ForkedChannel(ChannelLost):
    """The process is a fork of the task, and the channel is the task's."""
