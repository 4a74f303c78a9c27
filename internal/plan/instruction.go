package plan

import (
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// phase is where an instruction runs, which decides what it sees.
type phase int

const (
	building phase = iota
	stacking
	linking
)

// SourceStage names the stage that holds a source archive in its /source.
func SourceStage(sha256 string) string { return "source-" + sha256[:12] }

// BuildStage names the stage that holds a package's artifact in its /out.
func BuildStage(pkg string) string { return "build-" + pkg }

// PackageDir is the folder of the build context that holds a package's files.
func PackageDir(pkg string) string { return "packages/" + pkg }

// surroundings are what an instruction takes from the package and the platform.
type surroundings struct {
	pkg, arch, epoch string
	files            bool // of the package, that the phase sees
	artifact         bool
}

// instruction renders a step as a RUN with a here-document. Variables are
// exported by the script and not by ENV, so that they leave nothing in the
// image. The number of jobs arrives as a secret, because no cache key, of ours
// or of an engine, holds secrets.
func instruction(r resolved, ph phase, at surroundings) (Instruction, error) {
	var mounts []string
	mount := func(format string, args ...any) { mounts = append(mounts, "--mount="+fmt.Sprintf(format, args...)) }
	if at.files {
		mount("type=bind,source=%s,target=/pkg", PackageDir(at.pkg))
	}
	ins := Instruction{Step: r.name, Secrets: r.secrets}
	if r.archive != nil {
		mount("type=bind,from=%s,source=/source,target=/source", SourceStage(r.archive.SHA256))
		ins.Sources = []string{key(Source, sourceKey{r.archive.SHA256})}
	}
	if ph != building && at.artifact {
		mount("type=bind,from=%s,source=/out,target=/artifact", BuildStage(at.pkg))
	}
	for _, c := range r.cache {
		for _, dir := range cacheDirs[c] {
			sharing := ""
			if c == "apt" {
				sharing = ",sharing=locked"
			}
			mount("type=cache,id=jetcrate-%s-%s,target=%s%s", at.arch, strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-"), dir, sharing)
		}
	}
	for _, s := range r.secrets {
		mount("type=secret,id=%s,required=true", s)
	}
	if ph == building {
		mount("type=secret,id=jobs")
	}

	var b strings.Builder
	if r.shell == "bash" {
		b.WriteString("#!/bin/bash\nset -euo pipefail\n")
	} else {
		b.WriteString("set -eu\n")
	}
	if r.apt && at.epoch != "" {
		fmt.Fprintf(&b, "# apt epoch %s\n", at.epoch)
	}
	switch ph {
	case building:
		b.WriteString("mkdir -p /out; export OUT=/out\n")
		b.WriteString("JOBS=$(cat /run/secrets/jobs 2>/dev/null || nproc)\n")
		b.WriteString("export JOBS MAX_JOBS=$JOBS MAKEFLAGS=-j$JOBS CMAKE_BUILD_PARALLEL_LEVEL=$JOBS\n")
	case linking:
		b.WriteString("mkdir -p /destdir; export DESTDIR=/destdir\n")
	}
	for _, v := range r.env {
		q, err := shellWord(v.Value)
		if err != nil {
			return ins, fmt.Errorf("variable %s cannot be given to a shell: %w", v.Name, err)
		}
		if v.Prepend {
			fmt.Fprintf(&b, "export %s=%s\"${%s:+:$%s}\"\n", v.Name, q, v.Name, v.Name)
		} else {
			fmt.Fprintf(&b, "export %s=%s\n", v.Name, q)
		}
	}
	if r.dir != "" {
		q, err := shellWord(r.dir)
		if err != nil {
			return ins, fmt.Errorf("working-directory cannot be given to a shell: %w", err)
		}
		fmt.Fprintf(&b, "mkdir -p %s; cd %s\n", q, q)
	}
	b.WriteString(strings.TrimRight(r.script, "\n") + "\n")

	body := b.String()
	if len(body) > maxScript {
		return ins, fmt.Errorf("the script has %d KiB with its variables; %d are allowed", len(body)>>10, maxScript>>10)
	}
	for line := range strings.SplitSeq(body, "\n") {
		if len(line) > maxLine {
			return ins, fmt.Errorf("a line of the script has %d bytes with its values; %d are allowed", len(line), maxLine)
		}
	}
	var t strings.Builder
	t.WriteString("RUN ")
	for _, m := range mounts {
		t.WriteString(m + " \\\n    ")
	}
	t.WriteString(HereDoc(body))
	ins.Text = t.String()
	return ins, nil
}

// cacheDirs are the folders that a cache of the engine stands for.
var cacheDirs = map[string][]string{
	"apt":    {"/var/cache/apt", "/var/lib/apt/lists"},
	"pip":    {"/root/.cache/pip"},
	"ccache": {"/root/.cache/ccache"},
}

// shellWord is s as one word of a POSIX shell. The library quotes no newline
// and no tab, which single quotes bear.
func shellWord(s string) (string, error) {
	if strings.ContainsAny(s, "\n\t") {
		s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		return s, nil
	}
	return syntax.Quote(s, syntax.LangPOSIX)
}

// maxLine is what a line of a Dockerfile may hold, in bytes: BuildKit's parser
// refuses more than 65535.
const maxLine = 60000

const maxScript = 256 << 10 // bytes of an instruction

// HereDoc is a here-document of lines, with an end that they do not hold and no
// expansion.
func HereDoc(body string) string {
	end := delimiter(body)
	return fmt.Sprintf("<<'%s'\n%s%s", end, body, end)
}

// delimiter is an end of a here-document that the body does not hold.
func delimiter(body string) string {
	lines := map[string]bool{}
	for _, l := range strings.Split(body, "\n") {
		lines[strings.TrimSpace(l)] = true
	}
	end := "JETCRATE"
	for i := 2; lines[end]; i++ {
		end = fmt.Sprintf("JETCRATE%d", i)
	}
	return end
}
