package main

import (
	"errors"
	"net/http"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

// sessionOf tells Gatehouse which session a request is about, and that its user owns
// it: so "end your own session" is a grant to @owner, as "edit your own note" is.
func (a *app) sessionOf(r *http.Request) (*authz.RequestedResource, error) {
	s, err := a.gatehouse.Session(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, engine.ErrInvalid):
		return nil, middleware.ErrNotFound
	case err != nil:
		return nil, err
	}
	return &authz.RequestedResource{Node: authz.Node{Type: "session", ID: s.ID}, Owner: s.User}, nil
}

// sessionsPage lists sessions. Current is the one that asks.
type sessionsPage struct {
	Sessions []authz.Session
	Current  string
}

// mySessions lists where the user is signed in.
func (a *app) mySessions(w http.ResponseWriter, r *http.Request) {
	current, _ := middleware.CurrentSession(r.Context())
	sessions, err := a.gatehouse.Sessions(r.Context(), current.User, false, authz.Page{})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.show(w, r, http.StatusOK, "sessions", "My sessions", sessionsPage{sessions.Items, current.ID})
}

// endSession signs somebody out on one device: from its next request on, it is
// nobody's.
func (a *app) endSession(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if current, _ := middleware.CurrentSession(r.Context()); current.ID == id {
		a.signOut(w, r)
		return
	}
	if _, err := a.gatehouse.EndSession(r.Context(), id); err != nil {
		a.fail(w, r, err)
		return
	}
	back := "/sessions"
	if r.PostFormValue("from") == "admin" {
		back = "/admin"
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// endOtherSessions signs the user out everywhere else.
func (a *app) endOtherSessions(w http.ResponseWriter, r *http.Request) {
	current, _ := middleware.CurrentSession(r.Context())
	if _, err := a.gatehouse.EndSessions(r.Context(), current.User, current.ID); err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}
