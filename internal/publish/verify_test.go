package publish_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
)

func TestVerify(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	p, older := l.plan("36.4.0 cpu"), l.plan("36.4.0 cpu:1.1.0")
	for _, x := range []string{"36.4.0 cpu", "36.4.0 cpu:1.1.0", "36.4.3 cpu"} {
		l.build(l.plan(x))
	}
	_, err := l.publish(p)
	require.NoError(t, err)
	_, err = l.publish(older)
	require.NoError(t, err)
	ref := l.place + "/cpu:1.2.0-r36.4.0-py311"
	first := layers(t, ref)[0]
	other, _, err := ledger.NewKey("lab.example", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	blob := func(do func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			do(w)
			return true
		}
	}
	for _, c := range []struct {
		name, image string
		fault       func(http.ResponseWriter, *http.Request) bool
		keys        []table.Key
		rules       func(*spec.Repository)
		proof       func(*publish.Proof)
		before      func(t *testing.T)
		want        []string // each in one problem; none is good
	}{
		{name: "good"},
		{name: "by digest", image: l.place + "/cpu@" + l.digest(p)},
		{name: "by a moving tag", image: l.place + "/cpu:r36.4"},
		{name: "damaged", fault: blob(func(w http.ResponseWriter) { _, _ = w.Write([]byte("other bytes")) }), want: []string{"its config is damaged", "layer 1, sha256:"}},
		{name: "a layer is missing", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, first) {
				return false
			}
			w.WriteHeader(http.StatusNotFound)
			return true
		}, want: []string{"is missing"}},
		{name: "another key", keys: []table.Key{other.Key}, want: []string{"not signed by"}},
		{name: "no log", proof: func(p *publish.Proof) { *p = publish.Proof{} }, want: []string{"there is no log"}},
		{name: "an altered log", proof: func(p *publish.Proof) { p.Entries = p.Entries[:2] }, want: []string{"the log is not to be trusted: the entries are not those that were signed"}},
		{name: "an altered row", proof: func(p *publish.Proof) { p.Rows[0].Hosts = ">=35" }, want: []string{"is not in the log"}},
		{name: "stricter rules", rules: func(r *spec.Repository) { r.Tests = []string{"soak"} }, want: []string{"it has no test soak"}},
		{name: "an image that was never published", image: l.place + "/cpu:stray", before: func(t *testing.T) {
			img, err := l.store.ImageAt(ctx, l.digest(l.plan("36.4.3 cpu")))
			require.NoError(t, err)
			tag, err := name.NewTag(l.place + "/cpu:stray")
			require.NoError(t, err)
			require.NoError(t, remote.Write(tag, img))
		}, want: []string{"no entry that publishes it"}},
		{name: "a tag that somebody moved", before: func(t *testing.T) {
			img, err := l.store.ImageAt(ctx, l.digest(older))
			require.NoError(t, err)
			tag, err := name.NewTag(ref)
			require.NoError(t, err)
			require.NoError(t, remote.Write(tag, img))
		}, want: []string{ref + " is sha256:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before(t)
			}
			s, err := l.ledger().Read(ctx)
			require.NoError(t, err)
			proof := publish.Proof{Entries: s.Entries(), Signed: s.Signed, Rows: s.Rows()}
			if c.proof != nil {
				c.proof(&proof)
			}
			rules := l.rules
			if c.rules != nil {
				c.rules(&rules)
			}
			if c.keys == nil {
				c.keys = []table.Key{l.signer.Key}
			}
			if c.image == "" {
				c.image = ref
			}
			l.site.fail(c.fault)
			defer l.site.fail(nil)
			v, err := publish.Verify(ctx, l.publisher(p).Registry, c.image, proof, c.keys, rules)
			require.NoError(t, err)
			require.Equal(t, len(c.want) == 0, v.Good(), v.Problems)
			for _, want := range c.want {
				require.Contains(t, strings.Join(v.Problems, "\n"), want)
			}
			if v.Good() {
				require.Equal(t, l.digest(p), v.Digest)
				require.Positive(t, v.Bytes)
				require.Equal(t, table.Current, v.Status)
			}
		})
	}
	_, err = publish.Verify(ctx, l.publisher(p).Registry, l.place+"/cpu:nothing", publish.Proof{}, nil, l.rules)
	require.ErrorIs(t, err, publish.ErrNoImage)

	strange := httptest.NewTLSServer(http.NotFoundHandler())
	defer strange.Close()
	_, err = publish.Verify(ctx, l.publisher(p).Registry, strange.Listener.Addr().String()+"/jetson/cpu:r36.4", publish.Proof{}, nil, l.rules)
	require.ErrorContains(t, err, "is signed by nobody whom this machine trusts")
}

// layers are the digests of an image's layers.
func layers(t *testing.T, ref string) []string {
	tag, err := name.NewTag(ref)
	require.NoError(t, err)
	img, err := remote.Image(tag)
	require.NoError(t, err)
	m, err := img.Manifest()
	require.NoError(t, err)
	var out []string
	for _, l := range m.Layers {
		out = append(out, l.Digest.String())
	}
	return out
}
