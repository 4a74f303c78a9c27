package resolve_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/stretchr/testify/require"
)

var localKey = strings.Repeat("a", 64)

// local is an image in Docker with the labels that jetcrate gives one.
func local(t *testing.T, l4t, name string, change ...func(*resolve.Local)) resolve.Local {
	t.Helper()
	labels, err := image.Labels{
		Title: "pytorch", Key: localKey, Packages: []image.Package{{Name: "python", Version: "3.10"}, {Name: "pytorch", Version: "2.8.0"}},
		Platform: image.Platform{L4T: l4t, Flavour: "tegra", OS: "ubuntu 22.04", Arch: "arm64", CUDA: "12.6"},
	}.Map()
	require.NoError(t, err)
	l := resolve.Local{Names: []string{name}, ID: "sha256:" + strings.Repeat("1", 64), Arch: "arm64", Labels: labels}
	for _, c := range change {
		c(&l)
	}
	return l
}

func TestLocalImages(t *testing.T) {
	here := ">=36.4 <37"
	withKey := func(r *table.Row) { r.Image.Key = localKey }
	remote := row("36.4.0", here, "pytorch", "2.8.0")
	pulled := func(l *resolve.Local) {
		l.Digests = []string{"registry.example/jetcrate@sha256:" + strings.Repeat("0", 64)}
	}
	cases := []struct {
		name   string
		rows   []table.Row
		local  resolve.Local
		query  resolve.Query
		chosen string // reference; "" is none
		why    string // of the local candidate
	}{
		{name: "one that only Docker has", rows: []table.Row{row("36.4.0", here, "numpy", "1")}, local: local(t, "36.4.0", "my-robot:r36.4.0"),
			chosen: "my-robot:r36.4.0", why: "it runs on hosts >=36.4 <37, this one is r36.4.3; not tested; Docker has it"},
		{name: "local before remote, being the same", rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", withKey)}, local: local(t, "36.4.0", "mine:1", pulled),
			chosen: "mine:1", why: "tested: 2 passed"},
		{name: "tested before untested, though remote", rows: []table.Row{remote}, local: local(t, "36.4.0", "mine:1"), chosen: remote.Image.Reference, why: "not tested"},
		{name: "the key alone is no evidence", rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", withKey)}, local: local(t, "36.4.0", "mine:1"),
			chosen: remote.Image.Reference, why: "not tested"},
		{name: "preferred", rows: []table.Row{remote}, local: local(t, "36.4.0", "mine:1"), query: resolve.Query{Prefer: resolve.OnHost}, chosen: "mine:1"},
		{name: "of another line", rows: []table.Row{row("35.4.1", ">=35 <36", "numpy", "1")}, local: local(t, "35.4.1", "pytorch:latest"), why: "it runs on hosts >=35 <36"},
		{name: "of a platform that the table does not know", rows: []table.Row{row("36.4.0", here, "numpy", "1")}, local: local(t, "36.4.1", "pytorch:latest"),
			why: "the table does not say which hosts run images of 36.4.1"},
		{name: "failed", rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", withKey, failed)}, local: local(t, "36.4.0", "mine:1"), why: "it failed pytorch/import"},
		{name: "withdrawn", rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", withKey, func(r *table.Row) { r.Status = table.Withdrawn })},
			local: local(t, "36.4.0", "mine:1"), why: "it was withdrawn"},
		{name: "unlabelled with a tempting tag", rows: []table.Row{row("36.4.0", here, "pytorch", "3", notBuilt)},
			local: local(t, "36.4.0", "pytorch:r36.4.0", func(l *resolve.Local) { l.Labels = nil }), why: "it has no labels of jetcrate"},
		{name: "half built with a tempting tag", rows: []table.Row{row("36.4.0", here, "pytorch", "3", notBuilt)},
			local: local(t, "36.4.0", "pytorch:r36.4.0", func(l *resolve.Local) {
				l.Labels = maps.Clone(l.Labels)
				delete(l.Labels, image.LabelPackages)
			}), why: "it is half built: the image has no label io.jetcrate.packages"},
		{name: "labels without a key", rows: []table.Row{row("36.4.0", here, "pytorch", "3", notBuilt)},
			local: local(t, "36.4.0", "pytorch:r36.4.0", func(l *resolve.Local) {
				l.Labels = maps.Clone(l.Labels)
				delete(l.Labels, image.LabelKey)
			}), why: "its label io.jetcrate.key is no key"},
		{name: "built upon", rows: []table.Row{row("36.4.0", here, "numpy", "1")}, local: local(t, "36.4.0", "pytorch:mine", func(l *resolve.Local) { l.Foreign = "RUN pip install x" }),
			why: `something was built on top of it: "RUN pip install x"`},
		{name: "for another machine", rows: []table.Row{row("36.4.0", here, "numpy", "1")}, local: local(t, "36.4.0", "pytorch:mine", func(l *resolve.Local) { l.Arch = "amd64" }),
			why: "its label says arm64, Docker says amd64"},
		{name: "option", rows: []table.Row{row("36.4.0", here, "numpy", "1")}, local: local(t, "36.4.0", "mine:1"),
			query: resolve.Query{Packages: []resolve.Wanted{{Name: "pytorch", Options: map[string]string{"x": "true"}}}}, why: "its labels name no options"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tab := &table.Table{Rows: append(c.rows, row("36.4.0", here, "pytorch", "9", notBuilt))}
			q := c.query
			if q.Packages == nil {
				q.Packages = want(t, "pytorch")
			}
			q.L4T, q.Local, q.All = release(t, "36.4.3"), []resolve.Local{c.local}, true
			a, err := resolve.Choose(tab, q)
			require.NoError(t, err)
			chosen := ""
			if a.Chosen != nil {
				chosen = a.Chosen.Image
			}
			require.Equal(t, c.chosen, chosen, "%v", a.Why)
			var said []string
			for _, cand := range a.Candidates {
				if cand.Local {
					said = append(append(said, cand.For...), cand.Against...)
				}
			}
			require.Contains(t, strings.Join(said, "; "), c.why)
		})
	}
}

func TestLocalImagesOfOtherThingsAreNotMentioned(t *testing.T) {
	tab := &table.Table{Rows: []table.Row{row("36.4.0", ">=36.4 <37", "numpy", "1")}}
	a, err := resolve.Choose(tab, resolve.Query{Packages: want(t, "numpy"), L4T: release(t, "36.4.3"), All: true, Local: []resolve.Local{
		local(t, "36.4.0", "mine:1"), local(t, "36.4.0", "debian:12", func(l *resolve.Local) { l.Labels = nil }),
	}})
	require.NoError(t, err)
	require.Len(t, a.Candidates, 1)
}

func TestUnlabelledImagesAreNotNear(t *testing.T) {
	tab := &table.Table{Rows: []table.Row{row("35.4.1", ">=35 <36", "pytorch", "2.8.0", gpu("sm_72")), row("36.4.0", ">=36.4 <37", "numpy", "1")}}
	unlabelled := local(t, "36.4.0", "pytorch:latest", func(l *resolve.Local) { l.Labels = nil })
	a, err := resolve.Choose(tab, resolve.Query{Packages: want(t, "pytorch"), L4T: release(t, "36.4.3"), GPU: "sm_87", Local: []resolve.Local{unlabelled}})
	require.NoError(t, err)
	require.Equal(t, "nearest: pytorch 2.8.0 for r35.4.1: it runs on hosts >=35 <36, this one is r36.4.3; it is made for GPUs sm_72, this host has sm_87", a.Why[1])
	require.Len(t, a.Why, 2)
	require.Equal(t, "pytorch:latest", a.Candidates[1].Image)
}

func TestLocalPinned(t *testing.T) {
	tab := &table.Table{Rows: []table.Row{row("36.4.0", ">=36.4 <37", "pytorch", "2.8.0", notBuilt)}}
	a, err := resolve.Choose(tab, resolve.Query{Packages: want(t, "pytorch"), L4T: release(t, "36.4.3"), Local: []resolve.Local{local(t, "36.4.0", "mine:1")}})
	require.NoError(t, err)
	require.Equal(t, "sha256:"+strings.Repeat("1", 64), a.Chosen.Pinned())
}

func TestBuild(t *testing.T) {
	here := ">=36.4 <37"
	tab := &table.Table{Rows: []table.Row{
		row("36.4.0", here, "pytorch", "2.8.0"), row("36.4.0", here, "transformers", "4", notBuilt),
		row("36.4.3", here, "pytorch", "2.8.0"), row("35.4.1", ">=35 <36", "transformers", "4"),
	}}
	a, err := resolve.Choose(tab, resolve.Query{Packages: want(t, "pytorch:2.8", "transformers"), L4T: release(t, "36.4.3")})
	require.NoError(t, err)
	require.Nil(t, a.Chosen)
	require.Equal(t, []string{"pytorch:2.8", "transformers"}, a.Build.Packages)
	require.Equal(t, "36.4.0", a.Build.Platform.L4T)
	a, err = resolve.Choose(tab, resolve.Query{Packages: want(t, "pytorch", "transformers"), L4T: release(t, "32.7.1")})
	require.NoError(t, err)
	require.Nil(t, a.Build)
}
