package testbed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/publish/release/releasetest"
)

// pipelineCatalog is a catalog of two releases and some packages, with the
// pipelines of this repository: one stacked package that the others stand on,
// three of which use the step x/program, and the rest x/note.
type pipelineCatalog struct {
	*site
	dir      string
	packages []string
}

func newPipelineCatalog(t *testing.T) *pipelineCatalog {
	s := newSite(t)
	c := &pipelineCatalog{site: s, dir: t.TempDir(), packages: []string{"low", "one", "two"}}
	if os.Getenv("JETCRATE_ALL") != "" {
		c.packages = append(c.packages, "three", "four", "five")
	}
	matrix, err := os.ReadFile("testdata/small/matrix.yaml")
	require.NoError(t, err)
	platform, _, _ := strings.Cut(string(matrix), "\nstrategy:")
	_, record, ok := strings.Cut(platform, "platforms:\n")
	require.True(t, ok)
	older := strings.NewReplacer("36.4.0", "35.4.1", "sm_87", "sm_72", ">=36.4 <37", ">=35 <36").Replace(record)
	c.write("matrix.yaml", platform+"\n"+older+"\nstrategy:\n  matrix:\n    l4t: [\"36.4.0\", \"35.4.1\"]\n    package: ["+strings.Join(c.packages, ", ")+"]\n")
	for _, name := range []string{"nightly", "pull-request", "release"} {
		text, err := os.ReadFile("../pipelines/" + name + ".yaml")
		require.NoError(t, err)
		c.write("pipelines/"+name+".yaml", string(text))
	}
	step := "name: x/%s\nsummary: writes a file\nlinked: true\ninputs: {text: {description: what it holds}}\nsteps:\n  - env: {TEXT: \"${{ inputs.text }}\"}\n    run: |\n" +
		"      mkdir -p \"$DESTDIR/opt/%s\"\n      echo \"$TEXT\" > \"$DESTDIR/opt/%s/$TEXT\"\n"
	for _, name := range []string{"program", "note"} {
		c.write("pipelines/steps/x/"+name+".yaml", fmt.Sprintf(step, name, name, name))
	}
	nonce := fmt.Sprint(time.Now().UnixNano())
	for i, name := range c.packages {
		uses := "note"
		if i >= 1 && i <= 3 {
			uses = "program"
		}
		text := "name: " + name + "\ngroup: g\nsummary: a package\ndepends: [low]\nversions: [{version: \"1\"}]\ninstall:\n  steps:\n    - uses: x/" + uses +
			"\n      with: {text: " + name + "-" + nonce + "}\ntests: [{name: there, run: \"test -s /opt/" + uses + "/" + name + "-" + nonce + "\"}]\n"
		if name == "low" {
			text = "name: low\ngroup: g\nsummary: below the others\nversions: [{version: \"1\"}]\ninstall:\n  steps:\n    - run: echo " + nonce + " > /opt/low\ntests: [{name: there, run: test -s /opt/low}]\n"
		}
		c.write("packages/g/"+name+"/package.yaml", text)
	}
	return c
}

func (c *pipelineCatalog) write(name, text string) {
	c.Helper()
	file := filepath.Join(c.dir, name)
	require.NoError(c, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(c, os.WriteFile(file, []byte(text), 0o644))
}

// replace changes a text of a file that is in it once.
func (c *pipelineCatalog) replace(name, old, new string) {
	c.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	require.NoError(c, err)
	require.Equal(c, 1, strings.Count(string(text), old), "%s in %s", old, name)
	c.write(name, strings.Replace(string(text), old, new, 1))
}

func (c *pipelineCatalog) git(args ...string) {
	c.Helper()
	cmd := exec.Command("git", append([]string{"-C", c.dir, "-c", "user.name=Someone", "-c", "user.email=someone@example.com"}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(c, err, "%s", out)
}

// ran is what a run of a pipeline printed.
type ran struct {
	code           int
	stdout, stderr string
}

func (c *pipelineCatalog) run(args ...string) ran {
	c.Helper()
	cmd := c.command(c.dir, append([]string{"pipeline", "run", "--progress", "plain"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(c, err, &exit, "%s", errs.String())
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// reports are what is told of the runs for a target, the last first.
func (c *pipelineCatalog) reports(target string) string {
	c.Helper()
	output := func(args ...string) []byte {
		out, err := c.command(c.dir, args...).Output()
		require.NoError(c, err, "%q", args)
		return out
	}
	var runs []struct{ Name, What string }
	require.NoError(c, json.Unmarshal(output("runs", "-o", "json"), &runs))
	var all strings.Builder
	for _, r := range runs {
		if strings.HasPrefix(r.What, target) {
			all.Write(output("report", r.Name, "-o", "markdown"))
		}
	}
	return all.String()
}

// jobs are the jobs of a run whose name begins with a text, with how they ended.
func (r ran) jobs(prefix string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^[├└]─ (.+?): (success|failure|skipped|cancelled)`).FindAllStringSubmatch(r.stdout, -1) {
		if strings.HasPrefix(m[1], prefix) {
			out[m[1]] = m[2]
		}
	}
	return out
}

// made are the names of packages whose layers an engine made.
func (r ran) made() []string {
	var out []string
	for _, m := range regexp.MustCompile(`\| (?:\[[ 0-9/]+\] )?built\s+(\S+) 1`).FindAllStringSubmatch(r.stderr, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestNightly runs the pipeline of this repository on two releases: whole, again
// without an engine, after a change, with a failing test, and killed half-way.
func TestNightly(t *testing.T) {
	c := newPipelineCatalog(t)
	cells := 2 * len(c.packages)
	place := startRegistry(t) + "/jetson"
	matrix, err := os.ReadFile(filepath.Join(c.dir, "matrix.yaml"))
	require.NoError(t, err)
	c.write("matrix.yaml", string(matrix)+fmt.Sprintf("publish: {repositories: [{repository: %q, testbed: true}]}\n", place))

	r := c.run("nightly")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	builds := r.jobs("")
	require.Equal(t, "success", builds["plan"])
	require.Equal(t, "success", builds["table"])
	n := 0
	for name, how := range builds {
		if strings.Contains(name, " on r3") && !strings.HasPrefix(name, "GPU") {
			n++
			require.Equal(t, "success", how, name)
		}
	}
	require.Equal(t, cells, n)
	require.Len(t, r.jobs("GPU tests of"), cells)
	require.Contains(t, r.stdout, "no runner here has the labels self-hosted, jetson, l4t-36.4.0")
	require.Equal(t, c.packages, inOrder(c.packages, r.made()))

	// Nothing has changed: an engine that is not there is not missed.
	r = c.run("nightly", "--engine", "unix:///nowhere.sock")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	require.Empty(t, r.made())

	// One package has changed: its cells, and no others.
	c.replace("packages/g/two/package.yaml", "text: two-", "text: new-two-")
	c.replace("packages/g/two/package.yaml", "/two-", "/new-two-")
	r = c.run("nightly")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	require.Equal(t, []string{"two"}, r.made())
	require.Contains(t, c.reports("two-"), "two: variable", "what made it another")

	// One test fails: the rest ends, the table says what failed, and that is not published.
	c.replace("packages/g/one/package.yaml", "test -s", "exit 1; test -s")
	r = c.run("nightly")
	require.Equal(t, 3, r.code, "%s%s", r.stdout, r.stderr)
	for name, how := range r.jobs("") {
		switch {
		case strings.HasPrefix(name, "one on"):
			require.Equal(t, "failure", how, name)
		case strings.Contains(name, " on r3") && !strings.HasPrefix(name, "GPU"), name == "table", name == "report":
			require.Equal(t, "success", how, name)
		}
	}
	table, err := os.ReadFile(filepath.Join(c.dir, "site", "table.json"))
	require.NoError(t, err)
	var rows struct {
		Rows []struct {
			Target   string `json:"target"`
			Evidence struct {
				Failed int `json:"failed"`
			} `json:"evidence"`
		} `json:"rows"`
	}
	require.NoError(t, json.Unmarshal(table, &rows))
	failed := 0
	for _, row := range rows.Rows {
		if row.Evidence.Failed > 0 {
			failed++
			require.Equal(t, "one", row.Target, "%s", table)
		}
	}
	require.Equal(t, 2, failed, "%s", table)
	key := filepath.Join(t.TempDir(), "log.key")
	out, err := c.command(c.dir, "keys", "new", "--origin", "nightly.example", "--out", key).CombinedOutput()
	require.NoError(t, err, "%s", out)
	publish := c.command(c.dir, "publish", "--all", "--to", place, "--key", key)
	out, _ = publish.CombinedOutput()
	require.Equal(t, 3, publish.ProcessState.ExitCode(), "%s", out)
	require.NotContains(t, string(out), "+ "+place+"/one:")
	for _, p := range c.packages {
		if p != "one" {
			require.Contains(t, string(out), "+ "+place+"/"+p+":")
		}
	}
	c.replace("packages/g/one/package.yaml", "exit 1; test", "test")

	// Killed half-way: the run after it makes the rest, and nothing twice.
	c.replace("packages/g/low/package.yaml", "run: echo", "run: echo again")
	cmd := c.command(c.dir, "pipeline", "run", "nightly", "--progress", "plain")
	errs := &seen{want: "success   low on r36.4.0", there: make(chan struct{})}
	cmd.Stderr = errs
	require.NoError(t, cmd.Start())
	select {
	case <-errs.there:
	case <-time.After(5 * time.Minute):
		t.Fatalf("no cell ended: %s", errs.text.String())
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	r = c.run("nightly")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	require.NotContains(t, r.made(), "low", "what was made before the kill is kept")
}

// With shards, what cells share is made by jobs of its own, once and first; the
// cells then find it.
func TestNightlyInShards(t *testing.T) {
	c := newPipelineCatalog(t)
	r := c.run("nightly", "--var", "JETCRATE_SHARDS=2")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	require.Equal(t, "success", r.jobs("")["Shared by cells, 1/1"], r.stdout)
	made := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^(.+?) \| (?:\[[ 0-9/]+\] )?built\s+(\S+ 1 .*?) {2}`).FindAllStringSubmatch(r.stderr, -1) {
		require.Contains(t, m[1], "Shared by cells, ", "both cells of a package have the same layers here: %s", m[0])
		made[m[2]]++
	}
	require.Len(t, made, len(c.packages))
	for name, times := range made {
		require.Equal(t, 1, times, name)
	}
}

// TestPullRequest is the pipeline on a real history.
func TestPullRequest(t *testing.T) {
	c := newPipelineCatalog(t)
	c.git("init", "-q", "-b", "main")
	c.git("add", "-A")
	c.git("commit", "-q", "-m", "a catalog")

	// Another comment: no cell.
	c.git("checkout", "-q", "-b", "comment")
	c.replace("packages/g/low/package.yaml", "name: low\n", "# a comment\nname: low\n")
	c.git("commit", "-q", "-a", "-m", "a comment")
	r := c.run("pull-request", "--base", "main", "--engine", "unix:///nowhere.sock")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	require.Equal(t, "success", r.jobs("")["diff"])
	require.Equal(t, "skipped", r.jobs("")["build"], r.stdout)

	// A step: the cells of the packages that use it. The title is no code.
	c.git("checkout", "-q", "-b", "$(touch${IFS}pwned)", "main")
	c.replace("pipelines/steps/x/program.yaml", "mkdir -p", "umask 022; mkdir -p")
	c.git("commit", "-q", "-a", "-m", "`touch pwned` $(touch pwned) ${{ github.token }}")
	r = c.run("pull-request", "--base", "main")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	want := map[string]string{}
	for _, p := range c.packages[1:min(4, len(c.packages))] {
		want[p] = "success"
	}
	got := map[string]string{}
	for name, how := range r.jobs("") {
		if p, _, ok := strings.Cut(name, " on r3"); ok {
			got[p] = how
		}
	}
	require.Equal(t, want, got, r.stdout)
	require.Contains(t, r.stderr, "x/program")
	_, err := os.Stat(filepath.Join(c.dir, "pwned"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestRelease runs the pipeline on a tag, with a registry, and a server that plays
// GitHub: images, signed table, wheels and notes; again, nothing is new; the next
// tag's notes say what is.
func TestRelease(t *testing.T) {
	c := newPipelineCatalog(t)
	hub := releasetest.New(t)
	place := startRegistry(t) + "/jetson"
	// A release takes no stand-ins: these platforms count as real.
	matrix, err := os.ReadFile(filepath.Join(c.dir, "matrix.yaml"))
	require.NoError(t, err)
	c.write("matrix.yaml", strings.ReplaceAll(string(matrix), "    testbed: true\n", "")+fmt.Sprintf("publish: {repositories: [{repository: %q}]}\n", place))
	c.git("init", "-q", "-b", "main")
	c.git("remote", "add", "origin", "https://github.com/o/r.git")
	tag := func(name string) {
		c.git("add", "packages", "pipelines", "matrix.yaml")
		c.git("commit", "-q", "-m", "the catalog of "+name)
		c.git("tag", name)
		c.git("checkout", "-q", "--detach")
	}
	key := filepath.Join(t.TempDir(), "log.key")
	out, err := c.command(c.dir, "keys", "new", "--origin", "release.example", "--out", key).CombinedOutput()
	require.NoError(t, err, "%s", out)
	secret, err := os.ReadFile(key)
	require.NoError(t, err)
	c.env = append(c.env, "GITHUB_API_URL="+hub.API.URL, "GITHUB_TOKEN="+releasetest.Token, "LOG_KEY="+strings.TrimSpace(string(secret)))
	run := func() ran {
		r := c.run("release", "--var", "JETCRATE_REPOSITORY="+place, "--secret", "id=JETCRATE_KEY,env=LOG_KEY")
		require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
		for _, hidden := range []string{releasetest.Token, strings.TrimSpace(string(secret))} {
			require.NotContains(t, r.stdout+r.stderr, hidden)
		}
		return r
	}

	tag("v1.0.0")
	r := run()
	require.Equal(t, map[string]string{"build": "success", "release": "success"}, r.jobs(""))
	require.Equal(t, c.packages, inOrder(c.packages, r.made()))
	require.Len(t, hub.Releases, 1)
	first := hub.Releases[0]
	require.Equal(t, "v1.0.0", first.Tag)
	require.False(t, first.Draft)
	require.Contains(t, hub.Files("v1.0.0"), "SHA256SUMS")
	for _, p := range c.packages {
		require.Contains(t, first.Body, place+"/"+p+":1-r36.4.0-py311")
		require.Contains(t, hub.Files("v1.0.0")["table.json"], place+"/"+p+":1-r36.4.0-py311")
	}

	// The same tag again: nothing is made, copied or sent.
	hub.Reset(nil)
	r = run()
	require.Empty(t, r.made())
	require.NotContains(t, r.stderr, "copying")
	require.Zero(t, hub.Count("POST"))
	require.Zero(t, hub.Count("PATCH"))

	// The next tag: what has changed is made, published, and named in the notes.
	c.replace("packages/g/two/package.yaml", "text: two-", "text: new-two-")
	c.replace("packages/g/two/package.yaml", "/two-", "/new-two-")
	tag("v1.1.0")
	r = run()
	require.Equal(t, []string{"two"}, r.made())
	require.Len(t, hub.Releases, 2)
	second := hub.Releases[0]
	require.Equal(t, "v1.1.0", second.Tag)
	require.Contains(t, second.Body, place+"/two:1-r36.4.0-py311-2", "a tag is never moved")
	require.NotContains(t, second.Body, place+"/one:")
}

// inOrder is what of a list is in another, in the order of the first.
func inOrder(order, of []string) []string {
	var out []string
	for _, s := range order {
		if slices.Contains(of, s) {
			out = append(out, s)
		}
	}
	return out
}

// seen closes a channel when a text was written.
type seen struct {
	want  string
	text  bytes.Buffer
	there chan struct{}
	done  bool
}

func (s *seen) Write(p []byte) (int, error) {
	s.text.Write(p)
	if !s.done && strings.Contains(s.text.String(), s.want) {
		s.done = true
		close(s.there)
	}
	return len(p), nil
}
