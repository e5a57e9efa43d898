import pytest

from experiments.synthetic import put
from flipkd.experiments.comparisons import read_results
from flipkd.experiments.pictures import draw_results
from flipkd.experiments.report import write_report

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    for seed, wrong in enumerate((8, 16)):
        put(results, "mqp", "fine_tuned_long", 40, seed)
        put(results, "mqp", "flipped_decoder", wrong, seed)
    put(results, "rqe", "flipped_decoder", 20)
    return results


def test_the_report_shows_the_picture(folder):
    assert "](f1.png)" in write_report(folder).read_text()
    data = (folder / "f1.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[16:20], "big") == 1320


def test_dots_and_whiskers_are_the_figures(folder, tmp_path):
    left, right = draw_results(tmp_path / "f1.png", read_results(folder)).axes
    found = {container.get_label(): container for container in left.containers}
    assert set(found) == {"fine_tuned_long", "flipped_decoder"}
    dots, _, (whiskers,) = found["flipped_decoder"]
    assert dots.get_xdata() == pytest.approx([0.94, 0.9])
    spans = [segment[:, 0].tolist() for segment in whiskers.get_segments()]
    deviation = 0.02 * 2**0.5
    assert spans[0] == pytest.approx([0.94 - deviation, 0.94 + deviation])
    assert spans[1] == pytest.approx([0.9, 0.9])

    # On rqe there is nothing to compare to, and fine_tuned_long is not compared to itself.
    (interval,) = right.containers
    expected = read_results(folder)[0].differences["f1", "flipped_decoder", "fine_tuned_long"]
    assert interval[0].get_xdata() == pytest.approx([14.0])
    assert interval[0].get_ydata()[0] == dots.get_ydata()[0]
    (segment,) = interval[2][0].get_segments()
    assert segment[:, 0].tolist() == pytest.approx([100 * expected.low, 100 * expected.high])
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title() for axes in (left, right))
