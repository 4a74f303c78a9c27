package front

import (
	"io"
	"net/http"
	"time"
)

// paced is an answer, and the body that it is to, with deadlines that move with
// what was transferred: who stops, or goes on too slowly, is cut off.
type paced struct {
	http.ResponseWriter
	control  *http.ResponseController
	limits   Limits
	code     int
	sent     int64
	received int64
	from     *pacedBody
}

func newPaced(w http.ResponseWriter, l Limits) *paced {
	p := &paced{ResponseWriter: w, control: http.NewResponseController(w), limits: l}
	p.beforeWrite(buffered) // the connection still has the deadline of the answer before
	return p
}

// Unwrap is for http.ResponseController.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *paced) status() int {
	if p.code == 0 {
		return http.StatusOK
	}
	return p.code
}

// after is how long n bytes may take.
func (l Limits) after(n int64) time.Duration {
	return l.Grace + time.Duration(float64(n)/float64(l.Pace)*float64(time.Second))
}

func (p *paced) WriteHeader(code int) {
	if p.code == 0 && code >= 200 {
		p.code = code
	}
	p.beforeWrite(buffered)
	p.ResponseWriter.WriteHeader(code)
}

// beforeWrite gives the next n bytes their time. What went out quickly before
// earns no more: a client that stops is cut off soon.
func (p *paced) beforeWrite(n int64) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.limits.after(n))) // only tests have connections without deadlines
}

// end gives what is still buffered, and a body that nobody read, their time.
func (p *paced) end() {
	p.beforeWrite(buffered)
	if p.from != nil && !p.from.ended {
		_ = p.control.SetReadDeadline(time.Now().Add(p.limits.Header))
	}
}

func (p *paced) Write(b []byte) (int, error) {
	p.beforeWrite(int64(len(b)) + buffered)
	n, err := p.ResponseWriter.Write(b)
	p.sent += int64(n)
	return n, err
}

const (
	chunk    = 256 << 10 // what the kernel sends without a look at the clock
	buffered = 8 << 10   // what may wait in a writer before the connection
)

// ReadFrom lets the kernel send files, in pieces.
func (p *paced) ReadFrom(r io.Reader) (total int64, err error) {
	to, ok := p.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(writeOnly{p}, r)
	}
	outer, limited := r.(*io.LimitedReader) // the kernel's way is open to a file below one such
	for {
		piece := &io.LimitedReader{R: r, N: chunk}
		if limited {
			piece = &io.LimitedReader{R: outer.R, N: min(chunk, outer.N)}
		}
		want := piece.N
		if want == 0 {
			return total, nil
		}
		p.beforeWrite(want)
		n, err := to.ReadFrom(piece)
		total, p.sent = total+n, p.sent+n
		if limited {
			outer.N -= n
		}
		if err != nil || n < want {
			return total, err
		}
	}
}

type writeOnly struct{ io.Writer }

// body is what a client sends, at a pace and up to a size.
func (p *paced) body(r io.ReadCloser, l Limits) io.ReadCloser {
	if r == nil || r == http.NoBody {
		return r
	}
	p.from = &pacedBody{ReadCloser: http.MaxBytesReader(p.ResponseWriter, r, l.Upload), paced: p}
	return p.from
}

type pacedBody struct {
	io.ReadCloser
	paced *paced
	began time.Time
	ended bool
}

func (b *pacedBody) Read(to []byte) (int, error) {
	if b.began.IsZero() {
		b.began = time.Now()
	}
	until, stalled := b.began.Add(b.paced.limits.after(b.paced.received)), time.Now().Add(b.paced.limits.Grace)
	if stalled.Before(until) {
		until = stalled
	}
	_ = b.paced.control.SetReadDeadline(until)
	n, err := b.ReadCloser.Read(to)
	b.paced.received += int64(n)
	if err != nil {
		b.ended = true
		// From here on the server reads to see whether the client goes: that it
		// sends nothing while it waits for the answer must not look like it.
		_ = b.paced.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
