package testbed_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
)

// secretive is a package whose steps use secrets as they should, and print them
// as they should not.
const secretive = `name: secretive
group: g
summary: uses secrets
depends: [low]
versions: [{version: "1"}]
build:
  steps:
    - run: |
        echo NONCE
        wc -c < /run/secrets/token > /out/length
        test -z "${token:-}"
        echo "the token is $(cat /run/secrets/token), and the key:"; cat /run/secrets/key
        set -x; : "$(cat /run/secrets/token)"; set +x
        for part in a b c; do printf '%s' "$(cat /run/secrets/token)$part" >&2; done
        printf '\033]0;owned\007\033[2J\033[31mred\n'
      secrets: [token, key]
install:
  steps:
    - run: |
        cat /run/secrets/key
        cp /artifact/length /etc/secretive; echo NONCE | tr N M > /etc/nonce
      secrets: [key]
tests:
  - name: no-secret
    run: test ! -e /run/secrets/token && test ! -e /run/secrets/key && test -s /etc/secretive
`

// A build that uses a secret, from a file and from the environment, and prints
// it, leaves it nowhere: not in a layer, a record, a log, an event, the plan, the
// Dockerfile, nor on the terminal or in what the engine keeps.
func TestSecretsLeaveNoTrace(t *testing.T) {
	env := real(t)
	start := time.Now()
	time.Sleep(10 * time.Millisecond) // of clocks of files
	nonce := fmt.Sprint(start.UnixNano())
	core := "Q" + nonce + "Z" // what is looked for, however it is quoted
	token := `t0ken'"$& ` + core
	key := "-----BEGIN KEY-----\nline one " + core + "\nline two " + core + "\n-----END KEY-----\n"
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, small()))
	spec := filepath.Join(dir, "packages/g/secretive/package.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(spec), 0o755))
	require.NoError(t, os.WriteFile(spec, []byte(strings.ReplaceAll(secretive, "NONCE", "N"+nonce[5:])), 0o644))
	keyFile := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(keyFile, []byte(key), 0o600))

	jetcrate, err := exec.LookPath("jetcrate")
	require.NoError(t, err)
	run := func(want int, args ...string) (string, string) {
		t.Helper()
		cmd := exec.Command(jetcrate, append(args, "-C", dir)...)
		cmd.Env = append(os.Environ(), "TEST_TOKEN="+token)
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		require.Equal(t, want, cmd.ProcessState.ExitCode(), "%s%s", &out, &errs)
		for _, text := range []string{out.String(), errs.String()} {
			require.NotContains(t, text, core)
			require.False(t, strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }), "%q", text)
		}
		return out.String(), errs.String()
	}
	given := []string{"--l4t", "36.4.0", "--secret", "id=token,env=TEST_TOKEN", "--secret", "id=key,src=" + keyFile}
	run(0, "plan", "secretive", "--l4t", "36.4.0", "-o", "json")
	run(0, "dockerfile", "secretive", "--l4t", "36.4.0")
	run(1, "build", "secretive", "--l4t", "36.4.0") // no secret is given
	out, _ := run(0, append([]string{"build", "secretive", "-o", "jsonl"}, given...)...)
	require.Contains(t, out, "***")
	require.Contains(t, out, `"status":"passed"`)

	// A step that fails shows its last lines.
	text, err := os.ReadFile(spec)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(spec, bytes.ReplaceAll(text, []byte("        wc -c"), []byte("        cat /run/secrets/token; exit 7\n        wc -c")), 0o644))
	for _, args := range [][]string{{"--verbose"}, {"--progress", "plain"}, {"--progress", "quiet"}} {
		_, errs := run(3, append(append([]string{"build", "secretive"}, args...), given...)...)
		if args[0] == "--verbose" {
			require.Contains(t, errs, "| ***")
		}
	}

	live := exec.Command("script", "-qec", jetcrate+" build secretive --progress tty -C "+dir+" --l4t 36.4.0 --secret id=token,env=TEST_TOKEN --secret id=key,src="+keyFile, "/dev/null")
	live.Env = append(os.Environ(), "TEST_TOKEN="+token, "TERM=xterm")
	for k, v := range env {
		live.Env = append(live.Env, k+"="+v)
	}
	seen, err := live.Output()
	require.Error(t, err)
	requireOnScreen(t, string(seen), "***", core)

	base := filepath.Dir(env["XDG_DATA_HOME"])
	require.NotEmpty(t, filesWith(t, "M"+nonce[5:], base, start), "what a layer holds is found")
	require.Empty(t, filesWith(t, core, base, start))
}

// leaky is a pipeline whose steps use secrets in every way that there is, and tell
// them wherever something can be told. Its jobs run on this machine and in a
// container; its action gives them to the steps of a package.
const leaky = `name: leaky
on: workflow_dispatch
jobs:
  here:
    runs-on: host
    continue-on-error: true
    outputs: {leak: "${{ steps.tell.outputs.leak }}", fine: "${{ steps.tell.outputs.fine }}"}
    steps:
STEPS  box:
    runs-on: box
    continue-on-error: true
    steps:
STEPS  build:
    runs-on: host
    steps:
      - uses: jetcrate/build
        env: {A: "${{ secrets.TOKEN }}", B: "${{ secrets.KEY }}"}
        with:
          arguments: secretive
          l4t: 36.4.0
          summary: "true"
          output: jsonl
          secret: |
            id=token,env=A
            id=key,env=B
      - uses: jetcrate/build
        if: always()
        continue-on-error: true
        with: {arguments: "${{ secrets.TOKEN }}"}
      - uses: jetcrate/report
        with: {output: markdown, summary: "true"}
`

const leakySteps = `      - id: tell
        name: Tell ${{ secrets.TOKEN }}
        env: {TOKEN: "${{ secrets.TOKEN }}", LINES: "${{ secrets.KEY }}", JSON: "${{ toJSON(secrets.TOKEN) }}"}
        run: |
          echo "the token is $TOKEN, in JSON $JSON"; echo "$LINES" >&2
          set -x; : "$TOKEN"; set +x
          echo "::error file=a,line=1,title=$TOKEN::$TOKEN"
          echo "::warning::$TOKEN"; echo "::group::$TOKEN"; echo "::endgroup::"
          echo "leak=$TOKEN" >> "$GITHUB_OUTPUT"; echo "fine=yes" >> "$GITHUB_OUTPUT"
          echo "LATER=$TOKEN" >> "$GITHUB_ENV"
          echo "# $TOKEN" >> "$GITHUB_STEP_SUMMARY"; echo "$LINES" >> "$GITHUB_STEP_SUMMARY"
          head -c 70000 /dev/zero | tr '\0' x; printf '%s' "$TOKEN"; head -c 70000 /dev/zero | tr '\0' y; echo
      - run: echo "later $LATER, before ${SAID#*-}"
        env: {SAID: "x-${{ steps.tell.outputs.leak }}"}
      - run: exit 3
        name: Fails with ${{ secrets.TOKEN }}
        continue-on-error: true
      - run: echo not here
        working-directory: no/${{ secrets.TOKEN }}
        continue-on-error: true
      - run: echo never
        timeout-minutes: ${{ secrets.TOKEN }}
        continue-on-error: true
      - run: echo never
        if: fromJSON(env.LATER) == 1
        continue-on-error: true
`

// Nor does a pipeline leave the secrets that it is given anywhere: not in what it
// prints, its events, result and summary, nor in the journals, records and images
// of what it builds.
func TestSecretsOfPipelinesLeaveNoTrace(t *testing.T) {
	s := newSite(t)
	c := &pipelineCatalog{site: s, dir: freshSmall(t)}
	start := time.Now()
	nonce := fmt.Sprint(start.UnixNano())
	core := "Q" + nonce + "Z"
	image := filepath.Join(t.TempDir(), "low.tar")
	out, err := c.command(c.dir, "build", "low", "--l4t", "36.4.0", "--tarball", image).CombinedOutput()
	require.NoError(t, err, "%s", out)
	c.write("packages/g/secretive/package.yaml", strings.ReplaceAll(secretive, "NONCE", "N"+nonce[5:]))
	c.write("pipelines/leaky.yaml", strings.ReplaceAll(leaky, "STEPS", leakySteps))
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("-----BEGIN KEY-----\nline one "+core+"\nline two "+core+"\n-----END KEY-----\n"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "tmp"), 0o755))
	s.env = append(s.env, "THE_TOKEN=t0ken'\"$& "+core, "TMPDIR="+filepath.Join(s.dir, "tmp"))

	for i, args := range [][]string{{"-o", "jsonl"}, {"-o", "json"}, {"--progress", "plain"}, {"--progress", "quiet"}} {
		if i > 0 {
			args = append(args, "--job", "here") // all jobs once are enough
		}
		summary := filepath.Join(s.dir, "summary.md")
		r := c.run(append([]string{"leaky", "--runner", "box=" + image, "--secret", "id=TOKEN,env=THE_TOKEN", "--secret", "id=KEY,src=" + key, "--summary", summary}, args...)...)
		require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
		told, err := os.ReadFile(summary)
		require.NoError(t, err)
		require.Contains(t, string(told), "# ***")
		for _, text := range []string{r.stdout, r.stderr, string(told)} {
			require.NotContains(t, text, core, "%q", args)
		}
		if i > 0 {
			continue
		}
		for _, job := range []string{"here", "box"} {
			require.Contains(t, r.stdout, `"job":"`+job+`","step":"Tell ***","text":"the token is ***, in JSON \"***\""`)
		}
		require.Contains(t, r.stdout, "the output leak is left out")
		require.Contains(t, r.stdout, "secretive 1 build")
		require.Contains(t, r.stdout, "## run-2: done")
	}
	live := c.command(c.dir)
	live.Args = []string{"script", "-qec", "jetcrate -C " + c.dir + " pipeline run leaky --progress tty --job here --secret id=TOKEN,env=THE_TOKEN --secret id=KEY,src=" + key, "/dev/null"}
	live.Path, err = exec.LookPath("script")
	require.NoError(t, err)
	live.Env = append(live.Env, "TERM=xterm")
	seen, err := live.Output()
	require.NoError(t, err, "%s", seen)
	requireOnScreen(t, string(seen), "***", core)

	require.NotEmpty(t, filesWith(t, "M"+nonce[5:], s.dir, start), "what a layer holds is found")
	require.Empty(t, filesWith(t, core, s.dir, start))
	require.Empty(t, filesWith(t, core, c.dir, start))
}

// requireOnScreen: what a terminal was sent has one text, and nowhere the other,
// with or without what the lines were cut with.
func requireOnScreen(t *testing.T, sent, has, hasNot string) {
	t.Helper()
	require.Contains(t, sent, "\x1b[", "it is a live view")
	text := regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`).ReplaceAllString(sent, "")
	require.Contains(t, text, has)
	require.NotContains(t, strings.Join(strings.Fields(text), ""), hasNot)
}

// filesWith finds the files of a folder that were written since some time and
// hold a text.
func filesWith(t *testing.T, text, dir string, since time.Time) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(name, "go-build") {
			return nil // what another test removes meanwhile
		}
		if info, err := d.Info(); err == nil && !info.ModTime().Before(since) && holds(t, name, text) {
			found = append(found, name)
		}
		return nil
	}))
	return found
}

// holds looks for a text in a file, and in what a compressed one unpacks to.
func holds(t *testing.T, name, text string) bool {
	b, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	if bytes.Contains(b, []byte(text)) {
		return true
	}
	if !bytes.HasPrefix(b, []byte("\x1f\x8b")) {
		return false
	}
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return false
	}
	unpacked, _ := io.ReadAll(zr)
	return bytes.Contains(unpacked, []byte(text))
}
