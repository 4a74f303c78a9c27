package site_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/site"
	"github.com/jetcrate/jetcrate/internal/site/sitetest"
)

// browser is a real Chromium with one page, and what went wrong on it.
type browser struct {
	testing.TB
	ctx context.Context
	url string

	mu     sync.Mutex
	faults []string
}

// open shows a table of targets x platforms in Chromium.
func open(t testing.TB, targets, platforms int, before ...chromedp.Action[chromedp.Void]) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		chromium, err = exec.LookPath("google-chrome")
	}
	if err != nil {
		if os.Getenv("JETCRATE_REAL") != "" {
			t.Fatal("this machine lacks chromium: make setup-tests")
		}
		t.Skip("this machine lacks chromium; make test has it")
	}
	list, err := site.Files(sitetest.Table(targets, platforms), site.Options{
		Packages: map[string]site.Package{"pytorch": {Summary: "Tensors and neural networks in Python, on the GPU", Licence: "BSD-3-Clause", Image: "9GiB", Models: "2GiB"}},
		Devices:  []site.Device{{Name: "Jetson AGX Orin", GPU: "sm_87"}, {Name: "Jetson Nano", GPU: "sm_53"}},
		Runs:     []site.Run{{Name: "run-2", What: "build --all", State: "good", Began: time.Unix(1764140000, 0), Took: "12m34s"}},
	})
	require.NoError(t, err)
	server := httptest.NewServer(site.Handler(list))
	t.Cleanup(server.Close)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(2*time.Minute))...)
	t.Cleanup(stop)
	b := &browser{TB: t, url: server.URL}
	ctx, stopTab := chromedp.NewContext(alloc, chromedp.WithListener(b.listen))
	t.Cleanup(stopTab)
	b.ctx = ctx
	b.do(command(cdplog.Enable, cdp.Empty{}), command(network.Enable, network.EnableParams{}), chromedp.EmulateViewport(1400, 1000), media("light"))
	ctx, stopTime := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(stopTime)
	b.ctx = ctx
	b.do(before...)
	b.do(chromedp.Navigate(server.URL+"/"), chromedp.WaitReady("footer"))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(t, b.faults, "on the console of the page")
	})
	return b
}

// command is an action that sends a command of the protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// media makes the browser prefer a colour scheme, and no motion: a click goes to
// where a thing was, which is elsewhere while the page scrolls smoothly.
func media(scheme string) chromedp.Action[chromedp.Void] {
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL, ":", e.ExceptionDetails.LineNumber))
	case *runtime.EventConsoleAPICalled:
		b.faults = append(b.faults, fmt.Sprintf("console: %s %v", e.Type, e.Args))
	case *cdplog.EventEntryAdded:
		b.faults = append(b.faults, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.url) && u != "data:," {
			b.faults = append(b.faults, "loads "+u)
		}
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, actions...))
}

// js evaluates an expression that gives a text.
func (b *browser) js(expression string) string {
	b.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	require.NoError(b, err, expression)
	return out
}

// until waits for an expression to hold. The pages' policy forbids chromedp's own
// way of waiting, which makes functions of texts.
func (b *browser) until(expression string) {
	b.Helper()
	require.Eventually(b, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && ok
	}, 30*time.Second, 20*time.Millisecond, expression)
}

// settle waits until what was changed is drawn: a click goes to where a thing was.
func (b *browser) settle() {
	b.Helper()
	b.js(`(window.settled = 0, requestAnimationFrame(() => requestAnimationFrame(() => { window.settled = 1; })))`)
	b.until("window.settled")
}

// tree is what readers of screens are told.
func (b *browser) tree() []*accessibility.Node {
	b.Helper()
	res, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	require.NoError(b, err)
	return res.Nodes
}

// screenshot keeps what is shown: in JETCRATE_ARTIFACTS, or in a folder for
// temporary files.
func (b *browser) screenshot(name string) {
	b.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	require.NoError(b, err)
	dir := os.Getenv("JETCRATE_ARTIFACTS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "jetcrate-screenshots")
	}
	require.NoError(b, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, name+".png")
	require.NoError(b, os.WriteFile(file, png, 0o644))
	require.Greater(b, len(png), 10_000, "an empty picture")
	b.Logf("screenshot %s", file)
}

const (
	visibleCells   = `[...document.querySelectorAll("#grid td")].filter(td => td.offsetParent).length`
	visibleLines   = `[...document.querySelectorAll("#grid tbody tr")].filter(tr => tr.offsetParent).length`
	visibleColumns = `[...document.querySelectorAll("#grid thead tr:nth-child(2) th")].filter(th => th.offsetParent).length`
	active         = `document.activeElement.getAttribute("aria-label")`
)

// set changes a field of the filters as a person would.
func (b *browser) set(field, value string) {
	b.Helper()
	b.js(fmt.Sprintf(`(f => { f.value = %q; f.dispatchEvent(new Event("input", {bubbles: true})); })(document.forms[0].elements[%q])`, value, field))
}

func TestSiteGridAndFilters(t *testing.T) {
	b := open(t, 100, 50)
	require.Equal(t, "5000", b.js(visibleCells))
	require.Equal(t, "100 of 100 targets, 50 of 50 platforms", b.js(`document.querySelector("#found").textContent`))
	b.screenshot("grid")

	b.set("l4t", "36.4.0")
	require.Equal(t, "25", b.js(visibleColumns), "five stacks each for r36.2, r36.3 and three releases of r36.4")
	require.Equal(t, "2500", b.js(visibleCells))
	b.set("cuda", "12.8")
	require.Equal(t, "5", b.js(visibleColumns))
	require.Equal(t, "5", b.js(`[...document.querySelectorAll("#grid thead tr:first-child th[colspan]")].filter(th => th.offsetParent && th.colSpan === 1).length`))
	b.set("q", "torch")
	require.Equal(t, "1", b.js(visibleLines), "found by its alias")
	require.Equal(t, "pytorch", b.js(`[...document.querySelectorAll("#grid tbody tr")].find(tr => tr.offsetParent).cells[0].textContent`))
	require.Contains(t, b.js("location.hash"), "l4t=36.4.0", "a view has an address")
	b.screenshot("filtered")
	b.set("q", "python")
	require.Equal(t, "no target of this name; 100 hold it, 5 of 50 platforms", b.js(`document.querySelector("#found").textContent`))
	b.set("q", "no such package")
	require.Equal(t, "0", b.js(visibleCells))
	require.Equal(t, "false", b.js(`document.querySelector("#none").hidden`))
	b.do(chromedp.Click("#clear"))
	require.Equal(t, "5000", b.js(visibleCells))
	b.set("gpu", "sm_53")
	require.Equal(t, "5", b.js(visibleColumns), "of 32.7.1 alone")
	b.set("gpu", "")
	b.set("l4t", "32.7.1")
	b.set("cuda", "12.6")
	before := b.js(visibleLines)
	b.do(chromedp.Click(`input[name=only]`))
	require.NotEqual(t, before, b.js(visibleLines), "targets without an image there are gone")

	b.do(chromedp.Navigate(b.url+"/#l4t=36.4.0&q=torch"), chromedp.Reload(), chromedp.WaitReady("footer"))
	b.until(visibleLines + " === 1")
}

func TestSiteKeyboardAndReasons(t *testing.T) {
	b := open(t, 14, 12)
	b.do(chromedp.KeyEvent("/"))
	require.Equal(t, "q", b.js("document.activeElement.name"))
	b.set("q", "") // the protocol types what a keyboard would not, as the page prevents it
	for range 30 { // to the first cell: names are links, so it takes a while
		b.do(chromedp.KeyEvent(kb.Tab))
		if b.js("document.activeElement.tagName") == "TD" {
			break
		}
	}
	require.Equal(t, "TD", b.js("document.activeElement.tagName"))
	require.Equal(t, "package-1 2.1.0 on r36.4.4, CUDA 12.8, Python 3.11, ubuntu 22.04: not built", b.js(active))
	b.do(chromedp.KeyEvent(kb.ArrowRight))
	require.Equal(t, "package-1 2.0.0 on r36.4.4, CUDA 12.6, Python 3.10, ubuntu 22.04: tested", b.js(active))
	b.until(`!document.querySelector("#why").hidden`)
	require.Contains(t, b.js(`document.querySelector("#why").textContent`), "jet run package-1")
	require.Equal(t, "why", b.js(`document.activeElement.getAttribute("aria-describedby")`))
	b.do(chromedp.KeyEvent(kb.Escape))
	require.Equal(t, "true", b.js(`document.querySelector("#why").hidden`))
	b.do(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Home))
	require.Contains(t, b.js(active), "package-11 ")
	b.do(chromedp.KeyEvent(kb.PageDown), chromedp.KeyEvent(kb.PageDown))
	require.Contains(t, b.js(active), "pytorch", "the last line")
	b.until(`document.querySelector("#why").textContent.includes("it needs CUDA >=14")`)
	b.screenshot("reason")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`location.pathname === "/p/pytorch.html" && document.querySelector("article:target")`)
	require.Contains(t, b.js(`document.querySelector("article:target").textContent`), "it needs CUDA >=14")
	b.screenshot("package")
	b.js(`new MutationObserver(() => { window.answered = true; }).observe(document.querySelector("pre button"), {childList: true})`)
	b.do(chromedp.Click("pre button"))
	b.until("window.answered") // for a second and a half the button says so
}

func TestSiteOnAPhoneInTheDark(t *testing.T) {
	b := open(t, 14, 12, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch), media("dark"))
	fits := `document.documentElement.scrollWidth <= innerWidth`
	require.Equal(t, "true", b.js(fits), "the page itself does not scroll sideways")
	require.Equal(t, "390", b.js("innerWidth"))
	b.screenshot("phone-dark")
	b.set("l4t", "36.4.0")
	b.js(`document.querySelector("#grid").scrollIntoView()`)
	b.settle()
	b.do(chromedp.Click(chromedp.CSS(`#grid tbody td.n:nth-child(2)`)))
	b.until(`!document.querySelector("#why").hidden`)
	require.Contains(t, b.js(`document.querySelector("#why").textContent`), "it needs CUDA >=14")
	require.Equal(t, "true", b.js(`(r => r.left >= 0 && r.right <= innerWidth && r.bottom <= innerHeight)(document.querySelector("#why").getBoundingClientRect())`))
	b.screenshot("phone-dark-reason")
	b.do(chromedp.Navigate(b.url+"/p/pytorch.html"), chromedp.WaitReady("main"))
	require.Equal(t, "true", b.js(fits))
	b.screenshot("phone-dark-package")
}

// contrast gives what of the page is less legible than WCAG AA asks for.
const contrast = `(() => {
  const lum = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map(Number).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const back = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  const bad = new Set();
  for (const e of document.querySelectorAll("h1, h2, h3, p, a, td, th, label, li, li b, code, small, dt, dd, button, output, .state")) {
    if (!e.offsetParent || !e.textContent.trim()) continue;
    const a = lum(getComputedStyle(e).color), b = lum(back(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.add(e.tagName + "." + e.className + " " + ratio.toFixed(2));
  }
  return [...bad].join("; ");
})()`

func TestSiteIsAccessible(t *testing.T) {
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			b := open(t, 14, 12, media(scheme))
			for _, page := range []string{"/", "/p/pytorch.html"} {
				b.do(chromedp.Navigate(b.url+page), chromedp.WaitReady("main"))
				require.Empty(t, b.js(contrast), page)
				b.screenshot(scheme + strings.NewReplacer("/", "-", ".html", "").Replace(strings.TrimSuffix(page, "/")))
				roles := map[string]int{}
				for _, n := range b.tree() {
					if n.Ignored || n.Role == nil {
						continue
					}
					role, name := text(n.Role), text(n.Name)
					roles[role]++
					switch role {
					case "link", "button", "combobox", "searchbox", "checkbox", "grid", "region", "columnheader", "rowheader", "heading", "form", "article", "RootWebArea", "DisclosureTriangle":
						require.NotEmpty(t, name, "a %s of %s has no name", role, page)
					}
				}
				t.Logf("%s: %v", page, roles)
				require.Positive(t, roles["link"])
				require.Equal(t, 1, roles["main"])
				if page == "/" {
					require.Equal(t, 1, roles["grid"])
					require.Equal(t, 14*12, roles["gridcell"])
					require.Equal(t, 3, roles["combobox"])
				}
			}
		})
	}
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

func TestSiteWithoutJavaScript(t *testing.T) {
	b := open(t, 14, 12, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	var form, hint bool
	cells := 0
	for _, n := range b.tree() {
		switch {
		case n.Ignored:
		case text(n.Role) == "cell":
			cells++
		case text(n.Role) == "form":
			form = true
		case strings.Contains(text(n.Name), "Filters need JavaScript"):
			hint = true
		}
	}
	require.GreaterOrEqual(t, cells, 14*12)
	require.False(t, form, "filters that do nothing are not shown")
	require.True(t, hint)
	b.screenshot("no-javascript")
	b.do(chromedp.Click(`a[href="p/pytorch.html"]`), chromedp.WaitVisible("article"))
}

// cpu is the milliseconds that the page's main thread has spent on scripts, and on
// styles and layout: not the clock's, which other work on the machine slows.
func (b *browser) cpu() (script, layout float64) {
	b.Helper()
	res, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (performance.GetMetricsResult, error) {
		return cdp.Call(ctx, t, performance.GetMetrics, cdp.Empty{})
	})
	require.NoError(b, err)
	for _, m := range res.Metrics {
		switch m.Name {
		case "ScriptDuration":
			script = m.Value * 1000
		case "LayoutDuration", "RecalcStyleDuration":
			layout += m.Value * 1000
		}
	}
	return script, layout
}

// inThreadTime makes cpu count the time of the thread.
func inThreadTime() chromedp.Action[chromedp.Void] {
	return command(performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
}

// change sets the release and waits for what it does to the page.
const change = `((f) => { f.value = f.value ? "" : "36.4.0"; f.dispatchEvent(new Event("input", {bubbles: true})); return document.body.offsetHeight; })(document.forms[0].elements.l4t)`

func TestSiteIsQuick(t *testing.T) {
	b := open(t, 100, 50, inThreadTime())
	b.until(`performance.getEntriesByName("jetcrate-ready").length > 0`)
	script, layout := b.cpu()
	t.Logf("5,000 cells: %.1f ms of scripts, %.1f ms of styles and layout", script, layout)
	require.Less(t, script, 100.0, "milliseconds until the grid answers")
	b.js(change)
	afterScript, afterLayout := b.cpu()
	t.Logf("a filter: %.1f ms of scripts, %.1f ms of styles and layout", afterScript-script, afterLayout-layout)
	require.Less(t, afterScript-script, 200.0)
}

// BenchmarkSiteInteractive measures, in Chromium and by the clock, from the
// parsed page to the grid that answers, and one change of a filter, with 5,000
// cells.
func BenchmarkSiteInteractive(b *testing.B) {
	page := open(b, 100, 50)
	var ready, filter float64
	for b.Loop() {
		page.do(chromedp.Reload(), chromedp.WaitReady("footer"))
		page.until(`performance.getEntriesByName("jetcrate-ready").length > 0`)
		ms, err := chromedp.Run(page.ctx, chromedp.Evaluate[[]float64](`(() => {
			const n = performance.getEntriesByType("navigation")[0];
			const ready = performance.getEntriesByName("jetcrate-ready")[0].startTime - n.domInteractive;
			const at = performance.now();
			`+change+`;
			return [ready, performance.now() - at];
		})()`))
		require.NoError(b, err)
		ready += ms[0]
		filter += ms[1]
	}
	b.ReportMetric(ready/float64(b.N), "ms/interactive")
	b.ReportMetric(filter/float64(b.N), "ms/filter")
}
