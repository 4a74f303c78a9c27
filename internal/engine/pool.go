package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ErrGone is an engine that went away under a call: it was killed, or its
// machine was.
var ErrGone = errors.New("the engine is gone")

// Leaser is an engine that is several of them.
type Leaser interface {
	// Lease gives the one that is to work next for a platform. The function is
	// called once, with what came of the work.
	Lease(ctx context.Context, platform string) (Engine, func(error), error)
}

// Member is an engine of a pool. The pool connects to it when the first call
// comes, and again when it went away.
type Member struct {
	Name    string // address, for people
	Connect func(context.Context) (Engine, error)
}

// PoolOptions say how a pool treats engines that fail.
type PoolOptions struct {
	// Wait is how long an engine is left alone after so many failures in a row (1,
	// 2, ...); nil waits not.
	Wait func(failures int) time.Duration
	// Attempts is how often a pool of which no engine can be had looks again
	// before it says so.
	Attempts int
	// Tell is told what people may want to know; may be nil.
	Tell func(string)
}

// emulation is how much slower programs of another architecture run: an engine
// that emulates gets its first work when a native one has this many at work.
const emulation = 8

// Pool is several engines as one. Each call goes to the engine that has the
// least to do, where one that emulates the platform counts as slower. An engine
// whose surroundings fail is left alone for a while, and one that is gone is
// connected to again; the call that this hit fails, and who retries it gets
// another engine.
type Pool struct {
	options PoolOptions
	life    context.Context // ends when the pool is closed
	stop    context.CancelFunc
	mu      sync.Mutex
	members []*member
	closed  bool

	first sync.Once // all are tried
}

var (
	_ Engine = (*Pool)(nil)
	_ Leaser = (*Pool)(nil)
)

type member struct {
	Member
	connecting sync.Mutex // held while somebody connects

	// With the pool's lock:
	engine   Engine // nil: not connected
	busy     int
	failures int // in a row
	rests    time.Time
	gone     bool  // closed as soon as nobody works on it
	seeking  bool  // somebody connects to it while others work
	lacks    error // why it cannot be had
}

// NewPool makes a pool. Nothing is connected to before the first call.
func NewPool(members []Member, o PoolOptions) *Pool {
	if o.Wait == nil {
		o.Wait = func(int) time.Duration { return 0 }
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	p := &Pool{options: o}
	p.life, p.stop = context.WithCancel(context.Background())
	for _, m := range members {
		p.members = append(p.members, &member{Member: m})
	}
	return p
}

// Info names the pool. It emulates when all its engines do.
func (p *Pool) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.members) == 1 && p.members[0].engine != nil {
		return p.members[0].engine.Info()
	}
	info := Info{Kind: "pool"}
	var names, versions []string
	emulated, native := 0, 0
	for _, m := range p.members {
		names = append(names, m.Name)
		if m.engine == nil {
			continue
		}
		i := m.engine.Info()
		versions = append(versions, i.Kind+" "+i.Version)
		info.GPU = info.GPU || i.GPU
		if i.Emulated {
			emulated++
		} else {
			native++
		}
	}
	info.Version, info.Address = strings.Join(versions, ", "), strings.Join(names, ",")
	info.Emulated = emulated > 0 && native == 0
	return info
}

func (p *Pool) Build(ctx context.Context, b Build) (Result, error) {
	e, end, err := p.Lease(ctx, b.Platform)
	if err != nil {
		return Result{}, fmt.Errorf("building %s: %w", b.Name, err)
	}
	res, err := e.Build(ctx, b)
	end(err)
	return res, err
}

func (p *Pool) Run(ctx context.Context, r Run) (Exit, error) {
	e, end, err := p.Lease(ctx, r.Platform)
	if err != nil {
		return Exit{}, fmt.Errorf("running %s: %w", r.Name, err)
	}
	exit, err := e.Run(ctx, r)
	end(err)
	return exit, err
}

// Close gives all engines back.
func (p *Pool) Close() error {
	p.stop()
	p.mu.Lock()
	p.closed = true
	var engines []Engine
	for _, m := range p.members {
		if m.engine != nil {
			engines = append(engines, m.engine)
			m.engine = nil
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, e := range engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}

// Connect connects to the engines, and fails where none can be had.
func (p *Pool) Connect(ctx context.Context) error {
	var all sync.WaitGroup
	for _, m := range p.members {
		all.Go(func() { p.connect(ctx, m) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	none := &Unavailable{}
	for _, m := range p.members {
		if m.engine != nil {
			return nil
		}
		if len(p.members) == 1 && m.lacks != nil {
			return m.lacks
		}
		none.Tried = append(none.Tried, m.says())
	}
	if p.closed {
		return errors.New("the pool is closed")
	}
	return none
}

// connect connects to an engine that is not, and has rested.
func (p *Pool) connect(ctx context.Context, m *member) {
	m.connecting.Lock()
	defer m.connecting.Unlock()
	p.mu.Lock()
	idle := m.engine == nil && !p.closed && !time.Now().Before(m.rests)
	p.mu.Unlock()
	if !idle {
		return
	}
	e, err := m.Connect(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.closed {
		_ = e.Close() // nobody is left to be told
		return
	}
	if err != nil {
		m.lacks = err
		if ctx.Err() == nil {
			p.failed(m)
			if len(p.members) > 1 {
				p.options.Tell("engine " + m.says())
			}
		}
		return
	}
	m.engine, m.gone = e, false
}

// says is why an engine cannot be had, on a line.
func (m *member) says() string {
	text := fmt.Sprint(m.lacks)
	var none *Unavailable
	if errors.As(m.lacks, &none) {
		return strings.ReplaceAll(strings.Join(none.Tried, "; "), "\n", " ")
	}
	return m.Name + ": " + strings.ReplaceAll(text, "\n", " ")
}

// failed lets an engine rest. The caller holds the lock.
func (p *Pool) failed(m *member) {
	m.failures++
	m.rests = time.Now().Add(p.options.Wait(m.failures))
}

// Lease gives the engine that is to work next. Where all rest, it waits for one.
func (p *Pool) Lease(ctx context.Context, platform string) (Engine, func(error), error) {
	for attempt := 1; ; attempt++ {
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		p.reconnect(ctx)
		e, end := p.pick()
		if e != nil {
			return e, end, nil
		}
		err := p.Connect(ctx)
		var none *Unavailable
		if err != nil && (!errors.As(err, &none) || attempt >= p.options.Attempts) {
			return nil, nil, err
		}
		if err == nil { // one is there, and has its last calls to end before it is replaced
			attempt--
		}
		select {
		case <-ctx.Done():
		case <-time.After(p.rest()):
		}
	}
}

// reconnect connects to all engines at first. Later it looks, while others work,
// after those that have rested.
func (p *Pool) reconnect(ctx context.Context) {
	p.first.Do(func() { _ = p.Connect(ctx) }) // whether one can be had shows next
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.engine == nil && !m.seeking && !time.Now().Before(m.rests) {
			m.seeking = true
			go func() {
				p.connect(p.life, m)
				p.mu.Lock()
				defer p.mu.Unlock()
				m.seeking = false
			}()
		}
	}
}

// rest is how long it takes until the first engine has rested.
func (p *Pool) rest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := time.Now().Add(time.Minute)
	for _, m := range p.members {
		if m.rests.Before(first) {
			first = m.rests
		}
	}
	return max(time.Until(first), 10*time.Millisecond)
}

func (p *Pool) pick() (Engine, func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var best *member
	load := func(m *member) int {
		n := m.busy + 1
		if m.engine.Info().Emulated {
			n *= emulation
		}
		if now.Before(m.rests) { // only where there is no other
			n += 1 << 20
		}
		return n
	}
	for _, m := range p.members {
		if m.engine != nil && !m.gone && (best == nil || load(m) < load(best)) {
			best = m
		}
	}
	if best == nil || p.closed {
		return nil, nil
	}
	best.busy++
	return best.engine, func(err error) { p.end(best, err) }
}

// end notes what came of a call.
func (p *Pool) end(m *member, err error) {
	p.mu.Lock()
	m.busy--
	switch {
	case err == nil:
		m.failures = 0
	case Transient(err):
		if !m.gone {
			p.failed(m)
		}
		if errors.Is(err, ErrGone) && !m.gone {
			m.gone = true
			p.options.Tell("engine " + m.Name + " is gone")
		}
	}
	var left Engine
	if m.gone && m.busy == 0 && m.engine != nil {
		left, m.engine = m.engine, nil
	}
	p.mu.Unlock()
	if left != nil {
		_ = left.Close() // it is gone
	}
}
