package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

// noteOf tells Gatehouse which note a request is about: whose it is, and what it
// hangs under. What the browser sends is the id alone.
func (a *app) noteOf(r *http.Request) (*authz.RequestedResource, error) {
	n, err := a.store.note(r.Context(), r.PathValue("id"))
	if errors.Is(err, errNoNote) {
		return nil, middleware.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return n.resource(), nil
}

func (n note) resource() *authz.RequestedResource {
	return &authz.RequestedResource{Node: authz.Node{Type: "note", ID: n.ID}, Owner: n.Owner, Parent: n.Place}
}

// placeOf tells in which project or team a note is to be written. One that does not
// exist is not asked about: what nobody knows would hang under the root.
func (a *app) placeOf(r *http.Request) (*authz.RequestedResource, error) {
	place, err := a.place(r)
	if err != nil {
		return nil, err
	}
	return &authz.RequestedResource{Node: place.Node}, nil
}

func (a *app) place(r *http.Request) (authz.Scope, error) {
	node := authz.Node{Type: r.PathValue("kind"), ID: r.PathValue("id")}
	if node.Kind() != authz.KindProject && node.Kind() != authz.KindTeam || authz.ValidateID(node.ID) != nil {
		return authz.Scope{}, middleware.ErrNotFound
	}
	scope, err := a.gatehouse.Scope(r.Context(), node)
	if errors.Is(err, engine.ErrNotFound) {
		return authz.Scope{}, middleware.ErrNotFound
	}
	return scope.Value, err
}

// maxListed is how many of the newest notes the home page looks through.
const maxListed = 100

// homePage is what the home page shows.
type homePage struct {
	Notes []note
	// Places are where the user may write.
	Places []authz.Node
}

// home lists the notes that the user may read, and where they may write.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	user, _ := middleware.CurrentUser(r.Context())
	notes, err := a.store.newest(r.Context(), maxListed)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	// One question for each note, all answered at once: the same ones that the pages
	// of these notes ask.
	questions := make([]authz.Request, len(notes))
	for i, n := range notes {
		questions[i] = authz.Request{User: user, Permission: readNote, Resource: n.resource()}
	}
	var page homePage
	if len(questions) > 0 {
		decisions, err := a.gatehouse.CheckBatch(r.Context(), questions)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		for i, n := range notes {
			if decisions[i].Allowed {
				page.Notes = append(page.Notes, n)
			}
		}
	}
	// The reverse question: at which projects and teams is it allowed?
	for _, kind := range []authz.Kind{authz.KindProject, authz.KindTeam} {
		request := authz.Request{User: user, Permission: createNote}
		allowed, err := a.gatehouse.ResourcesFor(r.Context(), request, string(kind), authz.Page{})
		if err != nil {
			a.fail(w, r, err)
			return
		}
		for _, id := range allowed.Items {
			page.Places = append(page.Places, authz.Node{Type: string(kind), ID: id})
		}
	}
	a.show(w, r, http.StatusOK, "home", "Notes", page)
}

// notePage is a note, with the buttons that its reader can use.
type notePage struct {
	note
	MayEdit, MayDelete bool
}

func (a *app) showNote(w http.ResponseWriter, r *http.Request) {
	user, _ := middleware.CurrentUser(r.Context())
	n, err := a.store.note(r.Context(), r.PathValue("id"))
	if err != nil {
		a.failNote(w, r, err)
		return
	}
	// To leave out a button is a kindness. It is the routes that refuse.
	may, err := a.gatehouse.CheckBatch(r.Context(), []authz.Request{
		{User: user, Permission: editNote, Resource: n.resource()},
		{User: user, Permission: deleteNote, Resource: n.resource()},
	})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.show(w, r, http.StatusOK, "note", n.Title, notePage{n, may[0].Allowed, may[1].Allowed})
}

// noteForm is a note as somebody writes it.
type noteForm struct {
	// Heading is the page's; Action is where the form is sent, and Back where to go
	// without sending it.
	Heading, Action, Back string
	Title, Body           string
	Wrong                 string
}

const (
	newHeading  = "New note"
	editHeading = "Edit note"
)

func (a *app) newNote(w http.ResponseWriter, r *http.Request) {
	a.show(w, r, http.StatusOK, "form", newHeading, newForm(r))
}

// newForm is the form for a note in the place that a request is about.
func newForm(r *http.Request) noteForm {
	place := url.PathEscape(r.PathValue("kind")) + "/" + url.PathEscape(r.PathValue("id"))
	return noteForm{Heading: newHeading, Action: "/in/" + place + "/notes", Back: "/"}
}

func (a *app) createNote(w http.ResponseWriter, r *http.Request) {
	form := newForm(r)
	if !a.read(w, r, &form) {
		return
	}
	user, _ := middleware.CurrentUser(r.Context())
	place, err := a.place(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	id, err := a.store.create(r.Context(), note{Place: place.Node, Owner: user, Title: form.Title, Body: form.Body})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/notes/"+id, http.StatusSeeOther)
}

func (a *app) editNote(w http.ResponseWriter, r *http.Request) {
	n, err := a.store.note(r.Context(), r.PathValue("id"))
	if err != nil {
		a.failNote(w, r, err)
		return
	}
	form := editForm(n.ID)
	form.Title, form.Body = n.Title, n.Body
	a.show(w, r, http.StatusOK, "form", editHeading, form)
}

// editForm is the form for a note that exists.
func editForm(id string) noteForm {
	return noteForm{Heading: editHeading, Action: "/notes/" + id, Back: "/notes/" + id}
}

func (a *app) saveNote(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	form := editForm(id)
	if !a.read(w, r, &form) {
		return
	}
	if err := a.store.update(r.Context(), id, form.Title, form.Body); err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/notes/"+id, http.StatusSeeOther)
}

func (a *app) deleteNote(w http.ResponseWriter, r *http.Request) {
	if err := a.store.delete(r.Context(), r.PathValue("id")); err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// maxTitle is the longest title, in characters.
const maxTitle = 120

// read takes a note from a form that was sent. Where it is not one, it shows the form
// again, saying why, and returns false.
func (a *app) read(w http.ResponseWriter, r *http.Request, form *noteForm) bool {
	if err := r.ParseForm(); err != nil {
		a.showError(w, r, http.StatusBadRequest, "That could not be read", "It may have been too long.")
		return false
	}
	form.Title, form.Body = strings.TrimSpace(r.PostFormValue("title")), r.PostFormValue("body")
	if form.Title == "" || utf8.RuneCountInString(form.Title) > maxTitle {
		form.Wrong = "A title has 1 to 120 characters."
		a.show(w, r, http.StatusUnprocessableEntity, "form", form.Heading, *form)
		return false
	}
	return true
}

// failNote answers where a note could not be read. It may have been deleted since the
// gate asked.
func (a *app) failNote(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errNoNote) {
		a.notFound(w, r)
		return
	}
	a.fail(w, r, err)
}
