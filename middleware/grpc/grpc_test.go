package gatehousegrpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
	gatehousegrpc "github.com/gatehouse/gatehouse/middleware/grpc"
)

// notes stands for a service of the application: it answers, and tells no more than
// that the right user called.
type notes struct {
	health.UnimplementedHealthServer
	t *testing.T
}

func (n notes) called(ctx context.Context, by string) {
	n.t.Helper()
	if user, _ := middleware.CurrentUser(ctx); user != by {
		n.t.Errorf("the handler was called by %q, want %q", user, by)
	}
}

func (n notes) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	n.called(ctx, "alice")
	return &health.HealthCheckResponse{}, nil
}

func (n notes) List(ctx context.Context, _ *health.HealthListRequest) (*health.HealthListResponse, error) {
	n.called(ctx, "")
	return &health.HealthListResponse{}, nil
}

func (n notes) Watch(_ *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	n.called(stream.Context(), "alice")
	return stream.Send(&health.HealthCheckResponse{})
}

// away is a service whose sessions, or whose decisions, cannot be asked for.
type away struct {
	*engine.Tenant
	sessions, decisions bool
}

var errAway = errors.New("the database is away")

func (a away) VerifySession(ctx context.Context, p authz.PresentedSession) (authz.SessionStatus, error) {
	if a.sessions {
		return authz.SessionStatus{}, errAway
	}
	return a.Tenant.VerifySession(ctx, p)
}

func (a away) Check(ctx context.Context, request authz.Request) (authz.Decision, error) {
	if a.decisions {
		return authz.Decision{Allowed: true}, errAway
	}
	return a.Tenant.Check(ctx, request)
}

func openTenant(t *testing.T) *engine.Tenant {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{
		Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	tenant := e.Tenant("notes")
	if _, err := tenant.AddRole(t.Context(), "reader", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.AddPermission(t.Context(), "reader", "note:read"); err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.AddMembership(t.Context(), "alice", "reader", authz.Window{}); err != nil {
		t.Fatal(err)
	}
	return tenant
}

// dial starts a server behind a Gate, and connects to it.
func dial(t *testing.T, cfg gatehousegrpc.Config) health.HealthClient {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	gate, err := gatehousegrpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(gate.Unary()), grpc.StreamInterceptor(gate.Stream()))
	health.RegisterHealthServer(s, notes{t: t})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("notes/1.0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return health.NewHealthClient(conn)
}

// signIn returns the token of a session on the device that dial calls from.
func signIn(t *testing.T, tenant *engine.Tenant, user string) string {
	t.Helper()
	issued, err := tenant.CreateSession(t.Context(), authz.NewSession{User: user, IP: "127.0.0.1", UserAgent: "notes/1.0 grpc-go/" + grpc.Version})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

const (
	check = "/grpc.health.v1.Health/Check"
	list  = "/grpc.health.v1.Health/List"
	watch = "/grpc.health.v1.Health/Watch"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	reads := gatehousegrpc.Rule{Needs: middleware.All("note:read")}
	on := func(err error) gatehousegrpc.Rule {
		return gatehousegrpc.Rule{Needs: reads.Needs, Resource: func(_ context.Context, request any) (*authz.RequestedResource, error) {
			if message, ok := request.(*health.HealthCheckRequest); ok {
				return &authz.RequestedResource{Node: authz.Node{Type: "note", ID: message.Service}}, err
			}
			return nil, err
		}}
	}
	alice := func(token string) []string { return []string{"authorization", "Bearer " + token} }
	for name, test := range map[string]struct {
		rule     *gatehousegrpc.Rule
		user     string
		metadata func(token string) []string
		away     away
		want     codes.Code
	}{
		"permitted":                       {&reads, "alice", alice, away{}, codes.OK},
		"signed in":                       {&gatehousegrpc.Rule{SignedIn: true}, "alice", alice, away{}, codes.OK},
		"on a resource":                   {ptr(on(nil)), "alice", alice, away{}, codes.OK},
		"scheme in other case":            {&reads, "alice", func(token string) []string { return []string{"authorization", "bearer " + token} }, away{}, codes.OK},
		"not permitted":                   {&reads, "bob", alice, away{}, codes.PermissionDenied},
		"no rule":                         {nil, "alice", alice, away{}, codes.PermissionDenied},
		"no token":                        {&reads, "alice", func(string) []string { return nil }, away{}, codes.Unauthenticated},
		"no token, signed in":             {&gatehousegrpc.Rule{SignedIn: true}, "alice", func(string) []string { return nil }, away{}, codes.Unauthenticated},
		"nonsense":                        {&reads, "alice", func(string) []string { return alice("nonsense") }, away{}, codes.Unauthenticated},
		"too long":                        {&reads, "alice", func(string) []string { return alice(strings.Repeat("a", 2049)) }, away{sessions: true}, codes.Unauthenticated},
		"another scheme":                  {&reads, "alice", func(token string) []string { return []string{"authorization", "Basic " + token} }, away{}, codes.Unauthenticated},
		"two tokens":                      {&reads, "alice", func(token string) []string { return append(alice(token), alice(token)...) }, away{}, codes.Unauthenticated},
		"no such resource":                {ptr(on(middleware.ErrNotFound)), "alice", alice, away{}, codes.NotFound},
		"a resource with a status":        {ptr(on(status.Error(codes.InvalidArgument, "no"))), "alice", alice, away{}, codes.InvalidArgument},
		"a resource that cannot be found": {ptr(on(errAway)), "alice", alice, away{}, codes.Unavailable},
		"sessions away":                   {&reads, "alice", alice, away{sessions: true}, codes.Unavailable},
		"decisions away":                  {&reads, "alice", alice, away{decisions: true}, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := openTenant(t)
			test.away.Tenant = tenant
			cfg := gatehousegrpc.Config{Sessions: test.away, Checker: test.away, Rules: map[string]gatehousegrpc.Rule{}}
			if test.rule != nil {
				cfg.Rules[check], cfg.Rules[watch] = *test.rule, *test.rule
			}
			client := dial(t, cfg)
			ctx := metadata.AppendToOutgoingContext(t.Context(), test.metadata(signIn(t, tenant, test.user))...)
			_, err := client.Check(ctx, &health.HealthCheckRequest{Service: "plan"})
			if got := status.Code(err); got != test.want {
				t.Errorf("call: got %v (%v), want %v", got, err, test.want)
			}
			stream, err := client.Watch(ctx, &health.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if got := status.Code(err); got != test.want {
				t.Errorf("stream: got %v (%v), want %v", got, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), errAway.Error()) {
				t.Errorf("the error tells what is away: %v", err)
			}
		})
	}
}

func ptr(rule gatehousegrpc.Rule) *gatehousegrpc.Rule { return &rule }

func TestOpenMethodsLookAtNoToken(t *testing.T) {
	t.Parallel()
	unasked := away{sessions: true, decisions: true}
	client := dial(t, gatehousegrpc.Config{Sessions: unasked, Checker: unasked, Rules: map[string]gatehousegrpc.Rule{list: {Open: true}}})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer nonsense")
	if _, err := client.List(ctx, &health.HealthListRequest{}); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

func TestTokenIsVerifiedAndNotUsed(t *testing.T) {
	t.Parallel()
	tenant := openTenant(t)
	client := dial(t, gatehousegrpc.Config{Sessions: tenant, Checker: tenant, Rules: map[string]gatehousegrpc.Rule{check: {SignedIn: true}}})
	token := signIn(t, tenant, "alice")
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	for range 3 {
		if _, err := client.Check(ctx, &health.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	live, err := tenant.Sessions(t.Context(), "alice", false, authz.Page{})
	if err != nil || len(live.Items) != 1 || live.Items[0].Generation != 1 {
		t.Fatalf("got %+v and error %v, want one session at generation 1", live.Items, err)
	}
	if _, err := tenant.EndSession(t.Context(), live.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Check(ctx, &health.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after its end: got error %v, want Unauthenticated", err)
	}
}

func TestRulesSayOneThing(t *testing.T) {
	t.Parallel()
	tenant := openTenant(t)
	resource := func(context.Context, any) (*authz.RequestedResource, error) { return nil, nil }
	for name, rule := range map[string]gatehousegrpc.Rule{
		"nothing":                   {},
		"open and signed in":        {Open: true, SignedIn: true},
		"open and a permission":     {Open: true, Needs: middleware.All("note:read")},
		"a resource and no more":    {Resource: resource},
		"a resource, and signed in": {SignedIn: true, Resource: resource},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := gatehousegrpc.New(gatehousegrpc.Config{Sessions: tenant, Checker: tenant, Rules: map[string]gatehousegrpc.Rule{check: rule}})
			if err == nil || !strings.Contains(err.Error(), check) {
				t.Errorf("got error %v, want one that names the method", err)
			}
		})
	}
}
