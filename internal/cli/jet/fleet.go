package jet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

func (a *app) fleetCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	var releases []string
	cmd := &cobra.Command{
		Use:   "fleet [HOSTS.yaml] [PACKAGE[:VERSION][+OPTION]...]",
		Short: "Find one image for several devices, or the fewest upgrades that allow one",
		Long: `Prints the image that runs on all devices. Where none does, it says which devices
have to be upgraded, and to which release at least, so that one does: the fewest.

HOSTS.yaml names the devices, and may name the packages:

  packages: [pytorch]
  hosts:
    - {name: gate, l4t: 36.4.3, gpu: sm_87}
    - {name: arm, l4t: 35.4.1, gpu: sm_72, flavour: tegra}
    - {name: lab, root: devices/lab}      # facts from a folder of its files

Exit code 3 says that no image runs on all of them as they are.`,
		Example: `  jet fleet hosts.yaml
  jet fleet hosts.yaml pytorch:2.8 -o json
  jet fleet pytorch --host-l4t 36.4.3,36.3.0`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			answer, err := q.fleet(args, releases)
			if err != nil {
				return err
			}
			return a.fleetAnswer(answer, output)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.table, "table", "", "compatibility table: a `file`, or - for stdin")
	f.StringSliceVar(&releases, "host-l4t", nil, "L4T `releases` of devices, with commas between")
	f.StringVar(&q.flavour, "flavour", "", "flavour of the devices of --host-l4t: tegra or sbsa")
	q.versionFlags(cmd)
	complete(cmd, "flavour", "tegra", "sbsa")
	q.completePlatforms(cmd, "host-l4t", func(p table.Platform) string { return p.L4T })
	outputFlag(cmd, &output)
	return cmd
}

// fleetFile is HOSTS.yaml.
type fleetFile struct {
	Packages []string    `yaml:"packages"`
	Hosts    []fleetHost `yaml:"hosts"`
}

type fleetHost struct {
	Name    string    `yaml:"name"`
	L4T     yaml.Node `yaml:"l4t"` // a node, so that 36.40 stays 36.40
	GPU     string    `yaml:"gpu"`
	Flavour string    `yaml:"flavour"`
	Root    string    `yaml:"root"`
}

func (q *question) fleet(args, releases []string) (*resolve.FleetAnswer, error) {
	var members []resolve.Member
	var packages []string
	for _, arg := range args {
		if ext := filepath.Ext(arg); ext != ".yaml" && ext != ".yml" {
			packages = append(packages, arg)
			continue
		}
		named, found, err := readFleet(arg)
		if err != nil {
			return nil, err
		}
		members = append(members, found...)
		if len(packages) == 0 {
			packages = named
		}
	}
	if q.flavour != "" && q.flavour != "tegra" && q.flavour != "sbsa" {
		return nil, mistake("--flavour %q is none of tegra, sbsa", q.flavour)
	}
	for _, text := range releases {
		release, err := version.ParseL4T(text)
		if err != nil {
			return nil, mistake("--host-l4t: %w", err)
		}
		members = append(members, resolve.Member{Name: text, Host: resolve.Query{L4T: release, Flavour: flavourOf(release, q.flavour)}})
	}
	query, err := q.query(packages)
	if err != nil {
		return nil, err
	}
	switch {
	case len(members) == 0:
		return nil, mistake("no device is named: give HOSTS.yaml, or --host-l4t 36.4.3,36.3.0")
	case len(query.Packages) == 0:
		return nil, mistake("no package is named: give one, or packages: in HOSTS.yaml")
	}
	src, _, done, err := q.source()
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := resolve.Fleet(src, query, members)
	if _, isMistake := diag.From(err); err != nil && !isMistake {
		return nil, environment("reading the table: %w", err)
	}
	return &answer, err
}

// flavourOf is tegra below L4T 38: SBSA came with it.
func flavourOf(release version.Release, said string) string {
	if said == "" && release.Major() < 38 {
		return "tegra"
	}
	return said
}

func readFleet(path string) (packages []string, members []resolve.Member, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, mistake("reading the devices: %w", err)
	}
	defer f.Close()
	dec := yaml.NewDecoder(io.LimitReader(f, 4<<20))
	dec.KnownFields(true)
	var file fleetFile
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, notFleet(path, err)
	}
	var l diag.List
	names := map[string]bool{}
	for i, h := range file.Hosts {
		name := h.Name
		if name == "" {
			name = fmt.Sprintf("host %d", i+1)
		}
		if names[name] {
			l.Errorf("host-twice", diag.Position{File: path}, "the name %s is there twice", name)
		}
		names[name] = true
		m := resolve.Member{Name: name}
		if err := h.read(path, &m.Host); err != nil {
			l.Errorf("bad-host", diag.Position{File: path, Line: h.L4T.Line, Col: h.L4T.Column}, "%s: %s", name, err)
		}
		members = append(members, m)
	}
	return file.Packages, members, l.Err()
}

// notFleet words what the YAML library says of a file: without the names of Go
// types, and with what is allowed.
func notFleet(path string, err error) error {
	var l diag.List
	var types *yaml.TypeError
	if !errors.As(err, &types) {
		l.Errorf("bad-hosts", diag.Position{File: path}, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return l.Err()
	}
	for _, text := range types.Errors {
		text, _, _ = strings.Cut(text, " in type ")
		d := l.Errorf("bad-hosts", diag.Position{File: path}, "%s", text)
		d.Allowed = []string{"packages: [...]", "hosts: [{name, l4t, gpu, flavour, root}]"}
	}
	return l.Err()
}

func (h fleetHost) read(path string, q *resolve.Query) error {
	if h.Root != "" {
		dir := h.Root
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(path), dir)
		}
		fsys, end, err := host.Root(dir)
		if err != nil {
			return err
		}
		defer func() { _ = end() }() // it is only read
		q.SetHost(host.Detect(fsys))
	}
	if h.L4T.Value != "" {
		release, err := version.ParseL4T(h.L4T.Value)
		if err != nil {
			return err
		}
		q.L4T, q.Unknown, q.Flavour = release, "", flavourOf(release, h.Flavour)
	}
	if q.L4T.IsZero() && h.Root == "" {
		return errors.New("it needs l4t or root")
	}
	if h.Flavour != "" {
		if h.Flavour != "tegra" && h.Flavour != "sbsa" {
			return fmt.Errorf("flavour %q is none of tegra, sbsa", h.Flavour)
		}
		q.Flavour = h.Flavour
	}
	if h.GPU != "" {
		sm, err := version.ParseSM(h.GPU)
		if err != nil {
			return err
		}
		q.GPU = sm.String()
	}
	return nil
}

// fleetReply is the answer as JSON has it.
type fleetReply struct {
	Reference string `json:"reference,omitempty"`
	Digest    string `json:"digest,omitempty"`
	*resolve.FleetAnswer
}

func (a *app) fleetAnswer(answer *resolve.FleetAnswer, output string) error {
	if output == "json" {
		reply := fleetReply{FleetAnswer: answer}
		if c := answer.Chosen; c != nil {
			reply.Reference, reply.Digest = c.Image, c.Digest
		}
		if err := a.json(reply); err != nil {
			return err
		}
	}
	if answer.Chosen != nil && len(answer.Upgrades) == 0 {
		if output == "json" {
			return nil
		}
		return a.line(answer.Chosen.Image)
	}
	lines := answer.Why
	for _, u := range answer.Upgrades {
		lines = append(lines, fmt.Sprintf("upgrade %s from r%s to r%s or newer", u.Name, u.From, u.To))
	}
	if answer.Chosen != nil {
		lines = append(lines, "then: "+answer.Chosen.Image)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, one := range answer.Alone {
		have := one.Reference
		if have == "" {
			have = "none: " + one.Why[0]
		}
		fmt.Fprintf(w, "by itself, %s\t%s\n", diag.Escape(one.Name), have)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return &no{append(lines, strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")...)}
}
