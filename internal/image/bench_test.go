package image

import (
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"
)

// BenchmarkAssembly puts 20 linked layers of 1,000 files each on a base of
// 30,000 files: every path is checked, the manifest and the config are made.
func BenchmarkAssembly(b *testing.B) {
	base, err := random.Image(1024, 1)
	require.NoError(b, err)
	a := Assembly{Below: base, Platform: v1.Platform{OS: "linux", Architecture: "arm64"}}
	var below FileList
	for i := range 30_000 {
		below = append(below, file(fmt.Sprintf("usr/lib/base/%03d/%d", i%300, i), "base"))
	}
	a.BelowFiles = []Owned{{"base", Merge(below)}}
	for n := range 20 {
		var files FileList
		for i := range 1000 {
			files = append(files, file(fmt.Sprintf("opt/p%d/%d", n, i), "x"))
		}
		l, err := random.Layer(1024, types.OCILayer)
		require.NoError(b, err)
		a.Linked = append(a.Linked, Linked{Owner: fmt.Sprint("p", n), Files: Merge(files), Layer: l})
	}
	b.ReportAllocs()
	for b.Loop() {
		img, err := a.Image()
		require.NoError(b, err)
		_, err = img.Digest()
		require.NoError(b, err)
	}
}
