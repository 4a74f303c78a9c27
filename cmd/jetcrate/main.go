// Command jetcrate builds, tests and publishes container images for Jetsons.
package main

import (
	"os"
	"runtime/debug"

	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
)

func main() {
	// Most of what a command allocates is its plan, which lives until the end:
	// fewer collections save a tenth of the time and cost a tenth of the memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	os.Exit(jetcrate.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
