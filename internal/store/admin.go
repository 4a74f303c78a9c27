package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// adminPath is where the embedded registry takes orders that change what is
// there: only the process that serves may do that. The token in the store's
// folder shows that the caller may write there.
const adminPath = "/jetcrate/"

// Mistake is a wish that the store cannot fulfil as it was put.
type Mistake struct{ text string }

func (m *Mistake) Error() string { return m.text }

// GC removes what nothing keeps: names, pins, the last runs, builds under way.
func (s *Store) GC(ctx context.Context, o Retention) (Collected, error) {
	var c Collected
	return c, s.ask(ctx, "gc", o, &c)
}

// Remove takes names, records (KIND-KEY, 12 digits of the key will do) or runs
// (run-N) out of the store. Space is freed by gc. It returns what was removed.
func (s *Store) Remove(ctx context.Context, names []string) ([]string, error) {
	var removed []string
	return removed, s.ask(ctx, "remove", names, &removed)
}

// Pin makes gc keep names, records or runs whatever its limits are; Unpin ends it.
func (s *Store) Pin(ctx context.Context, names []string) ([]string, error) {
	var pinned []string
	return pinned, s.ask(ctx, "pin", names, &pinned)
}

// Unpin undoes Pin.
func (s *Store) Unpin(ctx context.Context, names []string) ([]string, error) {
	var unpinned []string
	return unpinned, s.ask(ctx, "unpin", names, &unpinned)
}

// repair removes blobs, and the records that are not whole without them.
func (s *Store) repair(ctx context.Context, blobs []string) ([]string, error) {
	var removed []string
	return removed, s.ask(ctx, "repair", blobs, &removed)
}

// ask sends an order to the process that serves.
func (s *Store) ask(ctx context.Context, order string, in, out any) error {
	if s.embedded == nil {
		return &Mistake{fmt.Sprintf("the registry %s decides itself what it keeps; gc, rm and pin are for the embedded store", s.repo.RegistryStr())}
	}
	doing := "asking the store for " + order
	raw, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for attempt := 0; ; attempt++ {
		var answer []byte
		var status int
		if answer, status, err = s.post(ctx, order, raw); err == nil {
			switch status {
			case http.StatusOK:
				return json.Unmarshal(answer, out)
			case http.StatusBadRequest:
				return &Mistake{string(answer)}
			case http.StatusNotFound:
				return fmt.Errorf("%s: the jetcrate that serves the store just now is an older one; end it first", doing)
			}
			err = errors.New(string(answer))
			if status != http.StatusServiceUnavailable && status != http.StatusForbidden {
				return fmt.Errorf("%s: %w", doing, err)
			}
		}
		// Another process has taken over meanwhile.
		if attempt == 5 || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *Store) post(ctx context.Context, order string, body []byte) ([]byte, int, error) {
	last, err := readServed(s.embedded.file(addressFile))
	if err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.embedded.address()+adminPath+order, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+last.Token)
	resp, err := s.transport.inner.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return raw, resp.StatusCode, err
}

// admin carries orders out, one at a time and while no survey is under way.
func (s *server) admin(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer "+s.served.Token {
		http.Error(w, "the token is another server's", http.StatusForbidden)
		return
	}
	out, err := s.carryOut(r)
	var mistake *Mistake
	switch {
	case errors.As(err, &mistake):
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, mistake.text)
	case errors.Is(err, errors.ErrUnsupported):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, err.Error())
	default:
		_ = json.NewEncoder(w).Encode(out) // the client is gone
	}
}

func (s *server) carryOut(r *http.Request) (any, error) {
	e := &embedded{dir: s.folder.dir, folder: s.folder}
	if err := os.MkdirAll(e.file(runsDir), 0o755); err != nil {
		return nil, err
	}
	survey, err := e.surveying(r.Context(), true)
	if err != nil {
		return nil, err
	}
	defer survey.Close()
	s.index.Lock()
	defer s.index.Unlock()
	defer s.reset()
	pins, err := e.pins()
	if err != nil {
		return nil, err
	}
	var names []string
	order := strings.TrimPrefix(r.URL.Path, adminPath)
	if order != "gc" {
		if err := json.NewDecoder(r.Body).Decode(&names); err != nil {
			return nil, err
		}
	}
	switch order {
	case "gc":
		var o Retention
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			return nil, err
		}
		return e.gc(o, pins, s.now())
	case "remove":
		return e.remove(names, pins)
	case "pin", "unpin":
		return e.changePins(names, pins, order == "pin")
	case "repair":
		return e.folder.repair(names)
	}
	return nil, errors.ErrUnsupported
}

func (e *embedded) gc(o Retention, pins []string, now time.Time) (Collected, error) {
	leases, err := e.leases()
	if err != nil {
		return Collected{}, err
	}
	runs, err := e.runs()
	if err != nil {
		return Collected{}, err
	}
	c, err := e.folder.gc(o, runs, leases, pins, now)
	if err != nil || o.DryRun {
		return c, err
	}
	return c, e.forgetDead(leases)
}

// forgetDead removes the leases of processes that were killed.
func (e *embedded) forgetDead(live map[string]time.Time) error {
	entries, err := os.ReadDir(e.file(leasesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if _, ok := live[entry.Name()]; ok {
			continue
		}
		if err := os.Remove(filepath.Join(e.file(leasesDir), entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// named gives what names stand for: tags in full, and runs.
func (e *embedded) named(names []string, idx v1.IndexManifest) ([]string, error) {
	runs, err := e.runs()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		var hits []string
		for _, r := range runs {
			if RunName(r.ID) == name {
				hits = append(hits, name)
			}
		}
		for _, d := range idx.Manifests {
			tag := d.Annotations[annotationTag]
			_, record := parseTag(tag)
			kind, digits, _ := strings.Cut(name, "-")
			if tag != "" && (tag == name || record && len(digits) >= 12 && strings.HasPrefix(tag, kind+"-"+digits)) {
				hits = append(hits, tag)
			}
		}
		switch len(hits) {
		case 0:
			return nil, &Mistake{fmt.Sprintf("the store has no %q: name a tag, a record (KIND-KEY) or a run (run-N) as store ls shows them", name)}
		case 1:
			out = append(out, hits[0])
		default:
			return nil, &Mistake{fmt.Sprintf("%q is the beginning of %s", name, strings.Join(hits, ", "))}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (e *embedded) remove(names, pins []string) ([]string, error) {
	idx, err := e.folder.index()
	if err != nil {
		return nil, err
	}
	found, err := e.named(names, idx)
	if err != nil {
		return nil, err
	}
	for _, name := range found {
		if slices.Contains(pins, name) {
			return nil, &Mistake{name + " is pinned: unpin it first"}
		}
	}
	others := map[v1.Hash]bool{} // digests that keep an entry
	for _, d := range idx.Manifests {
		if !slices.Contains(found, d.Annotations[annotationTag]) {
			others[d.Digest] = true
		}
	}
	var keep []v1.Descriptor
	for _, d := range idx.Manifests {
		if slices.Contains(found, d.Annotations[annotationTag]) {
			if others[d.Digest] {
				continue
			}
			others[d.Digest] = true
			d.Annotations = nil // by its digest it stays until gc
		}
		keep = append(keep, d)
	}
	idx.Manifests = keep
	for _, name := range found {
		if id, ok := runID(name); ok {
			if err := os.Remove(filepath.Join(e.file(runsDir), runFile(id))); err != nil {
				return nil, err
			}
		}
	}
	return found, e.folder.writeIndex(idx)
}

const pinsFile = "pins.json"

func (e *embedded) pins() ([]string, error) {
	raw, err := os.ReadFile(e.file(pinsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pins []string
	if err := json.Unmarshal(raw, &pins); err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.file(pinsFile), err)
	}
	return pins, nil
}

func (e *embedded) changePins(names, pins []string, add bool) ([]string, error) {
	found := names // what is pinned may be gone
	if add {
		idx, err := e.folder.index()
		if err != nil {
			return nil, err
		}
		if found, err = e.named(names, idx); err != nil {
			return nil, err
		}
		pins = append(pins, found...)
	} else {
		for _, name := range names {
			if !slices.Contains(pins, name) {
				return nil, &Mistake{fmt.Sprintf("%q is not pinned", name)}
			}
		}
		pins = slices.DeleteFunc(pins, func(p string) bool { return slices.Contains(names, p) })
	}
	slices.Sort(pins)
	raw, err := json.Marshal(slices.Compact(pins))
	if err != nil {
		return nil, err
	}
	return found, writeAtomic(e.file(pinsFile), raw, 0o644)
}
