"""A server under 100,000 requests: its memory stays flat."""

import pytest

from benchmarks.artefact import TOY_WORDS, write_toy
from benchmarks.load import drive, metric, serving

RSS = "process_resident_memory_bytes"


def bodies(start, stop):
    """Pairs of which no two are alike, of one to eight words."""
    for n in range(start, stop):
        words = [TOY_WORDS[(n * step + step) % len(TOY_WORDS)] for step in range(2, 3 + n % 7)]
        yield {"text_1": " ".join(words), "text_2": f"{' '.join(reversed(words))} {n}"}


@pytest.mark.nightly
def test_memory_stays_flat_over_100000_requests(tmp_path):
    with serving(write_toy(tmp_path, "decoder"), "--device", "cpu") as port:
        first = drive(port, "/score", list(bodies(0, 20_000)), 32)
        warm = metric(port, RSS)
        rest = drive(port, "/score", list(bodies(20_000, 100_000)), 32)
        grown = metric(port, RSS) - warm
    assert first.statuses == {200: 20_000}
    assert rest.statuses == {200: 80_000}
    # A kilobyte kept of each request would be 80 MB.
    assert grown < 16 * 2**20
