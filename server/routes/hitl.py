"""A human in the loop: a task's question to people, and what they answered."""

from uuid import UUID

from litestar import get, patch, post
from litestar.params import JSONBody
from msgspec import structs

from protocol.http.errors import Fault
from protocol.http.values import HITLAnswerBody, HITLQuestionBody
from protocol.messages.hitl import HITLDetailRequestResult, HITLDetailResponseResult
from server.admission import OWN, Call, TiId
from server.faults import Conflict
from server.records import Question
from server.refusals import Refusal, invalid, refused
from server.routes.answers import refusals
from server.views import human_answer, plain


def _same(said: UUID, ti_id: str) -> None:
    if str(said) != ti_id:
        raise invalid(Fault("value_error", ["body", "ti_id"], "it is not the task instance of the path"))


@post("/hitlDetails/{ti_id:str}", opt=OWN, status_code=201, responses=refusals(410), summary="Ask people")
async def ask(request: Call, ti_id: TiId, data: JSONBody[HITLQuestionBody]) -> HITLDetailRequestResult:
    """Put a question to people. Asked again it wipes an earlier answer."""
    _same(data.ti_id, ti_id)
    question = Question(
        options=data.options,
        subject=data.subject,
        body=data.body,
        defaults=data.defaults,
        multiple=bool(data.multiple),
        params=data.params or {},
        assigned_users=[{"id": user.id, "name": user.name} for user in data.assigned_users or []],
    )
    await request.deck.store.ask_people(ti_id, question)
    return plain(HITLDetailRequestResult(**structs.asdict(data)))


@patch("/hitlDetails/{ti_id:str}", opt=OWN, responses=refusals(409, 410), summary="Answer for people")
async def answer(request: Call, ti_id: TiId, data: JSONBody[HITLAnswerBody]) -> HITLDetailResponseResult:
    """Answer, as a time-out does with the defaults. An answer that is there already stays."""
    _same(data.ti_id, ti_id)
    try:
        answered = await request.deck.store.answer_question(
            ti_id, data.chosen_options, data.params_input or {}, None, request.now
        )
    except Conflict as error:
        # The one domain error of 4.3 whose detail is a text.
        raise Refusal(409, error.message) from None
    return plain(human_answer(answered))


@get("/hitlDetails/{ti_id:str}", opt=OWN, responses=refusals(410), summary="What people answered")
async def answered(request: Call, ti_id: TiId) -> HITLDetailResponseResult:
    """Give the answer, or say that there is none yet."""
    question = await request.deck.store.question(ti_id)
    if question is None:
        raise refused(404, "not_found", "the task has not asked anything")
    return plain(human_answer(question))


HANDLERS = [ask, answer, answered]
