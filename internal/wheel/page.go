package wheel

import (
	"encoding/json"
)

// jsonPage is a page of an index as PEP 691 has it, with what PEP 700 and PEP 714
// added.
type jsonPage struct {
	Meta     jsonMeta      `json:"meta"`
	Name     string        `json:"name,omitempty"`
	Versions []string      `json:"versions,omitempty"`
	Projects []jsonProject `json:"projects,omitempty"`
	Files    []jsonFile    `json:"files,omitempty"`
}

type jsonMeta struct {
	Version string `json:"api-version"`
}

type jsonProject struct {
	Name string `json:"name"`
}

type jsonFile struct {
	Name           string            `json:"filename"`
	URL            string            `json:"url"`
	Hashes         map[string]string `json:"hashes"`
	Size           int64             `json:"size,omitempty"`
	RequiresPython string            `json:"requires-python,omitempty"`
	Core           jsonHashes        `json:"core-metadata,omitzero"`
	DistInfo       jsonHashes        `json:"dist-info-metadata,omitzero"`
	Yanked         jsonYanked        `json:"yanked,omitzero"`
}

// jsonHashes is true, false, or hashes by algorithm.
type jsonHashes struct {
	is     bool
	sha256 string
}

func (h *jsonHashes) UnmarshalJSON(b []byte) error {
	var hashes map[string]string
	if err := json.Unmarshal(b, &hashes); err == nil {
		h.is, h.sha256 = hashes != nil, hashes["sha256"]
		return nil
	}
	return json.Unmarshal(b, &h.is)
}

func (h jsonHashes) MarshalJSON() ([]byte, error) {
	if h.sha256 == "" {
		return json.Marshal(h.is)
	}
	return json.Marshal(map[string]string{"sha256": h.sha256})
}

// hash gives the SHA-256 of the metadata, and whether there is a file of it; old
// is the key that PEP 714 replaced.
func (h jsonHashes) hash(old jsonHashes) (string, bool) {
	if h.sha256 != "" {
		return h.sha256, true
	}
	return old.sha256, h.is || old.is
}

// jsonYanked is true, false, or the reason.
type jsonYanked struct {
	is     bool
	reason string
}

func (y *jsonYanked) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &y.is) == nil {
		return nil
	}
	y.is = true
	return json.Unmarshal(b, &y.reason)
}

func (y jsonYanked) MarshalJSON() ([]byte, error) {
	if y.reason == "" {
		return json.Marshal(y.is)
	}
	return json.Marshal(y.reason)
}
