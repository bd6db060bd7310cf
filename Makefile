# What a new user types. The plain commands stand in README.md.
PYTHON ?= python3
BIN := .venv/bin
RUN := results/demo

.PHONY: demo test test-long test-browser test-quality bench lint docs lock clean

# The run, its report if it is older than the scores, and what came out.
demo: .venv/installed
	@$(BIN)/python -m snakemake
	@$(MAKE) --no-print-directory --silent $(RUN)/report.html
	@$(BIN)/python -m autobird.cli scores $(RUN)

$(RUN)/report.html: $(RUN)/evaluation/metrics.json $(RUN)/dataset/counts.json $(RUN)/release/comparison.csv $(RUN)/drift/drift.json
	@$(BIN)/python -m snakemake --report $@ --quiet all

.venv/installed: envs/requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/requirements.lock -e .
	@touch $@

# The suite that CI runs.
test: .venv/installed
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

# Kills, orphans and core counts: some minutes.
test-long: .venv/installed
	$(BIN)/python -m pytest -m long -n auto --dist loadgroup

# The page in a real Chromium.
test-browser: .venv/installed
	$(BIN)/python -m pytest -m browser

# The demo over five folds and three seeds: about half an hour on two cores.
test-quality: .venv/installed
	$(BIN)/python -m pytest -m quality -s

# Speed, side by side in one run.
bench: .venv/installed
	$(BIN)/python -m pytest -m benchmark -s

lint: .venv/installed
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python -m snakemake --lint

# Write config/README.md, config/schema.json and the diagram of README.md anew.
docs: .venv/installed
	$(BIN)/python scripts/docs.py

lock:
	scripts/lock.sh

clean:
	rm -rf results/demo results/features/demo results/logs results/benchmarks
