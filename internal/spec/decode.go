package spec

import (
	"bytes"
	"encoding/json"
)

// The tree of a file is turned into JSON values under its schema (validate.go)
// and decoded from those: that keeps every text as it was written, where a YAML
// decoder would make a float of 2.10 wherever the Go type does not say string.

// UnmarshalJSON takes a list of conditions, or a single one.
func (r *Requires) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var c Condition
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		*r = Requires{c}
		return nil
	}
	var list []Condition
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*r = list
	return nil
}

// UnmarshalJSON takes a map, or the target alone.
func (d *Dependency) UnmarshalJSON(data []byte) error {
	*d = Dependency{}
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &d.Target)
	}
	type plain Dependency
	return json.Unmarshal(data, (*plain)(d))
}

// UnmarshalJSON takes a map, or an image reference alone.
func (b *Base) UnmarshalJSON(data []byte) error {
	*b = Base{}
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &b.Image)
	}
	type plain Base
	return json.Unmarshal(data, (*plain)(b))
}
