package resolve_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

// row makes a built and tested row of one package.
func row(l4t, hosts, pkg, ver string, change ...func(*table.Row)) table.Row {
	key := fmt.Sprintf("%s-%s-r%s", pkg, ver, l4t)
	r := table.Row{
		Target: pkg, Roots: []string{pkg}, Hosts: hosts, Status: table.Current, State: table.Built,
		Packages: []table.Package{{Name: pkg, Version: ver}},
		Platform: table.Platform{L4T: l4t, Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}},
		Image:    &table.Image{Reference: "registry.example/jetcrate:" + key, Digest: "sha256:" + strings.Repeat("0", 64), Key: key},
		Evidence: table.Evidence{Passed: 2},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func untested(r *table.Row) { r.Evidence = table.Evidence{} }
func testbed(r *table.Row)  { r.Platform.Testbed = true }
func failed(r *table.Row) {
	r.Evidence = table.Evidence{Failed: 1, Tests: []table.TestResult{{Package: r.Roots[0], Name: "import", Status: table.Failed}}}
}
func notBuilt(r *table.Row) {
	r.State, r.Image, r.Evidence, r.Reason = table.NotBuilt, nil, table.Evidence{}, "no run has built it"
}
func cuda(v string) func(*table.Row) {
	return func(r *table.Row) { r.Platform.CUDA = &table.CUDA{Version: v}; r.Image.Reference += "-cu" + v }
}
func gpu(archs ...string) func(*table.Row) { return func(r *table.Row) { r.Platform.GPU = archs } }
func alias(names ...string) func(*table.Row) {
	return func(r *table.Row) { r.Packages[0].Aliases = names }
}
func option(key, value string) func(*table.Row) {
	return func(r *table.Row) {
		r.Target += "+" + key
		r.Image.Reference += "-" + key
		r.Packages[0].Options = map[string]string{key: value}
	}
}
func with(pkg, ver string) func(*table.Row) {
	return func(r *table.Row) {
		r.Target, r.Roots = "big", []string{"big"}
		r.Image.Reference += "-big"
		r.Packages = append(r.Packages, table.Package{Name: "big", Version: "1"}, table.Package{Name: pkg, Version: ver})
	}
}

func release(t *testing.T, s string) version.Release {
	t.Helper()
	if s == "" {
		return version.Release{}
	}
	r, err := version.ParseL4T(s)
	require.NoError(t, err)
	return r
}

func want(t *testing.T, names ...string) []resolve.Wanted {
	t.Helper()
	var out []resolve.Wanted
	for _, n := range names {
		w, err := resolve.ParseWanted(n)
		require.NoError(t, err)
		out = append(out, w)
	}
	return out
}

// The ranges are those of the L4T lines: containers depend on the driver
// libraries of the host's major, and within 36 on CUDA 12.6 from 36.4 on.
func lines(change ...func(*table.Row)) *table.Table {
	var t table.Table
	for _, p := range []struct{ l4t, hosts string }{
		{"32.7.1", ">=32.7 <33"}, {"35.4.1", ">=35 <36"}, {"36.3.0", ">=36.2 <36.4"}, {"36.4.0", ">=36.4 <37"},
		{"38.2.0", ">=38 <39"}, {"39.1.0", ">=39 <40"},
	} {
		t.Rows = append(t.Rows, row(p.l4t, p.hosts, "pytorch", "2.1.0", change...))
	}
	return &t
}

var hosts = []string{"32.7.1", "32.7.6", "34.1.1", "35.1.0", "35.4.1", "35.6.4", "36.2.0", "36.3.0", "36.4.0", "36.4.3", "36.4.9", "36.5.0", "36.9.0", "37.0.0", "38.2.0", "38.9.1", "39.0.0", "39.1.0", "40.0.0"}

// picture is one line for each host: what each image is to it (yes, no as a dot,
// unknown as ?; s is sbsa), and the choice.
type picture struct {
	*testing.T
	table *table.Table
	width int
	bytes.Buffer
}

func newPicture(t *testing.T, tab *table.Table, width int) *picture {
	p := &picture{T: t, table: tab, width: width}
	fmt.Fprintf(p, "%-*s", width, "host")
	for _, r := range tab.Rows {
		fmt.Fprintf(p, "%-8s", r.Platform.L4T+map[string]string{"sbsa": "s"}[r.Platform.Flavour])
	}
	p.WriteString("chosen\n")
	return p
}

func (p *picture) host(name string, q resolve.Query) resolve.Answer {
	q.Packages, q.All = want(p.T, "pytorch"), true
	a, err := resolve.Choose(p.table, q)
	require.NoError(p, err)
	line := fmt.Sprintf("%-*s", p.width, name)
	for _, r := range p.table.Rows {
		i := slices.IndexFunc(a.Candidates, func(c resolve.Candidate) bool {
			return c.Row.Platform.L4T == r.Platform.L4T && c.Row.Platform.Flavour == r.Platform.Flavour
		})
		line += fmt.Sprintf("%-8s", map[resolve.Verdict]string{resolve.Yes: "yes", resolve.No: ".", resolve.Unknown: "?"}[a.Candidates[i].Verdict])
	}
	chosen := "none"
	if a.Chosen != nil {
		chosen = a.Chosen.Row.Platform.L4T
	}
	p.WriteString(line + chosen + "\n")
	return a
}

// Which host runs which image, as one picture.
func TestHostsAndImages(t *testing.T) {
	p := newPicture(t, lines(), 8)
	for _, h := range hosts {
		for _, c := range p.host(h, resolve.Query{L4T: release(t, h)}).Candidates {
			require.False(t, c.Verdict == resolve.Yes && !portable(release(t, h), release(t, c.Row.Platform.L4T)), "%s on %s", c.Name, h)
		}
	}
	golden(t, "testdata/hosts.txt", p.Bytes())
}

// portable is the rule as people write it: drivers come from the host, so the
// major has to be the same; within 36, CUDA 12.6 came with 36.4. (Which releases
// of a line there were before 32.7 and 36.2 decides nothing here.)
func portable(host, img version.Release) bool {
	from364 := release36(host, "36.4")
	return host.Major() == img.Major() && (host.Major() != 36 || from364 == release36(img, "36.4"))
}

func release36(r version.Release, from string) bool {
	v, err := version.ParseL4T(from)
	return err == nil && r.Compare(v) >= 0
}

// matrixTable has an image for each platform of the catalog's matrix.
func matrixTable(t *testing.T) *table.Table {
	t.Helper()
	cat, list := spec.Load(os.DirFS("../.."), spec.Options{})
	require.NoError(t, list.Err())
	tab := &table.Table{Schema: table.Schema}
	for _, p := range cat.Matrix.Platforms {
		l4t := release(t, p.L4T).String()
		tab.Rows = append(tab.Rows, row(l4t, p.Hosts, "pytorch", "2.1.0", func(r *table.Row) { r.Platform.Flavour, r.Platform.GPU = p.Flavour, p.GPU }))
	}
	return tab
}

// Every release of matrix.yaml, and others, as hosts of every image of it.
func TestMatrixOnItself(t *testing.T) {
	tab := matrixTable(t)
	all := slices.Clone(hosts)
	for _, r := range tab.Rows {
		all = append(all, r.Platform.L4T)
	}
	slices.SortFunc(all, func(a, b string) int { return release(t, a).Compare(release(t, b)) })
	all = slices.Compact(all)
	for _, flavour := range []string{"tegra", "sbsa"} {
		p := newPicture(t, tab, 14)
		for _, h := range all {
			for _, c := range p.host(h+" "+flavour, resolve.Query{L4T: release(t, h), Flavour: flavour}).Candidates {
				img := c.Row.Platform
				if c.Verdict == resolve.Yes {
					require.True(t, portable(release(t, h), release(t, img.L4T)), "%s on %s", c.Name, h)
					require.Equal(t, flavour, img.Flavour)
				}
				if h == img.L4T && flavour == img.Flavour {
					require.Equal(t, resolve.Yes, c.Verdict, "an image runs on the release that it is made for: %s", c.Name)
				}
			}
		}
		golden(t, "testdata/matrix-"+flavour+".txt", p.Bytes())
	}
}

// The devices of the host room ask for an image of each line.
func TestDevices(t *testing.T) {
	dir := "../host/testdata/devices"
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	gpus := map[string][]string{
		"32.7.1": {"sm_53", "sm_62", "sm_72"}, "35.4.1": {"sm_72", "sm_87"}, "36.3.0": {"sm_87"}, "36.4.0": {"sm_87"}, "38.2.0": {"sm_110"}, "39.1.0": {"sm_87", "sm_110"},
	}
	tab := lines(func(r *table.Row) { r.Platform.GPU = gpus[r.Platform.L4T] })
	tab.Rows = append(tab.Rows, row("39.1.0", ">=39 <40", "pytorch", "2.1.0", gpu("sm_87", "sm_90", "sm_110"), func(r *table.Row) { r.Platform.Flavour = "sbsa" }))
	p := newPicture(t, tab, 18)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		fsys, end, err := host.Root(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		defer end()
		var q resolve.Query
		facts := host.Detect(fsys)
		q.SetHost(facts)
		for _, c := range p.host(e.Name(), q).Candidates {
			if c.Verdict == resolve.Yes && facts.GPU.Known() {
				require.Contains(t, c.Row.Platform.GPU, facts.GPU.Value)
			}
		}
	}
	golden(t, "testdata/devices.txt", p.Bytes())
}

// Ranges that are open at an end must not reach into other majors.
func TestOpenRanges(t *testing.T) {
	for _, open := range []string{"*", ">=32", "<100", ">=36.4"} {
		tab := lines(func(r *table.Row) { r.Hosts = open })
		for _, h := range hosts {
			t.Run(open+" on "+h, func(t *testing.T) {
				a, err := resolve.Choose(tab, resolve.Query{Packages: want(t, "pytorch"), L4T: release(t, h), All: true})
				require.NoError(t, err)
				for _, c := range a.Candidates {
					if c.Verdict == resolve.Yes {
						require.Equal(t, release(t, h).Major(), release(t, c.Row.Platform.L4T).Major())
					}
				}
			})
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	expected, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(expected), string(got))
}

func TestChoose(t *testing.T) {
	const here = ">=36.4 <37"
	cases := []struct {
		name   string
		rows   []table.Row
		ask    []string
		query  resolve.Query
		host   string
		chosen string // end of the reference; "" is none
		why    string // part of the reasons
	}{
		{name: "tested before newer", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.1.0-r36.4.0", why: "tested: 2 passed",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", untested), row("36.4.0", here, "pytorch", "2.1.0")}},
		{name: "untested where nothing is tested", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.8.0-r36.4.0", why: "not tested",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", untested)}},
		{name: "newest version", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.10.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.9.0"), row("36.4.0", here, "pytorch", "2.10.0")}},
		{name: "nearest release at or below the host", host: "36.4.3", ask: []string{"pytorch"}, chosen: "r36.4.2",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8"), row("36.4.2", here, "pytorch", "2.8"), row("36.4.7", here, "pytorch", "2.8")}},
		{name: "a release above the host when its range says so", host: "36.4.0", ask: []string{"pytorch"}, chosen: "r36.4.4",
			rows: []table.Row{row("36.4.7", here, "pytorch", "2.8"), row("36.4.4", here, "pytorch", "2.8")}},
		{name: "failed is never chosen", host: "36.4.3", ask: []string{"pytorch"}, why: "it failed pytorch/import",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", failed)}},
		{name: "failed gives way to older", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.1.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", failed), row("36.4.0", here, "pytorch", "2.1.0")}},
		{name: "not built", host: "36.4.3", ask: []string{"pytorch"}, why: "not built: no run has built it",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", notBuilt)}},
		{name: "withdrawn and superseded rows do not count", host: "36.4.3", ask: []string{"pytorch"}, why: "no image of pytorch",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", func(r *table.Row) { r.Status = table.Withdrawn }),
				row("36.4.0", here, "pytorch", "2.7.0", func(r *table.Row) { r.Status = table.Superseded })}},
		{name: "real before testbed", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.1.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", testbed), row("36.4.0", here, "pytorch", "2.1.0", untested)}},
		{name: "testbed where nothing is real", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.8.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", testbed)}},
		{name: "testbed does not stand in for a real one of another line", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.8.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", testbed), row("35.4.1", ">=35 <36", "pytorch", "2.1.0")}},
		{name: "made for it before larger", host: "36.4.3", ask: []string{"pytorch"}, chosen: "2.8.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "base", "1", with("pytorch", "2.8.0")), row("36.4.0", here, "pytorch", "2.8.0")}},
		{name: "larger where there is nothing else", host: "36.4.3", ask: []string{"pytorch"}, chosen: "-big",
			rows: []table.Row{row("36.4.0", here, "base", "1", with("pytorch", "2.8.0"))}},
		{name: "both packages in one image", host: "36.4.3", ask: []string{"base", "pytorch"}, chosen: "-big",
			rows: []table.Row{row("36.4.0", here, "base", "1", with("pytorch", "2.8.0")), row("36.4.0", here, "pytorch", "2.8.0")}},
		{name: "no image holds both", host: "36.4.3", ask: []string{"base", "pytorch"}, why: "no one image holds them all",
			rows: []table.Row{row("36.4.0", here, "base", "1"), row("36.4.0", here, "pytorch", "2.8.0")}},
		{name: "version asked for", host: "36.4.3", ask: []string{"pytorch:2.1"}, chosen: "2.1.3-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.10.0"), row("36.4.0", here, "pytorch", "2.1.3")}},
		{name: "version that is not there", host: "36.4.3", ask: []string{"pytorch:3"}, why: "it has pytorch in 2.10.0, 2.1.3",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.1.3"), row("36.4.0", here, "pytorch", "2.10.0")}},
		{name: "alias of a package", host: "36.4.3", ask: []string{"torch:2.8"}, chosen: "2.8.0-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0", alias("torch"))}},
		{name: "alias of a version", host: "36.4.3", ask: []string{"ros:humble"}, chosen: "ros2-humble-r36.4.0",
			rows: []table.Row{row("36.4.0", here, "ros2", "humble", alias("ros:humble")), row("36.4.0", here, "ros2", "iron", alias("ros:humble"))}},
		{name: "option asked for", host: "36.4.3", ask: []string{"ros2+slam"}, chosen: "-slam",
			rows: []table.Row{row("36.4.0", here, "ros2", "1"), row("36.4.0", here, "ros2", "1", option("slam", "true"))}},
		{name: "option not asked for", host: "36.4.3", ask: []string{"ros2"}, why: "it holds ros2 with slam=true, asked for was no options",
			rows: []table.Row{row("36.4.0", here, "ros2", "1", option("slam", "true"))}},
		{name: "cuda asked for", host: "36.4.3", ask: []string{"pytorch"}, query: resolve.Query{CUDA: "12.6"}, chosen: "cu12.6",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2", cuda("12.8")), row("36.4.0", here, "pytorch", "2", cuda("12.6"))}},
		{name: "cuda that is not there", host: "36.4.3", ask: []string{"pytorch"}, query: resolve.Query{CUDA: "13"}, why: "it has CUDA 12.8, CUDA 13 was asked for",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2", cuda("12.8"))}},
		{name: "python that is not there", host: "36.4.3", ask: []string{"pytorch"}, query: resolve.Query{Python: "3.12"}, why: "it has Python of an unknown version",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2")}},
		{name: "another flavour", host: "36.4.3", ask: []string{"pytorch"}, query: resolve.Query{Flavour: "tegra"}, why: "it is made for sbsa, this host is tegra",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2", func(r *table.Row) { r.Platform.Flavour = "sbsa" })}},
		{name: "another GPU", host: "39.1", ask: []string{"pytorch"}, query: resolve.Query{GPU: "sm_87"}, why: "made for GPUs sm_110, this host has sm_87",
			rows: []table.Row{row("39.0.0", ">=39 <40", "pytorch", "2", gpu("sm_110"))}},
		{name: "unknown GPU", host: "39.1", ask: []string{"pytorch"}, chosen: "r39.0.0",
			rows: []table.Row{row("39.0.0", ">=39 <40", "pytorch", "2", gpu("sm_87", "sm_110"))}},
		{name: "unknown host", host: "", ask: []string{"pytorch"}, query: resolve.Query{Unknown: "there is no /etc/nv_tegra_release"}, why: "--host-l4t",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2")}},
		{name: "unknown major", host: "40.0", ask: []string{"pytorch"}, why: "is unknown: the table knows L4T 36, and nothing about 40",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2")}},
		{name: "nearest is named", host: "35.4.1", ask: []string{"pytorch"}, why: "nearest: pytorch 2.8.0 for r36.4.0: it runs on hosts >=36.4 <37, this one is r35.4.1",
			rows: []table.Row{row("36.4.0", here, "pytorch", "2.8.0"), row("35.4.1", ">=35 <36", "numpy", "1")}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tab := &table.Table{Schema: table.Schema, Rows: c.rows}
			q := c.query
			q.Packages, q.L4T = want(t, c.ask...), release(t, c.host)
			check := func() {
				a, err := resolve.Choose(tab, q)
				require.NoError(t, err)
				require.Contains(t, strings.Join(a.Why, "\n"), c.why)
				if c.chosen == "" {
					require.Nil(t, a.Chosen)
					for _, cand := range a.Candidates {
						require.NotEmpty(t, cand.Against)
					}
					return
				}
				require.NotNil(t, a.Chosen, "%v", a.Why)
				require.True(t, strings.HasSuffix(a.Chosen.Image, c.chosen), "%s", a.Chosen.Image)
			}
			check()
			slices.Reverse(tab.Rows) // the order of rows decides nothing
			check()
		})
	}
}

func TestChooseUserMistakes(t *testing.T) {
	tab := &table.Table{Rows: []table.Row{
		row("36.4.0", ">=36.4 <37", "pytorch", "2.8.0", alias("torch")),
		row("36.4.0", ">=36.4 <37", "ros2", "humble", alias("ros:humble")),
	}}
	cases := []struct {
		name string
		ask  []string
		code string
		hint string
	}{
		{"slip", []string{"pytorhc"}, "unknown-package", `did you mean "pytorch"?`},
		{"slip of an alias", []string{"trch"}, "unknown-package", `did you mean "torch"?`},
		{"alias that needs a version", []string{"ros"}, "unknown-package", "name one of its versions"},
		{"nothing near", []string{"tensorflow"}, "unknown-package", ""},
		{"nothing asked", nil, "no-package", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := resolve.Choose(tab, resolve.Query{Packages: want(t, c.ask...), L4T: release(t, "36.4.3")})
			list, ok := diag.From(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.code, list[0].Code)
			require.Equal(t, c.hint, list[0].Hint)
		})
	}
	t.Run("all unknown names at once", func(t *testing.T) {
		_, err := resolve.Choose(tab, resolve.Query{Packages: want(t, "a1", "b2")})
		list, _ := diag.From(err)
		require.Len(t, list, 2)
	})
}

func TestNames(t *testing.T) {
	tab := &table.Table{Rows: []table.Row{
		row("36.4.0", ">=36.4 <37", "pytorch", "2.8.0", alias("torch")),
		row("36.4.0", ">=36.4 <37", "numpy", "1", notBuilt),
	}}
	require.Equal(t, []string{"numpy", "pytorch", "torch"}, resolve.Names(tab))
}

func TestParseWanted(t *testing.T) {
	for in, out := range map[string]string{
		"pytorch": "pytorch", "pytorch:2.8": "pytorch 2.8", "ros2:humble-desktop+slam": "ros2 humble-desktop+slam", "a+x=1+b": "a+b+x=1",
	} {
		w, err := resolve.ParseWanted(in)
		require.NoError(t, err, in)
		require.Equal(t, out, w.String())
	}
	for _, bad := range []string{"", ":", "a:", "a+", "a++b", "a+b+b", "-x", "a b", "a\x1b[m", "a+b=", strings.Repeat("a", 201)} {
		_, err := resolve.ParseWanted(bad)
		_, isMistake := diag.From(err)
		require.True(t, isMistake, "%q", bad)
	}
}

func FuzzParseWanted(f *testing.F) {
	for _, s := range []string{"pytorch:2.8+x=1", "", "a+b", ":+="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := resolve.ParseWanted(s)
		if err == nil {
			require.NotEmpty(t, w.Name)
			require.Equal(t, w.Name, strings.ToValidUTF8(w.Name, ""))
		}
	})
}
