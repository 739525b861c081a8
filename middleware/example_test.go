package middleware_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

func Example() {
	folder, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	e, err := engine.Open(context.Background(), engine.Config{
		Database: filepath.Join(folder, "gatehouse.sqlite3"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	// An sdk.Client would do as well.
	tenant := e.Tenant("notes")
	gate, err := middleware.New(middleware.Config{Sessions: tenant, Checker: tenant})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /signin", func(w http.ResponseWriter, r *http.Request) {
		// The application has looked at the password before.
		if _, err := gate.SignIn(r.Context(), "alice"); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /signout", func(w http.ResponseWriter, r *http.Request) {
		if err := gate.SignOut(r.Context()); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		user, ok := middleware.CurrentUser(r.Context())
		fmt.Fprintf(w, "%q %t", user, ok)
	})
	app := httptest.NewTLSServer(gate.Handler(mux))
	defer app.Close()

	visit := visitor(app)
	fmt.Println(visit("GET", "/"))
	fmt.Println(visit("POST", "/signin"))
	fmt.Println(visit("GET", "/"))
	fmt.Println(visit("POST", "/signout"))
	fmt.Println(visit("GET", "/"))
	// Output:
	// 200 "" false
	// 200
	// 200 "alice" true
	// 200
	// 200 "" false
}

func ExampleGate_Require() {
	folder, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	ctx := context.Background()
	e, err := engine.Open(ctx, engine.Config{
		Database: filepath.Join(folder, "gatehouse.sqlite3"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	tenant := e.Tenant("notes")
	// Whoever owns a note may edit it.
	if _, err := tenant.AddPermission(ctx, authz.Owner, "note:edit"); err != nil {
		log.Fatal(err)
	}
	gate, err := middleware.New(middleware.Config{Sessions: tenant, Checker: tenant})
	if err != nil {
		log.Fatal(err)
	}

	owners := map[string]string{"diary": "alice", "minutes": "bob"}
	note := func(r *http.Request) (*authz.RequestedResource, error) {
		owner, ok := owners[r.PathValue("id")]
		if !ok {
			return nil, middleware.ErrNotFound
		}
		return &authz.RequestedResource{Node: authz.Node{Type: "note", ID: r.PathValue("id")}, Owner: owner}, nil
	}
	mux := http.NewServeMux()
	mux.Handle("POST /notes/{id}", gate.Require("note:edit", note)(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "saved") })))
	mux.HandleFunc("POST /signin", func(w http.ResponseWriter, r *http.Request) {
		if _, err := gate.SignIn(r.Context(), "alice"); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	app := httptest.NewTLSServer(gate.Handler(mux))
	defer app.Close()

	visit := visitor(app)
	fmt.Println(visit("POST", "/notes/diary"))
	visit("POST", "/signin")
	fmt.Println(visit("POST", "/notes/diary"))
	fmt.Println(visit("POST", "/notes/minutes"))
	fmt.Println(visit("POST", "/notes/poem"))
	// Output:
	// 401 Unauthorized
	// 200 saved
	// 403 Forbidden
	// 404 Not Found
}

// visitor stands for a browser.
func visitor(app *httptest.Server) func(method, path string) string {
	client := app.Client()
	var err error
	if client.Jar, err = cookiejar.New(nil); err != nil {
		log.Fatal(err)
	}
	return func(method, path string) string {
		r, err := http.NewRequest(method, app.URL+path, nil)
		if err != nil {
			log.Fatal(err)
		}
		rsp, err := client.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		defer rsp.Body.Close()
		body, err := io.ReadAll(rsp.Body)
		if err != nil {
			log.Fatal(err)
		}
		return strings.TrimSpace(fmt.Sprint(rsp.StatusCode, " ", string(body)))
	}
}
