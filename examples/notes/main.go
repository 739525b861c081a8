// Command notes is a small web application on Gatehouse, made to be read: people
// sign in, write notes in the projects of an organization, and may do there what
// their roles, and being the author of a note, let them.
//
//	go run ./examples/notes [-listen ADDRESS] [-data FOLDER] [-server URL -key CLIENT_KEY]
//
// Read it in this order:
//
//	gatehouse.go  where the answers come from: in process, or from a server
//	policy.go     who may do what
//	routes.go     which address asks for which permission
//	signin.go     signing in and out
//	notes.go      the pages about notes; sessions.go and admin.go are the others
//
// people.go and store.go keep what is the application's own, in its own SQLite file:
// passwords and notes. Gatehouse knows neither.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gatehouse/gatehouse/middleware"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "the address to listen on")
	data := flag.String("data", "notes-data", "the folder for the databases; it is made where it is missing")
	server := flag.String("server", "", "the URL of a running Gatehouse; without it, Gatehouse runs in this process")
	key := flag.String("key", "", "the client key for -server")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *data, *server, *key); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, data, server, key string) (err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	gatehouse, closeGatehouse, err := openGatehouse(ctx, data, server, key)
	if err != nil {
		return fmt.Errorf("open Gatehouse: %w", err)
	}
	defer func() { err = errors.Join(err, closeGatehouse()) }()
	if err := putPolicy(ctx, gatehouse); err != nil {
		return fmt.Errorf("write the policy: %w", err)
	}

	store, err := openStore(ctx, data)
	if err != nil {
		return fmt.Errorf("open the notes: %w", err)
	}
	defer func() { err = errors.Join(err, store.close()) }()

	a := &app{gatehouse: gatehouse, store: store}
	a.gate, err = middleware.New(middleware.Config{
		Sessions: gatehouse, Checker: gatehouse,
		Unauthorized: a.unauthorized, Forbidden: a.forbidden, NotFound: a.notFound, Unavailable: a.unavailable,
	})
	if err != nil {
		return err
	}

	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("Notes is at http://%s; sign in as\n", listener.Addr())
	for _, p := range people {
		fmt.Printf("  %-6s %-18s %s\n", p.name, p.password, p.is)
	}
	return serve(ctx, listener, a.routes())
}

// serve serves until ctx ends, and then lets what is running finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
