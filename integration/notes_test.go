package integration_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/internal/servertest"
)

// notesPasswords are those of the demo in examples/notes.
var notesPasswords = map[string]string{"alice": "rabbit-hole", "bob": "sponge-cake", "carol": "silent-night"}

// notesApp is a running examples/notes.
type notesApp struct {
	url  string
	data string
	// stop ends it as Ctrl-C does, and fails the test where it does not end well.
	stop func()
}

var notesURL = regexp.MustCompile(`http://[0-9.]+:[0-9]+`)

// startNotes starts the application on the databases in a folder, and waits until it
// serves. It is stopped with the test.
func startNotes(t *testing.T, data string, args ...string) *notesApp {
	t.Helper()
	cmd := exec.Command(servertest.Program("examples/notes"), append([]string{"-listen", "127.0.0.1:0", "-data", data}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	first, _ := lines.ReadString('\n')
	a := &notesApp{url: notesURL.FindString(first), data: data}
	running := true
	a.stop = func() {
		if !running {
			return
		}
		running = false
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop the notes: %v", err)
		}
		_, _ = io.Copy(io.Discard, lines) // Wait must not close it before it is read
		if err := cmd.Wait(); err != nil || strings.Contains(stderr.String(), " ERROR ") {
			t.Errorf("the notes ended with %v and said\n%s", err, &stderr)
		}
	}
	t.Cleanup(a.stop)
	if a.url == "" {
		t.Fatalf("the notes did not start: %q", first)
	}
	return a
}

// bothWays runs a test on the application with Gatehouse in process, and with one on
// a server.
func bothWays(t *testing.T, test func(*testing.T, *notesApp)) {
	t.Parallel()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		test(t, startNotes(t, t.TempDir()))
	})
	t.Run("on a server", func(t *testing.T) {
		t.Parallel()
		server := servertest.InstallSQLite(t).Serve()
		test(t, startNotes(t, t.TempDir(), "-server", server.URL, "-key", uuid.NewString()))
	})
}

// visitor is somebody at a browser of their own.
type visitor struct {
	t    *testing.T
	app  *notesApp
	http *http.Client
}

// browserJar keeps cookies as browsers do for http on a loopback address, where they
// send those that are Secure.
type browserJar struct{ *cookiejar.Jar }

func (j browserJar) Cookies(u *url.URL) []*http.Cookie {
	secure := *u
	secure.Scheme = "https"
	return j.Jar.Cookies(&secure)
}

func newVisitor(t *testing.T, app *notesApp) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, app: app, http: &http.Client{
		Jar:           browserJar{jar},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn is a visitor who has signed in; with no name, one who has not.
func signedIn(t *testing.T, app *notesApp, name string) *visitor {
	t.Helper()
	v := newVisitor(t, app)
	if name != "" {
		v.signIn(name)
	}
	return v
}

func (v *visitor) signIn(name string) {
	v.t.Helper()
	v.want("303 /", "POST", "/sign-in", "name", name, "password", notesPasswords[name])
}

// page is an answer.
type page struct {
	// result is the status, and where to go next.
	result string
	header http.Header
	body   string
}

// do sends a request with the fields of a form, as the application's own pages do.
func (v *visitor) do(method, path string, fields ...string) page {
	v.t.Helper()
	return v.send(v.request(method, path, fields...))
}

func (v *visitor) request(method, path string, fields ...string) *http.Request {
	v.t.Helper()
	form := url.Values{}
	for pair := range slices.Chunk(fields, 2) {
		form.Set(pair[0], pair[1])
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.app.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

func (v *visitor) send(r *http.Request) page {
	v.t.Helper()
	response, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	result := strings.TrimSpace(response.Status[:3] + " " + response.Header.Get("Location"))
	return page{result, response.Header, string(body)}
}

// want sends a request whose answer is known.
func (v *visitor) want(want, method, path string, fields ...string) page {
	v.t.Helper()
	got := v.do(method, path, fields...)
	if got.result != want {
		v.t.Errorf("%s %s: got %s, want %s\n%s", method, path, got.result, want, got.body)
	}
	return got
}

// wantUser sends a request that tells who is signed in; empty for nobody.
func (v *visitor) wantUser(name string) {
	v.t.Helper()
	if name == "" {
		v.want("303 /sign-in", "GET", "/")
		return
	}
	if got := v.want("200", "GET", "/"); !strings.Contains(got.body, "<strong>"+name+"</strong>") {
		v.t.Errorf("%s is not signed in:\n%s", name, got.body)
	}
}

// cookie is the session's cookie; nil where there is none.
func (v *visitor) cookie() *http.Cookie {
	v.t.Helper()
	at, err := url.Parse(v.app.url)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.http.Jar.Cookies(at) {
		if c.Name == "__Host-session" {
			return c
		}
	}
	return nil
}

// hold puts a token into the session's cookie.
func (v *visitor) hold(token string) {
	v.t.Helper()
	at, err := url.Parse(v.app.url)
	if err != nil {
		v.t.Fatal(err)
	}
	v.http.Jar.SetCookies(at, []*http.Cookie{{Name: "__Host-session", Value: token, Path: "/", Secure: true}})
}

var endButton = regexp.MustCompile(`/sessions/([^/"]+)/end"`)

// otherSessions are those that a page has a button for.
func (v *visitor) otherSessions(path string) []string {
	v.t.Helper()
	var ids []string
	for _, found := range endButton.FindAllStringSubmatch(v.want("200", "GET", path).body, -1) {
		ids = append(ids, found[1])
	}
	return ids
}

var notesRoute = regexp.MustCompile(`"((?:GET|POST) /[^"]*)"`)

func TestNotesRoutes(t *testing.T) {
	const (
		ok     = "200"
		denied = "403"
		gone   = "404"
		asked  = "303 /sign-in"
	)
	// Who changes something comes last.
	who := []string{"", "carol", "bob", "alice"}
	type row struct {
		route, path string
		fields      []string
		want        [4]string
	}
	rows := []row{
		{"GET /{$}", "/", nil, [4]string{asked, ok, ok, ok}},
		{"GET /notes/{id}", "/notes/launch", nil, [4]string{asked, denied, ok, ok}},
		{"GET /notes/{id}", "/notes/rations", nil, [4]string{asked, denied, ok, ok}},
		{"GET /notes/{id}", "/notes/checklist", nil, [4]string{asked, denied, ok, ok}},
		{"GET /notes/{id}", "/notes/budget", nil, [4]string{asked, ok, denied, denied}},
		{"GET /notes/{id}", "/notes/nothing", nil, [4]string{asked, gone, gone, gone}},
		{"GET /notes/{id}/edit", "/notes/rations/edit", nil, [4]string{asked, denied, ok, ok}},
		{"GET /notes/{id}/edit", "/notes/checklist/edit", nil, [4]string{asked, denied, ok, denied}},
		{"GET /notes/{id}/edit", "/notes/budget/edit", nil, [4]string{asked, ok, denied, denied}},
		{"POST /notes/{id}", "/notes/launch", []string{"title", "T"}, [4]string{asked, denied, "303 /notes/launch", "303 /notes/launch"}},
		{"POST /notes/{id}", "/notes/launch", []string{"title", " "}, [4]string{asked, denied, "422", "422"}},
		{"POST /notes/{id}", "/notes/checklist", []string{"title", "T"}, [4]string{asked, denied, "303 /notes/checklist", denied}},
		{"POST /notes/{id}", "/notes/nothing", []string{"title", "T"}, [4]string{asked, gone, gone, gone}},
		{"POST /notes/{id}/delete", "/notes/rations/delete", nil, [4]string{asked, denied, denied, "303 /"}},
		{"POST /notes/{id}/delete", "/notes/checklist/delete", nil, [4]string{asked, denied, "303 /", gone}},
		{"GET /in/{kind}/{id}/new", "/in/project/apollo/new", nil, [4]string{asked, denied, ok, ok}},
		{"GET /in/{kind}/{id}/new", "/in/team/crew/new", nil, [4]string{asked, denied, ok, ok}},
		{"GET /in/{kind}/{id}/new", "/in/project/gemini/new", nil, [4]string{asked, ok, denied, denied}},
		{"GET /in/{kind}/{id}/new", "/in/project/mercury/new", nil, [4]string{asked, gone, gone, gone}},
		{"GET /in/{kind}/{id}/new", "/in/organization/acme/new", nil, [4]string{asked, gone, gone, gone}},
		{"POST /in/{kind}/{id}/notes", "/in/project/gemini/notes", []string{"title", ""}, [4]string{asked, "422", denied, denied}},
		{"POST /in/{kind}/{id}/notes", "/in/note/launch/notes", []string{"title", "T"}, [4]string{asked, gone, gone, gone}},
		{"GET /sessions", "/sessions", nil, [4]string{asked, ok, ok, ok}},
		{"POST /sessions/{id}/end", "/sessions/nothing/end", nil, [4]string{asked, gone, gone, gone}},
		{"POST /sessions/end-others", "/sessions/end-others", nil, [4]string{asked, "303 /sessions", "303 /sessions", "303 /sessions"}},
		{"GET /admin", "/admin", nil, [4]string{asked, ok, denied, denied}},
		{"GET /style.css", "/style.css", nil, [4]string{ok, ok, ok, ok}},
		{"GET /sign-in", "/sign-in", nil, [4]string{ok, "303 /", "303 /", "303 /"}},
		{"POST /sign-out", "/sign-out", nil, [4]string{asked, asked, asked, asked}},
		{"POST /sign-in", "/sign-in", []string{"name", "alice", "password", "wrong"}, [4]string{"401", "401", "401", "401"}},
	}
	source, err := os.ReadFile("../examples/notes/routes.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range notesRoute.FindAllStringSubmatch(string(source), -1) {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.route == route[1] }) {
			t.Errorf("nothing here asks for %s", route[1])
		}
	}
	bothWays(t, func(t *testing.T, app *notesApp) {
		visitors := make([]*visitor, len(who))
		for i, name := range who {
			visitors[i] = signedIn(t, app, name)
		}
		for _, row := range rows {
			method, _, _ := strings.Cut(row.route, " ")
			for i, v := range visitors {
				if got := v.do(method, row.path, row.fields...); got.result != row.want[i] {
					t.Errorf("%s %s %q as %q: got %s, want %s\n%s", method, row.path, row.fields, who[i], got.result, row.want[i], got.body)
				}
			}
		}
	})
}

func TestNotesAnswersAreTheUsersAlone(t *testing.T) {
	bothWays(t, func(t *testing.T, app *notesApp) {
		got := signedIn(t, app, "alice").do("GET", "/")
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Vary": "Cookie",
		} {
			if value := got.header.Get(name); value != want {
				t.Errorf("%s: got %q, want %q", name, value, want)
			}
		}
		if policy := got.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self'") {
			t.Errorf("Content-Security-Policy: got %q", policy)
		}
		if strings.Contains(got.body, "Budget") || !strings.Contains(got.body, "Launch plan") {
			t.Errorf("the home page of Alice, who reads Apollo's notes and not Gemini's:\n%s", got.body)
		}
	})
}

func TestNotesOfOthersStayAsTheyAre(t *testing.T) {
	bothWays(t, func(t *testing.T, app *notesApp) {
		alice, bob, carol := signedIn(t, app, "alice"), signedIn(t, app, "bob"), signedIn(t, app, "carol")
		const mine = "/notes/launch"
		alice.want("403", "POST", "/notes/budget", "title", "Mine now")
		alice.want("403", "POST", "/in/project/gemini/notes", "title", "Hello")
		// What a form says besides the text does not count.
		alice.want("303 "+mine, "POST", mine, "title", "Launch", "id", "budget", "owner", "bob", "place_id", "gemini")
		bob.want("403", "POST", mine+"/delete")
		if got := carol.want("200", "GET", "/notes/budget").body; !strings.Contains(got, "<h1>Budget</h1>") {
			t.Errorf("Carol's note was changed:\n%s", got)
		}
		if got := alice.want("200", "GET", mine).body; !strings.Contains(got, "by alice in project apollo") {
			t.Errorf("Alice's note is not where it was:\n%s", got)
		}
		// A new note is its writer's, in the place that the address names.
		created := alice.do("POST", "/in/team/crew/notes", "title", "<b>New</b>", "body", "text", "owner", "bob")
		path := strings.TrimPrefix(created.result, "303 ")
		if got := bob.want("200", "GET", path).body; !strings.Contains(got, "by alice in team crew") || strings.Contains(got, "<b>New") {
			t.Errorf("the new note:\n%s", got)
		}
		carol.want("403", "GET", path)
		alice.want("400", "POST", path, "title", "T", "body", strings.Repeat("x", 64<<10))
	})
}

func TestNotesRefuseOtherSites(t *testing.T) {
	bothWays(t, func(t *testing.T, app *notesApp) {
		alice := signedIn(t, app, "alice")
		for _, request := range []*http.Request{
			alice.request("POST", "/notes/launch", "title", "Forged"),
			alice.request("POST", "/notes/launch/delete"),
			alice.request("POST", "/sessions/end-others"),
			alice.request("POST", "/sign-out"),
			alice.request("POST", "/sign-in", "name", "bob", "password", notesPasswords["bob"]),
		} {
			forged := request.Clone(t.Context())
			forged.Body, _ = request.GetBody()
			request.Header.Set("Sec-Fetch-Site", "cross-site")
			forged.Header.Del("Sec-Fetch-Site") // as browsers did that do not know it
			forged.Header.Set("Origin", "https://evil.example")
			for _, r := range []*http.Request{request, forged} {
				if got := alice.send(r); got.result != "403" || len(got.header["Set-Cookie"]) > 0 {
					t.Errorf("%s from another site: got %s with %q, want 403", r.URL.Path, got.result, got.header["Set-Cookie"])
				}
			}
		}
		alice.wantUser("alice")
		if got := alice.want("200", "GET", "/notes/launch").body; !strings.Contains(got, "<h1>Launch plan</h1>") {
			t.Errorf("another site changed a note:\n%s", got)
		}
	})
}

func TestNotesSignIn(t *testing.T) {
	bothWays(t, func(t *testing.T, app *notesApp) {
		v := newVisitor(t, app)
		for _, name := range []string{"alice", "nobody", ""} {
			got := v.want("401", "POST", "/sign-in", "name", name, "password", "wrong")
			if v.cookie() != nil || !strings.Contains(got.body, "There is nobody with this name and this password.") {
				t.Errorf("%q with a wrong password: got %v\n%s", name, v.cookie(), got.body)
			}
		}
		v.wantUser("")

		// A cookie that somebody has made up is not taken, nor is it what a session is
		// opened under.
		v.hold("chosen-by-somebody")
		v.wantUser("")
		v.signIn("alice")
		if v.cookie().Value == "chosen-by-somebody" {
			t.Error("signing in took the token that was there")
		}

		// Bob's own session, planted in Carol's browser, ends when she signs in.
		bob, carol := signedIn(t, app, "bob"), newVisitor(t, app)
		planted := bob.cookie().Value
		carol.hold(planted)
		carol.signIn("carol")
		carol.wantUser("carol")
		bob.hold(planted)
		bob.wantUser("")
	})
}

func TestNotesSignOut(t *testing.T) {
	bothWays(t, func(t *testing.T, app *notesApp) {
		alice := signedIn(t, app, "alice")
		token := alice.cookie().Value
		alice.want("303 /sign-in", "POST", "/sign-out")
		if got := alice.cookie(); got != nil {
			t.Errorf("after signing out the cookie is %v, want none", got)
		}
		alice.wantUser("")
		alice.hold(token)
		alice.wantUser("")
		if got := alice.cookie(); got != nil {
			t.Errorf("the cookie of a session that has ended: got %v, want none", got)
		}
	})
}

func TestNotesSessions(t *testing.T) {
	bothWays(t, func(t *testing.T, app *notesApp) {
		here, there, third := signedIn(t, app, "alice"), signedIn(t, app, "alice"), signedIn(t, app, "alice")
		bob, carol := signedIn(t, app, "bob"), signedIn(t, app, "carol")

		// Only there has a button for here and third.
		ids := there.otherSessions("/sessions")
		if len(ids) != 2 {
			t.Fatalf("Alice's other sessions: got %q, want 2", ids)
		}
		for _, id := range ids {
			bob.want("403", "POST", "/sessions/"+id+"/end")
		}
		here.wantUser("alice")
		third.wantUser("alice")

		// Each one is gone at its next request.
		for _, id := range ids {
			there.want("303 /sessions", "POST", "/sessions/"+id+"/end")
		}
		here.wantUser("")
		third.wantUser("")
		there.wantUser("alice")

		here.signIn("alice")
		here.want("303 /sessions", "POST", "/sessions/end-others")
		there.wantUser("")
		here.wantUser("alice")

		// An admin signs out whomever they want to.
		ids = carol.otherSessions("/admin")
		if len(ids) != 2 {
			t.Fatalf("the sessions besides Carol's: got %q, want Alice's and Bob's", ids)
		}
		for _, id := range ids {
			carol.want("303 /admin", "POST", "/sessions/"+id+"/end", "from", "admin")
		}
		here.wantUser("")
		bob.wantUser("")
		carol.wantUser("carol")

		// One's own session ends as signing out does.
		there.signIn("alice")
		id := carol.otherSessions("/admin")[0]
		there.want("303 /sign-in", "POST", "/sessions/"+id+"/end")
		if got := there.cookie(); got != nil {
			t.Errorf("after ending one's own session the cookie is %v, want none", got)
		}
	})
}

func TestNotesAreKept(t *testing.T) {
	t.Parallel()
	app := startNotes(t, t.TempDir())
	alice := signedIn(t, app, "alice")
	alice.want("303 /notes/launch", "POST", "/notes/launch", "title", "Changed")
	app.stop()

	// The same browser, for cookies do not tell ports apart.
	alice.app = startNotes(t, app.data)
	alice.wantUser("alice")
	if got := alice.want("200", "GET", "/notes/launch").body; !strings.Contains(got, "<h1>Changed</h1>") {
		t.Errorf("the note after a restart:\n%s", got)
	}
}
