#!/usr/bin/env bash
# Run the workflow on one Google Cloud machine with an L4 GPU; files are in Cloud Storage, and the machine stops at the end.
#
#   scripts/gce-vm.sh start [SNAKEMAKE ARGUMENTS]   create the machine, or start it again, and run the workflow
#   scripts/gce-vm.sh log                           show the output of the machine, and follow it
#   scripts/gce-vm.sh delete                        delete the machine; the files in the bucket are kept
#
# Environment variables: GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_ZONE (for example europe-west4-a), AUTOBIRD_BUCKET, and
# AUTOBIRD_IMAGE (target `train` of envs/Dockerfile.train). Optional: AUTOBIRD_VM (name of the machine), AUTOBIRD_MACHINE
# (default g2-standard-4), AUTOBIRD_RECORDINGS (a gs:// folder; it is copied to /work/recordings for `type: folder`).
# The machine runs the last commit of this clone.
set -euo pipefail
cd "$(dirname "$0")/.."

for name in GOOGLE_CLOUD_PROJECT GOOGLE_CLOUD_ZONE AUTOBIRD_BUCKET AUTOBIRD_IMAGE; do
    [ -n "${!name:-}" ] || missing="${missing:-} $name"
done
[ -z "${missing:-}" ] || {
    echo "error: set these environment variables:$missing; see docs/google.md" >&2
    exit 1
}
vm=${AUTOBIRD_VM:-autobird}
where=(--project "$GOOGLE_CLOUD_PROJECT" --zone "$GOOGLE_CLOUD_ZONE")

case "${1:-}" in
start)
    shift
    code=$(mktemp -t autobird-code.XXXXXX.tar.gz)
    trap 'rm -f "$code"' EXIT
    git archive --format tar.gz -o "$code" HEAD
    gcloud storage cp "$code" "gs://$AUTOBIRD_BUCKET/.vm/$vm.tar.gz"
    metadata="autobird-bucket=$AUTOBIRD_BUCKET,autobird-image=$AUTOBIRD_IMAGE,autobird-vm=$vm"
    metadata+=",autobird-recordings=${AUTOBIRD_RECORDINGS:-}"
    # Snakemake's arguments are encoded as base64, because metadata cannot hold quotes and commas.
    metadata+=",autobird-arguments=$(printf '%q ' "$@" | base64 -w0)"
    if gcloud compute instances describe "$vm" "${where[@]}" >/dev/null 2>&1; then
        gcloud compute instances add-metadata "$vm" "${where[@]}" --metadata "$metadata"
        gcloud compute instances start "$vm" "${where[@]}"
    else
        gcloud compute instances create "$vm" "${where[@]}" \
            --machine-type "${AUTOBIRD_MACHINE:-g2-standard-4}" --maintenance-policy TERMINATE \
            --provisioning-model SPOT --instance-termination-action STOP \
            --image-family "${AUTOBIRD_VM_IMAGE_FAMILY:-common-cu128-ubuntu-2204-nvidia-570}" --image-project deeplearning-platform-release \
            --boot-disk-size 100GB --boot-disk-type pd-balanced --scopes cloud-platform \
            --metadata "install-nvidia-driver=True,$metadata" \
            --metadata-from-file startup-script=scripts/gce-vm-startup.sh
    fi
    ;;
log) gcloud compute instances tail-serial-port-output "$vm" "${where[@]}" ;;
delete) gcloud compute instances delete "$vm" "${where[@]}" ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
