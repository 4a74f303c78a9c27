package version

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// SM is a GPU architecture by its compute capability: sm_87 is 8.7, sm_110 is
// 11.0. The zero value is no architecture.
type SM struct{ major, minor int }

// ParseSM reads sm_87, 87 or 8.7. Without a dot the last digit is the minor.
func ParseSM(s string) (SM, error) {
	fail := func() (SM, error) {
		return SM{}, &SyntaxError{What: "GPU architecture", Found: s, Reason: "is not an SM number", Allowed: []string{"sm_87", "8.7", "87", "sm_110"}}
	}
	text := strings.TrimPrefix(s, "sm_")
	major, minor, dotted := strings.Cut(text, ".")
	if dotted && text != s {
		return fail() // sm_8.7
	}
	if !dotted {
		if len(text) < 2 {
			return fail()
		}
		major, minor = text[:len(text)-1], text[len(text)-1:]
	}
	if len(major) > 2 || len(minor) != 1 || strings.HasPrefix(major, "0") {
		return fail()
	}
	a, errA := strconv.ParseUint(major, 10, 8)
	b, errB := strconv.ParseUint(minor, 10, 8)
	if errA != nil || errB != nil {
		return fail()
	}
	return SM{int(a), int(b)}, nil
}

// ParseSMRange reads a range of compute capabilities. Beside numbers (>=8.7)
// it takes names (sm_87, >=sm_87 <sm_110).
func ParseSMRange(s string) (Range, error) {
	return parseRange(s, func(text string) (Release, error) {
		if strings.HasPrefix(text, "sm_") {
			sm, err := ParseSM(text)
			if err != nil {
				return Release{}, err
			}
			return sm.Release(), nil
		}
		return ParseRelease(text)
	}, []string{"sm_87", ">=8.7", "8.7 || 11.0", ">=sm_87 <sm_110", "*"})
}

// IsZero reports whether s is the zero value, which is no architecture.
func (s SM) IsZero() bool { return s == SM{} }

// Compute returns the compute capability: 8.7.
func (s SM) Compute() string { return fmt.Sprintf("%d.%d", s.major, s.minor) }

// String returns the name that compilers take: sm_87.
func (s SM) String() string { return fmt.Sprintf("sm_%d%d", s.major, s.minor) }

// Compare returns -1, 0 or 1.
func (s SM) Compare(o SM) int {
	return cmp.Or(cmp.Compare(s.major, o.major), cmp.Compare(s.minor, o.minor))
}

// Release returns the compute capability as a release, for ranges.
func (s SM) Release() Release {
	r := Release{text: s.Compute(), n: 2}
	r.parts[0], r.parts[1] = uint32(s.major), uint32(s.minor)
	return r
}
