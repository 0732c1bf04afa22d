from protocol.messages import assets
from protocol.messages.assets import (
    AssetEventResponse,
    AssetEventsResult,
    AssetResponse,
    AssetResult,
    InactiveAssetsResult,
)
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import MOMENT, as_map


def test_messages() -> None:
    exercise_messages(assets, strict=set())


def test_what_was_never_set_is_left_out_also_inside() -> None:
    event = AssetEventResponse(1, MOMENT, AssetResponse("a", "s3://a", "asset"), [])
    (sent,) = as_map(AssetEventsResult([event]))["asset_events"]
    assert set(sent) == {"id", "timestamp", "asset", "created_dagruns"}
    assert set(sent["asset"]) == {"name", "uri", "group"}
    assert as_map(AssetResult("a", "s3://a", "asset")) == {
        "type": "AssetResult",
        "name": "a",
        "uri": "s3://a",
        "group": "asset",
    }
    assert as_map(InactiveAssetsResult()) == {"type": "InactiveAssetsResult"}
