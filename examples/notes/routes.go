package main

import (
	"net/http"

	"github.com/gatehouse/gatehouse/middleware"
)

// app is the application: its handlers, and what they need.
type app struct {
	gatehouse gatehouse
	gate      *middleware.Gate
	store     *store
}

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// routes says of each address which permission it asks for, and on what. A handler
// runs only for who has it, so none of them checks anything again.
func (a *app) routes() http.Handler {
	pages := http.NewServeMux()
	on := func(pattern, permission string, resource middleware.ResourceFunc, handler http.HandlerFunc) {
		pages.Handle(pattern, a.gate.Require(permission, resource)(handler))
	}
	on("GET /{$}", useNotes, nil, a.home)

	on("GET /notes/{id}", readNote, a.noteOf, a.showNote)
	on("GET /notes/{id}/edit", editNote, a.noteOf, a.editNote)
	on("POST /notes/{id}", editNote, a.noteOf, a.saveNote)
	on("POST /notes/{id}/delete", deleteNote, a.noteOf, a.deleteNote)
	on("GET /in/{kind}/{id}/new", createNote, a.placeOf, a.newNote)
	on("POST /in/{kind}/{id}/notes", createNote, a.placeOf, a.createNote)

	on("GET /sessions", useNotes, nil, a.mySessions)
	on("POST /sessions/end-others", useNotes, nil, a.endOtherSessions)
	on("POST /sessions/{id}/end", endSession, a.sessionOf, a.endSession)

	on("GET /admin", viewAdmin, nil, a.admin)

	// Everybody may sign in, and out.
	pages.HandleFunc("GET /sign-in", a.askWho)
	pages.HandleFunc("POST /sign-in", a.signIn)
	pages.HandleFunc("POST /sign-out", a.signOut)
	pages.HandleFunc("/", a.notFound)

	// The gate goes around all of them: it knows who asks, and refuses what another
	// site has made the browser send. What is the same for everybody needs no session.
	all := http.NewServeMux()
	all.Handle("/", a.gate.Handler(http.MaxBytesHandler(pages, maxBody)))
	all.Handle("GET /style.css", a.gate.SecureHeaders(http.HandlerFunc(styles)))
	return all
}
