#!/usr/bin/env bash
# Lock the dependencies. Needs uv. Writes envs/requirements.lock (pip, with the developers' tools), envs/train.lock (images) and
# envs/autobird.yaml (conda). All three hold the same versions.
# Packages that only CUDA builds of torch need are omitted; these builds pin them themselves.
# If a package is named as argument, only that package is upgraded.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then uv lock --upgrade-package "$1"; else uv lock --upgrade; fi

exported() {
    uv export --frozen "$@" --no-hashes --no-emit-project --no-annotate --no-header |
        grep -vE '^(nvidia-|cuda-|triton)'
}
{
    echo "# Made by 'make lock'. Install: pip install -r envs/requirements.lock -e ."
    exported --all-extras
} > envs/requirements.lock
{
    echo "# Made by 'make lock': the same versions, without the developers' tools. For images and conda."
    exported --extra train --extra serve --extra postgres --extra media --extra tflite --extra slurm --extra gce
} > envs/train.lock
{
    echo "# Made by 'make lock' from train.lock, for 'snakemake --sdm conda'."
    printf 'channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.12\n  - pip\n  - pip:\n'
    grep -v '^#' envs/train.lock | sed "s/.*/      - \"&\"/"
} > envs/autobird.yaml
