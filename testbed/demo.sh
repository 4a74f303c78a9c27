#!/bin/sh
# The main job, on a machine without a Jetson and without NVIDIA's registries: the
# testbed's matrix puts a Debian base in the place of NVIDIA's. Everything else is real.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/bin:$PATH"

run() {
    echo
    echo "\$ $*"
    "$@"
}

testbed="--matrix matrix.yaml --matrix testbed/matrix.yaml"
# shellcheck disable=SC2086 # $testbed is several words
{
    run jetcrate lint $testbed
    run jetcrate plan robot-kit --l4t r36.4.0 $testbed
    run jetcrate build robot-kit --l4t r36.4.0 $testbed
    run jetcrate table $testbed
}
run jet autotag robot-kit --host-l4t 36.4.3 --why
run jet run robot-kit --host-l4t 36.4.3 --dry-run -- python3 -c 'import cffi; print(cffi.__version__)'
