// Command sh is the one program of the test image: a POSIX shell with the few
// commands that the conformance suite uses, so that the suite needs no
// distribution's files.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "-c" {
		fmt.Fprintln(os.Stderr, "usage: sh -c SCRIPT")
		os.Exit(2)
	}
	prog, err := syntax.NewParser().Parse(strings.NewReader(os.Args[2]), "sh")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	runner, err := interp.New(interp.StdIO(nil, os.Stdout, os.Stderr), interp.ExecHandlers(commands))
	if err == nil {
		err = runner.Run(context.Background(), prog)
	}
	var status interp.ExitStatus
	switch {
	case errors.As(err, &status):
		os.Exit(int(status))
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// commands are the programs: cat FILE..., sleep DURATION, mkdir DIR, id.
func commands(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		hc := interp.HandlerCtx(ctx)
		abs := func(p string) string {
			if filepath.IsAbs(p) {
				return p
			}
			return filepath.Join(hc.Dir, p)
		}
		var err error
		switch args[0] {
		case "cat":
			for _, name := range args[1:] {
				var f *os.File
				if f, err = os.Open(abs(name)); err == nil {
					_, err = io.Copy(hc.Stdout, f)
					f.Close()
				}
			}
		case "sleep":
			var d time.Duration
			if d, err = time.ParseDuration(args[1] + "s"); err == nil {
				time.Sleep(d)
			}
		case "mkdir":
			err = os.MkdirAll(abs(args[1]), 0o755)
		case "id":
			fmt.Fprintln(hc.Stdout, os.Getuid())
		default:
			fmt.Fprintf(hc.Stderr, "%s: not found\n", args[0])
			return interp.ExitStatus(127)
		}
		if err != nil {
			fmt.Fprintln(hc.Stderr, err)
			return interp.ExitStatus(1)
		}
		return nil
	}
}
