// Command jet finds and runs the container image that fits this Jetson.
package main

import (
	"os"

	"github.com/jetcrate/jetcrate/internal/cli/jet"
)

func main() { os.Exit(jet.Main()) }
