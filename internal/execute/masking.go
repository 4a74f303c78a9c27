package execute

import "sync"

// Mask hides secrets in what is told, as a run of a plan does (see mask). More
// can be added while it is used. It is safe for concurrent use.
type Mask struct {
	mu      sync.Mutex
	secrets map[string][]byte
	mask    *mask
}

// NewMask hides the values of secrets.
func NewMask(secrets map[string]string) *Mask {
	m := &Mask{secrets: map[string][]byte{}}
	for _, v := range secrets {
		m.secrets[v] = []byte(v)
	}
	m.mask = newMask(m.secrets)
	return m
}

// Add hides one more value.
func (m *Mask) Add(value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets[value] = []byte(value)
	m.mask = newMask(m.secrets)
}

// Text is a text that may be told.
func (m *Mask) Text(s string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mask.text(s)
}

// Take gives what may be told of data, and what has to wait because it may be
// the beginning of a secret. At the end nothing waits.
func (m *Mask) Take(data []byte, end bool) (told, wait []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mask.take(data, end)
}
