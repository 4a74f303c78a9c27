package solve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Platform is what a target is solved for: one platform record with one of its
// CUDA stacks (the zero Stack where it has none) and one of its Pythons.
type Platform struct {
	*spec.Platform
	Stack  spec.Stack
	Python string
}

// String names the platform as people do: "r36.4.0", with the flavour where it
// is not tegra.
func (p Platform) String() string {
	s := "r" + p.L4T
	if p.Flavour != "" && p.Flavour != "tegra" {
		s += " " + p.Flavour
	}
	return s
}

// Choice asks for a platform. Empty fields mean the platform's default; L4T may
// name a line (r36.4), which means the newest release of it in the matrix.
type Choice struct {
	L4T, Flavour, CUDA, Python string
	CuDNN, TensorRT            string // of the stack; with CUDA, both must hold
}

// Find picks a platform of the matrix. A choice that the matrix does not offer
// is a diagnostic that lists what it offers.
func Find(m *spec.Matrix, c Choice) (Platform, error) {
	var list diag.List
	p := find(m, c, &list)
	if err := list.Err(); err != nil {
		return Platform{}, err
	}
	return p, nil
}

func find(m *spec.Matrix, c Choice, list *diag.List) Platform {
	flavour := orTegra(c.Flavour)
	if knownFlavour(flavour, list); list.HasErrors() {
		return Platform{}
	}
	if c.L4T == "" {
		d := list.Errorf("bad-l4t", diag.Position{}, "say for which L4T release: --l4t RELEASE")
		d.Allowed, d.Hint = releases(m, flavour, 0), "r36.4 means the newest release of that line"
		return Platform{}
	}
	want, err := version.ParseL4T(c.L4T)
	if err != nil {
		list.Errorf("bad-l4t", diag.Position{}, "%q is not an L4T release: %v", c.L4T, err).Hint = "write it as 36.4.0, or 36.4 for the newest release of that line"
		return Platform{}
	}
	var best *spec.Platform
	var bestRelease version.Release
	for _, p := range ofFlavour(m, flavour) {
		r, err := version.ParseL4T(p.L4T)
		if err != nil {
			continue // lint says so
		}
		match := r.Compare(want) == 0
		if want.IsLine() {
			match = r.Line() == want.Line()
		}
		if match && (best == nil || r.Compare(bestRelease) > 0) {
			best, bestRelease = p, r
		}
	}
	if best == nil {
		d := list.Errorf("unknown-l4t", diag.Position{}, "the matrix has no platform for L4T %s (%s)", c.L4T, flavour)
		if d.Allowed = releases(m, flavour, want.Major()); len(d.Allowed) == 0 {
			d.Allowed = releases(m, flavour, 0)
		}
		d.Hint = "an unknown release is not guessed at; add a platform record, or choose one that is there"
		if made := madeFor(m, flavour, want); made != "" {
			d.Hint = fmt.Sprintf("images of r%s run on it", made)
		}
		return Platform{}
	}
	out := Platform{Platform: best}
	if len(best.CUDA) > 0 {
		out.Stack = best.CUDA[0]
	}
	if c.CUDA == "default" {
		c.CUDA = ""
	}
	if c.CUDA+c.CuDNN+c.TensorRT != "" {
		if stack, ok := c.stack(best); ok {
			out.Stack = stack
		} else {
			d := list.Errorf("unknown-cuda", diag.Position{}, "r%s offers no %s", best.L4T, c.words())
			for _, s := range best.CUDA {
				d.Allowed = append(d.Allowed, stackWords(s, c.CuDNN+c.TensorRT != ""))
			}
			d.Hint = c.elsewhere(m, best)
		}
	}
	out.Python = best.Python[0]
	if c.Python != "" && c.Python != "default" {
		found := false
		for _, s := range best.Python {
			if s == c.Python {
				out.Python, found = s, true
			}
		}
		if !found {
			list.Errorf("unknown-python", diag.Position{}, "r%s offers no Python %s", best.L4T, c.Python).Allowed = best.Python
		}
	}
	return out
}

// OfFlavour lists the platforms of a matrix with a flavour; "" is any.
func OfFlavour(m *spec.Matrix, flavour string) ([]*spec.Platform, error) {
	var list diag.List
	if flavour != "" {
		knownFlavour(flavour, &list)
	}
	return ofFlavour(m, flavour), list.Err()
}

func ofFlavour(m *spec.Matrix, flavour string) []*spec.Platform {
	var out []*spec.Platform
	for i := range m.Platforms {
		if p := &m.Platforms[i]; flavour == "" || orTegra(p.Flavour) == flavour {
			out = append(out, p)
		}
	}
	return out
}

func knownFlavour(flavour string, list *diag.List) {
	known := []string{"tegra", "sbsa"}
	if !slices.Contains(known, flavour) {
		d := list.Errorf("unknown-flavour", diag.Position{}, "there is no flavour %q", flavour)
		d.Allowed, d.Hint = known, diag.DidYouMean(flavour, known)
	}
}

// releases lists those of a flavour as the matrix has them; with major only
// those of that major release.
func releases(m *spec.Matrix, flavour string, major int) []string {
	var out []string
	for _, p := range ofFlavour(m, flavour) {
		r, err := version.ParseL4T(p.L4T)
		if major == 0 || err == nil && r.Major() == major {
			out = append(out, p.L4T)
		}
	}
	return out
}

// madeFor is the newest release of the matrix, not newer than the host, whose
// images run on it; "" where there is none, or where the host is a whole line.
func madeFor(m *spec.Matrix, flavour string, host version.Release) string {
	var best version.Release
	for _, p := range ofFlavour(m, flavour) {
		r, err := version.ParseL4T(p.L4T)
		hosts, unread := version.ParseL4TRange(p.Hosts)
		if err != nil || unread != nil || host.IsLine() || !hosts.Contains(host) {
			continue
		}
		if r.Compare(host) < 0 && r.Compare(best) > 0 {
			best = r
		}
	}
	return best.String()
}

func orTegra(f string) string {
	if f == "" {
		return "tegra"
	}
	return f
}

// Architecture is the OCI architecture of the platform.
func (p Platform) Architecture() string {
	if p.Arch == "" {
		return "arm64"
	}
	return p.Arch
}

// Values is the `platform` context of expressions.
func (p Platform) Values() map[string]any {
	sms, compute := []any{}, []any{}
	for _, g := range p.GPU {
		sms = append(sms, g)
		if sm, err := version.ParseSM(g); err == nil {
			compute = append(compute, sm.Compute())
		}
	}
	line := p.L4T
	if r, err := version.ParseL4T(p.L4T); err == nil {
		line = r.Line()
	}
	return map[string]any{
		"l4t": p.L4T, "line": line, "jetpack": p.JetPack, "flavour": orTegra(p.Flavour), "arch": p.Architecture(),
		"os":     map[string]any{"id": p.OS.ID, "version": p.OS.Version},
		"python": p.Python,
		"gpu":    map[string]any{"sm": sms, "compute": compute},
		"cuda":   map[string]any{"version": p.Stack.Version, "cudnn": p.Stack.CuDNN, "tensorrt": p.Stack.TensorRT},
	}
}

// stack is the first stack of a platform that is as chosen.
func (c Choice) stack(p *spec.Platform) (spec.Stack, bool) {
	matches := func(have, want string) bool { return want == "" || have != "" && version.MatchesPin(have, want) }
	for _, s := range p.CUDA {
		if matches(s.Version, c.CUDA) && matches(s.CuDNN, c.CuDNN) && matches(s.TensorRT, c.TensorRT) {
			return s, true
		}
	}
	return spec.Stack{}, false
}

func (c Choice) words() string {
	return stackWords(spec.Stack{Version: c.CUDA, CuDNN: c.CuDNN, TensorRT: c.TensorRT}, true)
}

// stackWords names a stack; in full with its cuDNN and TensorRT.
func stackWords(s spec.Stack, full bool) string {
	if !full {
		return s.Version
	}
	var parts []string
	for _, x := range [][2]string{{"CUDA", s.Version}, {"cuDNN", s.CuDNN}, {"TensorRT", s.TensorRT}} {
		if x[1] != "" {
			parts = append(parts, x[0]+" "+x[1])
		}
	}
	return strings.Join(parts, " with ")
}

// elsewhere names the platforms of the same flavour that offer what is chosen.
func (c Choice) elsewhere(m *spec.Matrix, here *spec.Platform) string {
	var found []string
	for i := range m.Platforms {
		p := &m.Platforms[i]
		if _, ok := c.stack(p); ok && orTegra(p.Flavour) == orTegra(here.Flavour) {
			found = append(found, "r"+p.L4T)
		}
	}
	switch n := len(found); {
	case n == 0:
		return "no platform of the matrix does"
	case n > 4:
		return fmt.Sprintf("%s and %d others do", strings.Join(found[:3], ", "), n-3)
	default:
		return strings.Join(found, ", ") + map[bool]string{true: " does", false: " do"}[n == 1]
	}
}
