// Command gatehouse runs the Gatehouse server and administers its database.
//
// It turns flags, the environment and the file .env into the configuration of the
// engine and the server, and decides nothing else. Start at run; the variables are
// declared in settings.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one gets none.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), "", os.Stdin, os.Stdout, os.Stderr))
}
