package buildkit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/platforms"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/staticfs"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// frontend is BuildKit's built-in Dockerfile frontend: no image of one is fetched.
const frontend = "dockerfile.v0"

func (d *daemon) Build(ctx context.Context, b engine.Build) (engine.Result, error) {
	if ctx.Err() != nil { // BuildKit's client takes seconds to notice
		return engine.Result{}, wrap(ctx, "building", b.Name, nil)
	}
	ctx, leave := d.during(ctx)
	defer leave(nil)
	opt, out, err := d.solveOpt(b)
	if err != nil {
		return engine.Result{}, wrap(ctx, "building", b.Name, err)
	}
	progress := newProgress(b.Events)
	statuses := make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range statuses {
			progress.observe(s)
		}
	}()
	if secretive(b) {
		opt.Ref = identity.NewID()
		defer d.eraseHistory(context.WithoutCancel(ctx), opt.Ref)
	}
	res, err := d.client.Solve(ctx, nil, opt, statuses)
	<-done // Solve closes statuses
	if err != nil {
		if step := stepError(err, progress); step != nil && ctx.Err() == nil {
			return engine.Result{}, step
		}
		return engine.Result{}, wrap(ctx, "building", b.Name, err)
	}
	if b.Output.Layout == "" {
		return engine.Result{}, nil
	}
	platform, err := parsePlatform(b.Platform)
	if err != nil {
		return engine.Result{}, wrap(ctx, "building", b.Name, err)
	}
	layouts := append([]string{b.Output.Layout}, b.Output.Have...)
	dgst, err := imageManifest(layouts, digest.Digest(res.ExporterResponse[exptypes.ExporterImageDigestKey]), platform)
	if err == nil {
		dgst, err = out.rename(ctx, layouts, dgst)
	}
	if err != nil {
		return engine.Result{}, wrap(ctx, "building", b.Name, err)
	}
	return engine.Result{Digest: dgst.String()}, nil
}

// secretive: a secret besides the number of parallel jobs, which is none.
func secretive(b engine.Build) bool {
	_, jobs := b.Secrets["jobs"]
	return len(b.Secrets) > 1 || len(b.Secrets) == 1 && !jobs
}

// eraseHistory removes a build from the daemon's history, which keeps what its steps
// wrote, as they wrote it: one that was given a secret may have printed it. A
// daemon that is gone, or that keeps no history, has nothing to forget.
func (d *daemon) eraseHistory(ctx context.Context, ref string) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, _ = d.client.ControlClient().UpdateBuildHistory(ctx, &controlapi.UpdateBuildHistoryRequest{Ref: ref, Delete: true})
}

// solveOpt gives what BuildKit is asked, and where an image goes.
func (d *daemon) solveOpt(b engine.Build) (client.SolveOpt, *output, error) {
	attrs := map[string]string{}
	if b.Platform != "" {
		attrs["platform"] = b.Platform
	}
	if b.Target != "" {
		attrs["target"] = b.Target
	}
	for k, v := range b.Args {
		attrs["build-arg:"+k] = v
	}
	in, err := d.images(b.Images)
	if err != nil {
		return client.SolveOpt{}, nil, err
	}
	for name, ref := range in.refs {
		attrs["context:"+name] = "oci-layout://" + ref
	}

	dockerfile := staticfs.NewFS()
	dockerfile.Add("Dockerfile", &fstypes.Stat{Mode: 0o644}, b.Dockerfile)
	opt := client.SolveOpt{
		Frontend:      frontend,
		FrontendAttrs: attrs,
		LocalMounts:   map[string]fsutil.FS{"dockerfile": dockerfile, "context": staticfs.NewFS()},
		OCIStores:     in.stores,
		Session:       []session.Attachable{secretsprovider.FromMap(b.Secrets)},
	}
	if b.Context != "" {
		dir, err := filepath.Abs(b.Context)
		if err != nil {
			return client.SolveOpt{}, nil, err
		}
		if opt.LocalMounts["context"], err = fsutil.NewFS(dir); err != nil {
			return client.SolveOpt{}, nil, fmt.Errorf("opening context: %w", err)
		}
		// What the daemon has of this folder is what it compares with.
		opt.SharedKey = dir
	}
	export, out, err := d.export(b.Output, in.layers)
	if err != nil {
		return client.SolveOpt{}, nil, err
	}
	opt.Exports = []client.ExportEntry{export}
	return opt, out, nil
}

func (d *daemon) export(to engine.Output, below []twin) (client.ExportEntry, *output, error) {
	switch {
	case (to.Layout == "") == (to.Dir == ""):
		return client.ExportEntry{}, nil, errors.New("a build has one output: a layout or a folder")
	case to.Dir != "":
		return client.ExportEntry{
			Type:      client.ExporterLocal,
			Attrs:     map[string]string{"platform-split": "false"},
			OutputDir: to.Dir,
		}, nil, nil
	}
	if err := engine.InitLayout(to.Layout); err != nil {
		return client.ExportEntry{}, nil, err
	}
	store, err := d.store(to.Layout)
	if err != nil {
		return client.ExportEntry{}, nil, err
	}
	out := &output{Store: store, have: to.Have, tar: to.Tar, sent: &d.sent}
	out.layers.add(below...)
	return client.ExportEntry{
		Type: client.ExporterOCI,
		Attrs: map[string]string{
			"tar":            "false",
			"oci-mediatypes": "true",
			"compression":    "uncompressed", // of new layers: out compresses them
		},
		OutputStore: out,
	}, out, nil
}

// parsePlatform reads linux/arm64; "" is the machine's own.
func parsePlatform(s string) (ocispecs.Platform, error) {
	if s == "" {
		return platforms.DefaultSpec(), nil
	}
	p, err := platforms.Parse(s)
	if err != nil {
		return ocispecs.Platform{}, fmt.Errorf("platform %q: %w", s, err)
	}
	return platforms.Normalize(p), nil
}
