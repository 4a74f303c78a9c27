package publish

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Proof is a log with its rows, from a ledger or from a table.
type Proof struct {
	Entries []table.Entry
	Signed  string // head
	Rows    []table.Row
}

// Verified is what Verify found of an image.
type Verified struct {
	Image    string       `json:"image"`
	Digest   string       `json:"digest"`
	Blobs    int          `json:"blobs"`
	Bytes    int64        `json:"bytes"`
	Log      string       `json:"log,omitempty"`   // origin
	Key      string       `json:"key,omitempty"`   // that signed the head
	Entries  int64        `json:"entries"`         // of the log
	Entry    int64        `json:"entry,omitempty"` // that publishes the image
	Time     string       `json:"time,omitempty"`
	Status   table.Status `json:"status,omitempty"`
	Cell     string       `json:"cell,omitempty"`
	Problems []string     `json:"problems"`
}

// Good reports whether nothing is wrong.
func (v *Verified) Good() bool { return len(v.Problems) == 0 }

// Verify reads an image to its last byte and looks it up in a log: each blob has
// the digest that names it, the log's head is signed by a trusted key, the image's
// entry is included in it (that is its signature), it was not withdrawn, and its
// evidence is what the place asks for. What is wrong is not an error.
func Verify(ctx context.Context, r *Registry, reference string, proof Proof, keys []table.Key, rules spec.Repository) (*Verified, error) {
	ref, img, err := r.Image(ctx, reference)
	if err != nil {
		return nil, err
	}
	v := &Verified{Image: ref.Name(), Problems: []string{}}
	problem := func(format string, args ...any) { v.Problems = append(v.Problems, fmt.Sprintf(format, args...)) }
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("verifying %s: %w", ref, err)
	}
	v.Digest = digest.String()
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("verifying %s: %w", ref, err)
	}
	raw, err := img.RawConfigFile()
	switch {
	case otherBytes(err):
		problem("its config is damaged: %s", err)
	case err != nil:
		return nil, r.explain("verifying "+ref.Name(), ref, err)
	}
	v.Blobs, v.Bytes = 1, int64(len(raw))
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("verifying %s: %w", ref, err)
	}
	for i, l := range layers {
		rc, err := l.Compressed()
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, rc)
			if closed := rc.Close(); err == nil {
				err = closed
			}
		}
		v.Blobs, v.Bytes = v.Blobs+1, v.Bytes+n
		switch {
		case absent(err):
			problem("layer %d, %s, is missing", i+1, m.Layers[i].Digest)
		case otherBytes(err) || err == nil && n != m.Layers[i].Size:
			problem("layer %d, %s, is damaged", i+1, m.Layers[i].Digest)
		case err != nil:
			return nil, r.explain("verifying "+ref.Name(), ref, err)
		}
	}
	cfg, err := img.ConfigFile()
	key := ""
	if err == nil {
		key = cfg.Config.Labels[image.LabelKey]
	}
	v.inLog(proof, keys, key, rules, reference, problem)
	return v, nil
}

func (v *Verified) inLog(proof Proof, keys []table.Key, label string, rules spec.Repository, reference string, problem func(string, ...any)) {
	if len(proof.Entries) == 0 {
		problem("there is no log of what was published")
		return
	}
	head, tree, signers, err := table.OpenLog(proof.Entries, proof.Signed)
	if err != nil {
		problem("the log is not to be trusted: %s", err)
		return
	}
	current, _ := signers.Current()
	v.Log, v.Key, v.Entries = head.Origin, current.ID(), head.Size
	if err := signers.Trusted(keys); err != nil {
		problem("the log is not to be trusted: %s", err)
	}
	at := -1
	for i, r := range proof.Rows {
		if r.Published != nil && r.Image != nil && r.Image.Digest == v.Digest {
			at = i
		}
	}
	if at < 0 {
		problem("the log has no entry that publishes it")
		return
	}
	row := &proof.Rows[at]
	n := row.Published.Entry
	v.Entry, v.Time, v.Status, v.Cell = n, row.Published.Time, row.Status, row.CellID()
	inclusion, err := tlog.ProveRecord(head.Size, n, tree)
	if err == nil {
		err = tlog.CheckRecord(inclusion, head.Size, head.Root, n, tlog.RecordHash(row.Entry(*row.Published).Leaf()))
	}
	if err != nil {
		problem("its entry %d is not in the log: %s", n, err)
	}
	if row.Withdrawal != nil {
		problem("it was withdrawn on %s: %s", row.Withdrawal.Time, row.Withdrawal.Reason)
	}
	if row.Image.Key != label {
		problem("its label says the key %q, the log %q", label, row.Image.Key)
	}
	// A tag that is never moved names what the log says.
	for _, r := range proof.Rows {
		if r.Image != nil && r.Published != nil && r.Image.Reference == reference && r.Image.Digest != v.Digest {
			problem("%s is %s in the log", reference, r.Image.Digest)
			break
		}
	}
	for _, why := range judgeRow(row, rules) {
		problem("%s", why)
	}
}

// judgeRow applies the rules of a place to what a row says of the tests.
func judgeRow(row *table.Row, rules spec.Repository) []string {
	var why []string
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if row.Platform.Testbed && !rules.Testbed {
		add("r%s is a stand-in for checks (testbed), and no release may hold it", row.Platform.L4T)
	}
	matched := map[string]bool{}
	for _, t := range row.Evidence.Tests {
		name := t.Package + "/" + t.Name
		required := len(rules.Tests) == 0
		if t.LackedGPU() {
			required = rules.GPURequired()
		}
		for _, want := range []string{t.Name, name} {
			if slices.Contains(rules.Tests, want) {
				matched[want], required = true, true
			}
		}
		if t.Status == table.Failed || required && t.Status != table.Passed {
			add("the test %s was %s%s", name, t.Status, because(t.Reason))
		}
	}
	for _, want := range rules.Tests {
		if !matched[want] {
			add("it has no test %s, which %s requires", want, rules.Repository)
		}
	}
	if !row.Evidence.Tested() && len(why) == 0 {
		add("no test of it has passed")
	}
	return why
}

// otherBytes reports a blob that has another content or length than its digest
// and size say; the library has a type for the first alone.
func otherBytes(err error) bool {
	return image.IsOtherBytes(err) || err != nil && strings.Contains(err.Error(), "does not match expected size")
}
