package dagger

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dagger.io/dagger"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// scripted answers the SDK's requests: one field at the end of each chain.
type scripted struct {
	answers map[string]any // by the field that ends a chain
	asked   []string
	failure string
}

func (s *scripted) Host() string { return "dagger" }
func (s *scripted) Close() error { return nil }

func (s *scripted) Do(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var req struct{ Query string }
	if err := json.Unmarshal(raw, &req); err != nil {
		return nil, err
	}
	s.asked = append(s.asked, req.Query)
	// query{a{b(x:1){c}}}: the names outside of arguments.
	var path []string
	depth, quoted, word := 0, false, ""
	for i, c := range req.Query {
		switch {
		case c == '"' && req.Query[i-1] != '\\':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth > 0:
		case c == '{' || c == '}':
			if word = strings.TrimSpace(word); word != "" && word != "query" {
				path = append(path, word)
			}
			word = ""
		default:
			word += string(c)
		}
	}
	answer, ok := s.answers[path[len(path)-1]]
	if !ok {
		return nil, errors.New("unexpected: " + req.Query)
	}
	var data = answer
	for i := len(path) - 1; i >= 0; i-- {
		data = map[string]any{path[i]: data}
	}
	reply := map[string]any{"data": data}
	if s.failure != "" {
		reply = map[string]any{"errors": []any{map[string]any{"message": s.failure}}}
	}
	body, err := json.Marshal(reply)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}}, err
}

func clientOf(t *testing.T, s *scripted) *client {
	t.Helper()
	if s.answers == nil {
		s.answers = map[string]any{}
	}
	s.answers["id"] = "ID"
	c, err := dagger.Connect(t.Context(), dagger.WithConn(s))
	require.NoError(t, err)
	return &client{c, func() {}}
}

func TestSessionRun(t *testing.T) {
	s := &scripted{answers: map[string]any{"exitCode": 3, "stdout": "out\n", "stderr": "err\n"}}
	var out, errs bytes.Buffer
	exit, err := clientOf(t, s).run(t.Context(), engine.Run{
		Platform: "linux/arm64", Args: []string{"python3", "-c", `print("$x")`}, Env: []string{"A=b=c"}, Dir: "/w",
		Mounts: []engine.Mount{{Source: "/tests", Target: "/pkg/tests"}}, Stdout: &out, Stderr: &errs,
	}, "/image.tar")
	require.NoError(t, err)
	require.Equal(t, engine.Exit{Code: 3}, exit)
	require.Equal(t, "out\n", out.String())
	require.Equal(t, "err\n", errs.String())
	last := s.asked[len(s.asked)-1]
	for _, want := range []string{
		`container(platform:"linux/arm64")`, `import(source:"ID")`, `name:"A"`, `value:"b=c"`, `path:"/pkg/tests"`,
		`withWorkdir(path:"/w")`, `"print(\"$x\")"`, `expect:ANY`, `noInit:true`,
	} {
		require.Contains(t, last, want)
	}
	require.Contains(t, strings.Join(s.asked, "\n"), `host{file(path:"/image.tar")`)
	require.Contains(t, strings.Join(s.asked, "\n"), `host{directory`)
}

func TestSessionRunOfNoProgram(t *testing.T) {
	s := &scripted{answers: map[string]any{"exitCode": 1, "stdout": "", "stderr": `runc run failed: unable to start container process: error during container init: exec: "absent": executable file not found in $PATH`}}
	exit, err := clientOf(t, s).run(t.Context(), engine.Run{Args: []string{"absent"}}, "/image.tar")
	require.NoError(t, err)
	require.Equal(t, 127, exit.Code)
}

func TestSessionBuild(t *testing.T) {
	s := &scripted{answers: map[string]any{"export": "/out"}}
	r := recipe{
		Dockerfile: []byte("FROM scratch\n"), Context: "/ctx", Files: map[string]string{".jetcrate-below.tar": "/root.tar"},
		Target: "layer", Platform: "linux/arm64", Args: map[string]string{"B": "2", "A": "1"}, Secrets: map[string][]byte{"token": []byte("hunter2")},
	}
	require.NoError(t, clientOf(t, s).image(t.Context(), r, "/out.tar"))
	all := strings.Join(s.asked, "\n")
	for _, want := range []string{
		`host{directory(`, `path:"/ctx"`, `noCache:true`, `withFile(`, `path:".jetcrate-below.tar"`, `withNewFile(`, `path:".jetcrate.Dockerfile"`,
		`target:"layer"`, `platform:"linux/arm64"`, `name:"A"`, `value:"1"`, `name:"B"`, `value:"2"`, `secrets:["ID"]`,
		`forcedCompression:Gzip`, `mediaTypes:OCIMediaTypes`, `export(path:"/out.tar")`,
	} {
		require.Contains(t, strings.ReplaceAll(all, ", ", ","), want)
	}
	require.NotContains(t, s.asked[len(s.asked)-1], "hunter2", "a secret goes by its ID")

	s = &scripted{answers: map[string]any{"export": "/out"}}
	require.NoError(t, clientOf(t, s).folder(t.Context(), r, "/out"))
	require.Contains(t, s.asked[len(s.asked)-1], "rootfs{export")
}

func TestStepErrors(t *testing.T) {
	tests := []struct {
		name, message string
		want          *engine.StepError
	}{
		{"a step", `process "/bin/sh -c make" did not complete successfully: exit code: 2`, &engine.StepError{Step: "/bin/sh -c make", Code: 2, Log: "last words"}},
		{"the recipe", `target stage "x" could not be found`, &engine.StepError{Step: "Dockerfile", Fault: `target stage "x" could not be found`}},
		{"the engine", "connection reset by peer", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := &tail{}
			_, _ = io.WriteString(log, "last words\n")
			e, err := open(t.Context(), clientOf(t, &scripted{answers: map[string]any{"version": "v0", "defaultPlatform": "linux/amd64"}}), t.TempDir(), log)
			require.NoError(t, err)
			require.True(t, e.Info().Emulated)
			e.session = clientOf(t, &scripted{answers: map[string]any{"export": ""}, failure: tt.message})
			_, err = e.Build(t.Context(), engine.Build{Name: "x", Dockerfile: []byte("FROM scratch\n"), Output: engine.Output{Dir: t.TempDir()}})
			require.Error(t, err)
			var step *engine.StepError
			if tt.want == nil {
				require.False(t, errors.As(err, &step))
				return
			}
			require.ErrorAs(t, err, &step)
			require.Equal(t, tt.want, step)
			require.NoError(t, e.Close())
		})
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	log := &tail{}
	for range 100 {
		_, _ = io.WriteString(log, "early\n")
	}
	for range keptLines {
		_, _ = io.WriteString(log, "late\n")
	}
	require.Equal(t, strings.TrimSpace(strings.Repeat("late\n", keptLines)), log.String())
}

func TestUnavailable(t *testing.T) {
	t.Setenv("_EXPERIMENTAL_DAGGER_CLI_BIN", filepath.Join(t.TempDir(), "absent"))
	t.Setenv("DAGGER_SESSION_PORT", "")
	os.Unsetenv("DAGGER_SESSION_PORT")
	_, err := Connect(t.Context(), Options{Scratch: t.TempDir()})
	var none *engine.Unavailable
	require.ErrorAs(t, err, &none)
	require.ErrorContains(t, err, "dagger CLI")
}
