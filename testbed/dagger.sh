#!/bin/sh
# The Dagger module on the testbed, on a Dagger engine: lint, plan, build, test, wheels and push by
# `dagger call`. STORE is a registry that the engine reaches, such as 192.168.1.5:5000/jetcrate: a
# recipe of mmdebstrap does not run inside a call, so jetcrate puts the base there first.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/bin:$PATH"

skip() { echo "test-dagger: skipped: $*"; exit 0; }
command -v dagger >/dev/null || skip "the dagger CLI is not installed"
[ -n "${_EXPERIMENTAL_DAGGER_RUNNER_HOST:-}" ] || docker info >/dev/null 2>&1 ||
    skip "neither Docker runs nor does _EXPERIMENTAL_DAGGER_RUNNER_HOST name an engine"

say() { echo; echo "\$ $*"; }
call() { say dagger call "$@"; dagger --progress plain call --matrix matrix.yaml,testbed/matrix.yaml "$@"; }
matrix="--matrix matrix.yaml --matrix testbed/matrix.yaml"

call lint
call plan --package markupsafe --l4t 36.4.0 >/dev/null
[ -n "${STORE:-}" ] || skip "build, test, wheels and push: set STORE to a registry that the engine reaches"
# shellcheck disable=SC2086 # $matrix is several words
jetcrate build v4l-utils --l4t 36.4.0 --store "$STORE" ${INSECURE:+--store-insecure} $matrix

set -- --store "$STORE" ${INSECURE:+--insecure}
call "$@" build --package markupsafe --l4t 36.4.0 with-exec --args python3,-c,'import markupsafe' stdout
call "$@" test --package markupsafe --l4t 36.4.0
call "$@" wheels --package markupsafe --l4t 36.4.0 entries
# The password of a registry that asks for none is as good as any.
TOKEN=${TOKEN:-none} call "$@" push --package markupsafe --l4t 36.4.0 --registry "$STORE:test-dagger" \
    --username "${USERNAME:-nobody}" --token env:TOKEN
say "a call that has nothing to do, beside Dagger's own"
time dagger --progress plain core version
time dagger --progress plain call --matrix matrix.yaml,testbed/matrix.yaml "$@" \
    build --package markupsafe --l4t 36.4.0 platform
