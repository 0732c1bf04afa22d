"""A conversation that another end of ours has begun."""

from protocol.messages.variables import GetVariable, VariableResult
from protocol.session import Answered, Asked, SupervisorSession
from tests.protocol.test_session import pair


def test_another_end_goes_on_with_what_was_not_answered() -> None:
    first, runner = pair()
    _, answered = runner.ask(GetVariable("a"))
    number, sent = runner.ask(GetVariable("b"))
    (asked, _) = first.receive(answered + sent)
    assert isinstance(asked, Asked)
    runner.receive(first.answer(asked.id, VariableResult("a", "1")))
    second = SupervisorSession()
    second.resume()
    rests = [second.resting]
    assert second.receive(sent[:9]) == []
    rests.append(second.resting)
    assert second.receive(sent[9:]) == [Asked(number, GetVariable("b"))]
    rests.append(second.resting)
    reply = VariableResult("b", "2")
    assert runner.receive(second.answer(number, reply)) == [Answered(number, reply)]
    assert [*rests, second.resting] == [True, False, False, True]
