package version_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/version"
)

func release(t testing.TB, s string) version.Release {
	t.Helper()
	r, err := version.ParseRelease(s)
	require.NoError(t, err)
	return r
}

func TestParseRelease(t *testing.T) {
	for _, tt := range []struct{ in, line, err string }{
		{in: "36.4.0", line: "36.4"},
		{in: "12.6", line: "12.6"},
		{in: "36", line: "36.0"},
		{in: "10.3.0.30", line: "10.3"},
		{in: "2.10", line: "2.10"},
		{in: "", err: "is empty"},
		{in: "12.", err: "has an empty part"},
		{in: "r36.4", err: `has "r36" where a number is needed`},
		{in: "1.2.3.4.5.6.7", err: "has more than 6 parts"},
		{in: "1.99999999999999999999", err: "has a part above 999999999"},
		{in: "12.6-rc1", err: `has "6-rc1" where a number is needed`},
	} {
		t.Run(tt.in, func(t *testing.T) {
			r, err := version.ParseRelease(tt.in)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				require.True(t, r.IsZero())
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.in, r.String())
			require.Equal(t, tt.line, r.Line())
		})
	}
}

func TestParseL4T(t *testing.T) {
	for _, tt := range []struct {
		in, text string
		line     bool
		err      string
	}{
		{in: "36.4.0", text: "36.4.0"},
		{in: "R36.4.0", text: "36.4.0"},
		{in: "r36.4", text: "36.4", line: true},
		{in: "36.4", text: "36.4", line: true},
		{in: "r", err: `L4T release "r" has "r" where a number is needed; allowed: 36.4.0, 36.4, r36.4`},
		{in: "rr36.4", err: `L4T release "rr36.4" has "r36"`},
		{in: "36.4.0.1", err: "has more than three parts"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			r, err := version.ParseL4T(tt.in)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.text, r.String())
			require.Equal(t, tt.line, r.IsLine())
			require.Equal(t, 36, r.Major())
		})
	}
}

func TestParseJetPack(t *testing.T) {
	for in, ok := range map[string]bool{"6.1": true, "6.0-DP": true, "7.2-EA": true, "6.0-XX": false, "": false} {
		r, err := version.ParseJetPack(in)
		require.Equal(t, ok, err == nil, in)
		if ok {
			require.Equal(t, in, r.String())
		}
	}
	preview, err := version.ParseJetPack("6.0-DP")
	require.NoError(t, err)
	require.Equal(t, "==6", version.Exactly(preview).String())
}

func TestCompare(t *testing.T) {
	ascending := []string{"0", "32.7.1", "35.4.1", "36", "36.0.1", "36.3", "36.4", "36.4.3", "36.4.10", "36.10", "38"}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			require.Equal(t, want, release(t, a).Compare(release(t, b)), "%s and %s", a, b)
		}
	}
	require.Zero(t, release(t, "36.4").Compare(release(t, "36.4.0")))
}

func TestSM(t *testing.T) {
	for _, tt := range []struct{ in, name, compute string }{
		{"sm_87", "sm_87", "8.7"}, {"87", "sm_87", "8.7"}, {"8.7", "sm_87", "8.7"},
		{"sm_110", "sm_110", "11.0"}, {"11.0", "sm_110", "11.0"}, {"101", "sm_101", "10.1"},
	} {
		sm, err := version.ParseSM(tt.in)
		require.NoError(t, err, tt.in)
		require.Equal(t, tt.name, sm.String())
		require.Equal(t, tt.compute, sm.Compute())
		require.Equal(t, tt.compute, sm.Release().String())
	}
	for _, in := range []string{"", "8", "sm_", "sm_8.7", "8.75", "sm_90a", "087", "+8.7", "-87", "1234"} {
		_, err := version.ParseSM(in)
		require.ErrorContains(t, err, "is not an SM number; allowed: sm_87", in)
	}
	orin, _ := version.ParseSM("sm_87")
	thor, _ := version.ParseSM("sm_110")
	require.Equal(t, -1, orin.Compare(thor))
	require.Equal(t, 1, thor.Compare(orin))

	for in, want := range map[string][2]bool{
		"sm_87": {true, false}, ">=8.7": {true, true}, ">sm_87": {false, true}, "8.7 || 11.0": {true, true}, "!=sm_110": {true, false},
	} {
		r, err := version.ParseSMRange(in)
		require.NoError(t, err)
		require.Equal(t, want, [2]bool{r.Contains(orin.Release()), r.Contains(thor.Release())}, in)
	}
	_, err := version.ParseSMRange(">=sm_9x")
	require.ErrorContains(t, err, `holds "sm_9x", which is not an SM number`)
}

func FuzzRelease(f *testing.F) {
	for _, s := range []string{"36.4.0", "r36.4", "", "12.", "6.0-DP", "sm_87", "8.7", "1.2.3.4.5.6.7", "999999999.999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := version.ParseRelease(s); err == nil {
			require.Equal(t, s, r.String())
			require.True(t, version.Exactly(r).Contains(r))
		}
		if r, err := version.ParseL4T(s); err == nil {
			again, err := version.ParseL4T(r.String())
			require.NoError(t, err)
			require.Zero(t, r.Compare(again))
		}
		if sm, err := version.ParseSM(s); err == nil {
			again, err := version.ParseSM(sm.String())
			require.NoError(t, err)
			require.Equal(t, sm, again)
		}
		_, _ = version.ParseJetPack(s)
	})
}
