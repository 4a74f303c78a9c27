package execute

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// survey decides which nodes have to be made. It walks down from the wanted
// images and tests, and stops where the store has a record.
func (r *run) survey(ctx context.Context) error {
	known, err := r.Store.Known(ctx)
	if err != nil {
		return err
	}
	r.known = known
	for _, c := range r.Cells {
		if err := r.want(ctx, c.Image); err != nil {
			return err
		}
		if r.SkipTests {
			continue
		}
		for _, k := range append(append([]string(nil), c.Gates...), c.Tests...) {
			n := r.Plan.Node(k)
			if r.OnlyTest != "" && n.Test.Name != r.OnlyTest || r.OnlyGPU && !n.Test.GPU {
				continue
			}
			if err := r.want(ctx, k); err != nil {
				return err
			}
		}
	}
	var tests []*state
	gates := r.gatesOfOnly()
	for _, n := range r.Plan.Nodes {
		s := r.states[n.Key]
		if s == nil {
			continue
		}
		if r.ours(n) {
			r.order = append(r.order, s)
		}
		if n.Kind == plan.Test && (r.ours(n) || gates[n.Key]) {
			tests = append(tests, s)
		}
	}
	return r.surveyTests(ctx, tests)
}

// ours reports whether a node is this run's to make.
func (r *run) ours(n *plan.Node) bool { return r.Only == nil || r.Only[n.Key] }

// gatesOfOnly are the tests whose results a run of a part needs.
func (r *run) gatesOfOnly() map[string]bool {
	out := map[string]bool{}
	for k := range r.Only {
		if s := r.states[k]; s != nil {
			for _, g := range s.node.Gates {
				out[g] = true
			}
		}
	}
	return out
}

// NewKey is why what was never made is made: all that its key tells of it.
const NewKey = "the store has nothing under its key"

// want looks a node up, and what it needs when the store does not have it.
func (r *run) want(ctx context.Context, k string) error {
	if r.states[k] != nil {
		return nil
	}
	n := r.Plan.Node(k)
	s := &state{node: n}
	r.states[k] = s
	if n.Kind == plan.Test {
		s.why = "no result is recorded for it on this image"
		return r.want(ctx, n.Ground)
	}
	s.why = NewKey
	if rec, ok := r.known[name(n)]; ok {
		if rec.Digest == "" { // a registry's listing does not tell it
			var err error
			if rec, _, err = r.Store.Lookup(ctx, kindOf(n), n.Key); err != nil {
				return err
			}
		}
		fits, err := r.fits(ctx, n, rec)
		if err != nil {
			return err
		}
		if fits {
			s.record = rec
			s.result.Status, s.result.Digest = Reused, rec.Digest
			return nil
		}
		s.why = "it was laid on another image than the one that is below it now"
	}
	s.todo = r.here(s)
	needs := n.Needs
	if !r.SkipTests {
		needs = append(append([]string(nil), needs...), n.Gates...)
	}
	for _, below := range needs {
		if err := r.want(ctx, below); err != nil {
			return err
		}
	}
	return nil
}

// here reports whether a node that has to be made is this run's to make. What
// stands on one that is not is blocked.
func (r *run) here(s *state) bool {
	if r.ours(s.node) {
		return true
	}
	s.result.Status, s.result.Reason = Blocked, "it is no part of this run, and "+s.why
	return false
}

// fits reports whether a record may be used. A stacked layer was laid on one
// parent: where the parent's record is another image today, the layer is a
// miss, so that chains are never mixed.
func (r *run) fits(ctx context.Context, n *plan.Node, rec store.Record) (bool, error) {
	if n.Kind != plan.Stacked {
		return true, nil
	}
	parent := r.Plan.Node(n.Parent)
	below, ok := r.known[name(parent)]
	if !ok {
		return true, nil
	}
	return r.standsOn(ctx, rec, below)
}

func startsWith(upper, lower *v1.Manifest) bool {
	if len(upper.Layers) < len(lower.Layers) {
		return false
	}
	for i := range lower.Layers {
		if upper.Layers[i].Digest != lower.Layers[i].Digest {
			return false
		}
	}
	return true
}

// surveyTests looks for evidence. It has to be looked for again once an image
// is made, because a test's key is made of the image's content.
func (r *run) surveyTests(ctx context.Context, tests []*state) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(8)
	for _, s := range tests {
		img := r.states[s.node.Ground]
		if img.todo || img.result.Status == Blocked {
			s.todo = r.here(s)
			continue
		}
		all.Go(func() error {
			found, err := r.evidence(ctx, s, img.record)
			s.todo = !found && r.here(s)
			return err
		})
	}
	return all.Wait()
}

// evidence fills the result of a test from what is recorded for it on an image
// of this content. What failed, or was skipped and need not be now, does not
// count.
func (r *run) evidence(ctx context.Context, s *state, rec store.Record) (bool, error) {
	cfg, err := r.configOf(ctx, r.Store, rec.Digest)
	if err != nil {
		return false, err
	}
	key, err := EvidenceKey(s.node.Test.Content, cfg)
	if err != nil {
		return false, err
	}
	if _, ok := r.known[string(store.Test)+"-"+key]; !ok {
		return false, nil
	}
	e, err := ReadEvidence(ctx, r.Store, key)
	if err != nil {
		return false, err
	}
	counts, status, reason := r.counts(e)
	if !counts {
		s.why = "its last result is " + string(e.Status)
		return false, nil
	}
	r.tests.add(key)
	s.result.Status, s.result.Reason, s.result.Digest = status, reason, rec.Digest
	return true, nil
}

// configs are the configs of images by digest: many tests run on one image.
type configs struct {
	mu       sync.Mutex
	byDigest map[string]func() (*v1.ConfigFile, error)
}

func (c *configs) configOf(ctx context.Context, st *store.Store, digest string) (*v1.ConfigFile, error) {
	c.mu.Lock()
	read := c.byDigest[digest]
	if read == nil {
		read = sync.OnceValues(func() (*v1.ConfigFile, error) {
			img, err := st.ImageAt(ctx, digest)
			if err != nil {
				return nil, err
			}
			cfg, err := img.ConfigFile()
			if err != nil {
				return nil, fmt.Errorf("reading the config of image %s: %w", digest, err)
			}
			return cfg, nil
		})
		if c.byDigest == nil {
			c.byDigest = map[string]func() (*v1.ConfigFile, error){}
		}
		c.byDigest[digest] = read
	}
	c.mu.Unlock()
	return read()
}

// name is a node's tag in the store.
func name(n *plan.Node) string { return string(kindOf(n)) + "-" + n.Key }

// kindOf is the store's kind of a node.
func kindOf(n *plan.Node) store.Kind {
	switch n.Kind {
	case plan.Base:
		return store.Base
	case plan.Source:
		return store.Source
	case plan.Artifact:
		return store.Artifact
	case plan.Image:
		return store.Image
	case plan.Test:
		return store.Test
	}
	return store.Layer
}

// checkSecrets refuses a run whose steps name secrets that nobody gave.
func (r *run) checkSecrets() error {
	var list diag.List
	missing := map[string]string{}
	for _, n := range r.Plan.Nodes {
		for _, i := range n.Instructions {
			for _, s := range i.Secrets {
				if _, ok := r.Secrets[s]; !ok {
					missing[s] = n.Package
				}
			}
		}
	}
	var names []string
	for s := range missing {
		names = append(names, s)
	}
	sort.Strings(names)
	for _, s := range names {
		d := list.Errorf("missing-secret", diag.Position{}, "a step of %s needs the secret %q", missing[s], s)
		d.Hint = fmt.Sprintf("give it with --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE", s, s)
	}
	return list.Err()
}

// short is the form of a key that people see.
func short(key string) string { return strings.TrimSpace(key[:12]) }
