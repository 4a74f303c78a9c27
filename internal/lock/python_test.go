package lock_test

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/lock"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// wheels is a folder of wheels.
type wheels struct {
	t   *testing.T
	dir string
}

// needsPip skips where pip's resolver is not to be had.
func needsPip(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("python3", "-I", "-m", "pip", "--version").CombinedOutput(); err != nil {
		if os.Getenv("JETCRATE_REAL") != "" {
			t.Fatalf("python3 has no pip: %v: %s", err, out)
		}
		t.Skip("python3 has no pip; make test has it")
	}
}

// add makes a wheel: tag is py3-none-any and the like.
func (w wheels) add(name, version, tag string, requires ...string) string {
	w.t.Helper()
	stem := strings.ReplaceAll(name, "-", "_") + "-" + version
	file := filepath.Join(w.dir, stem+"-"+tag+".whl")
	f, err := os.Create(file)
	require.NoError(w.t, err)
	z := zip.NewWriter(f)
	meta := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
	for _, r := range requires {
		meta += "Requires-Dist: " + r + "\n"
	}
	for _, part := range [][2]string{{name + ".py", ""}, {stem + ".dist-info/METADATA", meta}, {stem + ".dist-info/WHEEL", "Wheel-Version: 1.0\nTag: " + tag + "\n"}, {stem + ".dist-info/RECORD", ""}} {
		p, err := z.Create(part[0])
		require.NoError(w.t, err)
		_, err = p.Write([]byte(part[1]))
		require.NoError(w.t, err)
	}
	require.NoError(w.t, z.Close())
	require.NoError(w.t, f.Close())
	b, err := os.ReadFile(file)
	require.NoError(w.t, err)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// simple serves the folder as PEP 503 wants it.
func (w wheels) simple() *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple"), "/")
		entries, err := os.ReadDir(w.dir)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		if strings.HasSuffix(name, ".whl") {
			http.ServeFile(rw, r, filepath.Join(w.dir, filepath.Base(name)))
			return
		}
		rw.Header().Set("Content-Type", "text/html")
		found := false
		for _, e := range entries {
			dist, _, _ := strings.Cut(e.Name(), "-")
			if spec.DistributionName(dist) == name {
				found = true
				fmt.Fprintf(rw, "<a href=%q>%s</a>\n", "/simple/files/"+e.Name(), e.Name())
			}
		}
		if !found {
			http.NotFound(rw, r)
		}
	}))
	w.t.Cleanup(srv.Close)
	return srv
}

// collecting is a package that collects wheels.
func collecting(name, depends, distributions string) string {
	return `name: ` + name + `
group: p
summary: From an index
depends: [` + depends + `]
versions: [{version: "1.0"}]
build:
  steps:
    - uses: python/collect-wheels
      with: {distributions: [` + distributions + `]}
install:
  steps: [{uses: python/install-wheels}]
`
}

const sourceYAML = `name: low
group: p
summary: Built from source
versions: [{version: "2.1"}]
build:
  steps: [{run: "true"}]
install:
  steps: [{uses: python/install-wheel}]
`

func pythonLab(t *testing.T) (*lab, wheels) {
	needsPip(t)
	l := newLab(t)
	delete(l.files, "packages/g/tool/package.yaml")
	w := wheels{t, t.TempDir()}
	l.write("packages/p/low/package.yaml", sourceYAML)
	l.write("packages/p/high/package.yaml", collecting("high", "low", `"high==1.0"`))
	return l, w
}

// pins lists what the lock has, as name==version of who.
func (l *lab) pins() []string {
	cat, list := spec.Load(l.files, spec.Options{})
	require.NoError(l.t, list.Err())
	var out []string
	for _, p := range cat.Lock.Python {
		for _, d := range p.Distributions {
			out = append(out, d.Name+"=="+d.Version+" of "+strings.Join(d.Packages, ", "))
		}
	}
	sort.Strings(out)
	return out
}

func TestPython(t *testing.T) {
	t.Parallel()
	l, w := pythonLab(t)
	w.add("high", "1.0", "py3-none-any", "low>=2", "from-apt>=7", "helper", `other; platform_machine == "x86_64"`, `old; python_version < "3.10"`, `arm; platform_machine == "aarch64"`)
	w.add("helper", "1.0", "py3-none-any")
	w.add("helper", "1.1", "cp311-cp311-manylinux_2_36_aarch64", "deep")
	w.add("helper", "1.2", "cp311-cp311-manylinux_2_38_aarch64") // of a newer C library
	w.add("helper", "1.3", "cp312-cp312-manylinux_2_17_aarch64") // of another Python
	w.add("helper", "1.4", "cp311-cp311-manylinux_2_17_x86_64")  // of another machine
	w.add("deep", "0.1", "py2.py3-none-any")
	arm := w.add("arm", "3.0", "cp38-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64")
	w.add("low", "9.9", "py3-none-any") // what lies below is taken

	// apt brings it, in whichever version: nothing of it is resolved
	l.write("packages/p/distro/package.yaml", "name: distro\ngroup: p\nsummary: From apt\nversions: [{version: \"1\"}]\ninstall: {brings: [From_Apt], steps: [{run: \"true\"}]}\n")
	l.write("packages/p/high/package.yaml", collecting("high", "low, distro", `"high==1.0"`))
	out := l.update(lock.Options{Index: w.dir})
	want := []string{"arm==3.0 of high 1.0", "deep==0.1 of high 1.0", "helper==1.1 of high 1.0", "high==1.0 of high 1.0"}
	require.Equal(t, want, l.pins())
	require.Equal(t, lock.Added, status(out)[lock.Python])
	require.Contains(t, l.lock(), "python:\n  - l4t: \"36.4\"\n    os: debian 12\n    python: \"3.11\"\n    cuda: \"12.6\"\n    index: a folder of wheels\n")
	require.Contains(t, l.lock(), "      - name: arm\n        version: \"3.0\"\n        sha256:\n          - "+arm+"\n        packages:\n          - high 1.0\n        because: packages/p/high/package.yaml:9\n")
	require.NotContains(t, l.lock(), w.dir)

	// An index of the usual form gives the same, and so does a second run.
	srv := w.simple()
	delete(l.files, lock.File)
	l.update(lock.Options{Index: strings.Replace(srv.URL, "http://", "http://user:word@", 1) + "/simple/", Update: []lock.Kind{lock.Python}})
	require.Equal(t, want, l.pins())
	require.NotContains(t, l.lock(), "word")
	require.Contains(t, l.lock(), "index: "+srv.URL+"/simple/\n")
	w.add("deep", "0.2", "py3-none-any")
	l.update(lock.Options{Index: w.dir}) // pip is not asked: what has an entry is left alone
	require.Equal(t, want, l.pins())
	require.Contains(t, l.lock(), "index: "+srv.URL)
	l.update(lock.Options{Index: w.dir, Update: []lock.Kind{lock.Python}})
	require.Contains(t, l.pins(), "deep==0.2 of high 1.0")
	require.NotContains(t, strings.Join(l.pins(), " "), "deep==0.1")

	// The step gets the lines, and they are in the key of what it makes.
	cat, loose := l.load()
	require.Empty(t, lock.Drift(cat, loose, false))
	p, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4"})
	require.NoError(t, err)
	planned, err := plan.New(cat, l.files, []plan.Request{{Targets: []spec.Target{{Name: "high"}}, Platform: p}})
	require.NoError(t, err)
	for _, n := range planned.Nodes {
		if n.Kind == plan.Artifact && n.Package == "high" {
			require.Contains(t, n.Instructions[0].Text, "arm==3.0 --hash=sha256:"+arm)
		}
	}
}

// What packages have chosen, others take too, where that is possible.
func TestPythonOneVersion(t *testing.T) {
	t.Parallel()
	l, w := pythonLab(t)
	w.add("high", "1.0", "py3-none-any", "shared<3")
	w.add("second", "1.0", "py3-none-any", "shared")
	for _, v := range []string{"1.0", "2.0", "3.0"} {
		w.add("shared", v, "py3-none-any")
	}
	l.write("packages/p/second/package.yaml", collecting("second", "high", `"second==1.0"`))
	l.update(lock.Options{Index: w.dir})
	require.Equal(t, []string{"high==1.0 of high 1.0", "second==1.0 of second 1.0", "shared==2.0 of high 1.0"}, l.pins())

	// Two that do not stand on each other agree as well.
	delete(l.files, lock.File)
	l.write("packages/p/second/package.yaml", collecting("second", "", `"second==1.0"`))
	l.write("packages/p/high/package.yaml", collecting("high", "", `"high==1.0"`))
	l.update(lock.Options{Index: w.dir})
	require.Contains(t, l.pins(), "shared==2.0 of high 1.0, second 1.0")

	// Where it is not possible, an image with both is refused, with both names.
	delete(l.files, lock.File)
	w.add("second", "1.0", "py3-none-any", "shared>=3")
	l.write("packages/p/both/package.yaml", "name: both\ngroup: p\nsummary: Both\ndepends: [high, second]\nversions: [{version: \"1\"}]\n")
	l.update(lock.Options{Index: w.dir})
	require.Contains(t, l.pins(), "shared==2.0 of high 1.0")
	require.Contains(t, l.pins(), "shared==3.0 of second 1.0")
	cat, list := spec.Load(l.files, spec.Options{})
	require.NoError(t, list.Err())
	p, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4"})
	require.NoError(t, err)
	_, err = plan.New(cat, l.files, []plan.Request{{Targets: []spec.Target{{Name: "both"}}, Platform: p}})
	require.ErrorContains(t, err, "high 1.0 brings shared 2.0 and second 1.0 brings 3.0")
}

func TestPythonReasons(t *testing.T) {
	t.Parallel()
	l, w := pythonLab(t)
	l.write("packages/p/tree/package.yaml", collecting("tree", "", "-r/src/requirements.txt"))
	reason := func(o lock.Options, who string) (lock.Status, string) {
		for _, x := range l.update(o) {
			if strings.HasPrefix(x.What, who+" 1.0 on ") {
				return x.Status, x.Reason
			}
		}
		return "", ""
	}
	s, why := reason(lock.Options{Index: w.dir}, "high")
	require.Equal(t, lock.Unlocked, s)
	require.Contains(t, why, "No matching distribution found for high==1.0")
	s, why = reason(lock.Options{}, "high")
	require.Equal(t, lock.Unlocked, s)
	require.Contains(t, why, "--update python")
	s, why = reason(lock.Options{}, "tree")
	require.Equal(t, lock.Unlockable, s)
	require.Contains(t, why, "source tree")

	// What needs another version of what lies below says so.
	w.add("high", "1.0", "py3-none-any", "low<2")
	w.add("low", "1.0", "py3-none-any")
	s, why = reason(lock.Options{Index: w.dir}, "high")
	require.Equal(t, lock.Unlocked, s)
	require.Contains(t, why, "high 1.0 depends on low<2")
	require.Contains(t, why, "low==2.1")
	require.Empty(t, l.pins())

	srv := w.simple()
	srv.Close()
	s, why = reason(lock.Options{Index: srv.URL + "/simple/"}, "high")
	require.Equal(t, lock.Unlocked, s)
	require.NotEmpty(t, why)
}
