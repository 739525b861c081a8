package integration_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	// parallel is how many requests a page makes at once.
	parallel = 20
	// lateness is how late answers are, at most: within the overlap, so that a browser
	// may go back to any of the tokens that it gets meanwhile.
	lateness = 500 * time.Millisecond
)

// TestBrowser is examples/notes in a real browser.
func TestBrowser(t *testing.T) {
	t.Parallel()
	chromium := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"parallel requests and late answers keep the session", browserKeepsSession},
		{"two tabs share the session", browserSharesSession},
		{"answers that come after signing out sign nobody in", browserStaysSignedOut},
		{"the back button shows nothing after signing out", browserGoesBack},
		{"a lost answer does not end the session", browserLosesAnswer},
		{"a page that another site has made changes nothing", browserMeetsForgery},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, chromium) })
	}
}

func browserKeepsSession(t *testing.T, chromium context.Context) {
	line := startLine(t, startNotes(t, t.TempDir()).url)
	b := newTab(t, chromium, line)
	b.signIn("alice")
	line.delayUpTo(lateness)
	const rounds = 5
	for range rounds {
		b.begin(parallel, "/notes/launch")
		b.finish()
		b.goTo("/")
		b.wantUser("alice")
	}
	wantPages(t, line, "/notes/launch", rounds*parallel)
}

// wantPages checks that a page was there for whoever asked for it, at least n times.
func wantPages(t *testing.T, line *line, path string, n int) {
	t.Helper()
	if got := line.cameTo("GET " + path); got[http.StatusOK] < n || len(got) > 1 {
		t.Errorf("answers at %s, by status: got %v, want %d times 200", path, got, n)
	}
}

func browserSharesSession(t *testing.T, chromium context.Context) {
	line := startLine(t, startNotes(t, t.TempDir()).url)
	one := newTab(t, chromium, line)
	one.signIn("bob")
	two := one.another()
	line.delayUpTo(lateness)
	const rounds = 3
	for range rounds {
		one.goTo("/")
		two.goTo("/sessions")
		one.begin(parallel, "/notes/launch")
		two.begin(parallel, "/notes/checklist")
		one.finish()
		two.finish()
	}
	for path, page := range map[string]*tab{"/notes/launch": one, "/notes/checklist": two} {
		wantPages(t, line, path, rounds*parallel)
		page.goTo("/")
		page.wantUser("bob")
	}
	one.signOut()
	two.goTo("/")
	two.wantUser("")
}

func browserStaysSignedOut(t *testing.T, chromium context.Context) {
	line := startLine(t, startNotes(t, t.TempDir()).url)
	one := newTab(t, chromium, line)
	one.signIn("alice")
	two := one.another()
	two.goTo("/")

	// A browser has six connections: two are left for signing out.
	const late = 4
	holding, release := line.hold()
	one.begin(late, "/notes/launch")
	for range late {
		<-holding
	}
	two.signOut()
	two.wantUser("")
	release()
	one.finish()
	// What came late brought tokens, of a session that has ended.
	for _, b := range []*tab{one, two} {
		b.goTo("/notes/launch")
		b.wantUser("")
	}
	if one.hasCookie() {
		t.Error("the browser still has the cookie of a session that has ended")
	}
}

func browserGoesBack(t *testing.T, chromium context.Context) {
	line := startLine(t, startNotes(t, t.TempDir()).url)
	b := newTab(t, chromium, line)
	b.signIn("carol")
	if !b.hasCookie() {
		t.Error("there is no cookie after signing in")
	}
	b.goTo("/notes/budget")
	b.signOut()
	if b.hasCookie() {
		t.Error("there is a cookie after signing out")
	}
	for range 2 {
		in(b, "go back", chromedp.NavigateBack())
		text := b.text()
		if strings.Contains(text, "Two seats") || strings.Contains(text, "carol") {
			t.Errorf("going back after signing out shows\n%s", text)
		}
		b.wantUser("")
	}
	b.goTo("/notes/budget")
	b.wantUser("")
}

// browserLosesAnswer has no overlap that could excuse the token before, only the
// window for answers that got lost.
func browserLosesAnswer(t *testing.T, chromium context.Context) {
	server := servertest.InstallSQLite(t, "AUTH_SESSION_OVERLAP=1us").Serve()
	key := uuid.NewString()
	line := startLine(t, startNotes(t, t.TempDir(), "-server", server.URL, "-key", key).url)
	b := newTab(t, chromium, line)
	b.signIn("alice")
	const times = 3
	for range times {
		line.loseNext()
		// The browser may ask again by itself, where the connection was an old one.
		_ = chromedp.Do(b.ctx, chromedp.Navigate(line.url+"/notes/launch"))
		b.goTo("/")
		b.wantUser("alice")
	}
	if got := line.haveBeenLost(); got != times {
		t.Errorf("answers that got lost: got %d, want %d", got, times)
	}
	events, err := client(t, server, key).AuditEvents(t.Context(), sdk.AuditFilter{Action: "SESSION_ANSWER_RECOVERED"}, authz.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(events.Items) < times {
		t.Errorf("events of recovered answers: got %+v, want at least %d", events.Items, times)
	}
}

// browserMeetsForgery sends a form from another origin that is the same site: another
// port of the same machine. The cookie comes along.
func browserMeetsForgery(t *testing.T, chromium context.Context) {
	line := startLine(t, startNotes(t, t.TempDir()).url)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<!DOCTYPE html><title>Prizes</title>
			<form method="post" action="`+line.url+`/notes/launch/delete"><button>Win</button></form>`)
	}))
	t.Cleanup(elsewhere.Close)
	b := newTab(t, chromium, line)
	b.signIn("alice")
	in(b, "go elsewhere", chromedp.Navigate(elsewhere.URL))
	b.follow("send the form", chromedp.Click(chromedp.CSS("button")))
	if got := line.cameTo("POST /notes/launch/delete"); got[http.StatusForbidden] == 0 || len(got) > 1 {
		t.Errorf("answers to a form from another origin: got %v, want 403", got)
	}
	b.goTo("/notes/launch")
	b.wantUser("alice")
}
