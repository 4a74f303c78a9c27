// Package sitetest makes tables for tests of the site: any number of targets on
// any number of platforms, with every standing that a cell can have.
package sitetest

import (
	"fmt"
	"strings"

	"github.com/jetcrate/jetcrate/internal/table"
)

// Table makes a table of targets x platforms rows, and a few that no longer
// count. The first target is pytorch. Numbers stand for facts: nothing in it is
// true of any package.
func Table(targets, platforms int) *table.Table {
	t := &table.Table{Schema: table.Schema, Repository: "registry.example/jetcrate"}
	for p := range platforms {
		pl, hosts := platform(p)
		for n := range targets {
			t.Rows = append(t.Rows, row(n, p, pl, hosts))
			if n == 0 && p < 2 && t.Rows[len(t.Rows)-1].Image != nil {
				old := t.Rows[len(t.Rows)-1]
				old.Status, old.Packages = table.Superseded, packages("pytorch", "1.9.0")
				old.Image = image("old", n, p)
				old.Withdrawal = nil
				t.Rows = append(t.Rows, old)
			}
		}
	}
	t.Sort()
	return t
}

// platform is one of ten releases, with a CUDA and a Python of its own.
func platform(p int) (table.Platform, string) {
	releases := []string{"36.4.4", "36.4.3", "36.4.0", "36.3.0", "36.2.0", "35.6.0", "35.5.0", "35.4.1", "35.3.1", "32.7.1"}
	cudas := []string{"12.6", "12.8", "12.9", "13.0", "12.4"}
	release := releases[p%len(releases)]
	line := release[:2]
	pl := table.Platform{
		L4T: release, Flavour: "tegra", JetPack: map[string]string{"36": "6", "35": "5", "32": "4"}[line],
		OS:   table.OS{ID: "ubuntu", Version: map[string]string{"36": "22.04", "35": "20.04", "32": "18.04"}[line]},
		Arch: "arm64", Python: fmt.Sprintf("3.%d", 10+p/len(releases)),
		CUDA: &table.CUDA{Version: cudas[(p/len(releases))%len(cudas)], CuDNN: "9.3", TensorRT: "10.3"},
		GPU:  map[string][]string{"36": {"sm_87"}, "35": {"sm_72", "sm_87"}, "32": {"sm_53", "sm_62", "sm_72"}}[line],
	}
	return pl, ">=" + release[:4] + " <" + fmt.Sprint(map[string]int{"36": 37, "35": 36, "32": 33}[line])
}

func name(n int) string {
	if n == 0 {
		return "pytorch"
	}
	return fmt.Sprintf("package-%d", n)
}

func packages(name, version string) []table.Package {
	p := table.Package{Name: name, Version: version}
	if name == "pytorch" {
		p.Aliases = []string{"torch"}
	}
	return []table.Package{{Name: "python", Version: "3.10"}, p}
}

func image(kind string, n, p int) *table.Image {
	id := fmt.Sprintf("%s-%d-%d", kind, n, p)
	hex := fmt.Sprintf("%x", id)
	return &table.Image{
		Reference: "registry.example/jetcrate:" + id, Digest: "sha256:" + hex + strings.Repeat("0", 64-len(hex)),
		Key: id, Size: int64(200+n*37+p*11) << 20,
	}
}

func row(n, p int, pl table.Platform, hosts string) table.Row {
	r := table.Row{
		Target: name(n), Roots: []string{name(n)}, Platform: pl, Hosts: hosts, Status: table.Current, State: table.Built,
		Packages: packages(name(n), fmt.Sprintf("2.%d.0", p%9)), Image: image("image", n, p),
	}
	test := func(name string, status table.Result, reason string) {
		r.Evidence.Tests = append(r.Evidence.Tests, table.TestResult{
			Package: r.Target, Name: name, Status: status, Reason: reason, Environment: "emulated",
		})
	}
	switch (n + 3*p) % 7 {
	case 0:
		test("import", table.Passed, "")
		test("matmul", table.Skipped, "no GPU")
	case 1:
		test("import", table.Passed, "")
	case 2:
		r.State, r.Image, r.Packages = table.Impossible, nil, nil
		r.Reason = fmt.Sprintf("%s has no build for r%s: it needs CUDA >=14, r%s offers %s. Nearest: none", r.Target, pl.L4T, pl.L4T, pl.CUDA.Version)
	case 3:
		r.State, r.Image, r.Reason = table.NotBuilt, nil, "no image is recorded for it"
	case 4:
		test("import", table.Failed, "exit code 1")
	case 5:
	case 6:
		test("import", table.Passed, "")
		r.Status, r.Withdrawal = table.Withdrawn, &table.Withdrawal{Entry: 7, Time: "2026-11-20T10:00:00Z", Reason: "it overheats"}
	}
	r.Evidence.Count()
	return r
}
