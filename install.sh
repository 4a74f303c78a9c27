#!/bin/sh
# Installs jet from a release folder: the program for this machine, autotag as a
# second name of it, and completion for bash, zsh and fish. Checks SHA-256 first.
# Needs no network. Touches nothing but these files, and none that is another's
# without asking.
#
#   ./install.sh                      the release folder is the one of this script
#   ./install.sh --from DIR|URL       ... or another one, or one behind https://
#   ./install.sh --prefix DIR         default: /usr/local as root, else ~/.local
#   ./install.sh --yes                replace other files called autotag or jet
#   ./install.sh --uninstall          remove what was installed, and nothing else
#
# A release folder holds jet-linux-arm64 (and others) and SHA256SUMS.
set -eu

say() { printf 'install: %s\n' "$*"; }
die() { code=$1; shift; printf 'install: %s\n' "$*" >&2; exit "$code"; }
usage() { sed -n '2,/^set -eu$/{/^set -eu$/d;s/^# \{0,1\}//;p;}' "$0"; }

from='' prefix='' yes='' uninstall=''
while [ $# -gt 0 ]; do
    case $1 in
        --from) [ $# -gt 1 ] || die 1 "--from needs a folder or a URL"; from=$2; shift 2 ;;
        --from=*) from=${1#*=}; shift ;;
        --prefix) [ $# -gt 1 ] || die 1 "--prefix needs a folder"; prefix=$2; shift 2 ;;
        --prefix=*) prefix=${1#*=}; shift ;;
        --yes) yes=1; shift ;;
        --uninstall) uninstall=1; shift ;;
        --help|-h) usage; exit 0 ;;
        *) die 1 "unknown argument $1; allowed: --from, --prefix, --yes, --uninstall, --help" ;;
    esac
done

if [ -z "$prefix" ]; then
    if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=${HOME:?is not set: name a folder with --prefix}/.local; fi
fi
bin=$prefix/bin
bash_file=$prefix/share/bash-completion/completions/jet
zsh_file=$prefix/share/zsh/site-functions/_jet
fish_file=$prefix/share/fish/vendor_completions.d/jet.fish

# ours FILE: a program that answers as jet does.
ours() { case $("$1" version </dev/null 2>/dev/null || true) in 'jet '*) return 0 ;; *) return 1 ;; esac; }

if [ -n "$uninstall" ]; then
    if [ -L "$bin/autotag" ] && [ "$(readlink "$bin/autotag")" = jet ]; then rm -f "$bin/autotag"; say "removed $bin/autotag"; fi
    if [ -e "$bin/jet" ]; then
        ours "$bin/jet" || die 3 "$bin/jet is not the jet of this project; it stays"
        rm -f "$bin/jet"; say "removed $bin/jet"
    fi
    for f in "$bash_file" "$zsh_file" "$fish_file"; do
        if [ -e "$f" ]; then rm -f "$f"; say "removed $f"; fi
    done
    say "the table, models and caches of users stay: ~/.local/share/jetcrate, ~/.cache/jetcrate"
    exit 0
fi

case $(uname -m) in
    aarch64|arm64) arch=arm64 ;;
    x86_64) arch=amd64 ;;
    *) die 3 "there is no jet for $(uname -m)" ;;
esac
name=jet-linux-$arch

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

[ -n "$from" ] || from=$(cd "$(dirname "$0")" && pwd)
case $from in
    https://*)
        for f in "$name" SHA256SUMS; do
            say "fetching $from/$f"
            if command -v curl >/dev/null 2>&1; then
                curl -fsSL --proto '=https' -o "$work/$f" "$from/$f" || die 2 "$from/$f cannot be fetched"
            else
                wget -q --https-only -O "$work/$f" "$from/$f" || die 2 "$from/$f cannot be fetched"
            fi
        done
        ;;
    *://*) die 1 "--from takes a folder or an https:// URL, not $from" ;;
    *)
        for f in "$name" SHA256SUMS; do
            [ -f "$from/$f" ] || die 1 "$from has no $f; name a release folder with --from"
            cp "$from/$f" "$work/$f"
        done
        ;;
esac

# One line of SHA256SUMS, for exactly this file.
sum=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
[ "$(printf '%s' "$sum" | wc -w)" = 1 ] || die 3 "SHA256SUMS does not have one line for $name"
have=$(sha256sum "$work/$name" | cut -d' ' -f1)
[ "$sum" = "$have" ] || die 3 "$name has SHA-256 $have, SHA256SUMS says $sum: it is damaged or another's"
chmod 755 "$work/$name"
ours "$work/$name" || die 3 "$name does not run on this machine"

# may FILE: whether a file that is not ours may be replaced.
may() {
    [ -z "$yes" ] || return 0
    if [ -t 0 ]; then
        printf 'install: %s is something else. Replace it? [y/N] ' "$1"
        read -r answer
        case $answer in y|Y|yes) return 0 ;; esac
    fi
    return 1
}

mkdir -p "$bin" || die 2 "$bin cannot be made; use sudo, or --prefix"
[ -w "$bin" ] || die 2 "$bin cannot be written to; use sudo, or --prefix"
if [ -e "$bin/jet" ] && ! ours "$bin/jet"; then may "$bin/jet" || die 3 "$bin/jet is something else and stays; --yes replaces it"; fi
# Renamed into place, so that a jet that runs right now is not disturbed.
cp "$work/$name" "$bin/.jet.new" && mv -f "$bin/.jet.new" "$bin/jet"
say "installed $bin/jet: $("$bin/jet" version)"

if [ ! -e "$bin/autotag" ] && [ ! -L "$bin/autotag" ] || [ "$(readlink "$bin/autotag" || true)" = jet ] || may "$bin/autotag"; then
    ln -sf jet "$bin/autotag"
    say "linked $bin/autotag"
else
    say "$bin/autotag is something else and stays; --yes replaces it"
fi

for shell in bash zsh fish; do
    eval "file=\$${shell}_file"
    if mkdir -p "$(dirname "$file")" 2>/dev/null && "$bin/jet" completion "$shell" >"$work/completion" && cp "$work/completion" "$file"; then
        say "installed $file"
    else
        say "completion for $shell is left out: $file cannot be written"
    fi
done

case :$PATH: in *":$bin:"*) ;; *) say "$bin is not on PATH: export PATH=$bin:\$PATH" ;; esac
say "checking this device (jet doctor); nothing is changed"
"$bin/jet" doctor || say "jet is installed; what failed above is to be mended before it can run images"
