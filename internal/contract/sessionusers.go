package contract

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) sessionUsers() map[string]func(*testing.T, device) {
	return map[string]func(*testing.T, device){
		"the_sessions_of_a_user_who_is_not_active_end_for_good": func(t *testing.T, d device) {
			issued, bob := d.signIn("alice"), d.signIn("bob")
			rotated := d.takes(authz.SessionRotated, atHome(issued.Token))
			d.puts(authz.User{Name: "alice", Inactive: true})
			d.refuses(authz.ErrSessionEnded, atHome(rotated.Token))
			_, err := d.CreateSession(d.ctx(), authz.NewSession{User: "alice", IP: home, UserAgent: chrome})
			fails(t, "sign in while not active", err, fault.CodeConflict)
			d.puts(authz.User{Name: "alice"})
			d.refuses(authz.ErrSessionEnded, atHome(rotated.Token))
			same(t, "reason", d.reads(issued.Session.ID).EndReason, authz.EndUserInactive)
			d.takes(authz.SessionRotated, atHome(d.signIn("alice").Token))
			d.takes(authz.SessionRotated, atHome(bob.Token))
		},

		"the_sessions_of_a_user_who_is_deleted_end_for_good": func(t *testing.T, d device) {
			issued, bob := d.signIn("alice"), d.signIn("bob")
			written, err := d.DeleteUser(d.ctx(), "alice")
			if err != nil || !written.Changed {
				t.Errorf("delete a user who has only a session: got %+v, %v, want a change", written, err)
			}
			d.refuses(authz.ErrSessionEnded, atHome(issued.Token))
			same(t, "reason", d.reads(issued.Session.ID).EndReason, authz.EndUserDeleted)
			written, err = d.DeleteUser(d.ctx(), "alice")
			if err != nil || written.Changed {
				t.Errorf("delete the user again: got %+v, %v, want no change", written, err)
			}
			d.takes(authz.SessionRotated, atHome(d.signIn("alice").Token))
			d.refuses(authz.ErrSessionEnded, atHome(issued.Token))
			d.takes(authz.SessionRotated, atHome(bob.Token))
		},

		"who_is_registered_keeps_sessions": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			d.puts(authz.User{Name: "alice", Properties: map[string]any{"level": 3.0}})
			d.takes(authz.SessionRotated, atHome(issued.Token))
		},
	}
}

func (s *suite) sessionAudit() map[string]func(*testing.T, device) {
	return map[string]func(*testing.T, device){
		"what_happens_to_sessions_leaves_one_event_each": func(t *testing.T, d device) {
			first := d.signIn("a/b@c")
			rotated := d.takes(authz.SessionRotated, atHome(first.Token))
			d.takes(authz.SessionReplayed, atHome(first.Token))
			d.verifies(true, atHome(rotated.Token))
			d.refuses(authz.ErrInvalidToken, atHome("x"))
			d.ends(true, first.Session.ID)
			d.ends(false, first.Session.ID)
			second, third := d.signIn("a/b@c"), d.signIn("a/b@c")
			d.endsAll(1, "a/b@c", third.Session.ID)
			d.puts(authz.User{Name: "a/b@c", Inactive: true})

			type told struct {
				Action, Resource, User, Outcome string
				Detail                          any
			}
			session := func(action, id string, detail any) told {
				return told{action, "session/" + id, "a/b@c", audit.Success, detail}
			}
			var got []told
			for _, e := range d.told(audit.Filter{}) {
				detail := map[string]string{
					audit.SessionCreated: "ip", audit.SessionEnded: "reason", audit.UserRegistered: "sessions_ended",
				}[e.Action]
				got = append(got, told{e.Action, e.Resource, e.User, e.Outcome, e.Details[detail]})
				if e.Actor == "" || e.Time.IsZero() {
					t.Errorf("%s: got actor %q and time %v, want both", e.Action, e.Actor, e.Time)
				}
			}
			equal(t, "events", got, []told{
				session(audit.SessionCreated, first.Session.ID, home),
				session(audit.SessionEnded, first.Session.ID, "revoked"),
				session(audit.SessionCreated, second.Session.ID, home),
				session(audit.SessionCreated, third.Session.ID, home),
				session(audit.SessionEnded, second.Session.ID, "revoked"),
				session(audit.SessionEnded, third.Session.ID, "user_inactive"),
				{audit.UserRegistered, "user/a%2Fb@c", "a/b@c", audit.Success, 1.0},
			})
		},
	}
}

// puts registers a user, or replaces what is known of one.
func (d device) puts(user authz.User) {
	d.t.Helper()
	if _, err := d.PutUser(d.ctx(), user); err != nil {
		d.t.Fatalf("put user %s: %v", user.Name, err)
	}
}
