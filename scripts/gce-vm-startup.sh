#!/usr/bin/env bash
# Runs at each start of the machine of scripts/gce-vm.sh: fetch code and recordings, run Snakemake, stop the machine.
# The disk is kept when the machine stops, so Snakemake's records are kept. Checkpoints are in the bucket.
set -uo pipefail

AUTOBIRD_METADATA=${AUTOBIRD_METADATA:-http://metadata.google.internal/computeMetadata/v1}
meta() { curl -sf -H 'Metadata-Flavor: Google' "$AUTOBIRD_METADATA/$1"; }

bucket=$(meta instance/attributes/autobird-bucket)
image=$(meta instance/attributes/autobird-image)
recordings=$(meta instance/attributes/autobird-recordings)
vm=$(meta instance/attributes/autobird-vm)
project=$(meta project/project-id)
arguments=$(meta instance/attributes/autobird-arguments | base64 -d)
work=${AUTOBIRD_WORK:-/work}
log=$work/run.log

run() {
    set -e
    mkdir -p "$work/code"
    cd "$work/code"
    gcloud storage cp "gs://$bucket/.vm/$vm.tar.gz" "$work/code.tar.gz"
    tar xzf "$work/code.tar.gz" -C "$work/code"
    if [ -n "$recordings" ]; then
        mkdir -p "$work/recordings"
        gcloud storage rsync --recursive "$recordings" "$work/recordings"
    fi
    gcloud auth configure-docker --quiet "${image%%/*}"
    docker pull --quiet "$image"
    # Remove Snakemake's locks: they remain if Google reclaimed the machine during a run.
    container=(docker run --rm --gpus all --network host --user root -v "$work:/work" -w /work/code
        -e GOOGLE_CLOUD_PROJECT="$project" -e AUTOBIRD_BUCKET="$bucket" "$image")
    rm -rf "$work/code/.snakemake/locks"
    eval "\"\${container[@]}\" python -m snakemake --profile profiles/vm $arguments"
}

mkdir -p "$work"
(run) 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
gcloud storage cp "$log" "gs://$bucket/.vm/$vm.log"
echo "autobird: ended with status $status"
shutdown -h now
