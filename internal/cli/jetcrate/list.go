package jetcrate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table/page"
)

// offer is what a package resolves to on a platform with the first of its stacks
// that has it, or why it does not with the first of all.
type offer struct {
	Platform string `json:"platform"` // r36.4.0, r38.4 sbsa
	Version  string `json:"version,omitempty"`
	CUDA     string `json:"cuda,omitempty"` // of the stack, where it is not the platform's first
	Reason   string `json:"reason,omitempty"`
}

// offers asks for a version of a package ("" is the preferred one) on the
// platforms of the matrix, in their order.
func offers(s *solve.Solver, platforms []solve.Platform, name, version string) ([]offer, error) {
	out := make([]offer, 0, len(platforms))
	for _, p := range platforms {
		o := offer{Platform: p.String()}
		for i, stack := range solve.Stacks(p.Platform) {
			p.Stack = stack
			res, err := s.At(p).Solve([]spec.Target{{Name: name, Version: version}}, nil)
			var impossible *solve.Impossible
			if errors.As(err, &impossible) {
				if i == 0 {
					o.Reason = strings.Join(impossible.Reasons, "; ")
				}
				continue
			}
			if err != nil {
				return nil, err
			}
			if i > 0 {
				o.CUDA = stack.Version
			}
			o.Version, o.Reason = res.Targets[0].Version.Version, ""
			break
		}
		out = append(out, o)
	}
	return out, nil
}

// platforms are those of the matrix, each with its first stack and Python; with
// l4t only that release.
func platforms(cat *spec.Catalog, l4t, flavour string) ([]solve.Platform, error) {
	if l4t != "" {
		p, err := solve.Find(cat.Matrix, solve.Choice{L4T: l4t, Flavour: flavour})
		return []solve.Platform{p}, err
	}
	of, err := solve.OfFlavour(cat.Matrix, flavour)
	if err != nil {
		return nil, err
	}
	var out []solve.Platform
	for _, m := range of {
		p, err := solve.Find(cat.Matrix, solve.Choice{L4T: m.L4T, Flavour: m.Flavour})
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (a *app) listCommand() *cobra.Command {
	var group, l4t, flavour string
	c := &cobra.Command{
		Use: "list [WORD...]", Short: "List the packages of the catalog; words narrow by name, alias or summary",
		Long: `Lists the packages of the catalog with the version that a target gets and the number of
platforms that have one, with whichever CUDA. --l4t lists what resolves on a release.`,
		Example: "  jetcrate list\n  jetcrate list --group ml --l4t r36.4\n  jetcrate list speech",
		RunE: func(_ *cobra.Command, words []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			cat, _, err := a.load()
			if err != nil {
				return err
			}
			on, err := platforms(cat, l4t, flavour)
			if err != nil {
				return err
			}
			if err := knownGroup(cat, group); err != nil {
				return err
			}
			type row struct {
				Name      string   `json:"name"`
				Group     string   `json:"group"`
				Summary   string   `json:"summary"`
				Aliases   []string `json:"aliases,omitempty"`
				Version   string   `json:"version"`
				Platforms []string `json:"platforms"`
				CUDA      string   `json:"cuda,omitempty"` // with --l4t, where the platform's first stack has none
			}
			rows, solver := []row{}, solve.New(cat)
			for _, name := range slices.Sorted(maps.Keys(cat.Packages)) {
				p := cat.Packages[name]
				if group != "" && p.Group != group || !mentions(p, words) {
					continue
				}
				r := row{Name: name, Group: p.Group, Summary: p.Summary, Aliases: p.Aliases, Platforms: []string{}}
				list, err := offers(solver, on, name, "")
				if err != nil {
					return err
				}
				for _, o := range list {
					if o.Version != "" {
						if r.Version == "" { // of the platform that the matrix lists first
							r.Version = o.Version
							if l4t != "" {
								r.CUDA = o.CUDA
							}
						}
						r.Platforms = append(r.Platforms, o.Platform)
					}
				}
				if len(r.Platforms) > 0 || l4t == "" {
					rows = append(rows, r)
				}
			}
			if a.output == "json" {
				return a.json(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, r := range rows {
				version, where := r.Version, fmt.Sprintf("%d of %d platforms", len(r.Platforms), len(on))
				if version == "" {
					version = "-"
				}
				if l4t != "" {
					where = r.Platforms[0]
				}
				if r.CUDA != "" {
					where += " with CUDA " + r.CUDA
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, version, r.Group, where, r.Summary)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if len(rows) == 0 {
				fmt.Fprintln(a.stderr, "no package of the catalog is like that; jetcrate list shows all")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&group, "group", "", "only this group")
	f.StringVar(&l4t, "l4t", "", "only what resolves on an L4T release (36.4.0), or the newest of a line (r36.4)")
	f.StringVar(&flavour, "flavour", "", "tegra or sbsa (default: both; with --l4t tegra)")
	return c
}

func knownGroup(cat *spec.Catalog, group string) error {
	groups := map[string]bool{}
	for _, p := range cat.Packages {
		groups[p.Group] = true
	}
	if group == "" || groups[group] {
		return nil
	}
	return usage{fmt.Errorf("--group %q: no such group; there are %s", group, strings.Join(slices.Sorted(maps.Keys(groups)), ", "))}
}

// mentions says whether every word stands in a package's name, aliases or
// summary.
func mentions(p *spec.Package, words []string) bool {
	text := strings.ToLower(strings.Join(append([]string{p.Name, p.Summary}, p.Aliases...), "\n"))
	for _, w := range words {
		if !strings.Contains(text, strings.ToLower(w)) {
			return false
		}
	}
	return true
}

func (a *app) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "show PACKAGE", Short: "Show a package: what it is, and its versions on each platform",
		Example: "  jetcrate show pytorch\n  jetcrate show torch -o json",
		Args:    oneArg("a package", "pytorch"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			cat, _, err := a.load()
			if err != nil {
				return err
			}
			t, err := spec.ParseTarget(args[0])
			if err != nil {
				return err
			}
			_, p, err := solve.Lookup(cat, t)
			if err != nil {
				return err
			}
			on, err := platforms(cat, "", "")
			if err != nil {
				return err
			}
			return a.show(cat, p, on)
		},
	}
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cat, _, _, err := a.read()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return cat.Names(), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// show prints a package: what it is, and where which of its versions are possible.
func (a *app) show(cat *spec.Catalog, p *spec.Package, on []solve.Platform) error {
	type version struct {
		Version string  `json:"version"`
		Source  string  `json:"source,omitempty"`
		Offers  []offer `json:"platforms"`
	}
	solver := solve.New(cat)
	preferred, err := offers(solver, on, p.Name, "")
	if err != nil {
		return err
	}
	var versions []version
	for _, v := range p.Versions {
		list, err := offers(solver, on, p.Name, v.Version)
		if err != nil {
			return err
		}
		versions = append(versions, version{v.Version, v.Source, list})
	}
	dependencies := cat.Depends(p)
	var dependants []string
	for _, name := range slices.Sorted(maps.Keys(cat.Packages)) {
		if slices.Contains(cat.Depends(cat.Packages[name]), p.Name) {
			dependants = append(dependants, name)
		}
	}
	if a.output == "json" {
		return a.json(struct {
			Name         string    `json:"name"`
			Group        string    `json:"group"`
			Summary      string    `json:"summary"`
			Homepage     string    `json:"homepage,omitempty"`
			License      string    `json:"license,omitempty"`
			Aliases      []string  `json:"aliases,omitempty"`
			Accelerators []string  `json:"accelerators,omitempty"`
			Dependencies []string  `json:"dependencies,omitempty"`
			Dependants   []string  `json:"dependants,omitempty"`
			Versions     []version `json:"versions"`
			Preferred    []offer   `json:"preferred"`
		}{p.Name, p.Group, p.Summary, p.Homepage, p.License, p.Aliases, p.Accelerators, dependencies, dependants, versions, preferred})
	}
	rows, err := page.Grid(cat, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", p.Name, p.Summary)
	for _, l := range []struct{ name, text string }{
		{"homepage", p.Homepage}, {"license", p.License}, {"aliases", strings.Join(p.Aliases, ", ")},
		{"accelerators", strings.Join(p.Accelerators, ", ")}, {"stands on", strings.Join(dependencies, ", ")}, {"used by", strings.Join(dependants, ", ")},
	} {
		if l.text != "" {
			fmt.Fprintf(a.stdout, "  %-13s%s\n", l.name, l.text)
		}
	}
	fmt.Fprintln(a.stdout)
	return printGrid(a.stdout, p, rows)
}

// printGrid prints a row for each group of platforms, a column for each version
// of a package, and what speaks against it where there is none.
func printGrid(out io.Writer, p *spec.Package, rows []page.Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "platform")
	for i := range p.Versions {
		fmt.Fprint(w, "\t", p.Versions[i].Version)
	}
	fmt.Fprintln(w)
	stacks := false
	for _, r := range rows {
		if r.Reason != "" {
			continue
		}
		stacks = stacks || r.Stacked()
		fmt.Fprint(w, r.On)
		for _, c := range r.Cells {
			fmt.Fprint(w, "\t", cmp.Or(c, "-"))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Reason != "" {
			fmt.Fprintf(out, "not on %s: %s\n", r.On, r.Reason)
		}
	}
	legend := "* is what a target without a version gets"
	if stacks {
		legend += "; a number is a CUDA version whose stack has it, where not all have"
	}
	_, err := fmt.Fprintln(out, legend)
	return err
}

// oneArg wants one argument, and says which.
func oneArg(what, example string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage{fmt.Errorf("%s takes one argument, %s, such as %s; got %d", c.CommandPath(), what, example, len(args))}
		}
		return nil
	}
}
