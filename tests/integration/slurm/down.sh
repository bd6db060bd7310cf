#!/usr/bin/env bash
# Stop the processes that up.sh started, by their stored process ids. usage: down.sh ROOT
set -uo pipefail

root=$(realpath -m "$1")
export SLURM_CONF=$root/etc/slurm.conf
timeout 5 scancel -u "$(id -un)" 2>/dev/null
sleep 0.5
for file in "$root"/pid/{slurmd.n*,slurmctld,slurmdbd,mariadbd,munged}.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
done
for file in slurm.conf gres.conf cgroup.conf; do
    [ "$(readlink "/etc/slurm/$file")" = "$root/etc/$file" ] && rm -f "/etc/slurm/$file"
done
rm -rf "$root"
