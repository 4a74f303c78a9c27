package jet

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/jetcrate/jetcrate/internal/resolve"
)

// daemonTimeout bounds every question to Docker: an answer from the table must
// not wait for a daemon that hangs.
const daemonTimeout = 3 * time.Second

// daemon is the Docker daemon of DOCKER_HOST, else of Docker's socket.
type daemon struct {
	*client.Client
	why string // why there is none; Client is nil then
}

// daemon connects. Another root's daemon is none of this machine's, unless
// DOCKER_HOST says that it is meant.
func (q *question) daemon() daemon {
	switch {
	case q.noLocal:
		return daemon{why: "--no-local"}
	case q.root != "/" && q.app.getenv("DOCKER_HOST") == "":
		return daemon{why: "the host is that of --root"}
	}
	c, err := client.New(client.FromEnv)
	if err != nil {
		return daemon{why: err.Error()}
	}
	if path, ok := strings.CutPrefix(c.DaemonHost(), "unix://"); ok {
		if _, err := os.Stat(path); err != nil {
			_ = c.Close()
			return daemon{why: "there is no " + path}
		}
	}
	return daemon{Client: c}
}

func (d daemon) close() {
	if d.Client != nil {
		_ = d.Client.Close()
	}
}

// images lists what Docker has, with the labels that jetcrate looks at.
func (d daemon) images(ctx context.Context) ([]resolve.Local, error) {
	if d.Client == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	list, err := d.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing Docker's images: %w", err)
	}
	var out []resolve.Local
	for _, item := range list.Items {
		l := resolve.Local{ID: item.ID, Labels: item.Labels}
		for _, tag := range item.RepoTags {
			if tag != "<none>:<none>" {
				l.Names = append(l.Names, tag)
			}
		}
		for _, digest := range item.RepoDigests {
			if !strings.HasPrefix(digest, "<none>@") {
				l.Digests = append(l.Digests, digest)
			}
		}
		slices.Sort(l.Names)
		slices.Sort(l.Digests)
		if ours(item.Labels) {
			if err := d.look(ctx, &l); err != nil {
				return nil, err
			}
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b resolve.Local) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func ours(labels map[string]string) bool {
	for name := range labels {
		if strings.HasPrefix(name, "io.jetcrate.") {
			return true
		}
	}
	return false
}

// look adds what only a closer look says: the architecture, and whether all of
// its layers are jetcrate's. What is built FROM an image inherits its labels.
func (d daemon) look(ctx context.Context, l *resolve.Local) error {
	info, err := d.ImageInspect(ctx, l.ID)
	if err != nil {
		return fmt.Errorf("inspecting Docker's image %s: %w", l.ID, err)
	}
	l.Arch = info.Architecture
	history, err := d.ImageHistory(ctx, l.ID)
	if err != nil {
		return fmt.Errorf("reading the history of Docker's image %s: %w", l.ID, err)
	}
	for _, h := range history.Items {
		if !strings.HasPrefix(h.CreatedBy, "jetcrate ") {
			l.Foreign = h.CreatedBy
			if l.Foreign == "" {
				l.Foreign = "a layer that says nothing"
			}
			break
		}
	}
	return nil
}

// engineFacts is what the running daemon says of itself.
type engineFacts struct {
	version  string
	root     string // folder of images and containers
	runtimes []string
	cdi      []string // devices that it offers; only since Docker 28.2
}

func (d daemon) facts(ctx context.Context) (engineFacts, error) {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	info, err := d.Info(ctx, client.InfoOptions{})
	if err != nil {
		return engineFacts{}, fmt.Errorf("asking Docker what it is: %w", err)
	}
	f := engineFacts{version: info.Info.ServerVersion, root: info.Info.DockerRootDir}
	for name := range info.Info.Runtimes {
		f.runtimes = append(f.runtimes, name)
	}
	slices.Sort(f.runtimes)
	for _, d := range info.Info.DiscoveredDevices {
		if d.Source == "cdi" {
			f.cdi = append(f.cdi, d.ID)
		}
	}
	slices.Sort(f.cdi)
	return f, nil
}

// exists reports whether the host has a path.
func exists(fsys fs.FS, path string) bool {
	_, err := fs.Stat(fsys, path)
	return err == nil
}
