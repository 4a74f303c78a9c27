package jetcrate

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/matrix"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// catalogRoot finds the catalog: --catalog, or the nearest folder above that
// holds a matrix.yaml.
func (a *app) catalogRoot() (string, error) {
	if a.catalogDir != "" {
		switch info, err := os.Stat(a.catalogDir); {
		case err != nil:
			return "", usage{fmt.Errorf("--catalog: %w", err)}
		case !info.IsDir():
			return "", usage{fmt.Errorf("--catalog: %s is no folder", a.catalogDir)}
		}
		return a.catalogDir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "matrix.yaml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", usage{errors.New("no catalog here or above (a folder with matrix.yaml and packages/): go to one, or name it with --catalog")}
		}
	}
}

// load reads the catalog; its warnings are printed, its mistakes are the error.
func (a *app) load() (*spec.Catalog, fs.FS, error) {
	cat, fsys, list, err := a.read()
	if err != nil {
		return nil, nil, err
	}
	return cat, fsys, list.Err()
}

// read reads the catalog with all that there is to say of it. The files are
// read through os.Root, which follows nothing out of the catalog.
func (a *app) read() (*spec.Catalog, fs.FS, diag.List, error) {
	dir, err := a.catalogRoot()
	if err != nil {
		return nil, nil, nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("opening the catalog: %w", err)
	}
	cat, list := spec.Load(root.FS(), spec.Options{Matrix: a.matrix})
	return cat, root.FS(), list, nil
}

// selection is the flags that say what to plan.
type selection struct {
	l4t, flavour, cuda, python string
	cudnn, tensorrt            string // from the environment alone
	name                       string
	all                        bool // every cell of the matrix
	whole                      bool // every package on every platform with every stack
	filter                     cellFilter
}

func (s *selection) flags(c *cobra.Command, a *app) {
	f := c.Flags()
	f.StringVar(&s.l4t, "l4t", "", "L4T release (36.4.0), or a line of them (r36.4: its newest)")
	f.StringVar(&s.flavour, "flavour", "", "tegra or sbsa (default tegra)")
	f.StringVar(&s.cuda, "cuda", "", "CUDA version that the platform offers (default: its first)")
	f.StringVar(&s.python, "python", "", "Python version that the platform offers (default: its first)")
	_ = c.RegisterFlagCompletionFunc("l4t", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cat, _, _, err := a.read()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var out []string
		for _, p := range cat.Matrix.Platforms {
			out = append(out, p.L4T)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cat, _, _, err := a.read()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return cat.Names(), cobra.ShellCompDirectiveNoFileComp
	}
}

// allFlags are those of commands that take every cell.
func (s *selection) allFlags(c *cobra.Command) {
	c.Flags().BoolVar(&s.all, "all", false, "every cell of the matrix")
	s.filter.flag(c)
}

// requests turns arguments and flags into cells.
func (s *selection) requests(cat *spec.Catalog, args []string) ([]plan.Request, error) {
	pins, err := s.environment(cat)
	if err != nil {
		return nil, err
	}
	if s.all || s.whole {
		if len(args) > 0 || s.name != "" {
			return nil, usage{errors.New("--all plans the whole matrix: it takes no targets and no --name")}
		}
		if s.all && s.whole {
			return nil, usage{errors.New("--cells and --all are two answers to what is planned: give one")}
		}
		return s.cells(cat, pins)
	}
	if len(s.filter) > 0 {
		return nil, usage{errors.New("--filter chooses among the cells of --all")}
	}
	if len(args) == 0 {
		return nil, usage{errors.New("name a target, such as pytorch; several make one image")}
	}
	if s.name != "" {
		if err := plain("--name", s.name); err != nil {
			return nil, err
		}
	}
	r := plan.Request{Pins: pins, Name: s.name}
	for _, arg := range args {
		t, err := spec.ParseTarget(arg)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(r.Targets, func(x spec.Target) bool { return x.String() == t.String() }) {
			r.Targets = append(r.Targets, t)
		}
	}
	list := solve.Check(cat, r.Targets)
	r.Platform, err = solve.Find(cat.Matrix, solve.Choice{L4T: s.l4t, Flavour: s.flavour, CUDA: s.cuda, Python: s.python, CuDNN: s.cudnn, TensorRT: s.tensorrt})
	if more, mistakes := diag.From(err); mistakes {
		list = append(list, more...)
	}
	return []plan.Request{r}, list.Err()
}

// cells lists the cells of the matrix, narrowed by the flags.
func (s *selection) cells(cat *spec.Catalog, pins map[string]string) ([]plan.Request, error) {
	cells, err := s.chosen(cat)
	if err != nil {
		return nil, err
	}
	var only solve.Platform
	if s.l4t != "" {
		if only, err = solve.Find(cat.Matrix, solve.Choice{L4T: s.l4t, Flavour: s.flavour}); err != nil {
			return nil, err
		}
	}
	var out []plan.Request
	found := map[solve.Choice]solve.Platform{}
	for _, c := range cells {
		if s.l4t != "" && c.L4T != only.L4T || s.flavour != "" && c.Flavour != s.flavour {
			continue
		}
		choice := solve.Choice{L4T: c.L4T, Flavour: c.Flavour, CUDA: c.CUDA, Python: c.Python}
		p, known := found[choice]
		if !known {
			if p, err = solve.Find(cat.Matrix, choice); err != nil {
				return nil, err
			}
			found[choice] = p
		}
		r := plan.Request{Platform: p, Pins: pins}
		for _, word := range strings.Fields(c.Package) {
			t, err := spec.ParseTarget(word)
			if err != nil {
				return nil, err
			}
			r.Targets = append(r.Targets, t)
		}
		out = append(out, r)
	}
	return out, nil
}

// chosen are the cells of the matrix, or every package on every platform with
// every stack, that pass the filter.
func (s *selection) chosen(cat *spec.Catalog) ([]matrix.Cell, error) {
	if !s.whole {
		return s.filter.cells(cat)
	}
	return s.filter.among(cat, matrix.Whole(cat.Matrix, slices.Sorted(maps.Keys(cat.Packages))))
}

// environment reads the overrides that Jetson people know. A flag wins over a
// variable. Pins are by package: PYTORCH_VERSION=2.8 pins pytorch.
func (s *selection) environment(cat *spec.Catalog) (map[string]string, error) {
	taken := map[string]bool{} // they choose a platform, whichever package has that name
	for _, v := range []struct {
		name string
		into *string
	}{
		{"L4T_VERSION", &s.l4t}, {"CUDA_VERSION", &s.cuda}, {"CUDNN_VERSION", &s.cudnn},
		{"TENSORRT_VERSION", &s.tensorrt}, {"PYTHON_VERSION", &s.python},
	} {
		taken[v.name] = true
		if *v.into == "" && !s.all && !s.whole {
			*v.into = os.Getenv(v.name)
		}
	}
	pins := map[string]string{}
	for name := range cat.Packages {
		variable := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name)) + "_VERSION"
		if v := os.Getenv(variable); v != "" && !taken[variable] {
			if _, err := spec.ParseTarget(name + ":" + v); err != nil {
				return nil, usage{fmt.Errorf("%s=%q is no version of %s", variable, v, name)}
			}
			pins[name] = v
		}
	}
	return pins, nil
}

// plan loads the catalog and plans the selection.
func (a *app) plan(s *selection, args []string) (*spec.Catalog, fs.FS, *plan.Plan, error) {
	cat, fsys, err := a.load()
	if err != nil {
		return nil, nil, nil, err
	}
	reqs, err := s.requests(cat, args)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := plan.New(cat, fsys, reqs)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := a.drift(cat, p); err != nil {
		return nil, nil, nil, err
	}
	if !s.all && !s.whole {
		for _, c := range p.Cells {
			if c.Impossible != nil {
				return nil, nil, nil, c.Impossible
			}
		}
	}
	return cat, fsys, p, nil
}
