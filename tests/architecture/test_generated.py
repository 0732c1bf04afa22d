"""What is made from the code is what the code says."""

from tools.generated import stale


def test_nothing_generated_is_out_of_date() -> None:
    assert stale() == [], "`make fix` renews them"
