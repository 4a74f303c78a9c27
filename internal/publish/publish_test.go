package publish_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

func TestPublish(t *testing.T) {
	l := newLab(t)
	p := l.plan("36.4.0 cpu")
	l.build(p)

	look, err := l.publisher(p).Look(context.Background(), p.Cells)
	require.NoError(t, err)
	require.Empty(t, l.tags("cpu"), "looking writes nothing")
	c := look.Changes[0]
	require.Equal(t, publish.Add, c.Action)
	require.True(t, c.Copy && c.Log && c.Tag)
	require.Equal(t, l.place+"/cpu:1.2.0-r36.4.0-py311", c.Image)
	require.Len(t, look.Moves, 2)

	done, err := l.publish(p)
	require.NoError(t, err)
	require.False(t, done.Refused())
	d := l.digest(p)
	require.Equal(t, map[string]string{"1.2.0-r36.4.0-py311": d, "1.2-r36.4": d, "r36.4": d}, l.tags("cpu"))
	require.EqualValues(t, 2, done.Entries, "the key and the image")

	// What is published is whole, and its evidence came along.
	ref, err := name.NewDigest(l.place + "/cpu@" + d)
	require.NoError(t, err)
	img, err := remote.Image(ref)
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	for _, layer := range layers {
		rc, err := layer.Compressed()
		require.NoError(t, err)
		require.NoError(t, rc.Close())
	}
	idx, err := remote.Referrers(ref)
	require.NoError(t, err)
	m, err := idx.IndexManifest()
	require.NoError(t, err)
	attached, err := l.store.Referrers(context.Background(), d)
	require.NoError(t, err)
	require.Len(t, m.Manifests, len(attached))
	require.NotEmpty(t, attached)

	again, err := l.publish(p)
	require.NoError(t, err)
	require.Equal(t, "present: ", reasons(again))
	require.Empty(t, again.Moves)
	require.EqualValues(t, 2, again.Entries)
}

// A key that cannot sign the log is found out before anything is written.
func TestTheWrongKeyBeginsNothing(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	p, other := l.plan("36.4.0 cpu"), l.plan("36.4.3 cpu")
	l.build(p)
	l.build(other)
	_, err := l.publish(p)
	require.NoError(t, err)
	right := l.signer
	l.signer, _, err = ledger.NewKey("lab.example", l.now.AddDate(1, 0, 0))
	require.NoError(t, err)
	_, err = l.publish(other)
	require.ErrorAs(t, err, new(ledger.Mistake))
	require.ErrorContains(t, err, "it is signed by "+right.Key.ID())
	err = publish.Withdraw(ctx, l.ledger(), &l.signer, l.digest(p), "it burns")
	require.ErrorAs(t, err, new(ledger.Mistake))
	nothing := func() {
		t.Helper()
		s, err := l.ledger().Read(ctx)
		require.NoError(t, err)
		require.Empty(t, s.Waiting)
		require.Len(t, s.Items, 2)
		require.Len(t, l.tags("cpu"), 3)
	}
	nothing()
	l.signer = right
	l.now = right.Key.Until
	_, err = l.publish(other)
	require.ErrorContains(t, err, right.Key.ID()+" has expired")
	require.ErrorContains(t, publish.Withdraw(ctx, l.ledger(), &l.signer, l.digest(p), "it burns"), "has expired")
	nothing()
}

// What waits for a sequencer counts: a preview says what the next fold makes of it.
func TestWhatWaitsIsPreviewed(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	p := l.plan("36.4.0 cpu")
	l.build(p)
	unsigned := l.publisher(p)
	unsigned.Signer = nil
	look, err := unsigned.Look(ctx, p.Cells)
	require.NoError(t, err)
	done, err := unsigned.Publish(ctx, look, func(string) {})
	require.NoError(t, err)
	require.Equal(t, 1, done.Waiting)
	require.Empty(t, l.tags("cpu"))
	look, err = l.publisher(p).Look(ctx, p.Cells)
	require.NoError(t, err)
	require.Len(t, look.Moves, 2)
	done, err = l.publish(p)
	require.NoError(t, err)
	require.Equal(t, look.Moves, done.Moves)

	require.NoError(t, publish.Withdraw(ctx, l.ledger(), nil, l.digest(p), "it burns"))
	look, err = l.publisher(p).Look(ctx, p.Cells)
	require.NoError(t, err)
	require.Contains(t, reasons(look), "its withdrawal waits for a sequencer: it burns")
	require.NoError(t, publish.Withdraw(ctx, l.ledger(), &l.signer, l.digest(p), "it burns"), "the same again changes nothing")
	require.ErrorContains(t, publish.Withdraw(ctx, l.ledger(), &l.signer, l.digest(p), "it smokes"), "was withdrawn already: it burns")
}

func TestMovingTagsGoForward(t *testing.T) {
	l := newLab(t)
	newer, older, next := l.plan("36.4.0 cpu:1.2.0"), l.plan("36.4.0 cpu:1.1.0"), l.plan("36.4.3 cpu:1.1.0")
	for _, p := range []string{"36.4.0 cpu:1.2.0", "36.4.0 cpu:1.1.0", "36.4.3 cpu:1.1.0"} {
		l.build(l.plan(p))
	}
	_, err := l.publish(newer)
	require.NoError(t, err)
	_, err = l.publish(older)
	require.NoError(t, err)
	require.Equal(t, l.digest(newer), l.tags("cpu")["r36.4"], "an older version takes no tag from a newer one")
	require.Equal(t, l.digest(older), l.tags("cpu")["1.1-r36.4"])
	_, err = l.publish(next)
	require.NoError(t, err)
	require.Equal(t, l.digest(newer), l.tags("cpu")["r36.4"])
	require.Equal(t, l.digest(next), l.tags("cpu")["1.1-r36.4"], "a newer release of the line does")
	require.Len(t, l.tags("cpu"), 3+3)

	// A tag that somebody else moved is left alone.
	repo, err := name.NewRepository(l.place + "/cpu")
	require.NoError(t, err)
	img, _, err := l.store.Image(context.Background(), store.Base, newer.Node(newer.Cells[0].Image).Chain[0])
	require.NoError(t, err)
	require.NoError(t, remote.Write(repo.Tag("r36.4"), img))
	done, err := l.publish(newer)
	require.NoError(t, err)
	require.Len(t, done.Moves, 1)
	require.Contains(t, done.Moves[0].Reason, "the log does not know")
	foreign, err := img.Digest()
	require.NoError(t, err)
	require.Equal(t, foreign.String(), l.tags("cpu")["r36.4"])
}

// An image that is not tested, or not as the place wants it, gets there in no way.
func TestUntestedIsNotPublished(t *testing.T) {
	fails := func(r engine.Run) (engine.Exit, string, string) {
		if strings.Contains(strings.Join(r.Args, " "), "cpu --version") {
			return engine.Exit{Code: 1}, "", "no"
		}
		return engine.Exit{}, "", ""
	}
	for _, c := range []struct {
		name, target string
		prepare      func(*lab)
		after        func(*lab)
		build        func(*execute.Options)
		want         string
	}{
		{name: "its test failed", target: "36.4.0 cpu", prepare: func(l *lab) { l.engine.Exit = fails }, want: "failed"},
		{name: "nobody ran its tests", target: "36.4.0 cpu", build: func(o *execute.Options) { o.SkipTests = true }, want: "never run"},
		{name: "it has no tests", target: "36.4.0 untested", want: "no test of it has passed"},
		{name: "its GPU test was skipped", target: "36.4.0 gpu", want: "was skipped (no GPU)"},
		{name: "its GPU test was simulated", target: "36.4.0 gpu", after: func(l *lab) {
			l.evidence(l.plan("36.4.0 gpu"), "on-gpu", func(e *execute.Evidence) { e.Status, e.Reason = "simulated", "no driver facts" })
		}, want: "was only simulated (no driver facts)"},
		{name: "its platform is a stand-in", target: "36.3.0 cpu", want: "stand-in"},
		{name: "its evidence is another test's", target: "36.4.0 cpu", after: func(l *lab) {
			l.evidence(l.plan("36.4.0 cpu"), "works", func(e *execute.Evidence) { e.Test = "other" })
		}, want: "evidence that is of another test"},
		{name: "a test that the place requires does not exist", target: "36.4.0 cpu", prepare: func(l *lab) { l.rules.Tests = []string{"works", "gpu/soak"} }, want: "it has no test gpu/soak"},
		{name: "it was withdrawn", target: "36.4.0 cpu", after: func(l *lab) {
			_, err := l.publish(l.plan("36.4.0 cpu"))
			require.NoError(l, err)
			require.NoError(l, publish.Withdraw(context.Background(), l.ledger(), &l.signer, l.digest(l.plan("36.4.0 cpu")), "it burns"))
			l.site = newSite(l)
			l.rules.Repository = l.place
		}, want: "it was withdrawn: it burns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			if c.prepare != nil {
				c.prepare(l)
			}
			p := l.plan(c.target)
			var opts []func(*execute.Options)
			if c.build != nil {
				opts = append(opts, c.build)
			}
			l.build(p, opts...)
			if c.after != nil {
				c.after(l)
			}
			before := len(l.tags(p.Cells[0].Name))
			done, err := l.publish(p)
			require.NoError(t, err)
			// A failed test leaves no image of the target at all.
			require.Contains(t, []publish.Action{publish.Refuse, publish.None}, done.Changes[0].Action)
			if done.Changes[0].Action == publish.Refuse {
				require.Contains(t, reasons(done), c.want)
			}
			require.Len(t, l.tags(p.Cells[0].Name), before)

			// Nor by going round the judge: the log takes no such entry.
			if before == 0 {
				s, err := l.ledger().Read(context.Background())
				require.NoError(t, err)
				require.Empty(t, s.Items)
				require.Empty(t, s.Waiting)
			}
		})
	}
}

func TestOptionalGPU(t *testing.T) {
	l := newLab(t)
	l.rules.GPU = "optional"
	p := l.plan("36.4.0 gpu")
	l.build(p)
	done, err := l.publish(p)
	require.NoError(t, err)
	require.False(t, done.Refused(), reasons(done))
	s, err := l.ledger().Read(context.Background())
	require.NoError(t, err)
	row := s.Rows()[0]
	require.Equal(t, 1, row.Evidence.Skipped, "and the row says so")
	require.Equal(t, table.Current, row.Status)

	// What verify asks is what publish asks: of a test for a GPU, whatever other tests are named.
	for _, c := range []struct {
		gpu   string
		tests []string
		want  string
	}{{gpu: "optional"}, {gpu: "required", want: "the test gpu/on-gpu was skipped (no GPU)"}, {gpu: "required", tests: []string{"works"}, want: "the test gpu/on-gpu was skipped (no GPU)"}} {
		rules := l.rules
		rules.GPU, rules.Tests = c.gpu, c.tests
		proof := publish.Proof{Entries: s.Entries(), Signed: s.Signed, Rows: s.Rows()}
		v, err := publish.Verify(context.Background(), l.publisher(p).Registry, row.Image.Reference, proof, []table.Key{l.signer.Key}, rules)
		require.NoError(t, err)
		require.Equal(t, c.want, strings.Join(v.Problems, "\n"), c)
		l.rules = rules
		look, err := l.publisher(p).Look(context.Background(), p.Cells)
		require.NoError(t, err)
		require.Equal(t, c.want != "", look.Refused(), reasons(look))
	}
}

// Tags that move leave an image that was withdrawn, for the one before it; where
// there is none they stay, and it is told: registries have no common way to take a
// tag alone away.
func TestTagsLeaveWhatWasWithdrawn(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	first := l.plan("36.4.0 cpu")
	l.build(first)
	_, err := l.publish(first)
	require.NoError(t, err)
	l.edit("packages/a/cpu/package.yaml", "summary: linked", "summary: linked\nenv: {CPU: \"2\"}")
	second := l.plan("36.4.0 cpu")
	l.build(second)
	pub := l.publisher(second)
	pub.Revision = "2"
	publishSecond := func() *publish.Preview {
		look, err := pub.Look(ctx, second.Cells)
		require.NoError(t, err)
		done, err := pub.Publish(ctx, look, func(string) {})
		require.NoError(t, err)
		return done
	}
	publishSecond()
	require.Equal(t, l.digest(second), l.tags("cpu")["r36.4"])

	require.NoError(t, publish.Withdraw(ctx, l.ledger(), &l.signer, l.digest(second), "it burns"))
	done := publishSecond()
	require.True(t, done.Refused())
	require.Len(t, done.Moves, 2)
	require.Equal(t, l.digest(first), l.tags("cpu")["r36.4"])
	require.Equal(t, l.digest(first), l.tags("cpu")["1.2-r36.4"])
	require.Equal(t, l.digest(second), l.tags("cpu")["1.2.0-r36.4.0-py311-2"], "what others may use stays")

	require.NoError(t, publish.Withdraw(ctx, l.ledger(), &l.signer, l.digest(first), "it burns too"))
	done = publishSecond()
	require.Len(t, done.Moves, 2)
	require.Equal(t, "its image was withdrawn, and there is no other for it", done.Moves[0].Reason)
	require.Equal(t, l.digest(first), l.tags("cpu")["r36.4"])
}

func TestTagsAreNeverMoved(t *testing.T) {
	l := newLab(t)
	p := l.plan("36.4.0 cpu")
	l.build(p)
	_, err := l.publish(p)
	require.NoError(t, err)
	first := l.digest(p)

	l.edit("packages/a/cpu/package.yaml", "summary: linked", "summary: linked\nenv: {CPU: \"2\"}")
	rebuilt := l.plan("36.4.0 cpu")
	l.build(rebuilt)
	require.NotEqual(t, first, l.digest(rebuilt))
	done, err := l.publish(rebuilt)
	require.NoError(t, err)
	require.Contains(t, reasons(done), "such a tag is never moved: publish it with --revision")
	require.Equal(t, first, l.tags("cpu")["1.2.0-r36.4.0-py311"])

	publishIt := func(p *plan.Plan) *publish.Preview {
		pub := l.publisher(p)
		pub.Revision = publish.Auto
		look, err := pub.Look(context.Background(), p.Cells)
		require.NoError(t, err)
		done, err := pub.Publish(context.Background(), look, func(string) {})
		require.NoError(t, err)
		return done
	}
	publishIt(rebuilt)
	require.Equal(t, l.digest(rebuilt), l.tags("cpu")["1.2.0-r36.4.0-py311-2"])
	require.Equal(t, l.digest(rebuilt), l.tags("cpu")["1.2-r36.4"])
	s, err := l.ledger().Read(context.Background())
	require.NoError(t, err)
	rows := s.Rows()
	require.Equal(t, []table.Status{table.Superseded, table.Current}, []table.Status{rows[0].Status, rows[1].Status})

	// What has a tag keeps it, with a revision or without; the next is given once more.
	done = publishIt(rebuilt)
	require.Equal(t, publish.Present, done.Changes[0].Action)
	require.Contains(t, done.Changes[0].Image, ":1.2.0-r36.4.0-py311-2")
	l.edit("packages/a/cpu/package.yaml", `env: {CPU: "2"}`, `env: {CPU: "3"}`)
	third := l.plan("36.4.0 cpu")
	l.build(third)
	require.Contains(t, publishIt(third).Changes[0].Image, ":1.2.0-r36.4.0-py311-3")
	done = publishIt(p)
	require.Contains(t, done.Changes[0].Image, ":1.2.0-r36.4.0-py311", "the first is the current one again")
	require.Equal(t, first, l.tags("cpu")["1.2-r36.4"])
}
