package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// hashFiles is the hash of the hashes of the files of a workspace that patterns
// match, in the order of their names; "" if there is none. A pattern that begins
// with ! takes files away; one that matches a folder means all in it. No symlink
// is followed, and none leads out of the workspace.
func hashFiles(workspace string, args []any) (string, error) {
	var patterns []string
	for _, a := range args {
		text, _ := a.(string)
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				patterns = append(patterns, line)
			}
		}
	}
	for i, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		p = strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(p), filepath.ToSlash(workspace)+"/"), "./")
		if !doublestar.ValidatePattern(p) || strings.HasPrefix(p, "/") || strings.HasPrefix(p, "../") {
			return "", fmt.Errorf("%q is no pattern below the workspace", patterns[i])
		}
		if patterns[i] = strings.TrimSuffix(p, "/"); negated {
			patterns[i] = "!" + patterns[i]
		}
	}
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return "", fmt.Errorf("reading the workspace: %w", err)
	}
	defer root.Close()
	sum, found := sha256.New(), false
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !matches(patterns, name) {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		one := sha256.New()
		if _, err := io.Copy(one, f); err != nil {
			return err
		}
		found = true
		sum.Write(one.Sum(nil))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hashing files: %w", err)
	}
	if !found {
		return "", nil
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// matches reports whether the last pattern that fits a file is not a negated one.
func matches(patterns []string, name string) bool {
	in := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		for at := name; at != "."; at = filepath.Dir(at) {
			if ok, _ := doublestar.Match(p, at); ok {
				in = !negated
				break
			}
		}
	}
	return in
}
