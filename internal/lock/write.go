package lock

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/spec"
)

// File is the name of the lock in a catalog.
const File = "jetcrate.lock"

const heading = "# What the catalog names loosely, pinned. `jetcrate lock` writes this file."

// Format gives the file of a lock. Comments of the file that there was stay with
// the entries that they stand at; empty sections are left out.
func Format(old []byte, l *spec.Lock) ([]byte, error) {
	var now yaml.Node
	if err := now.Encode(struct {
		Bases     []spec.LockedBase     `yaml:"bases,omitempty"`
		Apt       []spec.LockedApt      `yaml:"apt,omitempty"`
		Refs      []spec.LockedRef      `yaml:"refs,omitempty"`
		Downloads []spec.LockedDownload `yaml:"downloads,omitempty"`
		Python    []spec.LockedPython   `yaml:"python,omitempty"`
	}{l.Bases, l.Apt, l.Refs, l.Downloads, l.Python}); err != nil {
		return nil, fmt.Errorf("encoding the lock: %w", err)
	}
	var before yaml.Node
	if err := yaml.Unmarshal(old, &before); err != nil {
		return nil, fmt.Errorf("reading %s: %w", File, err)
	}
	doc := &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{&now}}
	head := heading // it stays above the first section, whichever that is
	if before.Kind == yaml.DocumentNode {
		root := before.Content[0]
		doc.FootComment = before.FootComment
		if len(root.Content) > 0 {
			head = cmp.Or(before.HeadComment, root.HeadComment, root.Content[0].HeadComment, heading)
			root.HeadComment, root.Content[0].HeadComment = "", ""
		}
		graft(root, &now)
	}
	if len(now.Content) == 0 {
		return []byte(head + "\n"), nil
	}
	now.Content[0].HeadComment = head
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(doc), e.Close()); err != nil {
		return nil, fmt.Errorf("encoding the lock: %w", err)
	}
	return b.Bytes(), nil
}

// graft takes comments, and the style of what stays the same, from an old tree.
func graft(old, now *yaml.Node) {
	now.HeadComment, now.LineComment, now.FootComment = old.HeadComment, old.LineComment, old.FootComment
	if old.Kind != now.Kind {
		return
	}
	switch now.Kind {
	case yaml.ScalarNode:
		if old.Value == now.Value {
			now.Style, now.Tag = old.Style, old.Tag
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(now.Content); i += 2 {
			for j := 0; j+1 < len(old.Content); j += 2 {
				if now.Content[i].Value == old.Content[j].Value {
					graft(old.Content[j], now.Content[i])
					graft(old.Content[j+1], now.Content[i+1])
				}
			}
		}
	case yaml.SequenceNode:
		now.Style = old.Style
		taken := map[*yaml.Node]bool{}
		for _, n := range now.Content {
			for _, o := range old.Content {
				if !taken[o] && identity(o) == identity(n) {
					taken[o] = true
					graft(o, n)
					break
				}
			}
		}
	}
}

// identity tells the entries of a list apart by what they pin.
func identity(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	id := ""
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i].Value; key {
		case "image", "repository", "ref", "url", "l4t", "flavour", "os", "python", "cuda", "name", "version":
			id += key + "=" + n.Content[i+1].Value + "\n"
		}
	}
	return id
}

// Write writes the lock of a catalog's folder in one move, and reports whether
// it changed.
func Write(dir *os.Root, l *spec.Lock) (changed bool, err error) {
	old, err := dir.ReadFile(File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("reading %s: %w", File, err)
	}
	now, err := Format(old, l)
	if err != nil || bytes.Equal(old, now) || old == nil && bytes.Count(now, []byte("\n")) <= 1 {
		return false, err
	}
	name := dir.Name() + string(os.PathSeparator) + File
	if err := renameio.WriteFile(name, now, 0o644); err != nil {
		return false, fmt.Errorf("writing %s: %w", File, err)
	}
	return true, nil
}
