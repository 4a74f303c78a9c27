package wheel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/store"
)

const (
	// TreeType is the artifact type of a tree's record: its document first, then
	// each wheel and its METADATA.
	TreeType = "application/vnd.jetcrate.wheels.v1"

	treeDoc      = TreeType + "+json"
	wheelType    = "application/octet-stream" // as in the artifact that held it
	metadataType = "text/plain"

	treeLimit = 64 << 20
)

// Lines lists the lines that have a tree in the store, sorted.
func Lines(ctx context.Context, st *store.Store) ([]Line, error) {
	tags, err := st.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, t := range tags {
		if l, ok := lineOfTag(t); ok {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.String(), b.String()) })
	return lines, nil
}

// Recorded reads the tree of a line; an empty one where the store has none.
func Recorded(ctx context.Context, st *store.Store, l Line) (*Tree, error) {
	_, parts, err := st.Bundle(ctx, l.tag(), TreeType)
	if errors.Is(err, store.ErrNotFound) {
		return &Tree{Schema: Schema, Line: l}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the wheels of %s: %w", l, err)
	}
	if len(parts) == 0 || parts[0].MediaType != treeDoc {
		return nil, fmt.Errorf("reading the wheels of %s: the record has no document", l)
	}
	raw, err := st.ReadBlob(ctx, parts[0].Digest, treeLimit)
	if err != nil {
		return nil, fmt.Errorf("reading the wheels of %s: %w", l, err)
	}
	t, err := parseTree(raw, l)
	if err != nil {
		return nil, fmt.Errorf("reading the wheels of %s: %w", l, err)
	}
	return t, nil
}

// parseTree reads a document, which another may have written: what becomes paths
// and links of it is checked.
func parseTree(raw []byte, l Line) (*Tree, error) {
	var t Tree
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, err
	}
	if t.Schema != Schema {
		return nil, fmt.Errorf("it is written in schema %d, this jetcrate reads %d", t.Schema, Schema)
	}
	if t.Line != l {
		return nil, fmt.Errorf("it is of the line %s", t.Line)
	}
	for _, w := range t.Wheels {
		n, err := ParseName(w.Name)
		if err != nil {
			return nil, err
		}
		if n.Project != w.Project || n.Version.String() != w.Version {
			return nil, fmt.Errorf("it has %s as %s %s", w.Name, w.Project, w.Version)
		}
		for _, hash := range []string{w.SHA256, w.Metadata} {
			if b, err := hex.DecodeString(hash); err != nil || len(b) != sha256.Size || strings.ToLower(hash) != hash {
				return nil, fmt.Errorf("%s: %q is no SHA-256", w.Name, hash)
			}
		}
	}
	return &t, nil
}

// Trees reads all trees of the store.
func Trees(ctx context.Context, st *store.Store) ([]*Tree, error) {
	lines, err := Lines(ctx, st)
	if err != nil {
		return nil, err
	}
	var out []*Tree
	for _, l := range lines {
		t, err := Recorded(ctx, st, l)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Update reads the tree of a line, changes it and records what it became, with
// all its files. Two of one machine do so one after the other. An unchanged
// tree is not written again.
func Update(ctx context.Context, st *store.Store, l Line, change func(*Tree) error) (*Tree, error) {
	release, err := claim(ctx, st, l)
	if err != nil {
		return nil, err
	}
	defer release()
	t, err := Recorded(ctx, st, l)
	if err != nil {
		return nil, err
	}
	before, err := marshal(t)
	if err != nil {
		return nil, fmt.Errorf("writing the wheels of %s: %w", l, err)
	}
	if err := change(t); err != nil {
		return nil, err
	}
	after, err := marshal(t)
	if err != nil {
		return nil, fmt.Errorf("writing the wheels of %s: %w", l, err)
	}
	if string(before) == string(after) {
		return t, nil
	}
	parts := []store.Part{{Title: "tree.json", MediaType: treeDoc, Content: after}}
	for _, w := range t.Wheels {
		parts = append(parts, store.Part{Title: w.Name, MediaType: wheelType, Digest: "sha256:" + w.SHA256, Size: w.Size})
		meta, err := metadataOf(ctx, st, w)
		if err != nil {
			return nil, err
		}
		parts = append(parts, store.Part{Title: w.Name + ".metadata", MediaType: metadataType, Content: meta})
	}
	if _, err := st.PutBundle(ctx, l.tag(), TreeType, parts, nil); err != nil {
		return nil, err
	}
	return t, nil
}

const claimPause = 100 * time.Millisecond

func claim(ctx context.Context, st *store.Store, l Line) (func(), error) {
	sum := sha256.Sum256([]byte(l.tag()))
	for {
		release, ok, err := st.Claim(store.Artifact, hex.EncodeToString(sum[:]))
		if err != nil || ok {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another to write the wheels of %s: %w", l, ctx.Err())
		case <-time.After(claimPause):
		}
	}
}

// metadataOf reads the METADATA of a wheel of the store, out of the wheel where
// it is not there alone yet.
func metadataOf(ctx context.Context, st *store.Store, w Wheel) ([]byte, error) {
	raw, err := st.ReadBlob(ctx, "sha256:"+w.Metadata, metadataLimit)
	if err == nil {
		return raw, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("reading the metadata of %s: %w", w.Name, err)
	}
	m, err := withBlob(ctx, st, w.File, func(f *os.File, size int64) (Metadata, error) { return ReadMetadata(f, size) })
	if err != nil {
		return nil, err
	}
	if got := hashOf(m.Raw); got != w.Metadata {
		return nil, fmt.Errorf("the metadata of %s has the SHA-256 %s, its tree says %s", w.Name, got, w.Metadata)
	}
	return m.Raw, nil
}

// withBlob looks into a wheel of the store.
func withBlob[T any](ctx context.Context, st *store.Store, w File, do func(*os.File, int64) (T, error)) (T, error) {
	var none T
	f, err := st.BlobFile(ctx, "sha256:"+w.SHA256)
	if err != nil {
		return none, fmt.Errorf("reading %s: %w", w.Name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return none, fmt.Errorf("reading %s: %w", w.Name, err)
	}
	out, err := do(f, info.Size())
	if err != nil {
		return none, fmt.Errorf("reading %s: %w", w.Name, err)
	}
	return out, nil
}

// copyWheel writes a wheel of the store, verified.
func copyWheel(ctx context.Context, st *store.Store, w File, to io.Writer) error {
	rc, err := st.OpenBlob(ctx, "sha256:"+w.SHA256)
	if err != nil {
		return fmt.Errorf("reading %s: %w", w.Name, err)
	}
	defer rc.Close()
	if _, err := io.Copy(to, rc); err != nil {
		return fmt.Errorf("reading %s: %w", w.Name, err)
	}
	return nil
}
