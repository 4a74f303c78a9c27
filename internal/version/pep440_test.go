package version_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/version"
)

func TestPEP440Order(t *testing.T) {
	// https://peps.python.org/pep-0440/#summary-of-permitted-suffixes-and-relative-ordering
	ascending := []string{"1.dev0", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12", "1.0b1", "1.0rc1", "1.0", "1.0+abc.5", "1.0+5", "1.0.post456", "1.1.dev1", "2.9", "2.10", "1!0.1"}
	for i := range ascending[1:] {
		a, err := version.ParsePEP440(ascending[i])
		require.NoError(t, err)
		b, err := version.ParsePEP440(ascending[i+1])
		require.NoError(t, err)
		require.Equal(t, -1, a.Compare(b), "%s < %s", a, b)
		require.Equal(t, 1, b.Compare(a), "%s > %s", b, a)
	}
	for _, in := range []string{"", "humble", "1.0-x", "1..0", strings.Repeat("1", 2000), "99999999999999999999999"} {
		_, err := version.ParsePEP440(in)
		require.ErrorContains(t, err, "Python version", in)
	}
}

func TestSpecifier(t *testing.T) {
	for _, tt := range []struct{ spec, in, out string }{
		{">=1.26,<2", "1.26 1.26.4 1.99", "1.25.9 2 2.0 2.0rc1 humble"},
		{">= 1.26 , < 2", "1.26", "2"},
		{"==2.8.*", "2.8 2.8.0 2.8.1+cu126 2.8rc1", "2.80 2.7 2"},
		{"==2.0.*", "2 2.0 2.0.1 2.0.0+cu1", "2.1 1"},
		{"==2.8", "2.8 2.8.0 2.8+cu126", "2.8.1"},
		{"==2.8+cu126", "2.8+cu126", "2.8 2.8+cu128"},
		{"!=2.8.*", "2.7 2.9", "2.8 2.8.5"},
		{"~=2.0.0", "2.0.0 2.0.5 2", "2.1 1.9"},
		{"~=2.2", "2.2 2.9", "2.1 3.0"},
		{">1.7", "1.7.1 1.8", "1.7 1.7.post1 1.7+x"},
		{"<1.7", "1.6", "1.7 1.7rc1"},
		{"<1.7rc1", "1.7b1 1.6", "1.7rc1"},
		{">=1.0RC1", "1.0rc1 1.0", "1.0b1"},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			s, err := version.ParseSpecifier(tt.spec)
			require.NoError(t, err)
			for _, v := range strings.Fields(tt.in) {
				require.True(t, s.Contains(v), v)
			}
			for _, v := range strings.Fields(tt.out) {
				require.False(t, s.Contains(v), v)
			}
		})
	}
	require.True(t, version.Specifier{}.Contains("humble"))
}

func TestSpecifierErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":          "has an empty clause",
		">=1,":      "has an empty clause",
		"1.26":      `has no operator before "1.26"`,
		">=":        `has no version after ">="`,
		"===1.0":    `has the unknown operator "==="`,
		"^1.0":      `has the unknown operator "^"`,
		">=1.*":     "has a prefix after >=",
		"==1rc1.*":  "has more than numbers before .*",
		">=humble":  `holds "humble", which is not a PEP 440 version`,
		"~=2":       "that PEP 440 forbids",
		">=1.0+abc": "that PEP 440 forbids",
	} {
		_, err := version.ParseSpecifier(in)
		require.ErrorContains(t, err, want, in)
		require.ErrorContains(t, err, "allowed: >=1.26,<2", in)
	}
}

func TestMatchesPin(t *testing.T) {
	for _, tt := range []struct{ pin, in, out string }{
		{"2.8", "2.8 2.8.0 2.8.1 2.8.1+cu126 2.8+cu126 2.8.0.post1", "2.80 2.80.1 2 2.7 2.8rc1 12.8"},
		{"2.8.0", "2.8 2.8.0 2.8+cu126", "2.8.1 2.8.01"},
		{"2.8+cu126", "2.8+cu126 2.8.0+cu126", "2.8 2.8+cu128 2.8+cu126.1"},
		{"humble", "humble", "humble-desktop jazzy"},
		{"humble-desktop", "humble-desktop", "humble"},
		{"23.01", "23.01 23.01.1 23.1", "23.02"},
		{"", "", "1"},
	} {
		for _, v := range strings.Fields(tt.in) {
			require.True(t, version.MatchesPin(v, tt.pin), "%s on %s", tt.pin, v)
		}
		for _, v := range strings.Fields(tt.out) {
			require.False(t, version.MatchesPin(v, tt.pin), "%s on %s", tt.pin, v)
		}
	}
}

func FuzzPEP440(f *testing.F) {
	for _, s := range []string{">=1.26,<2", "==2.8.*", "~=2.0.0", "!=1!2.0.post1", "===x", "==1.0+AB_c", "2.8.0+cu126", "humble-desktop"} {
		f.Add(s, "2.8.1+cu126")
		f.Add(s, "1rc1")
	}
	f.Fuzz(func(t *testing.T, spec, v string) {
		if p, err := version.ParsePEP440(v); err == nil {
			again, err := version.ParsePEP440(p.String())
			require.NoError(t, err)
			require.Zero(t, p.Compare(again))
			require.True(t, version.MatchesPin(v, v))
		}
		_ = version.MatchesPin(v, spec)
		s, err := version.ParseSpecifier(spec)
		if err != nil {
			return
		}
		again, err := version.ParseSpecifier(s.String())
		require.NoError(t, err, s.String())
		require.Equal(t, s.Contains(v), again.Contains(v))
	})
}
