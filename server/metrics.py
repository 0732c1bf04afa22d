"""What `/metrics` tells Prometheus. Text in its exposition format, written by hand: counters need no library."""

from collections import Counter, defaultdict
from collections.abc import Mapping

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    """Counts since the start of this process."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._within: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self.transitions = 0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered. Its route is the template: paths would be without number."""
        self._requests[method, route, status] += 1
        self._seconds[route] += seconds
        self._within[route][_bucket(seconds)] += 1

    def text(self, instances: Mapping[str, int]) -> str:
        """Write it all down."""
        lines = ["# HELP taskhand_requests_total Requests answered.", "# TYPE taskhand_requests_total counter"]
        for (method, route, status), count in sorted(self._requests.items()):
            lines.append(f'taskhand_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines += ["# HELP taskhand_request_seconds Time to answer.", "# TYPE taskhand_request_seconds histogram"]
        for route, within in sorted(self._within.items()):
            total = 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), within, strict=True):
                total += count
                lines.append(f'taskhand_request_seconds_bucket{{route="{route}",le="{bound}"}} {total}')
            lines.append(f'taskhand_request_seconds_sum{{route="{route}"}} {self._seconds[route]:.6f}')
            lines.append(f'taskhand_request_seconds_count{{route="{route}"}} {total}')
        lines += [
            "# HELP taskhand_transitions_total Transitions the engine made.",
            "# TYPE taskhand_transitions_total counter",
            f"taskhand_transitions_total {self.transitions}",
        ]  # fmt: skip - one block
        lines += ["# HELP taskhand_instances Unfinished task instances.", "# TYPE taskhand_instances gauge"]
        lines += [f'taskhand_instances{{state="{state}"}} {count}' for state, count in sorted(instances.items())]
        return "\n".join(lines) + "\n"


def _bucket(seconds: float) -> int:
    for index, bound in enumerate(BUCKETS):
        if seconds <= bound:
            return index
    return len(BUCKETS)
