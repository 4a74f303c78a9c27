package dagger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dagger.io/dagger"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/buildkit"
)

// client is a session with a Dagger engine.
type client struct {
	*dagger.Client
	end context.CancelFunc
}

// connect opens a session, which lives until it is closed, whatever becomes of
// the call that opened it.
func connect(ctx context.Context, log io.Writer) (session, error) {
	type opened struct {
		client *dagger.Client
		err    error
	}
	done := make(chan opened, 1)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		c, err := dagger.Connect(life, dagger.WithLogOutput(log))
		done <- opened{c, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			end()
			return nil, o.err
		}
		return &client{o.client, end}, nil
	case <-ctx.Done():
		end()
		return nil, context.Cause(ctx)
	}
}

func (c *client) close() error {
	defer c.end()
	return c.Close()
}

func (c *client) info(ctx context.Context) (engine.Info, error) {
	version, err := c.Version(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	platform, err := c.DefaultPlatform(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	return engine.Info{
		Kind: "dagger", Version: version, Address: "dagger", Emulated: !strings.HasPrefix(string(platform), "linux/arm64"),
	}, nil
}

// dockerfile is where a recipe lies in its context.
const dockerfile = ".jetcrate.Dockerfile"

func (c *client) build(r recipe) (*dagger.Container, error) {
	dir := c.Directory()
	if r.Context != "" {
		abs, err := filepath.Abs(r.Context)
		if err != nil {
			return nil, err
		}
		dir = c.Host().Directory(abs, dagger.HostDirectoryOpts{NoCache: true})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		dir = dir.WithFile(name, c.Host().File(r.Files[name]))
	}
	opts := dagger.DirectoryDockerBuildOpts{
		Dockerfile: dockerfile, Platform: dagger.Platform(r.Platform), Target: r.Target,
		NoInit: true, // as BuildKit runs a step
	}
	for _, name := range slices.Sorted(maps.Keys(r.Args)) {
		opts.BuildArgs = append(opts.BuildArgs, dagger.BuildArg{Name: name, Value: r.Args[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Secrets)) {
		opts.Secrets = append(opts.Secrets, c.SetSecret(name, string(r.Secrets[name])))
	}
	return dir.WithNewFile(dockerfile, string(r.Dockerfile)).DockerBuild(opts), nil
}

func (c *client) image(ctx context.Context, r recipe, archive string) error {
	ctr, err := c.build(r)
	if err != nil {
		return err
	}
	_, err = ctr.AsTarball(dagger.ContainerAsTarballOpts{
		ForcedCompression: dagger.ImageLayerCompressionGzip, // Docker 20.10 on JetPack 5 reads no zstd
		MediaTypes:        dagger.ImageMediaTypesOcimediaTypes,
	}).Export(ctx, archive)
	return err
}

func (c *client) folder(ctx context.Context, r recipe, dir string) error {
	ctr, err := c.build(r)
	if err != nil {
		return err
	}
	_, err = ctr.Rootfs().Export(ctx, dir)
	return err
}

// unique names the variable that keeps Dagger from answering a command from its
// cache. The SDK has no other way.
const unique = "_JETCRATE_RUN"

func (c *client) run(ctx context.Context, r engine.Run, archive string) (engine.Exit, error) {
	ctr := c.Container(dagger.ContainerOpts{Platform: dagger.Platform(r.Platform)}).Import(c.Host().File(archive))
	for _, kv := range r.Env {
		k, v, _ := strings.Cut(kv, "=")
		ctr = ctr.WithEnvVariable(k, v)
	}
	for _, m := range r.Mounts {
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return engine.Exit{}, err
		}
		ctr = ctr.WithMountedDirectory(path.Clean(m.Target), c.Host().Directory(abs, dagger.HostDirectoryOpts{NoCache: true}))
	}
	if r.Dir != "" {
		ctr = ctr.WithWorkdir(r.Dir)
	}
	ctr = ctr.WithEnvVariable(unique, rand.Text()).
		WithExec(r.Args, dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny, NoInit: true})
	code, err := ctr.ExitCode(ctx)
	if err != nil {
		return engine.Exit{}, err
	}
	stdout, err := ctr.Stdout(ctx)
	if err != nil {
		return engine.Exit{}, err
	}
	stderr, err := ctr.Stderr(ctx)
	if err != nil {
		return engine.Exit{}, err
	}
	if code, err = buildkit.StartFailure(code, stderr); err != nil {
		return engine.Exit{}, fmt.Errorf("starting the command: %w", err)
	}
	return engine.Exit{Code: code}, errors.Join(write(r.Stdout, stdout), write(r.Stderr, stderr))
}

func write(w io.Writer, text string) error {
	if w == nil {
		return nil
	}
	_, err := io.WriteString(w, text)
	return err
}
