package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/gatehouse/gatehouse/internal/servertest"
)

// startChromium starts a browser with a profile of its own, which ends with the test.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(servertest.FindProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
	}
	for _, flag := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	// What the browser says that this library does not know is nothing to report.
	ctx, _ = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("end Chromium: %v", err)
		}
	})
	return ctx
}

// tab is one of a browser, at an application behind a bad line.
type tab struct {
	t    *testing.T
	ctx  context.Context
	line *line
}

// newTab opens a tab in a browser that nobody has used: other ones know nothing of
// its cookies.
func newTab(t *testing.T, chromium context.Context, line *line) *tab {
	t.Helper()
	return openTab(t, chromium, line, chromedp.WithNewBrowserContext())
}

// another opens a tab of the same browser, with the same cookies.
func (b *tab) another() *tab {
	b.t.Helper()
	return openTab(b.t, b.ctx, b.line)
}

func openTab(t *testing.T, of context.Context, line *line, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(of, options...)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, servertest.CommandTimeout)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return &tab{t, ctx, line}
}

// in runs an action in a tab, and returns what it finds.
func in[T any](b *tab, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return value
}

// goTo opens a page and waits until it is loaded.
func (b *tab) goTo(path string) {
	b.t.Helper()
	open := chromedp.Navigate(b.line.url + path)
	err := chromedp.Do(b.ctx, open)
	for isNetworkChange(err) {
		err = chromedp.Do(b.ctx, open)
	}
	if err != nil {
		b.t.Fatalf("go to %s: %v", path, err)
	}
}

// follow does what leads to another page, and waits until that is loaded.
func (b *tab) follow(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	_, err := chromedp.RunResponse(b.ctx, actions...)
	for isNetworkChange(err) {
		_, err = chromedp.RunResponse(b.ctx, chromedp.Reload())
	}
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// isNetworkChange tells whether the browser gave up a request because an interface of
// this machine came or went, as those of containers do beside these tests.
func isNetworkChange(err error) bool {
	return err != nil && strings.Contains(err.Error(), "net::ERR_NETWORK_CHANGED")
}

func (b *tab) signIn(name string) {
	b.t.Helper()
	b.goTo("/sign-in")
	b.follow("sign in",
		chromedp.SendKeys(chromedp.CSS("#name"), name),
		chromedp.SendKeys(chromedp.CSS("#password"), notesPasswords[name]+"\r"))
	if b.wantUser(name); b.t.Failed() {
		b.t.FailNow()
	}
}

func (b *tab) signOut() {
	b.t.Helper()
	b.follow("sign out", chromedp.Click(chromedp.CSS("form.who button")))
}

// wantUser checks who the page in front of the user says is signed in; empty for
// nobody, which is the page for signing in.
func (b *tab) wantUser(name string) {
	b.t.Helper()
	location, text := in(b, "read the address", chromedp.Location()), b.text()
	if name == "" {
		if location != b.line.url+"/sign-in" || strings.Contains(text, "Signed in") {
			b.t.Errorf("the page at %s for somebody who is not signed in:\n%s", location, text)
		}
		return
	}
	if !strings.Contains(text, "Signed in as "+name) {
		b.t.Errorf("%s is not signed in at %s:\n%s", name, location, text)
	}
}

// text is what the page in front of the user says.
func (b *tab) text() string {
	b.t.Helper()
	return in(b, "read the page", chromedp.Evaluate[string](`document.body.innerText`))
}

// begin starts n requests at once, and leaves in the page a promise of their answers.
// It asks again where there is none, see isNetworkChange.
func (b *tab) begin(n int, path string) {
	b.t.Helper()
	in(b, "begin requests", chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const get = at => fetch(at).then(answer => answer.text()).catch(() => get(at));
		window.pending = Promise.all(Array.from({length: %d}, (_, i) => get(%q + "?n=" + i + Math.random())));
	} undefined`, n, path)))
}

// finish waits until the requests that begin started have ended.
func (b *tab) finish() {
	b.t.Helper()
	in(b, "finish the requests", chromedp.Evaluate[bool](`window.pending.then(() => true)`, chromedp.EvalAwaitPromise))
}

// hasCookie tells whether the browser has a session's cookie.
func (b *tab) hasCookie() bool {
	b.t.Helper()
	browser := chromedp.FromContext(b.ctx).BrowserContextID
	jar, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: browser})
	if err != nil {
		b.t.Fatalf("read the cookies: %v", err)
	}
	for _, c := range jar.Cookies {
		if c.Name == "__Host-session" {
			return true
		}
	}
	return false
}

// line is a proxy between a browser and an application, on which answers are late,
// overtake each other and get lost. The application has done its work by then.
type line struct {
	url string

	mu sync.Mutex
	// delay is the longest that an answer waits, by chance.
	delay time.Duration
	// lose is how many of the next answers with a cookie get lost.
	lose, lost int
	// held keeps answers back until it is closed; each one is told to holding.
	held, holding chan struct{}
	// answers are those that came through.
	answers []answer
}

type answer struct {
	// request is as "GET /path".
	request string
	status  int
}

var errLost = errors.New("the answer got lost")

// startLine starts a line to an application.
func startLine(t *testing.T, application string) *line {
	t.Helper()
	target, err := url.Parse(application)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: l.pass,
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, errLost) && r.Context().Err() == nil {
				t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
			}
			panic(http.ErrAbortHandler) // closes the connection without an answer
		},
	})
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// pass decides what becomes of an answer.
func (l *line) pass(r *http.Response) error {
	l.mu.Lock()
	if l.lose > 0 && len(r.Header["Set-Cookie"]) > 0 {
		l.lose--
		l.lost++
		l.mu.Unlock()
		return errLost
	}
	held, holding, wait := l.held, l.holding, time.Duration(0)
	if l.delay > 0 {
		wait = rand.N(l.delay)
	}
	l.mu.Unlock()

	if held != nil && r.Request.URL.RawQuery != "" {
		select {
		case holding <- struct{}{}:
			<-held
		case <-held:
		}
	}
	time.Sleep(wait)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, answer{r.Request.Method + " " + r.Request.URL.Path, r.StatusCode})
	return nil
}

// delayUpTo makes answers late, and so overtake each other, from now on.
func (l *line) delayUpTo(longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = longest
}

// loseNext loses the next answer that brings a cookie.
func (l *line) loseNext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose++
}

// hold keeps back what answers the requests of begin. Read a value for each of them
// that has come; call release to let them go.
func (l *line) hold() (holding <-chan struct{}, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.holding = make(chan struct{}), make(chan struct{})
	held := l.held
	return l.holding, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(held)
		l.held = nil
	}
}

// cameTo are the answers to a method and a path that came through, by their status.
func (l *line) cameTo(request string) map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	came := map[int]int{}
	for _, a := range l.answers {
		if a.request == request {
			came[a.status]++
		}
	}
	return came
}

// haveBeenLost tells how many answers got lost.
func (l *line) haveBeenLost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}
