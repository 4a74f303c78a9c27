package spec

import "github.com/jetcrate/jetcrate/internal/diag"

// Positioner finds the place of a value in the file it was read from. A path
// is made of map keys (string) and list indexes (int); the deepest existing
// prefix answers, so that a missing key points at the map that lacks it.
type Positioner interface {
	Pos(path ...any) diag.Position
}
