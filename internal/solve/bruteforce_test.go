package solve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// TestAgainstBruteForce compares satisfiability with trying every combination
// of versions and options, on small random catalogs, and checks each answer.
func TestAgainstBruteForce(t *testing.T) {
	impossible, rounds := 0, 300
	if os.Getenv("JETCRATE_ALL") != "" {
		rounds = 10_000
	}
	for seed := range rounds {
		if !compare(t, uint64(seed)) {
			impossible++
		}
	}
	require.Greater(t, impossible, rounds/6, "too easy")
	require.Less(t, impossible, rounds*5/6, "too hard")
}

func FuzzAgainstBruteForce(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, seed) })
}

const packages = 5

// compare solves a random query both ways, and reports whether it is possible.
func compare(t *testing.T, seed uint64) bool {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	cat := randomCatalog(rng)
	platforms := solve.New(cat).Platforms()
	q := solve.Query{Platform: platforms[rng.IntN(len(platforms))]}
	for i := range 1 + rng.IntN(2) {
		target := spec.Target{Name: pack(i)}
		if rng.IntN(5) == 0 {
			target.Version = cat.Packages[target.Name].Versions[0].Version
		}
		if cat.Packages[target.Name].Options != nil && rng.IntN(2) == 0 {
			target.Options = []spec.OptionChoice{{Name: "fast", Value: []string{"", "false"}[rng.IntN(2)]}}
		}
		q.Targets = append(q.Targets, target)
	}
	if rng.IntN(5) == 0 {
		q.Pins = map[string]string{pack(packages - 1): "1.0"}
	}
	b := brute{cat: cat, q: q, version: make([]int, packages), fast: make([]bool, packages)}
	possible := b.try(0)
	r, err := solve.New(cat).Solve(q)
	describe := func() string { return fmt.Sprintf("seed %d\n%s\n%v", seed, show(cat, q), err) }
	if possible != (err == nil) {
		t.Fatalf("brute force says %v: %s", possible, describe())
	}
	if err != nil {
		var imp *solve.Impossible
		require.True(t, errors.As(err, &imp), describe)
		require.NotEmpty(t, imp.Reasons, describe)
		return false
	}
	b = brute{cat: cat, q: q, version: make([]int, packages), fast: make([]bool, packages)}
	for _, c := range solve.Packages(r.Targets, true) {
		i := int(c.Package.Name[1] - '0')
		require.Zero(t, b.version[i], "%s is there twice: %s", c.Package.Name, describe())
		for j := range c.Package.Versions {
			if &c.Package.Versions[j] == c.Version {
				b.version[i] = j + 1
			}
		}
		b.fast[i], _ = c.Options["fast"].(bool)
	}
	if why := b.wrong(); why != "" {
		t.Fatalf("the answer is wrong, %s: %s", why, describe())
	}
	return true
}

func pack(i int) string { return fmt.Sprintf("p%d", i) }

func randomCatalog(rng *rand.Rand) *spec.Catalog {
	cat := &spec.Catalog{Packages: map[string]*spec.Package{}, Aliases: map[string]string{}, Steps: map[string]*spec.StepDef{}, Lock: &spec.Lock{}}
	cat.Matrix = &spec.Matrix{Platforms: []spec.Platform{
		{L4T: "36.4.0", Flavour: "tegra", Python: []string{"3.10"}, CUDA: []spec.Stack{{Version: "12.6"}, {Version: "12.8"}}},
		{L4T: "35.4.1", Flavour: "tegra", Python: []string{"3.8"}, CUDA: []spec.Stack{{Version: "11.4"}}},
	}}
	count := make([]int, packages)
	for i := range count {
		count[i] = 1 + rng.IntN(3)
	}
	dependency := func(i int) spec.Dependency {
		j := i + 1 + rng.IntN(packages-i-1)
		d := spec.Dependency{Target: pack(j)}
		switch rng.IntN(4) {
		case 0:
			d.Target += fmt.Sprintf("%s%d", []string{">=", "<", "==", "!="}[rng.IntN(4)], 1+rng.IntN(count[j]))
		case 1:
			d.Target += fmt.Sprintf(":%d", 1+rng.IntN(count[j]))
		}
		if j%2 == 0 && rng.IntN(3) == 0 {
			d.Target += []string{"+fast", "+fast=false"}[rng.IntN(2)]
		}
		switch rng.IntN(8) {
		case 0:
			d.If = "platform.cuda.version == '12.6'"
		case 1:
			d.If = "version == '1.0'"
		case 2, 3:
			if i%2 == 0 {
				d.If = []string{"options.fast", "!options.fast", "options.fast && version != '2.0'"}[rng.IntN(3)]
			}
		}
		return d
	}
	some := func(i, upTo int) (out []spec.Dependency) {
		if i < packages-1 {
			for range rng.IntN(upTo + 1) {
				out = append(out, dependency(i))
			}
		}
		return out
	}
	requires := func(odds int) spec.Requires {
		if rng.IntN(odds) > 0 {
			return nil
		}
		return spec.Requires{{CUDA: []string{">=12.6", "<12", ">=12.8"}[rng.IntN(3)]}, {Python: ">=3.12"}}
	}
	for i := range packages {
		p := &spec.Package{Name: pack(i), Depends: some(i, 2), Requires: requires(12)}
		if i%2 == 0 {
			p.Options = map[string]spec.Option{"fast": {Type: "boolean", Default: rng.IntN(2) == 0}}
		}
		if rng.IntN(3) == 0 {
			p.Build = &spec.Build{Depends: some(i, 1)}
		}
		for v := count[i]; v > 0; v-- {
			one := spec.Version{Version: fmt.Sprintf("%d.0", v), Depends: some(i, 2), Requires: requires(5)}
			if rng.IntN(5) == 0 {
				one.Default = spec.Requires{{}}
			}
			if rng.IntN(6) == 0 {
				one.Conflicts = some(i, 1)
			}
			p.Versions = append(p.Versions, one)
		}
		cat.Packages[p.Name] = p
	}
	return cat
}

// brute tries every combination; 0 is an absent package.
type brute struct {
	cat     *spec.Catalog
	q       solve.Query
	version []int
	fast    []bool
}

func (b *brute) try(i int) bool {
	if i == packages {
		return b.wrong() == ""
	}
	for v := range len(b.cat.Packages[pack(i)].Versions) + 1 {
		for _, fast := range []bool{false, true} {
			if fast && b.cat.Packages[pack(i)].Options == nil {
				continue
			}
			b.version[i], b.fast[i] = v, fast
			if b.try(i + 1) {
				return true
			}
		}
	}
	return false
}

// wrong says what the combination breaks.
func (b *brute) wrong() string {
	for _, t := range b.q.Targets {
		if !b.meets(spec.DependencyRef{Name: t.Name, Version: t.Version, Options: t.Options}) {
			return "no " + t.String()
		}
	}
	for i, v := range b.version {
		if v == 0 {
			continue
		}
		p := b.cat.Packages[pack(i)]
		one := p.Versions[v-1]
		if pin := b.q.Pins[p.Name]; pin != "" && !version.MatchesPin(one.Version, pin) {
			return p.Name + " against its pin"
		}
		for _, r := range []spec.Requires{p.Requires, one.Requires} {
			if ok, why := b.q.Platform.Meets(r); !ok {
				return p.Name + ": " + why
			}
		}
		deps := append(append([]spec.Dependency(nil), p.Depends...), one.Depends...)
		if p.Build != nil {
			deps = append(deps, p.Build.Depends...)
		}
		for _, d := range deps {
			if b.holds(d.If, i, one.Version) && !b.meets(b.parse(d)) {
				return p.Name + " without " + d.Target
			}
		}
		for _, d := range append(append([]spec.Dependency(nil), p.Conflicts...), one.Conflicts...) {
			if b.holds(d.If, i, one.Version) && b.meets(b.parse(d)) {
				return p.Name + " beside " + d.Target
			}
		}
	}
	return ""
}

func (b *brute) parse(d spec.Dependency) spec.DependencyRef {
	ref, err := spec.ParseDependency(d.Target)
	if err != nil {
		panic(err)
	}
	return ref
}

func (b *brute) meets(ref spec.DependencyRef) bool {
	i := int(ref.Name[1] - '0')
	if b.version[i] == 0 {
		return false
	}
	text := b.cat.Packages[ref.Name].Versions[b.version[i]-1].Version
	if ref.Version != "" && !version.MatchesPin(text, ref.Version) {
		return false
	}
	if ref.Range != "" {
		sp, err := version.ParseSpecifier(ref.Range)
		if err != nil || !sp.Contains(text) {
			return false
		}
	}
	for _, o := range ref.Options {
		if b.fast[i] != (o.Value != "false") {
			return false
		}
	}
	return true
}

// holds evaluates the conditions that randomCatalog writes.
func (b *brute) holds(condition string, i int, text string) bool {
	switch condition {
	case "":
		return true
	case "platform.cuda.version == '12.6'":
		return b.q.Platform.Stack.Version == "12.6"
	case "version == '1.0'":
		return text == "1.0"
	case "options.fast":
		return b.fast[i]
	case "!options.fast":
		return !b.fast[i]
	case "options.fast && version != '2.0'":
		return b.fast[i] && text != "2.0"
	}
	panic(condition)
}

func show(cat *spec.Catalog, q solve.Query) string {
	var b strings.Builder
	for i := range packages {
		p := cat.Packages[pack(i)]
		fmt.Fprintf(&b, "%s depends %v requires %v options %v build %v\n", p.Name, p.Depends, p.Requires, p.Options, p.Build)
		for _, v := range p.Versions {
			fmt.Fprintf(&b, "  %s depends %v conflicts %v requires %v\n", v.Version, v.Depends, v.Conflicts, v.Requires)
		}
	}
	fmt.Fprintf(&b, "asked %v on %s CUDA %s, pins %v", q.Targets, q.Platform, q.Platform.Stack.Version, q.Pins)
	return b.String()
}
