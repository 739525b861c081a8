package contract

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

// step is a change, and whether it finds anything to do.
type step struct {
	what string
	do   func() (authz.Written, error)
	new  bool
}

// life is a sequence of changes of every kind, each with its repetition.
func (x tenant) life() []step {
	description := "Edits"
	addRole := func(options authz.RoleOptions) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.AddRole(x.ctx(), "editor", options) }
	}
	grant := func() (authz.Written, error) { return x.AddPermission(x.ctx(), "editor", "post:edit") }
	revoke := func() (authz.Written, error) { return x.DeletePermission(x.ctx(), "editor", "post:edit") }
	join := func(window authz.Window) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.AddMembership(x.ctx(), "a/b@c", "editor", window) }
	}
	leave := func() (authz.Written, error) { return x.DeleteMembership(x.ctx(), "a/b@c", "editor") }
	deleteRole := func() (authz.Written, error) { return x.DeleteRole(x.ctx(), "editor") }
	return []step{
		{"delete an unknown role", deleteRole, false},
		{"add a role", addRole(authz.RoleOptions{}), true},
		{"add a role again", addRole(authz.RoleOptions{}), false},
		{"describe a role", addRole(authz.RoleOptions{Description: &description}), true},
		{"describe a role again", addRole(authz.RoleOptions{Description: &description}), false},
		{"revoke an unknown permission", revoke, false},
		{"grant", grant, true},
		{"grant again", grant, false},
		{"leave without having joined", leave, false},
		{"join", join(authz.Window{}), true},
		{"join again", join(authz.Window{}), false},
		{"change the window", join(distantWindow), true},
		{"change the window again", join(distantWindow), false},
		{"revoke", revoke, true},
		{"revoke again", revoke, false},
		{"leave", leave, true},
		{"leave again", leave, false},
		{"delete the role", deleteRole, true},
		{"delete the role again", deleteRole, false},
	}
}

// growth is life in the hierarchy.
func (x tenant) growth() []step {
	ctx := x.ctx()
	project := func(name string) func() (authz.Written, error) {
		return func() (authz.Written, error) {
			return x.PutScope(ctx, authz.Scope{Node: authz.Node{Type: "project", ID: "a/b"}, Parent: acme, Name: name})
		}
	}
	resource := func(owner string) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.PutResource(ctx, authz.Resource{Node: post, Owner: owner}) }
	}
	role := func(parents ...string) func() (authz.Written, error) {
		return func() (authz.Written, error) {
			return x.PutRole(ctx, authz.RoleDetail{Name: "editor", Inherits: parents})
		}
	}
	grant := func(condition string) func() (authz.Written, error) {
		return func() (authz.Written, error) {
			return x.PutGrant(ctx, "editor", authz.Grant{Permission: "post:*", Condition: condition})
		}
	}
	hold := func(subject authz.SubjectRef, node authz.Node, window authz.Window) func() (authz.Written, error) {
		return func() (authz.Written, error) {
			return x.PutMembership(ctx, authz.Membership{Subject: subject, Role: "editor", Node: node, Window: window})
		}
	}
	let := func(subject authz.SubjectRef, node authz.Node) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.RemoveMembership(ctx, subject, "editor", node) }
	}
	join := func(group string, member authz.SubjectRef) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.AddToGroup(ctx, group, member) }
	}
	leave := func(group string, member authz.SubjectRef) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.RemoveFromGroup(ctx, group, member) }
	}
	describe := func(description string) func() (authz.Written, error) {
		return func() (authz.Written, error) {
			return x.PutGroup(ctx, authz.Group{Name: "writers", Description: description})
		}
	}
	register := func(inactive bool) func() (authz.Written, error) {
		return func() (authz.Written, error) { return x.PutUser(ctx, authz.User{Name: "a@c", Inactive: inactive}) }
	}
	deleteScope := func() (authz.Written, error) { return x.DeleteScope(ctx, acme) }
	deleteResource := func() (authz.Written, error) { return x.DeleteResource(ctx, post) }
	deleteGroup := func() (authz.Written, error) { return x.DeleteGroup(ctx, "writers") }
	deleteUser := func() (authz.Written, error) { return x.DeleteUser(ctx, "a@c") }
	organization := func() (authz.Written, error) { return x.PutScope(ctx, authz.Scope{Node: acme}) }
	viewer := func() (authz.Written, error) { return x.PutRole(ctx, authz.RoleDetail{Name: "viewer"}) }

	var steps []step
	for _, s := range []step{
		{"make an organization", organization, true},
		{"make a project", project(""), true},
		{"rename a project", project("A"), true},
		{"make a resource", resource(""), true},
		{"give it away", resource("a@c"), true},
		{"make a role", viewer, true},
		{"make another", role(), true},
		{"let it inherit", role("viewer"), true},
		{"grant", grant(""), true},
		{"grant under a condition", grant("true"), true},
		{"give a user the role in the project", hold(user("a@c"), authz.Node{Type: "project", ID: "a/b"}, authz.Window{}), true},
		{"bound it", hold(user("a@c"), authz.Node{Type: "project", ID: "a/b"}, distantWindow), true},
		{"give a group the role at the resource", hold(group("writers"), post, authz.Window{}), true},
		{"describe the group", describe("Those who write"), true},
		{"give the group the role at the root", hold(group("writers"), authz.Root, authz.Window{}), true},
		{"put the user into a group", join("writers", user("a@c")), true},
		{"put a group into one", join("people", group("writers")), true},
		{"register the user", register(false), true},
		{"suspend the user", register(true), true},
		{"take the user out of the group", leave("writers", user("a@c")), true},
		{"take the group out of the other", leave("people", group("writers")), true},
		{"take the role from the group at the root", let(group("writers"), authz.Root), true},
		{"take the role from the group at the resource", let(group("writers"), post), true},
		{"delete the group", deleteGroup, true},
		{"delete the user", deleteUser, true},
		{"delete the resource", deleteResource, true},
		{"delete the organization with the project", deleteScope, true},
	} {
		steps = append(steps, s, step{s.what + ", again", s.do, false})
	}
	return steps
}

func (s *suite) revisions() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_change_raises_the_revision_by_one_and_no_change_by_none": func(t *testing.T, x tenant) {
			x.addRole("first") // with it the tenant is there
			revision := x.revision()
			for _, step := range append(x.life(), x.growth()...) {
				written, err := step.do()
				if err != nil {
					t.Fatalf("%s: %v", step.what, err)
				}
				if step.new {
					revision++
				}
				if written.Revision != revision {
					t.Errorf("%s: got revision %d, want %d", step.what, written.Revision, revision)
				}
				if got := x.revision(); got != revision {
					t.Errorf("%s: then got revision %d from a list, want %d", step.what, got, revision)
				}
			}
		},

		"a_change_that_fails_raises_nothing": func(t *testing.T, x tenant) {
			x.addRole("editor")
			before := x.revision()
			for what, err := range map[string]error{
				"grant to an unknown role": failure(x.AddPermission(x.ctx(), "nobody", "edit")),
				"join an unknown role":     failure(x.AddMembership(x.ctx(), "alice", "nobody", authz.Window{})),
				"join a built-in role":     failure(x.AddMembership(x.ctx(), "alice", authz.Everyone, authz.Window{})),
				"add a built-in role":      failure(x.AddRole(x.ctx(), authz.Owner, authz.RoleOptions{})),
				"add a malformed role":     failure(x.AddRole(x.ctx(), "a b", authz.RoleOptions{})),
			} {
				if err == nil {
					t.Errorf("%s: got no error", what)
				}
			}
			if after := x.revision(); after != before {
				t.Errorf("revision: got %d, want %d", after, before)
			}
		},

		"every_answer_tells_its_revision": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit")
			want := x.join("alice", "editor")
			for what, ask := range map[string]func() (authz.Decision, error){
				"RoleHasPermission":           func() (authz.Decision, error) { return x.RoleHasPermission(x.ctx(), "editor", "edit") },
				"RoleHasPermission, denied":   func() (authz.Decision, error) { return x.RoleHasPermission(x.ctx(), "editor", "fly") },
				"HasMembership":               func() (authz.Decision, error) { return x.HasMembership(x.ctx(), "alice", "editor") },
				"HasMembership, unknown user": func() (authz.Decision, error) { return x.HasMembership(x.ctx(), "bob", "editor") },
				"HasMembership of everyone":   func() (authz.Decision, error) { return x.HasMembership(x.ctx(), "bob", authz.Everyone) },
				"UserHasPermission":           func() (authz.Decision, error) { return x.UserHasPermission(x.ctx(), "alice", "edit") },
				"UserHasPermission, denied":   func() (authz.Decision, error) { return x.UserHasPermission(x.ctx(), "bob", "edit") },
				"UserCanRunWorkflow":          func() (authz.Decision, error) { return x.UserCanRunWorkflow(x.ctx(), "alice", "edit") },
			} {
				if decision, err := ask(); err != nil || decision.Revision != want {
					t.Errorf("%s: got revision %d and error %v, want %d", what, decision.Revision, err, want)
				}
			}
			for _, list := range x.listings() {
				if page, err := list.page(x.ctx(), authz.Page{}); err != nil || page.Revision != want {
					t.Errorf("%s: got revision %d and error %v, want %d", list.name, page.Revision, err, want)
				}
			}
		},

		"reading_an_empty_tenant_makes_nothing": func(t *testing.T, x tenant) {
			before := x.revision()
			for _, list := range x.listings() {
				if _, err := list.page(x.ctx(), authz.Page{}); err != nil {
					t.Errorf("%s: %v", list.name, err)
				}
			}
			x.denies(x.UserHasPermission(x.ctx(), "alice", "edit"))
			x.absent(x.DeleteRole(x.ctx(), "editor"))
			if after := x.revision(); after != before {
				t.Errorf("revision: got %d, want %d", after, before)
			}
		},
	}
}
