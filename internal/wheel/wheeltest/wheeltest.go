// Package wheeltest makes wheels and an index for tests: real zip files with
// METADATA and RECORD, shared libraries as far as an ELF reader looks, and a
// server that takes uploads by the legacy protocol as PyPI documents it.
package wheeltest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Wheel is one to make.
type Wheel struct {
	Name, Version string
	Tags          string   // default py3-none-any
	Requires      []string // Requires-Dist
	Python        string   // Requires-Python
	Library       []byte   // lies in the wheel as NAME/_native.so
	Metadata      string   // more lines of METADATA
	Content       string   // of NAME/__init__.py
}

// File is the name that the wheel has.
func (w Wheel) File() string {
	tags := w.Tags
	if tags == "" {
		tags = "py3-none-any"
	}
	return w.module() + "-" + w.Version + "-" + tags + ".whl"
}

func (w Wheel) module() string { return strings.NewReplacer("-", "_", ".", "_").Replace(w.Name) }

// Bytes are the wheel: one that pip installs.
func (w Wheel) Bytes() []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	var record strings.Builder
	add := func(name string, content []byte) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = f.Write(content)
		}
		if err != nil {
			panic(err) // memory does not fail
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(content))
	}
	info := w.module() + "-" + w.Version + ".dist-info/"
	meta := "Metadata-Version: 2.1\nName: " + w.Name + "\nVersion: " + w.Version + "\nSummary: made for a test\n"
	if w.Python != "" {
		meta += "Requires-Python: " + w.Python + "\n"
	}
	for _, r := range w.Requires {
		meta += "Requires-Dist: " + r + "\n"
	}
	meta += w.Metadata + "\nA wheel of a test.\n"
	tags := w.Tags
	if tags == "" {
		tags = "py3-none-any"
	}
	add(w.module()+"/__init__.py", []byte(w.Content))
	if w.Library != nil {
		add(w.module()+"/_native.so", w.Library)
	}
	add(info+"METADATA", []byte(meta))
	add(info+"WHEEL", []byte("Wheel-Version: 1.0\nGenerator: jetcrate-test\nRoot-Is-Purelib: true\nTag: "+tags+"\n"))
	record.WriteString(info + "RECORD,,\n")
	add(info+"RECORD", []byte(record.String()))
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// SHA256 is the hex hash of bytes.
func SHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ARM64 and X8664 are machines of ELF.
const (
	ARM64 = 183
	X8664 = 62
)

// Library is a shared library as far as ELF's section headers tell: for a machine,
// with CUDA's section if it has GPU code, and needing other libraries.
func Library(machine uint16, gpu bool, needs ...string) []byte {
	strs := []byte{0}
	var dynamic []byte
	for _, n := range needs {
		dynamic = binary.LittleEndian.AppendUint64(dynamic, 1) // DT_NEEDED
		dynamic = binary.LittleEndian.AppendUint64(dynamic, uint64(len(strs)))
		strs = append(append(strs, n...), 0)
	}
	dynamic = append(dynamic, make([]byte, 16)...) // DT_NULL
	type section struct {
		name    string
		kind    uint32
		link    uint32
		size    uint64
		content []byte
	}
	sections := []section{{}, {".dynstr", 3, 0, 0, strs}, {".dynamic", 6, 1, 16, dynamic}}
	if gpu {
		sections = append(sections, section{".nv_fatbin", 1, 0, 0, []byte("GPU code")})
	}
	names := []byte{0}
	var offsets []uint32
	sections = append(sections, section{".shstrtab", 3, 0, 0, nil})
	for _, s := range sections {
		offsets = append(offsets, uint32(len(names)))
		names = append(append(names, s.name...), 0)
	}
	sections[len(sections)-1].content = names

	const header, entry = 64, 64
	var data, table bytes.Buffer
	for i, s := range sections {
		at := uint64(header + data.Len())
		data.Write(s.content)
		for data.Len()%8 != 0 {
			data.WriteByte(0)
		}
		if s.kind == 0 {
			at = 0
		}
		for _, v := range []any{offsets[i], s.kind, uint64(0), uint64(0), at, uint64(len(s.content)), s.link, uint32(0), uint64(1), s.size} {
			_ = binary.Write(&table, binary.LittleEndian, v) // to memory
		}
	}
	var out bytes.Buffer
	out.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, v := range []any{
		uint16(3), machine, uint32(1), uint64(0), uint64(0), uint64(header + data.Len()), uint32(0),
		uint16(header), uint16(0), uint16(0), uint16(entry), uint16(len(sections)), uint16(len(sections) - 1),
	} {
		_ = binary.Write(&out, binary.LittleEndian, v)
	}
	out.Write(data.Bytes())
	out.Write(table.Bytes())
	return out.Bytes()
}
