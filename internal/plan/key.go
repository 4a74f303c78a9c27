package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// What determines a node, by kind: a key is the SHA-256 of the JSON of such a
// struct with the format and the kind around it. Renaming a field moves every
// key. The parts are structs and slices, never maps, so that their JSON has one
// form; what is raw is JSON that many keys share.

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
	Instructions raw
	Sources      raw // SHA-256
	Files        raw
	Ground       []string // keys of the base and the layers of the image it is made on
	GroundEnv    raw      `json:",omitempty"` // variables of that image that stand in none of its layers
}

type stackedKey struct {
	Arch         string
	Parent       string
	Instructions raw
	Dockerfile   string
	Files        raw
	Artifact     string
	Env          raw
	Sources      raw
}

type linkedKey struct {
	Arch         string
	Instructions raw
	Files        raw
	Artifact     string
	Ground       []string
	GroundEnv    raw `json:",omitempty"`
	Sources      raw
}

type imageKey struct {
	Arch   string
	Layers []string
	Env    raw
	Labels raw
}

type testKey struct {
	Content string
	Image   string
}

type raw = json.RawMessage

// key hashes what determines a node.
func key(kind Kind, parts any) string {
	return sum(plainJSON(struct {
		Format int
		Kind   Kind
		Parts  any
	}{Format, kind, parts}))
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], s[:])
	return string(text[:])
}

// keyer writes the JSON of the kinds of which a plan has many, in the form that
// json.Marshal gives them; a test compares the two.
type keyer struct{ b bytes.Buffer }

func (k *keyer) begin(kind Kind) {
	k.b.Reset()
	k.b.WriteString(`{"Format":` + strconv.Itoa(Format) + `,"Kind":"` + string(kind) + `","Parts":`)
}

func (k *keyer) end() string {
	k.b.WriteString("}}")
	return sum(k.b.Bytes())
}

// field writes a name, with what stands before it, and a value that is JSON.
func (k *keyer) field(before string, value []byte) {
	k.b.WriteString(before)
	k.b.Write(value)
}

// text writes a text.
func (k *keyer) text(before, s string) {
	k.b.WriteString(before)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			k.b.Write(plainJSON(s))
			return
		}
	}
	k.b.WriteByte('"')
	k.b.WriteString(s)
	k.b.WriteByte('"')
}

// texts writes a list of at least one text.
func (k *keyer) texts(before string, list []string) {
	k.b.WriteString(before)
	before = "["
	for _, s := range list {
		k.text(before, s)
		before = ","
	}
	k.b.WriteByte(']')
}

// keys writes the keys of a chain, which has at least its base, and of what is
// linked to it as one list.
func (k *keyer) keys(before string, chain, linked []string) {
	k.b.WriteString(before)
	sep := `["`
	for _, list := range [2][]string{chain, linked} {
		for _, s := range list {
			k.b.WriteString(sep)
			k.b.WriteString(s)
			sep = `","`
		}
	}
	k.b.WriteString(`"]`)
}

// artifact is the key of an artifactKey whose ground has the layers of a node.
func (k *keyer) artifact(p artifactKey, ground *Node) string {
	k.begin(Artifact)
	k.text(`{"Arch":`, p.Arch)
	k.field(`,"Instructions":`, p.Instructions)
	k.field(`,"Sources":`, p.Sources)
	k.field(`,"Files":`, p.Files)
	k.keys(`,"Ground":`, ground.Chain, ground.Linked)
	if len(p.GroundEnv) > 0 {
		k.field(`,"GroundEnv":`, p.GroundEnv)
	}
	return k.end()
}

func (k *keyer) stacked(p stackedKey) string {
	k.begin(Stacked)
	k.text(`{"Arch":`, p.Arch)
	k.text(`,"Parent":`, p.Parent)
	k.field(`,"Instructions":`, p.Instructions)
	k.text(`,"Dockerfile":`, p.Dockerfile)
	k.field(`,"Files":`, p.Files)
	k.text(`,"Artifact":`, p.Artifact)
	k.field(`,"Env":`, p.Env)
	k.field(`,"Sources":`, p.Sources)
	return k.end()
}

// linked is the key of a linkedKey whose ground has the layers of a node.
func (k *keyer) linked(p linkedKey, ground *Node) string {
	k.begin(Linked)
	k.text(`{"Arch":`, p.Arch)
	k.field(`,"Instructions":`, p.Instructions)
	k.field(`,"Files":`, p.Files)
	k.text(`,"Artifact":`, p.Artifact)
	k.keys(`,"Ground":`, ground.Chain, ground.Linked)
	if len(p.GroundEnv) > 0 {
		k.field(`,"GroundEnv":`, p.GroundEnv)
	}
	k.field(`,"Sources":`, p.Sources)
	return k.end()
}

// image is the key of an imageKey whose layers are the two lists.
func (k *keyer) image(arch string, chain, linked []string, env, labels []byte) string {
	k.begin(Image)
	k.text(`{"Arch":`, arch)
	k.keys(`,"Layers":`, chain, linked)
	k.field(`,"Env":`, env)
	k.field(`,"Labels":`, labels)
	return k.end()
}

// test is the key of a testKey; both are hex.
func (k *keyer) test(p testKey) string {
	k.begin(Test)
	k.b.WriteString(`{"Content":"`)
	k.b.WriteString(p.Content)
	k.b.WriteString(`","Image":"`)
	k.b.WriteString(p.Image)
	k.b.WriteByte('"')
	return k.end()
}
