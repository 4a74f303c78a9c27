package jetcrate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/buildkit"
	"github.com/jetcrate/jetcrate/internal/engine/dagger"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/report"
)

// jobsPerEngine is how many nodes are at work at once where nobody says.
const jobsPerEngine = 2

// retryPolicy is for what surrounds a run: never for what a step or a test gave.
func retryPolicy() engine.Policy { return engine.Policy{Attempts: 3, Wait: backOff} }

// backOff is 1, 3, 9, 27 and then 30 seconds.
func backOff(n int) time.Duration {
	wait := time.Second
	for ; n > 1 && wait < 30*time.Second; n-- {
		wait *= 3
	}
	return min(wait, 30*time.Second)
}

// engines are those that --engine names; one is "" where the first that works is taken.
func (w *work) engines() ([]string, error) {
	list := strings.Split(w.engine, ",")
	seen := map[string]bool{}
	for i, name := range list {
		list[i] = strings.TrimSpace(name)
		if len(list) > 1 && (list[i] == "" || seen[list[i]]) {
			return nil, usage{fmt.Errorf("--engine %s: name each engine once", w.engine)}
		}
		seen[list[i]] = true
	}
	return list, nil
}

// connect gives the engine that the flags name, or a pool of them.
func (w *work) connect(ctx context.Context, dirs dirs, run runDirs, rep *report.Reporter) (engine.Engine, error) {
	list, err := w.engines()
	if err != nil {
		return nil, err
	}
	tell := func(s string) { rep.Event(execute.Event{Kind: execute.Message, Text: s, Time: time.Now()}) }
	var members []engine.Member
	for _, name := range list {
		members = append(members, engine.Member{Name: name, Connect: func(ctx context.Context) (engine.Engine, error) {
			if name == "dagger" {
				return dagger.Connect(ctx, dagger.Options{Scratch: run.scratch, Log: filepath.Join(run.logs, "dagger.log")})
			}
			return buildkit.Connect(ctx, buildkit.Options{
				Address: name, BuildkitHost: os.Getenv("BUILDKIT_HOST"), StateDir: filepath.Join(dirs.data, "buildkitd"),
				Binary: besideProgram("buildkitd"), Keep: w.keep, Progress: tell,
			})
		}})
	}
	pool := engine.NewPool(members, engine.PoolOptions{Wait: backOff, Attempts: 3, Tell: tell})
	if err := pool.Connect(ctx); err != nil {
		return nil, err
	}
	return pool, nil
}
