package jetcrate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/publish/release"
	"github.com/jetcrate/jetcrate/internal/table"
)

// releaseFlags are those of jetcrate release.
type releaseFlags struct {
	repository, table, wheels, commit string
	assets                            []string
	pre, dry                          bool
}

func (a *app) releaseCommand() *cobra.Command {
	var f releaseFlags
	c := &cobra.Command{
		Use: "release VERSION", Short: "Make or complete a GitHub release: wheels, signed table, checksums, notes", Args: oneArg("the tag of the release", "v1.2.0"),
		Long: `Makes a draft of the release, gives it the wheels, table.json and table.md, and
SHA256SUMS, and publishes it when all are there. The notes say which combinations are
new, updated and dropped since the table of the latest release. Ended halfway, the same command
goes on; what is published is completed and never changed.

The token is that of GITHUB_TOKEN or GH_TOKEN; GITHUB_REPOSITORY, GITHUB_SHA and
GITHUB_API_URL are those of GitHub Actions.`,
		Example: "  jetcrate table --published registry.example.org/jetson --out out\n  jetcrate release v1.2.0 --repository owner/name --table out/table.json --wheels out/wheels",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			return a.release(c.Context(), args[0], f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.repository, "repository", os.Getenv("GITHUB_REPOSITORY"), "OWNER/NAME on GitHub")
	fl.StringVar(&f.table, "table", "", "signed table (default: where jetcrate table writes it)")
	fl.StringVar(&f.wheels, "wheels", "", "folder whose wheels (*.whl) are released, those of its folders too")
	fl.StringArrayVar(&f.assets, "file", nil, "another file of the release; its name is the file's own")
	fl.StringVar(&f.commit, "commit", os.Getenv("GITHUB_SHA"), "commit that a new tag names")
	fl.BoolVar(&f.pre, "prerelease", false, "mark it as a pre-release")
	fl.BoolVar(&f.dry, "dry-run", false, "print the notes and the checksums, and send nothing")
	return c
}

func (a *app) release(ctx context.Context, tag string, f releaseFlags) error {
	if !regexp.MustCompile(`^v[0-9][0-9A-Za-z.+_-]*$`).MatchString(tag) {
		return usage{fmt.Errorf("a release is called v and its number, such as v1.2.0, not %q", tag)}
	}
	token := cmp.Or(os.Getenv("GITHUB_TOKEN"), os.Getenv("GH_TOKEN"))
	if token == "" && !f.dry {
		return usage{errors.New("GitHub asks who you are: set GITHUB_TOKEN or GH_TOKEN")}
	}
	client, err := release.New(release.Options{
		Repository: f.repository, Token: token, API: os.Getenv("GITHUB_API_URL"), Say: func(s string) { fmt.Fprintln(a.stderr, s) },
	})
	if err != nil {
		return usage{fmt.Errorf("--repository: %w", err)}
	}
	if f.table == "" {
		d, err := findDirs()
		if err != nil {
			return err
		}
		f.table = filepath.Join(d.data, "table.json")
	}
	t, err := releasable(f.table)
	if err != nil {
		return err
	}
	since, previous, err := a.previous(ctx, client, tag)
	if err != nil {
		return err
	}
	if err := extends(t, previous); err != nil {
		a.say(err)
		return said{exitNo}
	}
	scratch, err := os.MkdirTemp("", "jetcrate-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	files, err := releaseFiles(t, f, scratch)
	if err != nil {
		return err
	}
	notes := release.Diff(previous, t).Notes(since)
	if f.dry {
		sums, err := os.ReadFile(filepath.Join(scratch, "SHA256SUMS"))
		fmt.Fprintf(a.stdout, "%s\n%s", notes, sums)
		return err
	}
	res, err := client.Publish(ctx, release.Release{Tag: tag, Commit: f.commit, Notes: notes, Files: files, Pre: f.pre})
	var changed *release.ChangedError
	if errors.As(err, &changed) {
		a.say(err)
		return said{exitNo}
	}
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.json(res)
	}
	fmt.Fprintf(a.stderr, "%d files uploaded, %d were there\n", len(res.Uploaded), len(res.Kept))
	fmt.Fprintln(a.stdout, res.URL)
	return nil
}

// releasable reads a table that may be released: signed, and of real platforms.
func releasable(path string) (*table.Table, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, usage{fmt.Errorf("--table: %w", err)}
	}
	defer file.Close()
	t, err := table.Read(file)
	if err != nil {
		return nil, usage{fmt.Errorf("--table %s: %w", path, err)}
	}
	entries, err := t.LogEntries()
	if err == nil {
		_, _, _, err = table.OpenLog(entries, t.Log.Head)
	}
	if err != nil {
		return nil, usage{fmt.Errorf("--table %s: %w; a release holds the table of what was published: jetcrate table --published HOST/PATH", path, err)}
	}
	for i := range t.Rows {
		if r := &t.Rows[i]; r.Platform.Testbed {
			return nil, usage{fmt.Errorf("--table %s: %s is a stand-in for checks (testbed), and no release may hold it", path, r.Cell())}
		}
	}
	return t, nil
}

// previous is the table of the latest release.
func (a *app) previous(ctx context.Context, client *release.Client, tag string) (string, *table.Table, error) {
	if client.Token == "" {
		return "", nil, nil
	}
	since, content, err := client.Latest(ctx, tag, "table.json")
	if err != nil || content == nil {
		return since, nil, err
	}
	t, err := table.Read(bytes.NewReader(content))
	if err != nil {
		fmt.Fprintf(a.stderr, "the table of %s cannot be read, so all combinations count as new: %v\n", since, err)
		return since, nil, nil
	}
	return since, t, nil
}

// extends makes sure that a table does not forget what an earlier release had.
func extends(t, previous *table.Table) error {
	if previous == nil || previous.Log == nil {
		return nil
	}
	old, err := previous.LogEntries()
	if err != nil {
		return fmt.Errorf("reading the table of the latest release: %w", err)
	}
	now, err := t.LogEntries()
	if err != nil {
		return err
	}
	for i, e := range old {
		if i >= len(now) || now[i] != e {
			return fmt.Errorf("the table forgets or changes entry %d of the log that the latest release has: jet would refuse it", i)
		}
	}
	return nil
}

// releaseFiles gathers what is released; what is made for it goes into scratch.
func releaseFiles(t *table.Table, f releaseFlags, scratch string) ([]release.File, error) {
	var files []release.File
	paths := map[string]release.File{}
	add := func(path string) error {
		file, err := release.NewFile(filepath.Base(path), path)
		if err != nil {
			return err
		}
		if first, ok := paths[file.Name]; ok {
			if first.SHA256 == file.SHA256 {
				return nil
			}
			return usage{fmt.Errorf("%s and %s have one name and other content: a release cannot hold both", first.Path, path)}
		}
		paths[file.Name] = file
		files = append(files, file)
		return nil
	}
	if f.wheels != "" {
		if err := filepath.WalkDir(f.wheels, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".whl") {
				return err
			}
			return add(path)
		}); errors.Is(err, fs.ErrNotExist) {
			return nil, usage{fmt.Errorf("--wheels: %w", err)}
		} else if err != nil {
			return nil, fmt.Errorf("reading --wheels: %w", err)
		}
	}
	for _, path := range f.assets {
		if err := add(path); errors.Is(err, fs.ErrNotExist) {
			return nil, usage{fmt.Errorf("--file: %w", err)}
		} else if err != nil {
			return nil, err
		}
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"table.json": func(b *bytes.Buffer) error { return t.Write(b) },
		"table.md":   func(b *bytes.Buffer) error { return t.Markdown(b) },
	} {
		var b bytes.Buffer
		err := write(&b)
		if err == nil {
			err = os.WriteFile(filepath.Join(scratch, name), b.Bytes(), 0o644)
		}
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	for _, name := range []string{"table.json", "table.md"} {
		if err := add(filepath.Join(scratch, name)); err != nil {
			return nil, err
		}
	}
	var sums bytes.Buffer
	for _, file := range files {
		fmt.Fprintf(&sums, "%s  %s\n", file.SHA256, file.Name)
	}
	path := filepath.Join(scratch, "SHA256SUMS")
	if err := os.WriteFile(path, sums.Bytes(), 0o644); err != nil {
		return nil, err
	}
	return files, add(path)
}
