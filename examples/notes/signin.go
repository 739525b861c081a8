package main

import (
	"errors"
	"net/http"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

// signInForm is what the page for signing in shows.
type signInForm struct{ Name, Wrong string }

// askWho shows the form for signing in.
func (a *app) askWho(w http.ResponseWriter, r *http.Request) {
	if _, ok := middleware.CurrentUser(r.Context()); ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	a.show(w, r, http.StatusOK, "signin", "Sign in", signInForm{})
}

// signIn checks the password, which is this application's part, and then lets the
// gate open a session: always a new one, so that nobody can be made to use a session
// that somebody else knows.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("name")
	ok, err := a.store.passwordIs(r.Context(), name, r.PostFormValue("password"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if !ok {
		form := signInForm{Name: name, Wrong: "There is nobody with this name and this password."}
		a.show(w, r, http.StatusUnauthorized, "signin", "Sign in", form)
		return
	}
	_, err = a.gate.SignIn(r.Context(), name)
	switch {
	case errors.Is(err, engine.ErrConflict): // somebody has made the user inactive
		a.show(w, r, http.StatusForbidden, "signin", "Sign in", signInForm{Name: name, Wrong: "This account is closed."})
	case err != nil:
		a.fail(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// signOut ends the session on the server, and only then in the browser.
func (a *app) signOut(w http.ResponseWriter, r *http.Request) {
	if err := a.gate.SignOut(r.Context()); err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}
