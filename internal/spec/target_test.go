package spec

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/version"
)

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]Target{
		"pytorch":                      {Name: "pytorch"},
		"pytorch:2.8":                  {Name: "pytorch", Version: "2.8"},
		"ros:humble-desktop":           {Name: "ros", Version: "humble-desktop"},
		"a+b":                          {Name: "a", Options: []OptionChoice{{Name: "b"}}},
		"opencv:4.11+contrib=full+doc": {Name: "opencv", Version: "4.11", Options: []OptionChoice{{"contrib", "full"}, {"doc", ""}}},
	} {
		got, err := ParseTarget(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
		require.Equal(t, in, got.String())
	}
	for in, reason := range map[string]string{
		"":            "has no name",
		"A":           "has capital letters; write a",
		"a/b":         "has a name with other characters",
		"a:":          "has no version after the colon",
		"a:1 2":       "has a version that is none",
		"a+":          "has an option that is no name",
		"a+b=":        "has no plain value for the option b",
		"a+b=x y":     "has no plain value",
		"a+b+b":       "names the option b twice",
		"a>=1":        "has a name with other characters",
		"../a":        "has a name with other characters",
		"a:../b":      "has a version that is none",
		"a:$(reboot)": "has a version that is none",
		"a\n":         "has a name with other characters",
		"a:1\n":       "has a version that is none",
		"a+" + long(): "is too long",
	} {
		_, err := ParseTarget(in)
		var se *version.SyntaxError
		require.True(t, errors.As(err, &se), in)
		require.Contains(t, se.Reason, reason, in)
	}
}

func long() string { return strings.Repeat("x", maxTarget) }

func TestParseDependency(t *testing.T) {
	for in, want := range map[string]DependencyRef{
		"numpy":                {Name: "numpy"},
		"numpy:1.26":           {Name: "numpy", Version: "1.26"},
		"numpy>=1.26,<2":       {Name: "numpy", Range: ">=1.26,<2"},
		"numpy >=1.26, <2":     {Name: "numpy", Range: ">=1.26,<2"},
		"numpy==2.*+blas=none": {Name: "numpy", Range: "==2.*", Options: []OptionChoice{{"blas", "none"}}},
		"pytorch:2.8+dist":     {Name: "pytorch", Version: "2.8", Options: []OptionChoice{{"dist", ""}}},
	} {
		got, err := ParseDependency(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
		again, err := ParseDependency(got.String())
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
	for _, in := range []string{"", ">=1", "numpy>=", "numpy=>1", "numpy:1>=2", "Numpy>=1", "numpy>=x"} {
		_, err := ParseDependency(in)
		require.Error(t, err, in)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"pytorch:2.8+a=b", "a+", ":", "numpy>=1.26,<2+x", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseTarget(s); err == nil {
			require.Equal(t, s, got.String())
		}
		if got, err := ParseDependency(s); err == nil {
			again, err := ParseDependency(got.String())
			require.NoError(t, err)
			require.Equal(t, got, again)
		}
	})
}
