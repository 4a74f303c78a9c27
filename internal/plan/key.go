package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// key hashes what determines a node. The parts are structs and slices, never
// maps, so that their JSON has one form.
func key(kind Kind, parts any) string {
	b, err := json.Marshal(struct {
		Format int
		Kind   Kind
		Parts  any
	}{Format, kind, parts})
	if err != nil {
		panic(fmt.Sprintf("plan: key of a %s: %v", kind, err)) // only plain data gets here
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// What determines a node, by kind. Fields are in no order that matters, but
// renaming one moves every key.

type sourceKey struct{ SHA256 string }

type baseKey struct {
	Arch          string
	Image, Digest string
	Suite         string
	Variant       string
	Include       []string
}

type artifactKey struct {
	Arch         string
	Instructions []string
	Sources      []string // SHA-256
	Files        []File
	Ground       []string // keys of the base and the layers of the image it is made on
	GroundEnv    []Var    `json:",omitempty"` // variables of that image that stand in none of its layers
}

type stackedKey struct {
	Arch         string
	Parent       string
	Instructions []string
	Dockerfile   string
	Files        []File
	Artifact     string
	Env          []Var
	Sources      []string
}

type linkedKey struct {
	Arch         string
	Instructions []string
	Files        []File
	Artifact     string
	Ground       []string
	GroundEnv    []Var `json:",omitempty"`
	Sources      []string
}

type imageKey struct {
	Arch   string
	Layers []string
	Env    []Var
	Labels *Labels
}

type testKey struct {
	Content string
	Image   string
}
