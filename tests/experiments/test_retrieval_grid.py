"""A retrieval set of the grid: trained by `distill` on its own pairs, ranked, kept, and not run again."""

import gzip
import shutil
from dataclasses import replace

import pytest

from experiments.collections_by_hand import write_set
from flipkd.data.reader import read_pairs
from flipkd.errors import FlipkdError
from flipkd.experiments import retrieval_grid
from flipkd.experiments.config import ReproduceConfig
from flipkd.experiments.report import write_report
from flipkd.experiments.retrieval_cells import read_queries, read_retrieval
from flipkd.experiments.retrieval_grid import further_texts
from flipkd.experiments.retrieval_sets import RetrievalSet, read_collection

pytest.importorskip("bm25s")

SETS = {"toy": RetrievalSet("toy", "toys", "faq.jsonl.gz", ("question", "answer"))}


@pytest.fixture
def run(tmp_path, monkeypatch, artefact, models):
    trained = []

    def distill(config):
        """The shared tiny artefact with its teacher, in the place of a training."""
        trained.append(config)
        shutil.copytree(artefact, config.output)
        shutil.copytree(models["teacher"], f"{config.output}/teacher")
        return retrieval_grid.Path(config.output)

    monkeypatch.setattr(retrieval_grid, "distill", distill)
    sets = {"toy": replace(SETS["toy"], teacher=models["teacher"])}
    monkeypatch.setattr(retrieval_grid, "RETRIEVAL_SETS", sets)
    monkeypatch.setattr("flipkd.experiments.config.RETRIEVAL_SETS", sets)
    data = write_set(tmp_path)

    def go(**options):
        folders = {name: str(tmp_path / name) for name in ("results", "work")}
        retrieval_grid.run_retrieval(ReproduceConfig(data=str(data), only="toy", device="cpu", **folders, **options))
        return trained

    go.results = tmp_path / "results"
    return go


def test_a_set_that_can_be_run_passes_the_check_and_a_missing_one_does_not(run, tmp_path):
    retrieval_grid.check_retrieval(ReproduceConfig(data=str(tmp_path), only="toy"))
    with pytest.raises(FlipkdError, match="There is no"):
        retrieval_grid.check_retrieval(ReproduceConfig(data=str(tmp_path / "elsewhere"), only="toy"))


def test_a_set_is_trained_on_its_own_pairs_as_directed(run):
    (config,) = run(seeds=1)
    assert config.directed
    assert config.keep_teacher
    pairs = read_pairs(config.train)
    assert set(pairs.label) == {0, 1}
    assert "reset the pin of my card" in pairs.text_b
    assert "open account" in read_pairs(config.validation).text_b


def test_the_warm_up_reads_entries_and_training_queries_that_are_in_no_pair(run, tmp_path):
    collection = read_collection(SETS["toy"], tmp_path)
    further = further_texts(collection, {"cost of a card", collection.texts[0]})
    assert {"reset the pin of my card", "my card is lost or stolen new card and new pin"} < set(further)
    assert not {"cost of a card", "how do i reset my pin send a text"} & set(further), "in the pairs"
    assert not {"open account", "close account"} & set(further), "queries of other splits"


def test_the_students_warm_up_is_given_a_file_of_them(run, tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval_grid, "TRAIN", 3)
    (config,) = run(seeds=1)
    known = {text for file in (config.train, config.validation) for text in read_pairs(file).texts()}
    given = retrieval_grid.Path(config.unlabelled).read_text(encoding="utf-8").splitlines()
    assert given == further_texts(read_collection(SETS["toy"], tmp_path), known)
    assert given


def test_where_the_pairs_hold_all_texts_there_are_no_further_ones(run):
    (config,) = run(seeds=1)
    assert config.unlabelled is None


def test_every_method_gets_a_cell_once(run):
    run(seeds=1)
    run(seeds=1)
    cells = read_retrieval(run.results)
    assert [cell.method for cell in cells] == ["bm25", "untuned", "teacher", "encoder", "decoder", "encoder_decoder"]
    assert {(cell.set, cell.seed, cell.queries) for cell in cells} == {("toy", 0, 3)}


def test_a_further_seed_is_trained_alone(run):
    run(seeds=1)
    trained = run(seeds=2)
    assert [config.seed for config in trained] == [0, 1]


def test_the_report_shows_them(run, monkeypatch):
    monkeypatch.setattr("flipkd.experiments.retrieval_cells.FEWEST_INDEPENDENT", 1)
    run(seeds=1)
    report = write_report(run.results).read_text()
    (row,) = [line for line in report.splitlines() if line.startswith("| `toy` | `encoder_decoder` |")]
    assert row.count("[") == 3, "with its intervals to the teacher before and after, and to BM25"


@pytest.mark.parametrize("file", ["faq.jsonl.gz", "queries.jsonl.gz", "qrels_test.tsv.gz"])
def test_a_set_of_other_content_is_trained_and_ranked_anew(run, tmp_path, file):
    """Else the student of one copy of the data would be measured on the queries of another."""
    run(seeds=2)
    with gzip.open(tmp_path / "toy" / file, "rt", encoding="utf-8") as handle:
        lines = handle.read()
    old, new = {"faq": ("reset", "restore"), "que": ("cost", "price"), "qre": ("\t1\n", "\t2\n")}[file[:3]]
    assert old in lines
    with gzip.open(tmp_path / "toy" / file, "wt", encoding="utf-8") as handle:
        handle.write(lines.replace(old, new))
    assert len(run(seeds=1)) == 3
    cells = read_retrieval(run.results)
    assert len({cell.sample for cell in cells}) == 2
    with pytest.raises(FlipkdError, match=r"toy: cells of different collections .* cannot be compared"):
        read_queries(run.results, cells)
