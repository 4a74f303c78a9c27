package spec

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// A catalog is untrusted until it is reviewed: reading one ends, in time and
// memory that these bounds give, whatever it holds. They lie far above what
// people write.
const (
	maxFileSize     = 1 << 20   // bytes of a YAML file
	maxDockerfile   = 256 << 10 // bytes of a package's Dockerfile
	maxScalar       = 64 << 10  // bytes of one value
	maxValues       = 20000     // keys and values of a YAML file
	maxNesting      = 40        // maps and lists within each other
	maxVersions     = 500       // versions of a package
	maxDependencies = 300       // entries of depends of a package, in all its places
	maxSteps        = 500       // steps of a list, with those that they use
	maxPackageFiles = 10000     // files and folders of a package
	maxFile         = 64 << 20  // bytes of one file of a package
	maxFiles        = 256 << 20 // bytes of all its files
	maxHints        = 200       // searches for the nearest name in a run
)

// suggest is diag.DidYouMean for names that a catalog may hold many of.
func (c *checker) suggest(name string, candidates []string) string {
	if c.hints++; c.hints > maxHints {
		return ""
	}
	return diag.DidYouMean(name, candidates)
}

// lookAlike finds a word that holds Latin letters and letters of an alphabet
// that has some of the same shape, such as a Cyrillic a: nobody writes that by
// chance, and a reviewer does not see it.
func lookAlike(s string) string {
	foreign := func(r rune) bool {
		return r > unicode.MaxASCII && (unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Coptic, unicode.Lisu) ||
			r >= '\uff01' && r <= '\uff5e' || // full width
			r >= '\U0001d400' && r <= '\U0001d7ff') // mathematical
	}
	if !strings.ContainsFunc(s, foreign) {
		return ""
	}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !foreign(r)
	}) {
		latin := strings.ContainsFunc(word, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
		if latin && strings.ContainsFunc(word, foreign) {
			return shorten(word)
		}
	}
	return ""
}

// checkFileName refuses a name that people do not see as what it is, or that
// another system cannot hold.
func checkFileName(name, base string, list *diag.List) bool {
	if !utf8.ValidString(base) || strings.ContainsFunc(base, diag.Hidden) || strings.Contains(base, `\`) {
		list.Errorf("file-name", diag.Position{File: name}, "a file name holds a backslash, invalid UTF-8 or a character that cannot be seen: %q", base)
		return false
	}
	return true
}

// weigh adds a file of a package to what its files weigh together; too much is
// reported once.
func weigh(pkg *Package, name string, d fs.DirEntry, total *int64, list *diag.List) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	before := *total
	*total += info.Size()
	switch {
	case info.Size() > maxFile:
		*total = before // it is reported itself
		list.Errorf("file-size", diag.Position{File: name}, "the file is larger than %d MiB", maxFile>>20).Hint = largeFile
	case before <= maxFiles && *total > maxFiles:
		list.Errorf("file-size", pkg.Doc.Pos(), "the files of the package are larger than %d MiB together", maxFiles>>20).Hint = largeFile
	}
	return nil
}

const largeFile = "give it as an archive with a SHA-256"

// checkStepCounts bounds what `uses:` can grow to: a step that uses another ten
// times, which does the same, and so on.
func (c *checker) checkStepCounts() {
	memo := map[string]int{}
	var count func(steps []Step, depth int) int
	count = func(steps []Step, depth int) int {
		n := 0
		for _, st := range steps {
			def := c.cat.Steps[st.Uses]
			if def == nil || depth > len(c.cat.Steps) { // a cycle is reported as such
				n++
				continue
			}
			if _, known := memo[st.Uses]; !known {
				memo[st.Uses] = 1
				memo[st.Uses] = count(def.Steps, depth+1)
			}
			if n += memo[st.Uses]; n > maxSteps {
				return maxSteps + 1
			}
		}
		return min(n, maxSteps+1)
	}
	check := func(doc *Document, steps []Step, at ...any) {
		if count(steps, 0) > maxSteps {
			c.list.Errorf("step-count", doc.Pos(at...), "these are more than %d steps, with those that they use", maxSteps)
		}
	}
	for _, name := range sortedKeys(c.cat.Packages) {
		p := c.cat.Packages[name]
		if p.Build != nil {
			check(p.Doc, p.Build.Steps, "build", "steps")
		}
		if p.Install != nil {
			check(p.Doc, p.Install.Steps, "install", "steps")
		}
	}
	for _, name := range sortedKeys(c.cat.Steps) {
		check(c.cat.Steps[name].Doc, c.cat.Steps[name].Steps, "steps")
	}
}

// versionsOf lists versions for a message, the first of many.
func versionsOf(p *Package) []string {
	const most = 30
	var out []string
	for i, v := range p.Versions {
		if i == most {
			return append(out, fmt.Sprintf("and %d more", len(p.Versions)-most))
		}
		if v.Version != "" {
			out = append(out, v.Version)
		}
	}
	return out
}
