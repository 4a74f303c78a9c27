package spec

import (
	"strings"

	reference "github.com/google/go-containerregistry/pkg/name"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/version"
)

// axes are the keys that a cell has, and that include and exclude may name.
func axes() []string { return []string{"cuda", "flavour", "l4t", "package", "python"} }

// checkMatrix: the platforms can be read, and the strategy names what they and
// the packages offer.
func (c *checker) checkMatrix() {
	m := c.cat.Matrix
	for i := range m.Platforms {
		c.checkPlatform(&m.Platforms[i])
	}
	if m.Strategy.Pos == nil {
		return
	}
	a := m.Strategy.Matrix
	at := m.Strategy.Pos
	for _, axis := range []struct {
		key    string
		values []string
	}{{"l4t", a.L4T}, {"flavour", a.Flavour}, {"package", a.Package}, {"cuda", a.CUDA}, {"python", a.Python}} {
		for i, v := range axis.values {
			c.checkAxis(axis.key, v, at.Pos("matrix", axis.key, i))
		}
	}
	c.checkCells("include", a.Include, at)
	c.checkCells("exclude", a.Exclude, at)
}

func (c *checker) checkCells(list string, cells []map[string]string, at Positioner) {
	for i, cell := range cells {
		for _, key := range sortedKeys(cell) {
			if !has(axes(), key) {
				d := c.list.Errorf("unknown-axis", at.Pos("matrix", list, i, key), "%s[%d] names %q, which is no axis", list, i, key)
				d.Allowed = axes()
				d.Hint = diag.DidYouMean(key, axes())
				continue
			}
			c.checkAxis(key, cell[key], at.Pos("matrix", list, i, key))
		}
	}
}

// checkAxis looks at one value of an axis.
func (c *checker) checkAxis(axis, value string, pos diag.Position) {
	if value == "" {
		return
	}
	platforms := c.known.platforms
	switch axis {
	case "package":
		for _, target := range strings.Fields(value) {
			t, err := ParseTarget(target)
			if err != nil {
				c.reportParse("bad-target", pos, "package", err)
				continue
			}
			if p := c.findPackage(t, pos, "the matrix"); p != nil {
				canonical, _ := c.cat.Canonical(t)
				c.checkChoices(p, t.Options, pos)
				c.checkPin(p, canonical.Version, pos)
			}
		}
	case "l4t":
		wanted, err := version.ParseL4T(value)
		if err != nil {
			c.reportParse("bad-version", pos, "l4t", err)
			return
		}
		var have []string
		for i := range platforms {
			r, err := version.ParseL4T(platforms[i].L4T)
			if err != nil || r.Compare(wanted) == 0 || wanted.IsLine() && r.Line() == wanted.Line() {
				return
			}
			have = append(have, platforms[i].L4T)
		}
		c.unknownValue(axis, value, pos, have)
	case "flavour":
		var have []string
		for i := range platforms {
			have = append(have, platforms[i].Flavour)
		}
		c.unknownValue(axis, value, pos, have)
	case "cuda":
		var have []string
		for i := range platforms {
			for _, s := range platforms[i].CUDA {
				have = append(have, s.Version)
			}
		}
		c.unknownValue(axis, value, pos, append(have, "default"))
	case "python":
		var have []string
		for i := range platforms {
			have = append(have, platforms[i].Python...)
		}
		c.unknownValue(axis, value, pos, append(have, "default"))
	}
}

// unknownValue reports a value that no platform offers. It says nothing while
// mistakes in the matrix hide platforms.
func (c *checker) unknownValue(axis, value string, pos diag.Position, have []string) {
	if !c.known.matrix || has(have, value) {
		return
	}
	d := c.list.Errorf("unknown-axis-value", pos, "no platform of the matrix has %s %s", axis, value)
	d.Allowed = sortedSet(have)
	d.Hint = diag.DidYouMean(value, d.Allowed)
}

// checkPlatform: every version of a platform can be read, none stands there twice.
func (c *checker) checkPlatform(p *Platform) {
	parse := func(what, text string, f func(string) error, at ...any) {
		if text == "" {
			return
		}
		if err := f(text); err != nil {
			c.reportParse("bad-version", p.Pos.Pos(at...), what, err)
		}
	}
	release := func(s string) error { _, err := version.ParseRelease(s); return err }
	parse("l4t", p.L4T, func(s string) error { _, err := version.ParseL4T(s); return err }, "l4t")
	parse("jetpack", p.JetPack, func(s string) error { _, err := version.ParseJetPack(s); return err }, "jetpack")
	for i, s := range p.GPU {
		parse("gpu", s, func(s string) error { _, err := version.ParseSM(s); return err }, "gpu", i)
	}
	for i, s := range p.Python {
		parse("python", s, release, "python", i)
		if has(p.Python[:i], s) {
			c.list.Errorf("duplicate-value", p.Pos.Pos("python", i), "python %s is there twice", s)
		}
	}
	stacks := map[string]bool{}
	for i, s := range p.CUDA {
		parse("cuda", s.Version, release, "cuda", i, "version")
		parse("cudnn", s.CuDNN, release, "cuda", i, "cudnn")
		parse("tensorrt", s.TensorRT, release, "cuda", i, "tensorrt")
		if stacks[s.Version] && s.Version != "" {
			c.list.Errorf("duplicate-value", p.Pos.Pos("cuda", i, "version"), "CUDA %s is there twice; cuDNN and TensorRT are chosen with it", s.Version)
		}
		stacks[s.Version] = true
	}
	if p.Hosts != "" {
		hosts, err := version.ParseL4TRange(p.Hosts)
		if err != nil {
			c.reportParse("bad-range", p.Pos.Pos("hosts"), "hosts", err)
		} else if own, err := version.ParseL4T(p.L4T); err == nil && !hosts.Contains(own) {
			c.list.Warnf("odd-hosts", p.Pos.Pos("hosts"), "images for %s would not run on %s itself: hosts is %q", p.L4T, p.L4T, p.Hosts)
		}
	}
	c.checkBase(p)
}

// checkBase: a base is one thing.
func (c *checker) checkBase(p *Platform) {
	at := p.Pos.Pos("base")
	switch {
	case p.Base.Image != "" && p.Base.Mmdebstrap != nil:
		c.list.Errorf("bad-base", at, "the base is both an image and a recipe").Hint = "keep one of image and mmdebstrap"
	case p.Base.Image != "" && !imageReference(p.Base.Image):
		c.list.Errorf("bad-base", at, "%q is no image reference", shorten(p.Base.Image))
	case p.Base.Mmdebstrap != nil:
		for i, name := range p.Base.Mmdebstrap.Include {
			if name != "" && !debianPackage(name) {
				c.list.Errorf("bad-base", p.Pos.Pos("base", "mmdebstrap", "include", i), "%q is no Debian package", shorten(name))
			}
		}
	}
}

// imageReference: a reference that no engine takes for anything else, be it a
// flag, a stage or a value to expand.
func imageReference(s string) bool {
	_, err := reference.ParseReference(s)
	return err == nil && s != "scratch" && !strings.HasPrefix(s, "-")
}

// debianPackage reports whether s is the name of a Debian package (policy 5.6.1).
func debianPackage(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("+-.", r)) {
			return false
		}
	}
	return s != ""
}
