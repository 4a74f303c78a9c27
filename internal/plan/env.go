package plan

import (
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// isPathList reports whether a variable is a list of places, separated by
// colons, to which a package adds its own in front of what is there.
func isPathList(name string) bool {
	switch name {
	case "PATH", "MANPATH", "INFOPATH", "CPATH", "CDPATH", "PYTHONPATH", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS":
		return true
	}
	return strings.HasSuffix(name, "_PATH") // LD_LIBRARY_PATH, PKG_CONFIG_PATH, CMAKE_PREFIX_PATH, GST_PLUGIN_PATH
}

// imageVariable refuses a value that no ENV of a Dockerfile can write: those
// that stay in an image are one line.
func (x *expander) imageVariable(v Var, pos diag.Position) {
	switch {
	case strings.ContainsAny(v.Value, "\n\t"):
		x.list.Errorf("bad-variable", pos, "the value of %s has more than one line, or a tab: a variable that stays in the image is one line", v.Name)
	case len(v.Value) > maxVariable:
		x.list.Errorf("bad-variable", pos, "the value of %s has %d bytes; a variable that stays in the image has at most %d", v.Name, len(v.Value), maxVariable)
	}
}

const maxVariable = 16 << 10 // bytes; each may be written as two
