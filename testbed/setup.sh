#!/bin/sh
# Makes this Debian or Ubuntu machine able to build and run ARM64 images: runc for
# buildkitd, QEMU for ARM64 programs, mmdebstrap for the base image; with the word
# "tests", Docker, a registry, skopeo, twine and Chromium for the tests as well, and
# with JETCRATE_ALL a virtual machine whose power can be cut.
# Needs root, and does nothing where everything is there.
set -eu

say() { echo "setup: $*"; }

missing=
wanted="runc:runc mmdebstrap:mmdebstrap qemu-aarch64-static:qemu-user-static arch-test:arch-test"
[ "${1:-}" != tests ] || wanted="$wanted dockerd:docker.io docker-registry:docker-registry skopeo:skopeo twine:twine"
[ -z "${JETCRATE_ALL:-}" ] || [ "$(uname -m)" != x86_64 ] || wanted="$wanted qemu-system-x86_64:qemu-system-x86"
# Ubuntu has no package of Chromium, and GitHub's machines have Chrome.
[ "${1:-}" != tests ] || command -v google-chrome >/dev/null 2>&1 || wanted="$wanted chromium:chromium"
for want in $wanted; do
    command -v "${want%%:*}" >/dev/null 2>&1 || missing="$missing ${want#*:}"
done
if ! [ -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then missing="$missing debian-archive-keyring"; fi
if ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then missing="$missing ca-certificates"; fi

if [ "$(id -u)" != 0 ] && { [ -n "$missing" ] || [ "$(uname -m)" != aarch64 ]; }; then
    say "this needs root: it installs Debian packages and registers QEMU; run it with sudo" >&2
    exit 2
fi

if [ -n "$missing" ]; then
    say "installing$missing"
    apt-get update -q
    # shellcheck disable=SC2086 # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi

# The tests start a registry of their own; the package's service is of no use to them.
case " $missing " in
*" docker-registry "*) ! [ -d /run/systemd/system ] || systemctl disable --now docker-registry ;;
esac

# Newer releases have Docker's client in a package of its own.
if [ "${1:-}" = tests ] && ! command -v docker >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker-cli
fi

if [ "$(uname -m)" != aarch64 ]; then
    formats=/proc/sys/fs/binfmt_misc
    if ! [ -e $formats/register ]; then
        say "mounting binfmt_misc"
        mount -t binfmt_misc none $formats
    fi
    if ! [ -e $formats/qemu-aarch64 ]; then
        say "registering QEMU for ARM64 programs"
        if [ -e /usr/lib/binfmt.d/qemu-aarch64.conf ]; then
            cat /usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register
        else
            update-binfmts --enable qemu-aarch64
        fi
    fi
fi
say "ready"
