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
        cp /artifact/length /etc/secretive; echo NONCE > /etc/nonce
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

	base := filepath.Dir(env["XDG_DATA_HOME"])
	searched := 0
	require.NoError(t, filepath.WalkDir(base, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(name, "go-build") {
			return nil // what another test removes meanwhile
		}
		if info, err := d.Info(); err != nil || info.ModTime().Before(start) {
			return nil
		}
		searched++
		require.False(t, holds(t, name, core), "%s holds the secret", name)
		return nil
	}))
	require.Greater(t, searched, 10)
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
