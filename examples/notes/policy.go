package main

import (
	"context"
	"fmt"

	"github.com/gatehouse/gatehouse/authz"
)

// What can be asked for. Each route in routes.go asks for one of them.
const (
	useNotes   = "notes:use"   // be here at all
	createNote = "note:create" // at a project or a team
	readNote   = "note:read"
	editNote   = "note:edit"
	deleteNote = "note:delete"
	endSession = "session:end"
	viewAdmin  = "admin:view"
)

var (
	acme   = authz.Node{Type: string(authz.KindOrganization), ID: "acme"}
	apollo = authz.Node{Type: string(authz.KindProject), ID: "apollo"}
	gemini = authz.Node{Type: string(authz.KindProject), ID: "gemini"}
	crew   = authz.Node{Type: string(authz.KindTeam), ID: "crew"}
)

// Places hang under one another, and what holds at one holds below it.
var scopes = []authz.Scope{
	{Node: acme, Parent: authz.Root, Name: "Acme"},
	{Node: apollo, Parent: acme, Name: "Apollo"},
	{Node: crew, Parent: apollo, Name: "Apollo's crew"},
	{Node: gemini, Parent: acme, Name: "Gemini"},
}

var roles = []authz.RoleDetail{
	{Name: "author", Description: "Reads, and writes notes of their own"},
	{Name: "editor", Description: "Edits everybody's notes", Inherits: []string{"author"}},
	{Name: "admin", Description: "Sees who is who, and signs people out"},
}

var grants = []authz.RoleGrant{
	// @everyone and @owner are built in: nobody has to be given them. Who wrote a
	// note owns it, and who signed in owns the session.
	{Role: authz.Everyone, Grant: authz.Grant{Permission: useNotes}},
	{Role: authz.Owner, Grant: authz.Grant{Permission: "note:*"}},
	{Role: authz.Owner, Grant: authz.Grant{Permission: endSession}},

	{Role: "author", Grant: authz.Grant{Permission: createNote}},
	{Role: "author", Grant: authz.Grant{Permission: readNote}},
	{Role: "editor", Grant: authz.Grant{Permission: editNote}},

	{Role: "admin", Grant: authz.Grant{Permission: viewAdmin}},
	{Role: "admin", Grant: authz.Grant{Permission: endSession}},
}

// Bob is an editor by being one of a group; naming the group makes it. Carol's being
// an admin of the whole tenant does not let her read notes: that is another role.
var memberships = []authz.Membership{
	{Subject: user("alice"), Role: "author", Node: apollo},
	{Subject: authz.SubjectRef{Type: authz.GroupType, Name: "editors"}, Role: "editor", Node: apollo},
	{Subject: user("carol"), Role: "author", Node: gemini},
	{Subject: user("carol"), Role: "admin", Node: authz.Root},
}

func user(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.UserType, Name: name} }

// putPolicy writes all of the above. It is run at every start: to put what is there
// changes nothing.
func putPolicy(ctx context.Context, g policyWriter) error {
	for _, scope := range scopes {
		if _, err := g.PutScope(ctx, scope); err != nil {
			return fmt.Errorf("put %s: %w", scope.Node, err)
		}
	}
	for _, role := range roles {
		if _, err := g.PutRole(ctx, role); err != nil {
			return fmt.Errorf("put the role %s: %w", role.Name, err)
		}
	}
	for _, grant := range grants {
		if _, err := g.PutGrant(ctx, grant.Role, grant.Grant); err != nil {
			return fmt.Errorf("grant %s to %s: %w", grant.Permission, grant.Role, err)
		}
	}
	if _, err := g.AddToGroup(ctx, "editors", user("bob")); err != nil {
		return fmt.Errorf("add bob to the editors: %w", err)
	}
	for _, m := range memberships {
		if _, err := g.PutMembership(ctx, m); err != nil {
			return fmt.Errorf("make %s %s at %s: %w", m.Subject.Name, m.Role, m.Node, err)
		}
	}
	return nil
}
