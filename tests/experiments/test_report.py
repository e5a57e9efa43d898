import shutil
from itertools import product

import numpy as np
import pytest

from experiments.synthetic import LABEL, ROWS, put, section, values
from flipkd.errors import FlipkdError
from flipkd.experiments import report
from flipkd.experiments.cells import read_cells, write_cell
from flipkd.experiments.comparisons import read_results
from flipkd.experiments.report import BEGIN, END, summary_table, update_between, update_file, write_report
from flipkd.experiments.sets import PAIR_SETS


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    """The picture has tests of its own."""
    monkeypatch.setattr(report, "find_spec", lambda name: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sets, some methods, some seeds: a decoder that wins on mqp and loses on rqe."""
    results = tmp_path_factory.mktemp("results")
    for seed, spread in enumerate((-4, 0, 4)):
        put(results, "mqp", "fine_tuned_long", 40, seed)
        put(results, "mqp", "flipped_decoder", 12 + spread, seed)
        put(results, "mqp", "fine_tuned", 40, seed)
    put(results, "mqp", "teacher", 20, 0)
    put(results, "mqp", "flipped_teacher", 4, 0, commit="fff0000+")
    put(results, "rqe", "fine_tuned_long", 12)
    put(results, "rqe", "flipped_decoder", 40)
    return results


@pytest.fixture
def text(folder):
    return write_report(folder).read_text()


def lines(text, method):
    """The cells of the lines of a method, one a table."""
    found = [line for line in text.splitlines() if line.startswith(f"| `{method}` |")]
    return [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in found]


def test_mean_and_deviation_over_seeds(text):
    figures, _ = lines(section(text, "mqp"), "flipped_decoder")
    # F1 of 8, 12 and 16 wrong among 200: .96, .94, .92.
    assert figures[0] == "0.940 ± 0.020"
    assert figures[3] == "0.940 ± 0.020"
    assert figures[4:] == ["3", "1.23%", "1.5", ""]
    figures, _ = lines(section(text, "mqp"), "teacher")
    assert figures[0] == "0.900"
    assert figures[4] == "1"


def test_a_win_and_a_loss_are_shown_alike(text):
    _, (win, *_) = lines(section(text, "mqp"), "flipped_decoder")
    _, (loss, *_) = lines(section(text, "rqe"), "flipped_decoder")
    assert win.startswith("**+14.0 [+")
    assert loss.startswith("**-14.0 [-")


def test_a_like_method_is_told_from_none_neither_way(text):
    assert lines(section(text, "mqp"), "fine_tuned")[1][:2] == ["+0.0 [+0.0, +0.0]"] * 2


def test_the_intervals_are_those_of_the_predictions(folder):
    (mqp, rqe) = read_results(folder)
    interval = mqp.differences["f1", "flipped_decoder", "fine_tuned_long"]
    assert interval.difference == pytest.approx(0.14)
    assert 0.09 < interval.low < 0.14 < interval.high < 0.2
    assert interval.seeds == 3
    assert mqp.differences["f1", "flipped_decoder", "teacher"].seeds == 1
    assert ("f1", "flipped_decoder", "teacher") not in rqe.differences


def test_every_set_says_what_it_can_show(text, folder):
    for each in read_results(folder):
        half = 100 * each.differences["f1", "flipped_decoder", "fine_tuned_long"].half_width
        sentence = section(text, each.name).strip().splitlines()[0]
        assert sentence.startswith(f"{ROWS} test rows")
        assert f"± {half:.1f} points" in sentence


def test_methods_stand_in_order_with_two_models_in_a_block_below(text):
    table = section(text, "mqp").split("\n\n")[1].splitlines()
    names = [line.split("|")[1].strip() for line in table[2:]]
    assert names == [
        *("`floor`", "`teacher`", "`zero_shot`", "`fine_tuned`", "`fine_tuned_long`", "`paper_decoder`"),
        *("`no_teacher_answer`", "`flipped_decoder`", "`flipped_encoder`", "`flipped_answer`"),
        *("**two models at hand**", "`fine_tuned_teacher`", "`flipped_teacher`"),
    ]


def test_what_is_missing_is_a_dash_and_named(text):
    assert lines(section(text, "mqp"), "floor") == [[*["–"] * 7, ""], ["–"] * 6]
    last = section(text, "mqp").strip().splitlines()[-1]
    assert "`floor`, `zero_shot`, `paper_decoder`" in last
    assert "`fine_tuned`" not in last
    assert last.endswith("alone: `teacher` (0), `flipped_teacher` (0).")
    assert "Sets without a cell: banking77, mrpc, atec, ths_faq, covid_zh." in text


def test_marks_are_counted_over_the_sets_that_have_cells(text):
    shown = section(text, "What it shows")
    assert "1. **The decoder, flipped, beats the longer fine-tuning: the paper's claim: cannot be told yet.**" in shown
    assert (
        "at least 1 point ahead, F1 or AP: 1 of 2 sets (asked: 5 of 7): mqp; cannot be told yet. Not on rqe. "
        "Fewer seeds than asked for: rqe." in shown
    )
    assert "`flipped_teacher` above `teacher` (F1): 1 of 1 sets (asked: 6 of 7): mqp; cannot be told yet." in shown
    assert "`flipped_answer` at least `teacher` (F1): 0 of 0 sets (asked: 3 of 7): none; cannot be told yet." in shown


def test_marks_are_met_and_missed_where_all_sets_are_there(tmp_path):
    for name, seed in product(PAIR_SETS, range(3)):
        put(tmp_path, name, "fine_tuned_long", 40, seed=seed)
        put(tmp_path, name, "flipped_decoder", 10, seed=seed)
        put(tmp_path, name, "flipped_answer", 40, seed=seed)
    shown = section(write_report(tmp_path).read_text(), "What it shows")
    assert "1. **The decoder, flipped, beats the longer fine-tuning: the paper's claim: met.**" in shown
    assert "the interval of that same metric above 0: 7 of 7 sets (asked: 4 of 7)" in shown
    assert "2. **The flipped student's answer beats the longer fine-tuning: not met.**" in shown


def test_the_heading_says_what_made_it(text):
    heading = text.partition("## Summary")[0]
    assert "`flipkd reproduce`" in heading
    assert "Commits of the cells: `abc1234`, `fff0000+`." in heading
    assert "Versions: flipkd 0.1.0, torch 2.0." in heading
    assert "| 100 | 200 in 200 | 50.0% | 0.667 | `5a3b1e` | of today | 0, 1, 2 |" in heading


def test_cells_of_earlier_settings_are_said_to_be_and_count_for_no_mark(tmp_path):
    for name in PAIR_SETS:
        put(tmp_path, name, "flipped_decoder", 10, settings="0c0ffee")
        put(tmp_path, name, "fine_tuned_long", 40, settings="0c0ffee")
    text = write_report(tmp_path).read_text()
    assert "| `5a3b1e` | earlier: 0c0ffee | 0 |" in text
    assert "F1 or AP: 0 of 0 sets" in section(text, "What it shows")
    assert f"of an earlier one: {', '.join(PAIR_SETS)}." in section(text, "What it shows")


def test_an_answer_that_is_the_teacher_alone_is_named_and_no_gain_over_it(tmp_path):
    put(tmp_path, "mqp", "teacher", 20)
    put(tmp_path, "mqp", "flipped_teacher", 19, note="teacher")
    put(tmp_path, "rqe", "teacher", 20)
    put(tmp_path, "rqe", "flipped_teacher", 19, note="decoder + teacher")
    text = write_report(tmp_path).read_text()
    assert "`flipped_teacher` above `teacher` (F1): 1 of 2 sets (asked: 6 of 7): rqe;" in text
    assert "The teacher alone answers, as validation chose, on mqp." in text
    assert lines(section(text, "rqe"), "flipped_teacher")[0][-1] == "decoder + teacher"


def test_methods_of_a_set_are_compared_at_its_last_settings_alone(tmp_path):
    put(tmp_path, "mqp", "floor", 40, settings="before")
    put(tmp_path, "mqp", "fine_tuned_long", 40, settings="before")
    put(tmp_path, "mqp", "flipped_decoder", 20, settings="after")
    shown = section(write_report(tmp_path).read_text(), "mqp")
    assert lines(shown, "flipped_decoder")[0][0] == "0.900"
    assert lines(shown, "fine_tuned_long")[0][0] == "–"


def test_the_report_is_the_same_each_time(folder):
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_the_order_of_the_cells_changes_nothing(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    cells = tmp_path / "other" / "cells.jsonl"
    kept = cells.read_text().splitlines(keepends=True)
    cells.write_text("".join(reversed(kept)))
    assert write_report(folder).read_text() == write_report(cells.parent).read_text()


def test_a_folder_without_cells_gets_a_report_of_dashes(tmp_path):
    text = write_report(tmp_path / "new").read_text()
    assert "Sets without a cell: mqp, rqe, banking77" in text
    assert text.count("cannot be told yet.**") == 5
    assert "| mqp | – / – |" in text


def test_a_cell_that_was_run_again_counts_once(tmp_path):
    put(tmp_path, "mqp", "floor", 40)
    put(tmp_path, "mqp", "floor", 20)
    assert lines(section(write_report(tmp_path).read_text(), "mqp"), "floor")[0][0] == "0.900"


def test_methods_and_sets_the_table_does_not_know_are_shown(tmp_path):
    put(tmp_path, "mine", "new_idea", 20)
    assert lines(section(write_report(tmp_path).read_text(), "mine"), "new_idea")[0][0] == "0.900"


def test_rows_are_paired_whatever_their_order_in_the_file(tmp_path):
    cell = put(tmp_path, "mqp", "fine_tuned_long", 40)
    turned = put(tmp_path, "mqp", "flipped_decoder", 40)
    back = np.arange(ROWS)[::-1]
    write_cell(tmp_path, turned, row=back, label=LABEL[back], group=back, value=values(40)[back])
    (mqp,) = read_results(tmp_path)
    interval = mqp.differences["ap", "flipped_decoder", cell.method]
    assert (interval.low, interval.high) == (0, 0)


def test_cells_of_different_test_rows_are_refused(tmp_path):
    cell = put(tmp_path, "mqp", "floor", 40, seed=1)
    put(tmp_path, "mqp", "teacher", 40)
    write_cell(tmp_path, cell, row=np.arange(ROWS) + 1, label=LABEL, group=np.arange(ROWS), value=values(40))
    with pytest.raises(FlipkdError, match=r"mqp: teacher, seed 0 .* floor, seed 1 .* different samples"):
        write_report(tmp_path)


def test_predictions_that_are_not_the_cells_are_refused(tmp_path):
    put(tmp_path, "mqp", "floor", 40, ap=0.5)
    with pytest.raises(FlipkdError, match=r"mqp-floor-0.parquet gives another AP \(0\.\d+\) than its cell \(0\.5000\)"):
        write_report(tmp_path)


def test_cells_of_different_samples_are_refused(tmp_path):
    put(tmp_path, "mqp", "floor", 40)
    put(tmp_path, "mqp", "teacher", 40, sample="0ther")
    with pytest.raises(FlipkdError, match=r"0ther.*5a3b1e"):
        write_report(tmp_path)


def test_the_summary_holds_every_set_of_the_table(folder):
    table = summary_table(read_cells(folder)).splitlines()
    head = "| F1 / AP | `flipped_decoder` | `flipped_answer` | `fine_tuned_long` |"
    assert table[0] == f"{head} `teacher` | `flipped_teacher` | `fine_tuned_teacher` | `floor` | seeds |"
    assert [line.split("|")[1].strip() for line in table[2:]] == list(PAIR_SETS)
    assert table[2].split("|")[3].strip() == "– / –"
    assert "\n".join(table) in write_report(folder).read_text()


def test_the_summary_compares_the_seeds_that_all_have(folder):
    """Seed 0 alone, since the teacher lacks the others: 8 wrong among 200, where three seeds have 12."""
    mqp = [cell.strip() for cell in summary_table(read_cells(folder)).splitlines()[2].split("|")]
    assert (mqp[2].partition(" / ")[0], mqp[9]) == ("0.960", "1")


def test_the_summary_has_nothing_where_no_seed_is_shared(tmp_path):
    put(tmp_path, "mqp", "teacher", 20, 0)
    put(tmp_path, "mqp", "floor", 20, 1)
    mqp = summary_table(read_cells(tmp_path)).splitlines()[2]
    assert {cell.strip() for cell in mqp.split("|")[2:-1]} == {"– / –", "–"}


def test_updating_a_file_twice_is_updating_it_once(folder, tmp_path):
    file = tmp_path / "page.md"
    file.write_text(f"# Page\n\n{BEGIN}\nold\n{END}\nafter\n")
    update_file(file, read_cells(folder))
    once = file.read_text()
    update_file(file, read_cells(folder))
    assert file.read_text() == once
    assert once == f"# Page\n\n{BEGIN}\n{summary_table(read_cells(folder))}\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}", f"{BEGIN} {END} {END}"])
def test_markers_must_be_there_once_and_in_order(text, tmp_path):
    with pytest.raises(FlipkdError, match="once each and in this order"):
        update_between(text, BEGIN, END, "new")
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(FlipkdError, match=r"page\.md"):
        update_file(tmp_path / "page.md", [])


def test_without_matplotlib_the_report_says_so_and_links_no_picture(tmp_path, capsys):
    put(tmp_path, "mqp", "floor", 40)
    assert report.PICTURE not in write_report(tmp_path).read_text()
    assert "matplotlib is not installed" in capsys.readouterr().err
