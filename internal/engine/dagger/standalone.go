package dagger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// recipe is a build that needs nothing but its context.
type recipe struct {
	Dockerfile []byte
	Context    string            // folder on this machine; "" is an empty context
	Files      map[string]string // in the context besides: name to file on this machine
	Target     string
	Platform   string
	Args       map[string]string
	Secrets    map[string][]byte
	Events     func(engine.Event) // for sessions that see steps
}

// belowLabel names, in the config of an image, the stage that it stands on.
const belowLabel = "dev.jetcrate.dagger.below"

// stage makes an image a stage of a Dockerfile: its files from a tar in the
// context, and what of its config steps see. Values go through arguments, where
// nothing needs quoting. What steps do not see, compose takes from the image.
func stage(i int, name, file string, img engine.Image, args map[string]string) (string, error) {
	image, err := engine.OpenImage(img)
	if err != nil {
		return "", err
	}
	cfg, err := image.ConfigFile()
	if err != nil {
		return "", err
	}
	var s strings.Builder
	fmt.Fprintf(&s, "FROM scratch AS %s\nADD %s /\n", name, file)
	n := 0
	value := func(v string) string {
		arg := fmt.Sprintf("JETCRATE_BELOW_%d_%d", i, n)
		n++
		args[arg] = v
		fmt.Fprintf(&s, "ARG %s\n", arg)
		return "${" + arg + "}"
	}
	for _, kv := range cfg.Config.Env {
		k, v, _ := strings.Cut(kv, "=")
		if !variable.MatchString(k) {
			return "", fmt.Errorf("its variable %q has no name that a Dockerfile can set", k)
		}
		arg := value(v)
		fmt.Fprintf(&s, "ENV %s=%s\n", k, arg)
	}
	if w := cfg.Config.WorkingDir; w != "" {
		fmt.Fprintf(&s, "WORKDIR %s\n", value(w))
	}
	if u := cfg.Config.User; u != "" {
		fmt.Fprintf(&s, "USER %s\n", value(u))
	}
	if len(cfg.Config.Shell) > 0 {
		shell, err := json.Marshal(cfg.Config.Shell)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&s, "SHELL %s\n", shell)
	}
	fmt.Fprintf(&s, "LABEL %s=%s\n", belowLabel, name)
	return s.String(), nil
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// byNumber is a flag that names a stage by its number.
var byNumber = regexp.MustCompile(`\bfrom=(\d+)(,|$)`)

// insert puts n stages before the first of a Dockerfile, after the arguments of
// all stages. Stages that it names by number move up.
func insert(dockerfile, stages []byte, n int) ([]byte, error) {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, &engine.StepError{Step: "Dockerfile", Fault: "dockerfile parse error: " + err.Error()}
	}
	lines := bytes.SplitAfter(dockerfile, []byte("\n"))
	first := -1
	for _, node := range parsed.AST.Children {
		if first < 0 && strings.EqualFold(node.Value, "from") {
			first = node.StartLine - 1
		}
		for _, flag := range node.Flags {
			moved := byNumber.ReplaceAllStringFunc(flag, func(m string) string {
				found := byNumber.FindStringSubmatch(m)
				at, err := strconv.Atoi(found[1])
				if err != nil {
					return m
				}
				return fmt.Sprintf("from=%d%s", at+n, found[2])
			})
			if moved == flag {
				continue
			}
			for i := node.StartLine - 1; i < min(node.EndLine, len(lines)); i++ {
				if bytes.Contains(lines[i], []byte(flag)) {
					lines[i] = bytes.Replace(lines[i], []byte(flag), []byte(moved), 1)
					break
				}
			}
		}
	}
	if first < 0 {
		return nil, &engine.StepError{Step: "Dockerfile", Fault: "it has no FROM"}
	}
	out := bytes.Join(lines[:first], nil)
	out = append(out, stages...)
	return append(out, bytes.Join(lines[first:], nil)...), nil
}
