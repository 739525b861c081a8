package middleware_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

func TestConfigNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	for want, cfg := range map[string]middleware.Config{"Config.Sessions": {Checker: s}, "Config.Checker": {Sessions: s}} {
		if _, err := middleware.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one about %s", err, want)
		}
	}
}

// TestRequestsOfOtherSites shows which requests pass; none that does not is rotated.
func TestRequestsOfOtherSites(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.SessionConfig{})
	trusting := http.NewCrossOriginProtection()
	if err := trusting.AddTrustedOrigin("https://partner.example.com"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		method  string
		headers []string
		trust   *http.CrossOriginProtection
		want    int
	}{
		"same origin":              {"POST", []string{"Sec-Fetch-Site", "same-origin"}, nil, 200},
		"typed by the user":        {"POST", []string{"Sec-Fetch-Site", "none"}, nil, 200},
		"no browser":               {"POST", nil, nil, 200},
		"cross site":               {"POST", []string{"Sec-Fetch-Site", "cross-site"}, nil, 403},
		"same site":                {"POST", []string{"Sec-Fetch-Site", "same-site"}, nil, 403},
		"cross site, PUT":          {"PUT", []string{"Sec-Fetch-Site", "cross-site"}, nil, 403},
		"cross site, DELETE":       {"DELETE", []string{"Sec-Fetch-Site", "cross-site"}, nil, 403},
		"cross site, GET":          {"GET", []string{"Sec-Fetch-Site", "cross-site"}, nil, 200},
		"cross site, HEAD":         {"HEAD", []string{"Sec-Fetch-Site", "cross-site"}, nil, 200},
		"old browser, other host":  {"POST", []string{"Origin", "https://evil.example.com"}, nil, 403},
		"old browser, null origin": {"POST", []string{"Origin", "null"}, nil, 403},
		"trusted":                  {"POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://partner.example.com"}, trusting, 200},
		"not the trusted one":      {"POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.com"}, trusting, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &faulty{service: e.Tenant(uuid.NewString())}
			b := open(t, app(t, newGate(t, s, func(cfg *middleware.Config) { cfg.CrossOrigin = test.trust }), nil))
			b.signIn("alice")
			p := b.do(test.method, "/whoami", test.headers...)
			rotations := int64(0)
			if test.want == http.StatusOK {
				rotations = 1
			}
			if p.status != test.want || s.rotated.Load() != rotations {
				t.Errorf("got %d and %d rotations, want %d and %d", p.status, s.rotated.Load(), test.want, rotations)
			}
		})
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	routes := map[string]http.HandlerFunc{"/own": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
	}}
	usual := open(t, app(t, newGate(t, s), routes))
	changed := open(t, app(t, newGate(t, s, func(cfg *middleware.Config) {
		cfg.Headers = map[string]string{"content-security-policy": "default-src https:", "X-Frame-Options": "", "Permissions-Policy": "camera=()"}
	}), routes))
	const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
	for name, test := range map[string]struct {
		page         page
		header, want string
	}{
		"policy":                {usual.get("/whoami"), "Content-Security-Policy", policy},
		"policy of a handler":   {usual.get("/own"), "Content-Security-Policy", "default-src 'none'"},
		"policy of the gate":    {changed.get("/whoami"), "Content-Security-Policy", "default-src https:"},
		"TLS":                   {usual.get("/whoami"), "Strict-Transport-Security", "max-age=63072000; includeSubDomains"},
		"types":                 {usual.get("/whoami"), "X-Content-Type-Options", "nosniff"},
		"frames":                {usual.get("/whoami"), "X-Frame-Options", "DENY"},
		"frames, left out":      {changed.get("/whoami"), "X-Frame-Options", ""},
		"referrer":              {usual.get("/whoami"), "Referrer-Policy", "strict-origin-when-cross-origin"},
		"windows":               {usual.get("/whoami"), "Cross-Origin-Opener-Policy", "same-origin"},
		"embedding":             {usual.get("/whoami"), "Cross-Origin-Resource-Policy", "same-origin"},
		"added":                 {changed.get("/whoami"), "Permissions-Policy", "camera=()"},
		"on a refusal":          {usual.do("POST", "/whoami", "Sec-Fetch-Site", "cross-site"), "Content-Security-Policy", policy},
		"on what is not there":  {usual.get("/nowhere"), "X-Content-Type-Options", "nosniff"},
		"the rest stays usual":  {changed.get("/whoami"), "Referrer-Policy", "strict-origin-when-cross-origin"},
		"varies without cookie": {usual.get("/whoami"), "Vary", "Cookie"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.page.header.Get(test.header); got != test.want {
				t.Errorf("%s: got %q, want %q", test.header, got, test.want)
			}
		})
	}
}

var plan = authz.Node{Type: "note", ID: "plan"}

// permit lets alice read and edit the plan, and read everywhere.
func permit(t testing.TB, s service) {
	t.Helper()
	for role, permissions := range map[string][]string{"reader": {"note:read"}, "editor": {"note:edit"}} {
		if _, err := s.PutRole(t.Context(), authz.RoleDetail{Name: role}); err != nil {
			t.Fatal(err)
		}
		for _, permission := range permissions {
			if _, err := s.PutGrant(t.Context(), role, authz.Grant{Permission: permission}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.PutResource(t.Context(), authz.Resource{Node: plan}); err != nil {
		t.Fatal(err)
	}
	alice := authz.SubjectRef{Type: authz.UserType, Name: "alice"}
	for role, node := range map[string]authz.Node{"reader": authz.Root, "editor": plan} {
		if _, err := s.PutMembership(t.Context(), authz.Membership{Subject: alice, Role: role, Node: node}); err != nil {
			t.Fatal(err)
		}
	}
}

// note is the resource that the path names; some are not to be had.
func note(r *http.Request) (*authz.RequestedResource, error) {
	switch id := r.PathValue("id"); id {
	case "root":
		return nil, nil
	case "missing":
		return nil, middleware.ErrNotFound
	case "broken":
		return &authz.RequestedResource{Node: plan}, errors.New("the notes are away")
	default:
		return &authz.RequestedResource{Node: authz.Node{Type: "note", ID: id}}, nil
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *faulty) {
		permit(t, s)
		gate := newGate(t, s)
		both, none := []string{"note:read", "note:edit"}, []string{"note:delete", "note:share"}
		routes := map[string]http.HandlerFunc{}
		for path, require := range map[string]func(http.Handler) http.Handler{
			"/read/{id}": gate.Require("note:read", note), "/edit/{id}": gate.Require("note:edit", note),
			"/all/{id}": gate.RequireAll(both, note), "/any/{id}": gate.RequireAny(both, note), "/none/{id}": gate.RequireAny(none, note),
			"/anywhere": gate.Require("note:read", nil),
		} {
			routes[path] = require(http.HandlerFunc(whoami)).ServeHTTP
		}
		a := app(t, gate, routes)
		nobody, alice, bob := open(t, a), open(t, a), open(t, a)
		alice.signIn("alice")
		bob.signIn("bob")
		for path, want := range map[string][3]int{ // nobody, alice, bob
			"/read/plan": {401, 200, 403}, "/edit/plan": {401, 200, 403}, "/all/plan": {401, 200, 403}, "/any/plan": {401, 200, 403},
			"/read/else": {401, 200, 403}, "/edit/else": {401, 403, 403}, "/all/else": {401, 403, 403}, "/any/else": {401, 200, 403},
			"/none/plan": {401, 403, 403}, "/anywhere": {401, 200, 403}, "/read/root": {401, 200, 403}, "/edit/root": {401, 403, 403},
			"/read/missing": {401, 404, 404}, "/read/broken": {401, 503, 503}, "/read/%00": {401, 404, 404}, "/any/broken": {401, 503, 503},
		} {
			for i, b := range []*browser{nobody, alice, bob} {
				p := b.get(path)
				if p.status != want[i] {
					t.Errorf("%s: caller %d got %d, want %d", path, i, p.status, want[i])
				}
				if (p.header.Get("Retry-After") != "") != (p.status == http.StatusServiceUnavailable) {
					t.Errorf("%s: got %d with Retry-After %q", path, p.status, p.header.Get("Retry-After"))
				}
			}
		}
		alice.is("alice")
	})
}

func TestRequireAnswersAsItIsTold(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	gate := newGate(t, s, func(cfg *middleware.Config) {
		cfg.Unauthorized, cfg.Forbidden, cfg.NotFound, cfg.Unavailable = answer(461), answer(463), answer(464), answer(563)
	})
	b := open(t, app(t, gate, map[string]http.HandlerFunc{
		"/read/{id}": gate.Require("note:read", note)(http.HandlerFunc(whoami)).ServeHTTP,
	}))
	if p := b.get("/read/plan"); p.status != 461 {
		t.Errorf("nobody: got %d, want 461", p.status)
	}
	b.signIn("bob")
	for path, want := range map[string]int{"/read/plan": 463, "/read/missing": 464, "/read/broken": 563} {
		if p := b.get(path); p.status != want || p.cookie(t) != "set" {
			t.Errorf("%s: got %d and the cookie %s, want %d and set", path, p.status, p.cookie(t), want)
		}
	}
}

func TestRequireTakesNoPermissionThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	gate := newGate(t, newService(t, engine.SessionConfig{}))
	for name, wire := range map[string]func(){
		"a wildcard":      func() { gate.Require("note:*", nil) },
		"an empty one":    func() { gate.Require("", nil) },
		"all of none":     func() { gate.RequireAll(nil, nil) },
		"any of none":     func() { gate.RequireAny(nil, nil) },
		"one bad of many": func() { gate.RequireAny([]string{"note:read", "no spaces"}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("got no panic, want one")
				}
			}()
			wire()
		})
	}
}

func TestNeedsOfNothingAreMetByNobody(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	ctx := middleware.WithSession(t.Context(), authz.Session{ID: "s", User: "alice"})
	if err := (middleware.Needs{}).Met(ctx, s, nil); !errors.Is(err, middleware.ErrForbidden) {
		t.Errorf("got error %v, want ErrForbidden", err)
	}
}
