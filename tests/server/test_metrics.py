"""Counts, in Prometheus' text format."""

from server.metrics import Metrics


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    metrics.observe("GET", "/a/{x}", 200, 0.0005)
    metrics.observe("GET", "/a/{x}", 200, 0.002)
    metrics.observe("GET", "/a/{x}", 404, 100)
    text = metrics.text({"running": 2, "queued": 0})
    assert 'taskhand_requests_total{method="GET",route="/a/{x}",status="200"} 2\n' in text
    assert 'taskhand_request_seconds_bucket{route="/a/{x}",le="0.001"} 1\n' in text
    assert 'taskhand_request_seconds_bucket{route="/a/{x}",le="60.0"} 2\n' in text
    assert 'taskhand_request_seconds_bucket{route="/a/{x}",le="+Inf"} 3\n' in text
    assert 'taskhand_request_seconds_count{route="/a/{x}"} 3\n' in text
    assert 'taskhand_instances{state="running"} 2\n' in text
    assert text.endswith("\n")
