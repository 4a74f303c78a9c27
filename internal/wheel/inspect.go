package wheel

import (
	"archive/zip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Code is what a wheel holds of compiled code.
type Code struct {
	Machines []string // as ELF has them: EM_AARCH64; sorted
	GPU      bool     // code for CUDA: fat binaries, or libraries that need CUDA's
	CUDA     []string // major versions of the CUDA runtime that it needs; sorted
}

// codeLimit is how large one library of a wheel may be unpacked.
const codeLimit = 8 << 30

var (
	library  = regexp.MustCompile(`\.so(\.[0-9.]+)?$`)
	cudaLibs = regexp.MustCompile(`^lib(cuda|cudart|cublas|cublasLt|cudnn\w*|cufft\w*|curand|cusolver\w*|cusparse\w*|nvrtc|nvinfer\w*|nvonnxparser|nccl|nvjpeg|npp\w+|cupti|nvToolsExt|nvJitLink)\.so`)
	cudart   = regexp.MustCompile(`^libcudart\.so\.([0-9]+)`)
)

// Inspect looks into the shared libraries of a wheel. What is linked statically
// shows too: CUDA's compiler leaves a section of its own in each library.
func Inspect(r io.ReaderAt, size int64) (Code, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return Code{}, fmt.Errorf("reading the wheel: %w", err)
	}
	var c Code
	for _, f := range z.File {
		if !library.MatchString(path.Base(f.Name)) || f.FileInfo().IsDir() {
			continue
		}
		if err := c.library(f); err != nil {
			return Code{}, fmt.Errorf("looking into %s: %w", f.Name, err)
		}
	}
	slices.Sort(c.Machines)
	c.Machines = slices.Compact(c.Machines)
	slices.Sort(c.CUDA)
	c.CUDA = slices.Compact(c.CUDA)
	return c, nil
}

func (c *Code) library(f *zip.File) error {
	if f.UncompressedSize64 > codeLimit {
		return fmt.Errorf("it is larger than %d GiB", codeLimit>>30)
	}
	rc, err := f.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	// ELF is read from its end to its beginning, and some of these are gigabytes.
	tmp, err := os.CreateTemp("", "jetcrate-elf-*")
	if err != nil {
		return err
	}
	defer tmp.Close()
	if err := os.Remove(tmp.Name()); err != nil {
		return err
	}
	if _, err := io.Copy(tmp, io.LimitReader(rc, codeLimit)); err != nil {
		return err
	}
	e, err := elf.NewFile(tmp)
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // a linker script, or a text of that name
	}
	if err != nil {
		return err
	}
	c.Machines = append(c.Machines, e.Machine.String())
	for _, s := range e.Sections {
		if strings.HasPrefix(s.Name, ".nv_fatbin") || strings.HasPrefix(s.Name, "__nv_relfatbin") || s.Name == ".nvFatBinSegment" {
			c.GPU = true
		}
	}
	needs, err := e.ImportedLibraries()
	if err != nil {
		return nil // no dynamic section: it needs nothing
	}
	for _, n := range needs {
		if cudaLibs.MatchString(n) {
			c.GPU = true
		}
		if m := cudart.FindStringSubmatch(n); m != nil {
			c.CUDA = append(c.CUDA, m[1])
		}
	}
	return nil
}

// fits reports why code does not belong into a line.
func (l Line) fits(c Code) error {
	for _, m := range c.Machines {
		if m != elf.EM_AARCH64.String() {
			return fmt.Errorf("it holds code for %s, not ARM64", strings.TrimPrefix(m, "EM_"))
		}
	}
	if c.GPU && l.CUDA == "cpu" {
		return fmt.Errorf("it holds code for CUDA, and the line is %s", l)
	}
	for _, major := range c.CUDA {
		if major != l.major() {
			return fmt.Errorf("it needs the runtime of CUDA %s, and the line is %s", major, l)
		}
	}
	return nil
}
