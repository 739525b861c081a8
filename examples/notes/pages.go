package main

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/mileusna/useragent"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/middleware"
)

//go:embed templates
var templateFiles embed.FS

//go:embed style.css
var stylesheet []byte

// templates has each page by its name, within the layout that all share.
var templates = func() map[string]*template.Template {
	functions := template.FuncMap{
		"date":   func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") },
		"device": device,
	}
	pages := map[string]*template.Template{}
	for _, name := range []string{"signin", "home", "note", "form", "sessions", "admin", "error"} {
		files := template.New("layout.html").Funcs(functions)
		pages[name] = template.Must(files.ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html"))
	}
	return pages
}()

// device says in words what a session's User-Agent tells.
func device(s authz.Session) string {
	ua := useragent.Parse(s.UserAgent)
	if ua.Name == "" || ua.OS == "" {
		return "an unknown browser"
	}
	return ua.Name + " on " + ua.OS
}

// view is what the layout shows.
type view struct {
	Title string
	// User is who is signed in; empty where nobody is.
	User     string
	MayAdmin bool
	Page     any
}

// show answers with a page. It is made in memory first, so that an answer is whole,
// or says that it is not.
func (a *app) show(w http.ResponseWriter, r *http.Request, status int, name, title string, page any) {
	v := view{Title: title, Page: page}
	if user, ok := middleware.CurrentUser(r.Context()); ok {
		v.User = user
		decision, err := a.gatehouse.Check(r.Context(), authz.Request{User: user, Permission: viewAdmin})
		v.MayAdmin = err == nil && decision.Allowed // without the link the page is still good
	}
	var html bytes.Buffer
	if err := templates[name].Execute(&html, v); err != nil {
		slog.ErrorContext(r.Context(), "a page could not be made", "page", name, "error", err)
		http.Error(w, "This page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = html.WriteTo(w) // the browser may have gone away
}

// The gate answers with these where it does not let a request pass.

func (a *app) unauthorized(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

func (a *app) forbidden(w http.ResponseWriter, r *http.Request) {
	a.showError(w, r, http.StatusForbidden, "You may not do this", "Somebody who may can give you a role that lets you.")
}

func (a *app) notFound(w http.ResponseWriter, r *http.Request) {
	a.showError(w, r, http.StatusNotFound, "There is nothing here", "It may have been deleted, or it never was.")
}

func (a *app) unavailable(w http.ResponseWriter, r *http.Request) {
	a.showError(w, r, http.StatusServiceUnavailable, "Not just now", "Please try again in a moment.")
}

type errorPage struct{ Title, Advice string }

func (a *app) showError(w http.ResponseWriter, r *http.Request, status int, title, advice string) {
	a.show(w, r, status, "error", title, errorPage{title, advice})
}

// fail answers where something went wrong that is not the user's doing.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, middleware.ErrNotFound) {
		a.notFound(w, r)
		return
	}
	if r.Context().Err() == nil { // a browser that has gone away is no failure
		slog.ErrorContext(r.Context(), "a request failed", "error", err)
	}
	a.unavailable(w, r)
}

func styles(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(stylesheet)
}
