from protocol.messages import stores
from tests.protocol.messages.exercise import exercise_messages


def test_messages() -> None:
    exercise_messages(stores, strict={"TaskStateStoreResult", "AssetStateStoreResult"})
