package integration_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// listedKey is a row of gatehouse client list.
type listedKey struct{ fingerprint, tenant, abilities, status string }

// keysByName lists the client keys that have names without spaces.
func keysByName(i installation) map[string]listedKey {
	i.T.Helper()
	keys := map[string]listedKey{}
	for line := range strings.Lines(i.Must("client", "list")) {
		// FINGERPRINT TENANT NAME ABILITIES CREATED EXPIRES STATUS
		columns := strings.Fields(line)
		if len(columns) != 7 {
			i.T.Fatalf("client list: got %q, want seven columns", line)
		}
		keys[columns[2]] = listedKey{columns[0], columns[1], columns[3], columns[6]}
	}
	return keys
}

func TestClosedRegistration(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		i = i.With("AUTH_CLIENT_REGISTRATION=closed")
		server := i.Serve()
		ctx := t.Context()
		if _, err := newClient(t, server).AddRole(ctx, "editor", authz.RoleOptions{}); !errors.Is(err, sdk.ErrUnauthenticated) {
			t.Errorf("a key that nobody issued: got %v, want %v", err, sdk.ErrUnauthenticated)
		}

		create := func(args ...string) (key string) {
			t.Helper()
			key, newline := strings.CutSuffix(i.Must(append([]string{"client", "create"}, args...)...), "\n")
			if id, err := uuid.Parse(key); err != nil || id.Version() != 4 || !newline {
				t.Fatalf("client create printed %q, want a UUID4 and a newline", key)
			}
			return key
		}
		admin := create("--name", "backend")
		c := client(t, server, admin)
		if _, err := c.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		backend := keysByName(i)["backend"]

		checker := client(t, server, create("--name", "dashboard", "--abilities", "check,read", "--tenant", backend.tenant))
		if got, err := checker.Roles(ctx, authz.Page{}); err != nil || len(got.Items) != 1 {
			t.Errorf("another key of the tenant: got %v, %v, want its role", got.Items, err)
		}
		if _, err := checker.DeleteRole(ctx, "editor"); !errors.Is(err, sdk.ErrForbidden) {
			t.Errorf("a write with the abilities check and read: got %v, want %v", err, sdk.ErrForbidden)
		}
		if _, err := checker.AuditEvents(ctx, sdk.AuditFilter{}, authz.Page{}); !errors.Is(err, sdk.ErrForbidden) {
			t.Errorf("the audit log with the abilities check and read: got %v, want %v", err, sdk.ErrForbidden)
		}
		stranger := client(t, server, create("--name", "stranger"))
		if got, err := stranger.Roles(ctx, authz.Page{}); err != nil || len(got.Items) != 0 {
			t.Errorf("a key of a tenant of its own: got %v, %v, want no roles", got.Items, err)
		}

		// Within the overlap both keys are good; without one, the old key ends.
		successor := strings.TrimSpace(i.Must("client", "rotate", backend.fingerprint, "--overlap", "1h"))
		for name, key := range map[string]string{"old": admin, "new": successor} {
			if got, err := client(t, server, key).Roles(ctx, authz.Page{}); err != nil || len(got.Items) != 1 {
				t.Errorf("the %s key in the overlap: got %v, %v, want the role", name, got.Items, err)
			}
		}
		dashboard := keysByName(i)["dashboard"]
		renewed := client(t, server, strings.TrimSpace(i.Must("client", "rotate", dashboard.fingerprint, "--overlap", "0s")))
		servertest.Eventually(t, 5*time.Second, "the rotated key is refused", func() bool {
			_, err := checker.Roles(ctx, authz.Page{})
			return errors.Is(err, sdk.ErrUnauthenticated)
		})
		if got, err := renewed.Roles(ctx, authz.Page{}); err != nil || len(got.Items) != 1 {
			t.Errorf("its successor: got %v, %v, want the role", got.Items, err)
		}
		if _, err := renewed.DeleteRole(ctx, "editor"); !errors.Is(err, sdk.ErrForbidden) {
			t.Errorf("a write of its successor: got %v, want %v", err, sdk.ErrForbidden)
		}
		i.Fails("expired", "client", "rotate", dashboard.fingerprint)

		i.Must("client", "revoke", keysByName(i)["stranger"].fingerprint)
		list := i.Must("client", "list")
		for _, key := range []string{admin, successor} {
			if strings.Contains(list, key) {
				t.Error("client list shows a key")
			}
		}
		statuses := map[string]int{}
		for line := range strings.Lines(list) {
			columns := strings.Fields(line)
			statuses[columns[2]+" "+columns[3]+" "+columns[6]]++
		}
		for row, want := range map[string]int{
			"backend admin active": 2, "dashboard check,read active": 1, "dashboard check,read expired": 1, "stranger admin revoked": 1,
		} {
			if got := statuses[row]; got != want {
				t.Errorf("client list: %d rows of %q, want %d in\n%s", got, row, want, list)
			}
		}
		if _, err := c.AddRole(ctx, "viewer", authz.RoleOptions{}); err != nil {
			t.Errorf("an untouched key at the end: %v", err)
		}
	})
}
