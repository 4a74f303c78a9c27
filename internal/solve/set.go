package solve

import "math/bits"

// set holds values of a variable by their index. Sets are values: nothing that
// one shares with another is ever written again. Hardly any variable has more
// than 64 values, so that high is nearly always nil.
type set struct {
	low  uint64
	high []uint64 // of the values from 64 on; its last word is not 0
}

func only(i int) set {
	if i < 64 {
		return set{low: 1 << i}
	}
	s := set{high: make([]uint64, i/64)}
	s.high[i/64-1] = 1 << (i % 64)
	return s
}

// upTo holds the values from..n-1.
func upTo(from, n int) set {
	var s set
	for i := from; i < n; i++ {
		s = s.or(only(i))
	}
	return s
}

func (s set) has(i int) bool {
	if i < 64 {
		return s.low&(1<<i) != 0
	}
	return i/64 <= len(s.high) && s.high[i/64-1]&(1<<(i%64)) != 0
}

func (s set) empty() bool { return s.low == 0 && len(s.high) == 0 }

func (s set) equal(o set) bool { return s.within(o) && o.within(s) }

// within reports whether o holds all that s holds.
func (s set) within(o set) bool {
	if s.low&^o.low != 0 || len(s.high) > len(o.high) {
		return false
	}
	for i, w := range s.high {
		if w&^o.high[i] != 0 {
			return false
		}
	}
	return true
}

// apart reports whether the sets have nothing in common.
func (s set) apart(o set) bool {
	if s.low&o.low != 0 {
		return false
	}
	for i := range min(len(s.high), len(o.high)) {
		if s.high[i]&o.high[i] != 0 {
			return false
		}
	}
	return true
}

func (s set) and(o set) set {
	out := set{low: s.low & o.low}
	if n := min(len(s.high), len(o.high)); n > 0 {
		high := make([]uint64, n)
		for i := range high {
			high[i] = s.high[i] & o.high[i]
		}
		out.high = trimmed(high)
	}
	return out
}

func (s set) or(o set) set {
	out := set{low: s.low | o.low}
	if n := max(len(s.high), len(o.high)); n > 0 {
		high := make([]uint64, n)
		copy(high, s.high)
		for i, w := range o.high {
			high[i] |= w
		}
		out.high = high
	}
	return out
}

func (s set) minus(o set) set {
	out := set{low: s.low &^ o.low}
	if len(s.high) > 0 {
		high := make([]uint64, len(s.high))
		copy(high, s.high)
		for i := range min(len(high), len(o.high)) {
			high[i] &^= o.high[i]
		}
		out.high = trimmed(high)
	}
	return out
}

func trimmed(high []uint64) []uint64 {
	n := len(high)
	for n > 0 && high[n-1] == 0 {
		n--
	}
	return high[:n]
}

func (s set) count() int {
	n := bits.OnesCount64(s.low)
	for _, w := range s.high {
		n += bits.OnesCount64(w)
	}
	return n
}

// first is the smallest value; the set is not empty.
func (s set) first() int {
	if s.low != 0 {
		return bits.TrailingZeros64(s.low)
	}
	for i, w := range s.high {
		if w != 0 {
			return 64*(i+1) + bits.TrailingZeros64(w)
		}
	}
	return -1
}
