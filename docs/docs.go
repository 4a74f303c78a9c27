// Package docs holds the pages that commands print.
package docs

import _ "embed"

// Lint is lint.md: a section for each code.
//
//go:embed lint.md
var Lint string
