package store

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

func layerTar(t *testing.T, files ...[2]string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f[0], Typeflag: tar.TypeReg, Size: int64(len(f[1])), Mode: 0o644}))
		_, err := w.Write([]byte(f[1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return &b
}

func TestInstalledInTar(t *testing.T) {
	const site = "usr/lib/python3/dist-packages/"
	set, err := installedInTar(layerTar(t,
		[2]string{"./var/lib/dpkg/status", `Package: zlib1g
Status: install ok installed
Priority: optional
Architecture: arm64
Multi-Arch: same
Source: zlib (1:1.2.13.dfsg-1)
Version: 1:1.2.13.dfsg-1
Description: compression library
 Package: not a field, but text

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1

Package: adduser
Status: hold ok installed
Architecture: all
Version: 3.134
`},
		[2]string{"./" + site + "MarkupSafe-2.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: MarkupSafe\nVersion: 2.1.2\nLicense: BSD-3-Clause\n\nName: not this\n"},
		[2]string{site + "MarkupSafe-2.1.2.dist-info/RECORD", ""},
		[2]string{site + "six.egg-info", "Metadata-Version: 1.2\nName: six\nVersion: 1.16.0\n"},
		[2]string{site + "PyYAML-6.0.egg-info/PKG-INFO", "Name: PyYAML\nVersion: 6.0\n"},
		[2]string{site + "odd-1.0.dist-info/WHEEL", ""},
		[2]string{site + "setuptools/_vendor/packaging-23.0.dist-info/METADATA", "Name: packaging\nVersion: 23.0\n"},
		[2]string{"opt/.wh.old", ""},
		[2]string{"srv/.wh..wh..opq", ""},
	))
	require.NoError(t, err)
	require.Equal(t, []Deb{{Name: "adduser", Version: "3.134", Arch: "all"}, {Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "arm64", Source: "zlib"}}, set.Dpkg)
	require.Equal(t, []Distribution{
		{Name: "MarkupSafe", Version: "2.1.2", License: "BSD-3-Clause", Path: site + "MarkupSafe-2.1.2.dist-info"},
		{Name: "PyYAML", Version: "6.0", Path: site + "PyYAML-6.0.egg-info"},
		{Name: "odd", Version: "1.0", Path: site + "odd-1.0.dist-info"},
		{Name: "six", Version: "1.16.0", Path: site + "six.egg-info"},
	}, set.Python)
	require.Equal(t, []string{"opt/old", "srv/"}, set.Removed)
}

func TestFold(t *testing.T) {
	dist := func(name, path string) Distribution { return Distribution{Name: name, Version: "1", Path: path} }
	low := Installed{Dpkg: []Deb{{Name: "a", Version: "1"}}, Python: []Distribution{dist("x", "usr/lib/x.dist-info"), dist("y", "opt/v/y.dist-info"), dist("z", "opt/w/z.dist-info")}}
	got := Fold(low, Installed{Python: []Distribution{dist("z", "opt/w/z2.dist-info")}, Removed: []string{"opt/v", "opt/w/", "usr/lib/x.dist"}})
	require.Equal(t, low.Dpkg, got.Dpkg, "a layer without a status leaves dpkg's as it is")
	require.Equal(t, []Distribution{dist("z", "opt/w/z2.dist-info"), dist("x", "usr/lib/x.dist-info")}, got.Python)
	require.Equal(t, []Deb{}, Fold().Dpkg)
}

// sealed is a layer that nobody may read.
type sealed struct {
	v1.Layer
	id v1.Hash
}

func (s sealed) DiffID() (v1.Hash, error)             { return s.id, nil }
func (s sealed) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("it was read") }

// What was looked at while it came is not read again; what did not come as a whole is.
func TestLook(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		status := [2]string{"var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"}
		raw := layerTar(t, status, [2]string{"etc/a", "x"}).Bytes()
		sum := sha256.Sum256(raw)
		l := sealed{id: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}

		_, _, err := s.Look(ctx, l.id, io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(io.ErrUnexpectedEOF)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_, err = s.FileList(ctx, l)
		require.ErrorContains(t, err, "it was read")
		_, err = s.Installed(ctx, l)
		require.ErrorContains(t, err, "it was read")

		_, _, err = s.Look(ctx, l.id, bytes.NewReader(raw))
		require.NoError(t, err)
		files, err := s.FileList(ctx, l)
		require.NoError(t, err)
		_, ok := files.Find("etc/a")
		require.True(t, ok)
		require.Len(t, files, 2)
		set, err := s.Installed(ctx, l)
		require.NoError(t, err)
		require.Equal(t, []Deb{{Name: "a", Version: "1", Arch: "all"}}, set.Dpkg)
	})
}
