package integration_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// traffic is clients at work: they write, decide, list and keep sessions, each on
// things of its own, and none of their calls may fail.
type traffic struct {
	t     *testing.T
	calls atomic.Int64
	stop  func()
}

// startTraffic starts callers, each of which tries nothing twice.
func startTraffic(t *testing.T, callers ...*sdk.Client) *traffic {
	t.Helper()
	f := &traffic{t: t}
	stopped, ctx := make(chan struct{}), context.WithoutCancel(t.Context()) // which ends before its callers do
	var working sync.WaitGroup
	for n, c := range callers {
		working.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stopped:
					return
				default:
					f.round(ctx, c, fmt.Sprint(n, "-", round))
				}
			}
		})
	}
	f.stop = sync.OnceFunc(func() { close(stopped); working.Wait() })
	t.Cleanup(f.stop)
	return f
}

// goesOn waits until some more calls have been answered.
func (f *traffic) goesOn(what string) {
	f.t.Helper()
	const some = 100
	before := f.calls.Load()
	servertest.Eventually(f.t, servertest.CommandTimeout, "answers "+what, func() bool { return f.calls.Load() >= before+some })
}

// round makes, uses and deletes what is called name.
func (f *traffic) round(ctx context.Context, c *sdk.Client, name string) {
	role, user, note := "role-"+name, "user-"+name, authz.Node{Type: "note", ID: name}
	call := func(what string, err error) {
		if err != nil {
			f.t.Errorf("%s %s: %v", what, name, err)
		}
		f.calls.Add(1)
	}
	decided := func(what string, d authz.Decision, err error) {
		call(what, err)
		if err == nil && !d.Allowed {
			f.t.Errorf("%s %s: denied, want allowed", what, name)
		}
	}

	_, err := c.AddRole(ctx, role, authz.RoleOptions{})
	call("add the role", err)
	_, err = c.AddPermission(ctx, role, "edit")
	call("add the permission", err)
	_, err = c.PutResource(ctx, authz.Resource{Node: note, Owner: user})
	call("put the resource", err)
	written, err := c.AddMembership(ctx, user, role, authz.Window{})
	call("add the membership", err)
	decision, err := c.AtLeast(written.Revision).UserHasPermission(ctx, user, "edit")
	decided("has_permission", decision, err)
	decision, err = c.AtLeast(written.Revision).Check(ctx, authz.Request{User: user, Permission: "edit", Resource: &authz.RequestedResource{Node: note}})
	decided("check", decision, err)
	_, err = c.Members(ctx, role, authz.Page{})
	call("list the members", err)
	_, err = c.WhichUsersCan(ctx, "edit", authz.Page{Limit: 10})
	call("list who can", err)
	_, err = c.Roles(ctx, authz.Page{Limit: 10})
	call("list the roles", err)
	_, err = c.AuditEvents(ctx, sdk.AuditFilter{User: user}, authz.Page{Limit: 10})
	call("list the events", err)

	issued, err := c.CreateSession(ctx, authz.NewSession{User: user, IP: device, UserAgent: userAgent})
	call("open a session", err)
	rotated, err := c.RotateSession(ctx, authz.PresentedSession{Token: issued.Token, IP: device, UserAgent: userAgent})
	call("rotate the session", err)
	status, err := c.VerifySession(ctx, authz.PresentedSession{Token: rotated.Token, IP: device, UserAgent: userAgent})
	call("verify the session", err)
	if err == nil && !status.Active {
		f.t.Errorf("the session of %s is not active", name)
	}
	tokens, err := c.IssueTokens(ctx, authz.TokenRequest{})
	call("issue tokens", err)
	_, err = c.RefreshTokens(ctx, tokens.RefreshToken)
	call("refresh the tokens", err)

	_, err = c.DeleteUser(ctx, user)
	call("delete the user", err)
	_, err = c.DeleteResource(ctx, note)
	call("delete the resource", err)
	_, err = c.DeleteRole(ctx, role)
	call("delete the role", err)
}
