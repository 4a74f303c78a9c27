// Package spec reads the catalog: packages, reusable steps, the matrix and the
// lock, from an fs.FS, into the types of types.go.
//
// Load reports every mistake of every file in one run, each with its place.
// YAML is read as a tree first (Document), so that values stay as written
// (2.10 is "2.10") and positions are known; the tree is validated against the
// JSON schemas that Schema generates from the Go types (the committed files in
// schema/), decoded, and checked for what a schema cannot say (check*.go).
// docs/lint.md describes each diagnostic code.
//
// Files come from strangers: their size, nesting and names are bounded, YAML
// anchors, aliases and tags are refused, and no symlink is followed. Nothing
// here reads the clock, the environment or the network.
package spec
