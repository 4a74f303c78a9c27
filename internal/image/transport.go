package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Patience says how a Transport bears with a registry. The zero value is for
// daily use.
type Patience struct {
	Attempts int           // at a request that is put off, and at the rest of a body; 0 is 5
	Pause    time.Duration // before the second attempt, doubled with each; 0 is 1 s
	Longest  time.Duration // that a Retry-After is obeyed, for all attempts together; 0 is 2 min
	Silence  time.Duration // without a byte, after which a connection is given up; 0 is 60 s
}

func (p Patience) withDefaults() Patience {
	if p.Attempts == 0 {
		p.Attempts = 5
	}
	if p.Pause == 0 {
		p.Pause = time.Second
	}
	if p.Longest == 0 {
		p.Longest = 2 * time.Minute
	}
	if p.Silence == 0 {
		p.Silence = time.Minute
	}
	return p
}

// Transport reaches registries through inner, or go-containerregistry's own
// transport where that is nil. It waits as long as an answer of 429 or 503 says,
// fetches the rest of a body whose connection broke, and gives up a connection
// that says nothing. What else fails is for the caller to try again.
func Transport(inner http.RoundTripper, p Patience) http.RoundTripper {
	if inner == nil {
		inner = remote.DefaultTransport
	}
	return &patient{inner: inner, Patience: p.withDefaults()}
}

type patient struct {
	inner http.RoundTripper
	Patience
}

func (t *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	var waited time.Duration
	for attempt := 1; ; attempt++ {
		resp, err := t.once(r)
		if err != nil {
			return nil, err
		}
		wait, ok := retryAfter(resp)
		if !ok || attempt >= t.Attempts || waited+wait > t.Longest {
			return t.resumable(r, resp), nil
		}
		waited += wait
		if err := sleep(r.Context(), wait); err != nil {
			resp.Body.Close()
			return nil, err
		}
		again, err := rewound(r)
		if err != nil || again == nil {
			return resp, err // its body is spent: the caller has it, and the wait is over
		}
		resp.Body.Close()
		r = again
	}
}

// retryAfter reads how long a registry wants to be left alone. It may name a time
// instead of seconds; that needs two clocks that agree, and is not obeyed.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	return time.Duration(n) * time.Second, err == nil && n >= 0
}

// rewound is a request to be sent once more; nil where its body cannot be.
func rewound(r *http.Request) (*http.Request, error) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, nil
	}
	if r.GetBody == nil {
		return nil, nil
	}
	body, err := r.GetBody()
	again.Body = body
	return again, err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// errSilent is a registry that keeps a connection and says nothing.
var errSilent = errors.New("the registry has stopped answering")

// once sends a request. While the answer is awaited or read, a silence ends it; a
// request with a body may take what time it needs, as registries hash what they
// were sent before they answer.
func (t *patient) once(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		return t.inner.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	watch := time.AfterFunc(t.Silence, func() {
		cancel(fmt.Errorf("%w: nothing for %v", errSilent, t.Silence))
	})
	resp, err := t.inner.RoundTrip(r.WithContext(ctx))
	if err != nil {
		watch.Stop()
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	watch.Stop() // the caller may let the body wait
	resp.Body = &watched{body: resp.Body, ctx: ctx, cancel: cancel, watch: watch, silence: t.Silence}
	return resp, nil
}

// watched is a body whose reads may each last only so long.
type watched struct {
	body    io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	watch   *time.Timer
	silence time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	w.watch.Reset(w.silence)
	n, err := w.body.Read(p)
	w.watch.Stop()
	if err != nil && err != io.EOF {
		if cause := context.Cause(w.ctx); errors.Is(cause, errSilent) {
			err = cause
		}
	}
	return n, err
}

func (w *watched) Close() error {
	w.watch.Stop()
	defer w.cancel(nil)
	return w.body.Close()
}

// resumable makes the body of a whole answer one that goes on after a break.
func (t *patient) resumable(r *http.Request, resp *http.Response) *http.Response {
	if r.Method == http.MethodGet && resp.StatusCode == http.StatusOK && resp.ContentLength > 0 && r.Header.Get("Range") == "" {
		resp.Body = &resuming{t: t, r: r, body: resp.Body, left: resp.ContentLength}
	}
	return resp
}

type resuming struct {
	t        *patient
	r        *http.Request
	body     io.ReadCloser
	at, left int64
	resumed  int64 // where the last attempt began
	attempts int
	closed   atomic.Bool
}

func (b *resuming) Read(p []byte) (int, error) {
	for {
		n, err := b.body.Read(p)
		b.at, b.left = b.at+int64(n), b.left-int64(n)
		if b.at-b.resumed >= progress {
			b.attempts = 0
		}
		if b.left <= 0 || err == nil || b.closed.Load() || b.r.Context().Err() != nil {
			return n, err
		}
		if n > 0 {
			return n, nil // the next read meets the error again
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if b.attempts++; b.attempts >= b.t.Attempts {
			return 0, fmt.Errorf("after %d attempts: %w", b.attempts, err)
		}
		if err := b.resume(); err != nil {
			return 0, err
		}
	}
}

// progress is how many bytes make a connection count as one that works.
const progress = 1 << 20

// resume asks for the rest. A registry that sends all of it again is heard until
// what is new begins; one that fails is asked again by the next read.
func (b *resuming) resume() error {
	if err := sleep(b.r.Context(), b.t.Pause<<(b.attempts-1)); err != nil {
		return err
	}
	b.resumed = b.at
	again := b.r.Clone(b.r.Context())
	again.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.at, b.at+b.left-1))
	resp, err := b.t.once(again)
	if err == nil && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		resp.Body.Close()
		resp, err = b.t.once(b.r.Clone(b.r.Context())) // not all registries know ranges
	}
	if err != nil {
		b.replace(errorBody{err})
		return nil
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		if _, err := io.CopyN(io.Discard, resp.Body, b.at); err != nil {
			resp.Body.Close()
			b.replace(errorBody{err})
			return nil
		}
	default:
		resp.Body.Close()
		b.replace(errorBody{fmt.Errorf("asking for the rest of it: %s", resp.Status)})
		return nil
	}
	b.replace(resp.Body)
	return nil
}

func (b *resuming) replace(body io.ReadCloser) {
	_ = b.body.Close()
	b.body = body
}

func (b *resuming) Close() error {
	b.closed.Store(true)
	return b.body.Close()
}

// errorBody is the rest of a body that could not be had.
type errorBody struct{ err error }

func (e errorBody) Read([]byte) (int, error) { return 0, e.err }
func (e errorBody) Close() error             { return nil }
