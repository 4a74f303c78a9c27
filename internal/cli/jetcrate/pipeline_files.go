package jetcrate

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
)

func keysOf[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

type nothing struct{ io.Writer }

func (nothing) Close() error { return nil }

// appendTo opens the file that a variable names; without one, what is written is lost.
func appendTo(variable string) (io.WriteCloser, error) {
	name := os.Getenv(variable)
	if name == "" {
		return nothing{io.Discard}, nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", variable, err)
	}
	return f, nil
}

// writeOutputs appends outputs to GITHUB_OUTPUT. The delimiter of a value is no
// line of it.
func writeOutputs(outputs map[string]string) error {
	f, err := appendTo("GITHUB_OUTPUT")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		end := "END_OF_VALUE"
		for lines := strings.Split(outputs[name], "\n"); slices.Contains(lines, end); {
			end += "_"
		}
		fmt.Fprintf(&b, "%s<<%s\n%s\n%s\n", name, end, outputs[name], end)
	}
	if _, err := io.WriteString(f, b.String()); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing GITHUB_OUTPUT: %w", err)
	}
	return f.Close()
}
