package plan

import "strings"

// isPathList reports whether a variable is a list of places, separated by
// colons, to which a package adds its own in front of what is there.
func isPathList(name string) bool {
	switch name {
	case "PATH", "MANPATH", "INFOPATH", "CPATH", "CDPATH", "PYTHONPATH", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS":
		return true
	}
	return strings.HasSuffix(name, "_PATH") // LD_LIBRARY_PATH, PKG_CONFIG_PATH, CMAKE_PREFIX_PATH, GST_PLUGIN_PATH
}
