#!/usr/bin/env bash
# Build a replacement for the base image of envs/Dockerfile.train, for machines without access to an image registry:
# a minimal Debian system with its Python, made with debootstrap. usage: base.sh FOLDER NAME
set -euo pipefail

folder=$(realpath -m "$1")
name=$2
root=$folder/rootfs
mkdir -p "$folder"

for program in debootstrap buildah; do
    command -v "$program" >/dev/null || {
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends debootstrap buildah podman runc >/dev/null
    }
done

if [ ! -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" >"$folder/debootstrap.log" 2>&1
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*
    ln -s python3 "$root/usr/bin/python"
    # Copy the certificates and pip settings that this machine needs to reach its package index.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    { echo '[global]' && python3 -m pip config list 2>/dev/null |
        sed -nE "s/^(global|:env:)\.(cert|find-links|index-url)='(.*)'$/\2 = \3/p" | sort -u -t= -k1,1; } >"$root/etc/pip.conf"
fi

# Keep an existing image: a new one would make buildah rebuild every layer on top of it.
[ -z "$(buildah images -q "$name" 2>/dev/null)" ] || exit 0

container=$(buildah from scratch)
buildah add -q "$container" "$root" / >/dev/null
buildah config --cmd '["python3"]' --env LANG=C.UTF-8 \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit -q --rm "$container" "$name" >/dev/null
