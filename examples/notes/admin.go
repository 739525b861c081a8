package main

import (
	"net/http"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/middleware"
)

// adminPage shows who holds what where, and who is signed in.
type adminPage struct {
	Scopes   []scopeMembers
	Sessions []authz.Session
	Current  string
}

type scopeMembers struct {
	authz.Scope
	Members []authz.Membership
}

// admin reads all of it from Gatehouse. Each list is a page of at most 1,000.
func (a *app) admin(w http.ResponseWriter, r *http.Request) {
	current, _ := middleware.CurrentSession(r.Context())
	page := adminPage{Current: current.ID}
	for _, kind := range []authz.Kind{authz.KindOrganization, authz.KindProject, authz.KindTeam} {
		scopes, err := a.gatehouse.Scopes(r.Context(), kind, authz.Node{}, authz.Page{})
		if err != nil {
			a.fail(w, r, err)
			return
		}
		for _, scope := range scopes.Items {
			members, err := a.gatehouse.NodeMembers(r.Context(), scope.Node, authz.Page{})
			if err != nil {
				a.fail(w, r, err)
				return
			}
			page.Scopes = append(page.Scopes, scopeMembers{scope, members.Items})
		}
	}
	sessions, err := a.gatehouse.Sessions(r.Context(), "", false, authz.Page{})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	page.Sessions = sessions.Items
	a.show(w, r, http.StatusOK, "admin", "Admin", page)
}
