#!/usr/bin/env bash
# Makes the release folder that install.sh reads: jet for ARM64 and x86-64, its
# Debian packages, install.sh and SHA256SUMS. The same sources give the same bytes.
#
#   cmd/jet/release.sh DIR                    default: dist
#   TABLE=table.json cmd/jet/release.sh DIR   ... with a table for devices that never fetch one
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
dir=${1:-$here/dist}
if tag=$(cd "$here" && git describe --tags --match 'v[0-9]*' 2>/dev/null); then
    version=${tag#v}
else
    version=0~git.$(cd "$here" && git rev-parse --short HEAD 2>/dev/null || echo unknown)
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(cd "$here" && git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH CGO_ENABLED=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/out"
overlay=()
if [ -n "${TABLE:-}" ]; then
    printf '{"Replace":{"%s/internal/cli/jet/embedded.json":"%s"}}' "$here" "$(realpath "$TABLE")" >"$work/overlay.json"
    overlay=(-overlay "$work/overlay.json")
fi
for arch in arm64 amd64; do
    (cd "$here" && GOOS=linux GOARCH=$arch "${GO:-go}" build "${overlay[@]}" -trimpath -ldflags '-s -w' -o "$work/out/jet-linux-$arch" ./cmd/jet)
    if command -v dpkg-deb >/dev/null; then
        root=$work/deb-$arch
        install -D -m 755 "$work/out/jet-linux-$arch" "$root/usr/bin/jet"
        ln -s jet "$root/usr/bin/autotag"
        install -D -m 644 "$here/LICENSE" "$root/usr/share/doc/jet/copyright"
        mkdir -p "$root/DEBIAN"
        cat >"$root/DEBIAN/control" <<CONTROL
Package: jet
Version: $version
Architecture: $arch
Maintainer: jetcrate <https://github.com/jetcrate/jetcrate>
Section: utils
Priority: optional
Suggests: docker.io | docker-ce, nvidia-container-toolkit
Homepage: https://github.com/jetcrate/jetcrate
Description: the container image that fits this Jetson
 Finds which image runs on this device from a compatibility table, and says why;
 pulls and runs it with the GPU, cameras and what else the device has.
CONTROL
        find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
        dpkg-deb --root-owner-group -Zgzip --build "$root" "$work/out/jet_${version}_$arch.deb" >/dev/null
    fi
done
cp "$here/install.sh" "$work/out/"
(cd "$work/out" && sha256sum -- * >SHA256SUMS)
mkdir -p "$dir"
cp "$work"/out/* "$dir/"
ls "$dir"
