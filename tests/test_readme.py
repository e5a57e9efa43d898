"""README and documentation: their commands parse, their paths and names exist, their Python compiles."""

import ast
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from flipkd.cli.main import COMMANDS, main
from flipkd.cli.options import parse
from flipkd.data.reader import read_pairs
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.entries import Entry
from flipkd.retrieval.index import FaqIndex

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CHEAP = (["--help"], ["--version"])


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def shell_lines():
    """(page, words) of each line of each bash block, continued lines joined, settings before a command taken off."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words:
                    yield page, words


def name_of(page):
    return page.relative_to(ROOT).as_posix()


LINES = list(shell_lines())
FLIPKD = [
    pytest.param(words[1:], id=f"{name_of(page)}: {' '.join(words)}") for page, words in LINES if words[0] == "flipkd"
]
PYTHON = [
    pytest.param(block, id=f"{name_of(page)} {number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
]


def test_there_is_something_to_check():
    assert len(FLIPKD) > 15
    assert len(PYTHON) > 5


@pytest.mark.parametrize("words", FLIPKD)
def test_a_command_parses_against_its_options(words, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    if words in CHEAP or words[-1] == "--help":
        try:
            status = main(words)
        except SystemExit as stopped:
            status = stopped.code
        assert status == 0
        assert capsys.readouterr().out
        return
    (name,) = [name for name in COMMANDS if tuple(words[: len(name)]) == name]
    options = import_module(COMMANDS[name][0]).Options
    parse(options, f"flipkd {' '.join(name)}", words[len(name) :])


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: flipkd {' '.join(name)}" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_is_shown_in_the_readme(name):
    assert any(page.name == "README.md" and tuple(words[1 : 1 + len(name)]) == name for page, words in LINES)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_repositorys_files_it_names_exist(page):
    named = re.findall(r"(?<![\w/.])(?:demo|configs)/[\w./-]*\w", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_make_targets_it_names_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z-]+)`", text)
    named += [words[1] for where, words in LINES if where == page and words[0] == "make"]
    assert set(named) <= targets


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("block", PYTHON)
def test_python_compiles_and_its_imports_exist(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "flipkd":
            module = import_module(node.module)
            assert [name.name for name in node.names if getattr(module, name.name, None) is None] == []


def test_the_methods_functions_and_tests_exist():
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    functions = re.findall(r"`flipkd((?:\.\w+)+)`", text)
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(functions) > 30
    assert len(tests) > 40
    for dotted in functions:
        module, _, name = f"flipkd{dotted}".rpartition(".")
        assert callable(getattr(import_module(module), name)), dotted
    missing = [
        f"{file}::{name}" for file, name in tests if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_the_method_keeps_the_section_numbers_that_the_code_cites():
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (\d+)\. ", text, re.MULTILINE)
    assert titles == [str(number) for number in range(1, 8)]
    cited = {
        number
        for file in (ROOT / "src").rglob("*.py")
        for run in re.findall(r"docs/method\.md sections? ([\d, and]+)", file.read_text(encoding="utf-8"))
        for number in re.findall(r"\d+", run)
    }
    assert cited <= set(titles)


def test_the_artefact_page_names_every_file_and_field(artefact):
    import pyarrow.parquet as pq

    page = (ROOT / "docs" / "reference" / "artefact.md").read_text(encoding="utf-8")
    spec = json.loads((artefact / "flipkd.json").read_text())
    found = json.loads((artefact / "evaluation" / "metrics.json").read_text())
    log = [json.loads(line) for line in (artefact / "training" / "log.jsonl").read_text().splitlines()]
    files = [file.relative_to(artefact).as_posix() for file in artefact.rglob("*") if file.is_file()]
    names = {
        *(file for file in files if "/" in file),
        *spec, *spec["template"], *spec["answer"], *spec["thresholds"], *spec["teacher"], *spec["data"]["train"],
        *found, *found["rows"], *found["rows"]["teacher"], *found["answers"],
        *pq.read_schema(artefact / "evaluation" / "predictions.parquet").names,
    }  # fmt: skip
    assert sorted(name for name in names if f"`{name}`" not in page) == []

    page = (ROOT / "docs" / "how-to" / "training-log.md").read_text(encoding="utf-8")
    keys = {key for record in log for key in record if "loss" in record and not key.endswith("_grad_norm")}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


def test_the_training_script_of_the_how_to_runs(settings, tmp_path, monkeypatch):
    (script,) = [
        block for block in blocks(ROOT / "docs" / "how-to" / "python.md", "python") if "WarmupTrainer(" in block
    ]
    tiny = settings(tmp_path / "run")
    words = f"prompt={tiny.prompt!r}, label_words={tiny.label_words!r}"
    for shown, here in {
        '"demo/banking77/train.csv"': repr(tiny.train),
        '"demo/banking77/validation.csv"': repr(tiny.validation),
        '"runs/teacher"': repr(tiny.teacher),
        '"smollm2-135m"': repr(tiny.student),
        '"~/.cache/flipkd"': repr(tiny.cache_dir),
        "adapt_layers=14": "adapt_layers=2",
        "4 * 2**30": "2**22",
        "max_text_tokens=64": "batch_pairs=8, max_text_tokens=40",
        "Template.build(tokenizer, ": f"Template.build(tokenizer, {words}, ",
    }.items():
        assert shown in script
        script = script.replace(shown, here)
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(compile(script, "docs/how-to/python.md", "exec"), scope)
    assert any("eval_ap" in record for record in scope["log"])
    assert (tmp_path / "runs" / "mine" / "adapter" / "adapter_model.safetensors").is_file()


def test_the_artefact_answers_without_flipkd_as_its_page_says(artefact, tmp_path):
    import pyarrow.parquet as pq

    (script,) = blocks(ROOT / "docs" / "reference" / "artefact.md", "python")
    assert '"runs/demo"' in script
    scope = {}
    exec(compile(script.replace('"runs/demo"', repr(str(artefact))), "docs/reference/artefact.md", "exec"), scope)
    rows = pq.read_table(artefact / "evaluation" / "predictions.parquet").to_pylist()[:4]
    both = json.loads((artefact / "flipkd.json").read_text())["symmetric"]
    for row in rows:
        orders = [(row["text_a"], row["text_b"]), (row["text_b"], row["text_a"])][: 1 + both]
        found = sum(scope["log_odds"](*order) for order in orders) / len(orders)
        assert found == pytest.approx(row["log_odds"], abs=1e-3)
    texts = [row["text_a"] for row in rows]
    expected = Matcher.from_pretrained(artefact, device="cpu", cache_dir=tmp_path).encode(texts)
    for text, vector in zip(texts, expected, strict=True):
        assert scope["vector"](text).tolist() == pytest.approx(vector.tolist(), abs=1e-4)


def test_the_pairs_of_a_faq_are_made_as_its_page_says(tmp_path, monkeypatch):
    (script,) = [block for block in blocks(ROOT / "docs" / "how-to" / "faq.md", "python") if "asked.csv" in block]
    asked = [(f"query {number}", name) for number, name in enumerate(["pin", "delivery"] * 3)]
    (tmp_path / "asked.csv").write_text("query,entry\n" + "".join(f"{query},{name}\n" for query, name in asked))
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(compile(script, "docs/how-to/faq.md", "exec"), scope)
    train, validation = (read_pairs(str(tmp_path / f"{name}.csv")) for name in ("train", "validation"))
    assert (len(train), len(validation)) == (12, 6)
    right = {(query, scope["text"][name]) for query, name in asked}
    for pairs in (train, validation):
        found = zip(pairs.text_a, pairs.text_b, pairs.label, strict=True)
        assert all(((query, entry) in right) == (label == 1) for query, entry, label in found)
    assert not set(train.text_a) & set(validation.text_a)


def test_duplicates_are_found_as_their_page_says(artefact, tmp_path, monkeypatch, capsys):
    (script,) = blocks(ROOT / "docs" / "how-to" / "duplicates.md", "python")
    matcher = Matcher.from_pretrained(artefact, device="cpu", cache_dir=tmp_path)
    texts = ["how do i reset my pin", "reset the pin", "pay with gold"]
    FaqIndex.build(matcher, [Entry(str(number), text) for number, text in enumerate(texts)], tmp_path / "texts").close()
    for shown, here in {'"runs/x"': repr(str(artefact)), '"runs/texts"': repr(str(tmp_path / "texts"))}.items():
        assert shown in script
        script = script.replace(shown, here)
    # Every pair matches by so large a prior: each couple is found from both sides and shown once, none with itself.
    scope = {}
    exec(compile(script.replace("prior=0.01", "prior=0.999999"), "docs/how-to/duplicates.md", "exec"), scope)
    assert {tuple(sorted(couple)) for couple in scope["duplicates"]} == {("0", "1"), ("0", "2"), ("1", "2")}
    assert len(capsys.readouterr().out.splitlines()) == 3
