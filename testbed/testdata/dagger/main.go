// This file stands in for ci/dagger.gen.go, which serves the functions of the
// module to the engine.
package main

import "github.com/jetcrate/jetcrate/ci/internal/dagger"

// dag is the client of the engine's session.
var dag *dagger.Client

func main() { _ = New }
