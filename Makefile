# make demo        sets this machine up and runs the main job: specs to tested images to `jet autotag`
# make test        installs what the tests need and runs them all
# make test-all    those and the long ones: more rounds of what is random
# make test-dagger  the Dagger module on a Dagger engine, where one is reachable
# make lint        go vet and staticcheck
# make bench       benchmarks, for benchstat
# make build       bin/jetcrate, bin/jet and bin/buildkitd
# make release     dist/: jet for devices, its Debian packages, install.sh and SHA256SUMS
#
# demo and test need root: they install Debian packages, register QEMU for ARM64 and start a buildkitd.

GO ?= go
export CGO_ENABLED = 0
# For all that compiles: what programs and tests have in common is compiled once.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)
LDFLAGS = -s -w
TEST_TIMEOUT ?= 60m

.PHONY: build build-arm64 setup setup-tests demo test test-all test-dagger lint bench generate release clean

build:
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/jetcrate ./cmd/jet
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/buildkitd github.com/moby/buildkit/cmd/buildkitd

build-arm64:
	GOOS=linux GOARCH=arm64 $(GO) build -ldflags '$(LDFLAGS)' -o bin/arm64/ ./cmd/jet

setup:
	testbed/setup.sh

setup-tests:
	testbed/setup.sh tests

demo: setup build
	testbed/demo.sh

lint:
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# What tests leave to look at: pictures of the site.
export JETCRATE_ARTIFACTS ?= $(CURDIR)/artifacts

# Ends with a count of what ran and what was skipped, with reasons.
GOTEST = PATH="$(CURDIR)/bin:$$PATH" JETCRATE_REAL=1 $(GO) tool gotestsum --format standard-quiet --

test: setup-tests build build-arm64 lint
	$(GOTEST) -timeout $(TEST_TIMEOUT) ./...

test-all: export JETCRATE_ALL = 1
test-all: setup-tests build build-arm64 lint
	$(GOTEST) -timeout 10h ./...

test-dagger: build
	testbed/dagger.sh

bench:
	PATH="$(CURDIR)/bin:$$PATH" $(GO) test -run '^$$' -bench . -benchmem -count $${COUNT:-6} ./...

# What is made from the Go types and the catalog: JSON schemas, docs/packages and golden files.
generate:
	$(GO) test ./internal/spec ./internal/table ./internal/table/page ./internal/workflow -update

release:
	cmd/jet/release.sh dist

clean:
	rm -rf artifacts bin dist
