package solve

import (
	"fmt"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// property is one of those that a condition compares.
type property int

const (
	l4t property = iota
	jetpack
	cuda
	cudnn
	tensorrt
	python
	properties
)

func (p property) String() string {
	return [...]string{"L4T", "JetPack", "CUDA", "cuDNN", "TensorRT", "Python"}[p]
}

// facts are the versions of a platform, read once.
type facts struct {
	of      [properties]version.Release // zero: the platform has none
	os      version.Release
	gpu     []version.Release
	flavour string
	arch    string
}

func (p Platform) texts() [properties]string {
	return [...]string{p.L4T, p.JetPack, p.Stack.Version, p.Stack.CuDNN, p.Stack.TensorRT, p.Python}
}

func (p Platform) facts() facts {
	f := facts{flavour: orTegra(p.Flavour), arch: p.Architecture()}
	for i, text := range p.texts() {
		// What cannot be read is no release, and in no range; lint says so.
		switch property(i) {
		case l4t:
			f.of[i], _ = version.ParseL4T(text)
		case jetpack:
			f.of[i], _ = version.ParseJetPack(text)
		default:
			f.of[i], _ = version.ParseRelease(text)
		}
	}
	f.os, _ = version.ParseRelease(p.OS.Version)
	for _, g := range p.GPU {
		if sm, err := version.ParseSM(g); err == nil {
			f.gpu = append(f.gpu, sm.Release())
		}
	}
	return f
}

// condition is a spec.Condition, read once. A range that cannot be read is
// empty, so that it never holds; lint says so.
type condition struct {
	spec.Condition
	ranges  [properties]*version.Range
	osID    string
	os, gpu *version.Range
}

// requirement is a spec.Requires, read once.
type requirement []condition

func read(r spec.Requires) requirement {
	var out requirement
	for _, c := range r {
		x := condition{Condition: c}
		for i, text := range [...]string{c.L4T, c.JetPack, c.CUDA, c.CuDNN, c.TensorRT, c.Python} {
			if text == "" {
				continue
			}
			parse := version.ParseRange
			if property(i) == l4t {
				parse = version.ParseL4TRange
			}
			r, err := parse(text)
			if err != nil {
				r = version.Range{}
			}
			x.ranges[i] = &r
		}
		if c.OS != "" {
			id, r, err := version.ParseOSRange(c.OS)
			if err != nil {
				r = version.Range{}
			}
			x.osID, x.os = id, &r
		}
		if c.GPU != "" {
			r, err := version.ParseSMRange(c.GPU)
			if err != nil {
				r = version.Range{}
			}
			x.gpu = &r
		}
		out = append(out, x)
	}
	return out
}

// holds reports whether one of the conditions holds; none always does.
func (r requirement) holds(p Platform, f *facts) bool {
	for i := range r {
		if r[i].holds(p, f) {
			return true
		}
	}
	return len(r) == 0
}

func (c *condition) holds(p Platform, f *facts) bool {
	for i, r := range c.ranges {
		if r != nil && !r.Contains(f.of[i]) {
			return false
		}
	}
	if c.os != nil && (c.osID != p.OS.ID || !c.os.Contains(f.os)) {
		return false
	}
	if c.Flavour != "" && c.Flavour != f.flavour || c.Arch != "" && c.Arch != f.arch {
		return false
	}
	if c.gpu == nil {
		return true
	}
	for _, g := range f.gpu {
		if c.gpu.Contains(g) {
			return true
		}
	}
	return false
}

// lacks says what of the requirement the platform lacks: "it needs CUDA >=12.6,
// r35.4.1 offers 11.4".
func (r requirement) lacks(p Platform, f *facts) string {
	var reasons []string
	for i := range r {
		reasons = append(reasons, r[i].lacks(p, f))
	}
	return "it needs " + strings.Join(dedupe(reasons), "; or ")
}

func (c *condition) lacks(p Platform, f *facts) string {
	have := p.texts()
	for i, r := range c.ranges {
		if r == nil || r.Contains(f.of[i]) {
			continue
		}
		what := property(i)
		want := [...]string{c.L4T, c.JetPack, c.CUDA, c.CuDNN, c.TensorRT, c.Python}[i]
		switch {
		case have[i] == "":
			return fmt.Sprintf("%s %s, and %s has none", what, want, p)
		case what == l4t:
			return fmt.Sprintf("L4T %s, and this is %s", want, p)
		case what == cuda && len(p.CUDA) > 1, what == python && len(p.Platform.Python) > 1:
			return fmt.Sprintf("%s %s, and this is %s with %s %s", what, want, p, what, have[i])
		case (what == cudnn || what == tensorrt) && len(p.CUDA) > 1:
			return fmt.Sprintf("%s %s, %s with CUDA %s offers %s", what, want, p, p.Stack.Version, have[i])
		}
		return fmt.Sprintf("%s %s, %s offers %s", what, want, p, have[i])
	}
	switch {
	case c.os != nil && (c.osID != p.OS.ID || !c.os.Contains(f.os)):
		return fmt.Sprintf("%s, %s is %s %s", c.OS, p, p.OS.ID, p.OS.Version)
	case c.Flavour != "" && c.Flavour != f.flavour:
		return fmt.Sprintf("flavour %s, %s is %s", c.Flavour, p, f.flavour)
	case c.Arch != "" && c.Arch != f.arch:
		return fmt.Sprintf("%s, %s is %s", c.Arch, p, f.arch)
	}
	gpus := append([]string(nil), p.GPU...)
	sort.Strings(gpus)
	if len(gpus) == 0 {
		gpus = []string{"none"}
	}
	return fmt.Sprintf("GPU %s, %s has %s", c.GPU, p, strings.Join(gpus, ", "))
}

// Meets reports whether one of the conditions holds on the platform; an empty
// list always does. The reason says what is missing: "it needs CUDA >=12.6,
// r35.4.1 offers 11.4".
func (p Platform) Meets(req spec.Requires) (bool, string) {
	r, f := read(req), p.facts()
	if r.holds(p, &f) {
		return true, ""
	}
	return false, r.lacks(p, &f)
}
