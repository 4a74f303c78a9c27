package jet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
)

// occupied is something that takes room.
type occupied struct {
	Kind  string `json:"kind"` // image or data
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Path  string `json:"path,omitempty"`
}

type storageReport struct {
	Root   host.Fact  `json:"root"` // where Docker keeps images
	Disk   host.Fact  `json:"disk"`
	Free   int64      `json:"free,omitempty"`
	Items  []occupied `json:"items"` // largest first
	Advice []string   `json:"advice,omitempty"`
	Docker string     `json:"docker,omitempty"` // why its images are not listed
}

func (a *app) storageCommand() *cobra.Command {
	q := &question{app: a}
	var output, data string
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Say what images and models occupy, and what to move to NVMe",
		Long: `Lists Docker's images that jetcrate made and the folders below /data, the largest
first, with the disk that they lie on. Layers that images share are counted in
each of them. Nothing is moved or deleted.`,
		Example: `  jet storage
  jet storage --data /mnt/nvme/models -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			report, err := q.storage(cmd.Context(), data)
			if err != nil {
				return err
			}
			if output == "json" {
				return a.json(report)
			}
			return a.occupancy(report)
		},
	}
	q.rootFlag(cmd)
	cmd.Flags().StringVar(&data, "data", "", "`folder` that containers see as /data (default: data in jetcrate's folder of the user)")
	outputFlag(cmd, &output)
	return cmd
}

func (q *question) storage(ctx context.Context, data string) (*storageReport, error) {
	fsys, err := q.fs()
	if err != nil {
		return nil, err
	}
	docker := host.Inspect(fsys).Docker
	r := &storageReport{Root: docker.Root, Items: []occupied{}}
	d := q.daemon()
	defer d.close()
	r.Docker = d.why
	if d.Client != nil {
		ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
		defer cancel()
		if err := d.occupied(ctx, r); err != nil {
			r.Docker = err.Error()
		}
	}
	r.Disk = host.Fact{Reason: r.Root.Reason}
	if r.Root.Known() {
		r.Disk = host.DiskOf(fsys, r.Root.Value)
		r.Free, _ = q.app.freeSpace(q.root, r.Root.Value)
	}
	own, said := data == "", data
	if own {
		data = filepath.Join(q.app.dataDir(), "data")
	}
	data, err = filepath.Abs(data)
	if err != nil {
		return nil, environment("finding --data: %w", err)
	}
	items, err := folders(data)
	switch {
	case errors.Is(err, fs.ErrNotExist) && own:
	case errors.Is(err, fs.ErrNotExist):
		return nil, mistake("--data %s does not exist", said)
	case err != nil:
		return nil, environment("reading %s: %w", data, err)
	}
	r.Items = append(r.Items, items...)
	slices.SortStableFunc(r.Items, func(a, b occupied) int {
		return cmp.Or(-cmp.Compare(a.Bytes, b.Bytes), strings.Compare(a.Name, b.Name))
	})
	if len(items) == 0 {
		data = "" // nothing to move
	}
	r.advise(fsys, data)
	return r, nil
}

// occupied adds Docker's images of jetcrate, and where they lie.
func (d daemon) occupied(ctx context.Context, r *storageReport) error {
	facts, err := d.facts(ctx)
	if err != nil {
		return err
	}
	r.Root = host.Fact{Value: facts.root, Source: "the daemon"}
	list, err := d.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return fmt.Errorf("listing Docker's images: %w", err)
	}
	for _, item := range list.Items {
		if !ours(item.Labels) {
			continue
		}
		name := item.ID
		if len(item.RepoTags) > 0 {
			name = slices.Min(item.RepoTags)
		}
		r.Items = append(r.Items, occupied{Kind: "image", Name: name, Bytes: item.Size})
	}
	return nil
}

// folders measures what lies directly in a folder.
func folders(dir string) ([]occupied, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []occupied
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		item := occupied{Kind: "data", Name: e.Name(), Path: path}
		err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // what may not be read is not counted
			}
			if info, err := d.Info(); err == nil {
				item.Bytes += info.Size()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

// advise says what to move where an NVMe disk is mounted that does not have it.
func (r *storageReport) advise(fsys fs.FS, data string) {
	nvme := nvmeMount(fsys)
	if nvme == "" {
		return
	}
	if r.Disk.Known() && r.Disk.Value != "NVMe" {
		r.Advice = append(r.Advice, fmt.Sprintf("images: stop Docker, move %s to %s/docker, and set \"data-root\" in /etc/docker/daemon.json", r.Root.Value, nvme))
	}
	if disk := host.DiskOf(fsys, data); data != "" && disk.Known() && disk.Value != "NVMe" {
		r.Advice = append(r.Advice, fmt.Sprintf("models: mv %s %s/data, and run with --data %s/data", quote(data), nvme, nvme))
	}
}

// nvmeMount is where an NVMe disk is mounted, other than as boot partition.
func nvmeMount(fsys fs.FS) string {
	content, err := fs.ReadFile(fsys, "proc/self/mounts")
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(content)) {
		fields := strings.Fields(l)
		if len(fields) > 1 && strings.HasPrefix(fields[0], "/dev/nvme") && !strings.HasPrefix(fields[1], "/boot") {
			return strings.TrimSuffix(fields[1], "/")
		}
	}
	return ""
}

func (a *app) occupancy(r *storageReport) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Docker's root:\t%s\n", diag.Escape(r.Root.String()))
	fmt.Fprintf(w, "its disk:\t%s\n", diag.Escape(r.Disk.String()))
	if r.Free > 0 {
		fmt.Fprintf(w, "free:\t%s\n", units.BytesSize(float64(r.Free)))
	}
	if r.Docker != "" {
		fmt.Fprintf(w, "its images:\tnot listed: %s\n", diag.Escape(r.Docker))
	}
	for _, item := range r.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\n", units.BytesSize(float64(item.Bytes)), item.Kind, diag.Escape(item.Name))
	}
	for _, advice := range r.Advice {
		fmt.Fprintf(w, "move:\t%s\n", diag.Escape(advice))
	}
	if err := w.Flush(); err != nil {
		return environment("writing: %w", err)
	}
	return nil
}
