package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/jetcrate/jetcrate/internal/version"
)

// MaxBytes bounds a table that is read: it is held in memory, and a device may
// read one that somebody else made.
const MaxBytes = 64 << 20

// MediaType is a table's as an artifact of a registry.
const MediaType = "application/vnd.jetcrate.table.v1+json"

// SchemaError is a table of another version of the format.
type SchemaError struct{ Found int }

func (e *SchemaError) Error() string {
	if e.Found > Schema {
		return fmt.Sprintf("the table has schema version %d, this program reads %d: update it", e.Found, Schema)
	}
	return fmt.Sprintf("the table has schema version %d, this program reads %d: make the table again", e.Found, Schema)
}

// Read reads a table and checks every row.
func Read(r io.Reader) (*Table, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the table: %w", err)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the table is larger than %d MiB", MaxBytes>>20)
	}
	// The version comes first: the rest of a newer table cannot be judged.
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("the table is not the JSON that it should be: %w", located(data, err))
	}
	if head.Schema == nil {
		return nil, errors.New("the file is not a table: it has no schema version")
	}
	if *head.Schema != Schema {
		return nil, &SchemaError{Found: *head.Schema}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	t := new(Table)
	if err := dec.Decode(t); err != nil {
		return nil, fmt.Errorf("the table is not the JSON that it should be: %w", located(data, err))
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

// located adds line and column to the errors of encoding/json that carry an offset.
func located(data []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var offset int64
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	default:
		return err
	}
	before := data[:min(int(offset), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	col := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Errorf("line %d, column %d: %w", line, max(col, 1), err)
}

// Write checks the table and writes it: rows in the table's order, indented,
// with a newline at the end.
func (t *Table) Write(w io.Writer) error {
	sorted := *t
	sorted.Schema = Schema
	sorted.Rows = append([]Row{}, t.Rows...) // [] rather than null, and t stays as it is
	sorted.Sort()
	if err := sorted.Validate(); err != nil {
		return err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // ">=36.4 <37" stays readable
	enc.SetIndent("", "  ")
	if err := enc.Encode(sorted); err != nil {
		return fmt.Errorf("encoding the table: %w", err)
	}
	if _, err := w.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// Validate reports everything that is wrong with the rows.
func (t *Table) Validate() error {
	var errs []error
	seen := map[string]int{}
	for i := range t.Rows {
		r := &t.Rows[i]
		for _, e := range r.problems() {
			errs = append(errs, fmt.Errorf("row %d (%s): %w", i+1, r.Cell(), e))
		}
		if r.Status != Current {
			continue
		}
		cell := fmt.Sprintf("%q %q %q %q %q %v", r.Target, r.Platform.L4T, r.Platform.Flavour, r.cuda(), r.Platform.Python, r.Platform.Testbed)
		if first, ok := seen[cell]; ok {
			errs = append(errs, fmt.Errorf("row %d (%s): row %d is already the current one of this cell", i+1, r.Cell(), first+1))
			continue
		}
		seen[cell] = i
	}
	return errors.Join(errs...)
}

func (r *Row) problems() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if strings.TrimSpace(r.Target) == "" {
		add("it has no target")
	}
	if len(r.Roots) == 0 {
		add("it has no roots")
	}
	names := map[string]bool{}
	for _, p := range r.Packages {
		if p.Name == "" || p.Version == "" {
			add("a package needs a name and a version, found %q %q", p.Name, p.Version)
		}
		if names[p.Name] {
			add("it holds %s twice", p.Name)
		}
		names[p.Name] = true
	}
	errs = append(errs, r.Platform.problems()...)
	if _, err := version.ParseL4TRange(r.Hosts); err != nil {
		add("hosts: %w", err)
	} else if strings.TrimSpace(r.Hosts) == "" {
		add("hosts: an empty range says nothing")
	}
	switch r.Status {
	case Current, Superseded, Withdrawn:
	default:
		add("status %q is none of current, superseded, withdrawn", r.Status)
	}
	switch r.State {
	case Built:
		if r.Image == nil {
			add("it is built, but has no image")
		}
		for _, root := range r.Roots {
			if !names[root] {
				add("its image does not hold %s, which the target names", root)
			}
		}
	case NotBuilt, Impossible:
		if r.Image != nil {
			add("it is %s, but has an image", r.State)
		}
		if r.Reason == "" {
			add("it is %s without a reason", r.State)
		}
	default:
		add("state %q is none of built, not built, impossible", r.State)
	}
	if r.Image != nil {
		errs = append(errs, r.Image.problems()...)
	}
	return append(errs, r.Evidence.problems()...)
}

func (p Platform) problems() []error {
	var errs []error
	if l4t, err := version.ParseL4T(p.L4T); err != nil {
		errs = append(errs, fmt.Errorf("platform: %w", err))
	} else if l4t.String() != p.L4T {
		errs = append(errs, fmt.Errorf("platform: release %q is written %s in a table", p.L4T, l4t))
	}
	if p.Flavour != "tegra" && p.Flavour != "sbsa" {
		errs = append(errs, fmt.Errorf("flavour %q is none of tegra, sbsa", p.Flavour))
	}
	if p.Arch != "arm64" && p.Arch != "amd64" {
		errs = append(errs, fmt.Errorf("arch %q is none of arm64, amd64", p.Arch))
	}
	if p.OS.ID == "" || p.OS.Version == "" {
		errs = append(errs, fmt.Errorf("os needs an id and a version, found %q %q", p.OS.ID, p.OS.Version))
	}
	if p.CUDA != nil && p.CUDA.Version == "" {
		errs = append(errs, errors.New("cuda has no version"))
	}
	return errs
}

func (i *Image) problems() []error {
	var errs []error
	// Strict: a reference without a host or a tag would mean something else on
	// every device.
	if _, err := name.NewTag(i.Reference, name.StrictValidation); err != nil || strings.HasPrefix(i.Reference, "-") { // a flag to docker
		errs = append(errs, fmt.Errorf("reference %q is not host/repo:tag", i.Reference))
	}
	if !isDigest(i.Digest) {
		errs = append(errs, fmt.Errorf("digest %q is not sha256: and 64 hexadecimal digits", i.Digest))
	}
	if i.Key == "" {
		errs = append(errs, errors.New("the image has no key"))
	}
	if i.Size < 0 {
		errs = append(errs, fmt.Errorf("size %d is negative", i.Size))
	}
	return errs
}

func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

func (e Evidence) problems() []error {
	var errs []error
	for _, t := range e.Tests {
		switch t.Status {
		case Passed:
		case Failed, Skipped, Simulated:
			if t.Status == Skipped && t.Reason == "" {
				errs = append(errs, fmt.Errorf("test %s/%s was skipped without a reason", t.Package, t.Name))
			}
		default:
			errs = append(errs, fmt.Errorf("test %s/%s: status %q is none of passed, failed, skipped, simulated", t.Package, t.Name, t.Status))
		}
	}
	if e.Passed < 0 || e.Failed < 0 || e.Skipped < 0 || e.Simulated < 0 {
		errs = append(errs, errors.New("evidence counts are negative"))
	}
	if len(e.Tests) > 0 {
		if p, f, s, m := e.counts(); p != e.Passed || f != e.Failed || s != e.Skipped || m != e.Simulated {
			errs = append(errs, errors.New("evidence counts differ from its tests"))
		}
	}
	return errs
}
