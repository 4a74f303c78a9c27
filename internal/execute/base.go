package execute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// base brings the image below everything into the store: copied from its
// registry, or made by its recipe.
func (r *run) base(ctx context.Context, s *state, dir string, log *nodeLog) error {
	platform := v1.Platform{OS: "linux", Architecture: s.node.Arch}
	b := s.node.Base
	if b.Mmdebstrap == nil {
		ref := b.Image
		if b.Digest != "" {
			name, _, _ := strings.Cut(ref, "@")
			ref = name + "@" + b.Digest
		}
		img, err := image.Open(ctx, ref, image.OpenOptions{Platform: platform})
		if err != nil {
			return err
		}
		if err := r.recordBase(ctx, s, img); err != nil {
			if image.IsOtherBytes(err) { // what the store reads is the base's registry's
				err = image.ExplainReference(ref, err)
			}
			return fmt.Errorf("copying the base %s: %w", ref, err)
		}
		return nil
	}
	tar := filepath.Join(dir, "root.tar")
	if err := mmdebstrap(ctx, b.Mmdebstrap, s.node.Arch, tar, log); err != nil {
		return err
	}
	f, err := os.Open(tar)
	if err != nil {
		return err
	}
	defer f.Close()
	layer, err := image.LayerFromTar(f, dir)
	if err != nil {
		return err
	}
	img, err := image.New(b.String(), platform, v1.Config{
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Cmd: []string{"/bin/bash"},
	}, layer)
	if err != nil {
		return err
	}
	return r.recordBase(ctx, s, img)
}

func (r *run) recordBase(ctx context.Context, s *state, img v1.Image) error {
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	rec, err := r.Store.PutImage(ctx, store.Base, s.node.Key, img, nil)
	return s.built(rec, sizeOf(m.Layers), err)
}

// mmdebstrap makes a root file system from Debian's packages, read from the
// mirror that this machine's own apt is configured for, where there is one.
func mmdebstrap(ctx context.Context, m *spec.Mmdebstrap, arch, tar string, log *nodeLog) error {
	variant := m.Variant
	if variant == "" {
		variant = "apt"
	}
	bin, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return errors.New("the base is made by mmdebstrap, which is not installed here: apt-get install mmdebstrap qemu-user-static")
	}
	args := []string{"--architectures=" + arch, "--variant=" + variant, "--dpkgopt=force-unsafe-io"}
	if len(m.Include) > 0 {
		args = append(args, "--include="+strings.Join(m.Include, ","))
	}
	args = append(args, m.Suite, tar)
	if mirror := debianMirror(ctx, m.Suite); mirror != "" {
		args = append(args, mirror)
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.SysProcAttr = endsWithUs()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var last tail
	out := io.MultiWriter(&last, log.writer("mmdebstrap "+m.Suite, 2))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, last.String())
	}
	return nil
}

// debianMirror asks apt for the mirror that serves a Debian suite here; "" where
// apt knows none, and mmdebstrap takes its default. Who signed a repository is
// known once apt has its lists; before that its suite has to do.
func debianMirror(ctx context.Context, suite string) string {
	format := []string{"indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"}
	for _, filter := range [][]string{
		{"Origin: Debian", "Codename: " + suite},
		{"--no-release-info", "Release: " + suite},
	} {
		out, err := exec.CommandContext(ctx, "apt-get", append(append([]string(nil), format...), filter...)...).Output()
		if uris := bytes.Fields(out); err == nil && len(uris) > 0 {
			return string(uris[0])
		}
	}
	return ""
}
