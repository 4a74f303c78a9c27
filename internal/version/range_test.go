package version_test

import (
	"math/rand"
	"strings"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/version"
)

func TestRange(t *testing.T) {
	for _, tt := range []struct{ in, in1, out, canonical string }{
		{">=36.4 <37", "36.4 36.4.0 36.4.9 36.5 36.99", "36.3.9 37 37.0.0 35.4.1", ">=36.4 <37"},
		{">=11.4,<12", "11.4 11.8", "11.3 12 12.0", ">=11.4 <12"},
		{">= 11.4 , < 12", "11.4", "12", ">=11.4 <12"},
		{">=11.4<12", "11.4", "12", ">=11.4 <12"},
		{"36.*", "36 36.0 36.5.1", "35.9.9 37", ">=36 <37"},
		{"36.4.*", "36.4 36.4.0 36.4.7", "36.3.9 36.5", ">=36.4 <36.5"},
		{"==36.4.*", "36.4.7", "36.5", ">=36.4 <36.5"},
		{"==12.6", "12.6 12.6.0", "12.6.1 12.5", "==12.6"},
		{"12.6", "12.6", "12.6.1", "==12.6"},
		{"=12.6", "12.6", "12.6.1", "==12.6"},
		{"36.4", "36.4 36.4.0", "36.4.3", "==36.4"}, // exact: the line is 36.4.*
		{"!=36.4.0", "36.4.1 0 99", "36.4 36.4.0", "<36.4 || >36.4"},
		{"!=36.*", "35 37", "36 36.4.0", "<36 || >=37"},
		{">36.4", "36.4.1 36.5", "36.4 36.4.0", ">36.4"},
		{"<=36.4", "36.4.0 0", "36.4.1", "<=36.4"},
		{"12.6 || >=12.8", "12.6 12.8 13", "12.7 12.6.1", "==12.6 || >=12.8"},
		{">=35 || >=36", "35 36", "34", ">=35"},
		{"35.* || 36.*", "35 36.9", "37", ">=35 <37"},
		{"*", "0 36.4.0 999", "", "*"},
		{">=0", "0", "", "*"},
		{"* <37", "36", "37", "<37"},
		{">=37 <36", "", "0 36 37", "<0"},
		{"<0", "", "0", "<0"},
		{">0", "0.0.1 1", "0 0.0", ">0"},
		{"== 0", "0", "0.1", "==0"},
		{"22.04.*", "22.4.1 22.04", "22.05 22.10", ">=22.04 <22.05"},
		{"==00.0", "0", "0.1", "==0"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			r, err := version.ParseRange(tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.canonical, r.String())
			for _, v := range strings.Fields(tt.in1) {
				require.True(t, r.Contains(release(t, v)), v)
			}
			for _, v := range strings.Fields(tt.out) {
				require.False(t, r.Contains(release(t, v)), v)
			}
		})
	}
}

func TestRangeErrors(t *testing.T) {
	for _, tt := range []struct{ in, err string }{
		{"", "is empty"},
		{" ", "is empty"},
		{">=36.4 ||", "has nothing beside ||"},
		{"~=36.4", `has the unknown operator "~=" (there are >= > <= < == = !=)`},
		{"^36", `has the unknown operator "^"`},
		{">=", `has no version after ">="`},
		{">=36.4,", "ends with a comma"},
		{",36", "has a comma without a version before it"},
		{">=36,,<37", "has a comma without a version before it"},
		{">=36.*", "has a prefix after >=: 36.*"},
		{">=*", "has an operator before *"},
		{">=r36.4", `holds "r36.4", which has "r36" where a number is needed; allowed: >=36.4 <37,`},
		{"latest", `holds "latest", which has "latest" where a number is needed`},
		{strings.Repeat("36 || ", 300) + "36", "is longer than 1000 characters"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			_, err := version.ParseRange(tt.in)
			require.ErrorContains(t, err, tt.err)
			var syntax *version.SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.Less(t, len(err.Error()), 500)
		})
	}
}

func TestL4TRange(t *testing.T) {
	r, err := version.ParseL4TRange(">=r36.4 <R37 || 35.4.*")
	require.NoError(t, err)
	require.Equal(t, ">=35.4 <35.5 || >=36.4 <37", r.String())
}

func TestOSRange(t *testing.T) {
	for _, tt := range []struct{ in, id, versions, err string }{
		{in: "ubuntu >=22.04", id: "ubuntu", versions: ">=22.04"},
		{in: "ubuntu>=22.04 <24", id: "ubuntu", versions: ">=22.04 <24"},
		{in: "debian 12", id: "debian", versions: "==12"},
		{in: " ubuntu ", id: "ubuntu", versions: "*"},
		{in: "opensuse-leap 15.*", id: "opensuse-leap", versions: ">=15 <16"},
		{in: "", err: "is empty"},
		{in: ">=22.04", err: "does not begin with the id of an OS"},
		{in: "12", err: "does not begin with the id of an OS"},
		{in: "Ubuntu 22.04", err: "does not begin with the id of an OS"},
		{in: "ubuntu:22.04", err: `has ":" in the id of the OS`},
		{in: "ubuntu jammy", err: `holds "jammy"`},
	} {
		t.Run(tt.in, func(t *testing.T) {
			id, versions, err := version.ParseOSRange(tt.in)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.id, id)
			require.Equal(t, tt.versions, versions.String())
		})
	}
}

// universe is dense enough around the bounds that randomRange uses.
func universe(t testing.TB) []version.Release {
	var all []version.Release
	for _, major := range []string{"0", "1", "2", "3"} {
		for _, rest := range []string{"", ".0.1", ".1", ".1.0", ".1.1", ".2", ".9"} {
			all = append(all, release(t, major+rest))
		}
	}
	return all
}

// randomRange returns a text and a predicate that decides it clause by clause,
// by comparing numbers, with nothing of Range.
func randomRange(t testing.TB, random *rand.Rand) (string, func(version.Release) bool) {
	versions := []string{"0", "1", "1.1", "2", "2.1", "2.1.1", "3"}
	var texts []string
	var alternatives []func(version.Release) bool
	for range 1 + random.Intn(3) {
		var clauses []string
		var checks []func(version.Release) bool
		for range 1 + random.Intn(3) {
			v := versions[random.Intn(len(versions))]
			limit := release(t, v)
			switch op := []string{"", "==", "!=", ">=", ">", "<=", "<", "*", "!*"}[random.Intn(9)]; op {
			case "*", "!*":
				clauses = append(clauses, map[string]string{"*": "", "!*": "!="}[op]+v+".*")
				checks = append(checks, func(r version.Release) bool {
					in := strings.HasPrefix(r.String()+".0.0.0.0.", v+".")
					return in == (op == "*")
				})
			default:
				clauses = append(clauses, op+v)
				checks = append(checks, func(r version.Release) bool {
					c := r.Compare(limit)
					return map[string]bool{"": c == 0, "==": c == 0, "!=": c != 0, ">=": c >= 0, ">": c > 0, "<=": c <= 0, "<": c < 0}[op]
				})
			}
		}
		texts = append(texts, strings.Join(clauses, []string{" ", ",", " , "}[random.Intn(3)]))
		alternatives = append(alternatives, func(r version.Release) bool {
			for _, check := range checks {
				if !check(r) {
					return false
				}
			}
			return true
		})
	}
	return strings.Join(texts, " || "), func(r version.Release) bool {
		for _, a := range alternatives {
			if a(r) {
				return true
			}
		}
		return false
	}
}

// TestRangeAgainstBruteForce compares the set algebra with predicates.
func TestRangeAgainstBruteForce(t *testing.T) {
	all := universe(t)
	property := func(seed int64) bool {
		random := rand.New(rand.NewSource(seed))
		textA, inA := randomRange(t, random)
		textB, inB := randomRange(t, random)
		a, err := version.ParseRange(textA)
		require.NoError(t, err, textA)
		b, err := version.ParseRange(textB)
		require.NoError(t, err, textB)
		for _, r := range all {
			ok := a.Contains(r) == inA(r) &&
				a.Intersect(b).Contains(r) == (inA(r) && inB(r)) &&
				a.Union(b).Contains(r) == (inA(r) || inB(r)) &&
				a.Complement().Contains(r) == !inA(r)
			if !ok {
				t.Logf("a=%q b=%q release=%s", textA, textB, r)
				return false
			}
		}
		checkLaws(t, a, b)
		return a.Equal(b) == (a.String() == b.String())
	}
	require.NoError(t, quick.Check(property, &quick.Config{MaxCount: 3000}))
}

// checkLaws asserts what holds for any two ranges.
func checkLaws(t testing.TB, a, b version.Range) {
	require.True(t, a.Complement().Complement().Equal(a))
	require.True(t, a.Intersect(a.Complement()).Empty())
	require.True(t, a.Union(a.Complement()).Equal(version.Everything()))
	require.True(t, a.Union(b).Equal(b.Union(a)))
	require.True(t, a.Intersect(b).Complement().Equal(a.Complement().Union(b.Complement())))
	if a.String() == b.String() { // not the other way round: 22.04 and 22.4
		require.True(t, a.Equal(b))
	}
	again, err := version.ParseRange(a.String())
	require.NoError(t, err)
	require.True(t, again.Equal(a), a.String())
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{">=36.4 <37", "36.*", "!=36.4.*,<=38", "*", "~=1", ">=0||", "==sm_87", "ubuntu >=22.04", "debian 12", "1.2.3.4.5.6.*", "999999999.*"} {
		f.Add(s, ">=1 <2 || 3")
	}
	f.Fuzz(func(t *testing.T, textA, textB string) {
		_, _, _ = version.ParseOSRange(textA)
		_, _ = version.ParseSMRange(textA)
		_, _ = version.ParseL4TRange(textA)
		a, err := version.ParseRange(textA)
		if err != nil {
			return
		}
		b, err := version.ParseRange(textB)
		if err != nil {
			b = version.Everything()
		}
		checkLaws(t, a, b)
	})
}
