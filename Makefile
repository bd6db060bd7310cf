# What a new user types. The plain commands stand in README.md.
PYTHON ?= python3
BIN := .venv/bin
RUN := results/demo

.PHONY: demo test test-avx2 test-long test-browser test-quality test-slurm test-gce test-image bench costs scale lint docs lock clean

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

# Training and release with the kernels of an x86 CPU that has AVX2 and no more; needs a torch built for x86 with oneDNN.
test-avx2: .venv/installed
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -n auto \
		tests/unit/test_training.py tests/unit/test_release.py tests/unit/test_int8.py

# Kills, orphans and core counts: some minutes.
test-long: .venv/installed
	$(BIN)/python -m pytest -m long -n auto --dist loadgroup

# The page in a real Chromium.
test-browser: .venv/installed
	$(BIN)/python -m pytest -m browser

# The demo over five folds and three seeds: about half an hour on two cores.
test-quality: .venv/installed
	$(BIN)/python -m pytest -m quality -s

# The whole workflow on a real Slurm of three nodes on this machine: root, Debian or Ubuntu, minutes.
test-slurm: .venv/installed
	$(BIN)/python -m pytest -m slurm -v

# The same on an emulated Google Cloud: root, minutes.
test-gce: .venv/installed
	$(BIN)/python -m pytest -m google -v

# The images, built and run with buildah and podman: root, Debian or Ubuntu, minutes.
test-image: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m image -v

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
	$(BIN)/hadolint envs/Dockerfile.train

# Write config/README.md, config/schema.json and the diagram of README.md anew.
docs: .venv/installed
	$(BIN)/python scripts/docs.py

# docs/costs.md from the benchmarks of a finished demo.
costs: .venv/installed
	$(BIN)/python scripts/costs.py results/benchmarks/demo

# How the corpus stage grows: docs/scale.json, docs/scale.png and the table in docs/corpus.md.
scale: .venv/installed
	$(BIN)/python scripts/scale.py

lock:
	scripts/lock.sh

clean:
	rm -rf results/demo results/features/demo results/logs results/benchmarks
