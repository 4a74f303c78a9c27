// Command jetcrate builds, tests and publishes container images for Jetsons.
package main

import (
	"os"

	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
)

func main() { os.Exit(jetcrate.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
