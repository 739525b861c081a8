package gatehousegrpc_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
	gatehousegrpc "github.com/gatehouse/gatehouse/middleware/grpc"
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
	tenant := e.Tenant("notes") // an sdk.Client would do as well
	gate, err := gatehousegrpc.New(gatehousegrpc.Config{
		Sessions: tenant,
		Checker:  tenant,
		Rules: map[string]gatehousegrpc.Rule{
			"/notes.v1.Notes/About": {Open: true},
			"/notes.v1.Notes/Mine":  {SignedIn: true},
			"/notes.v1.Notes/List":  {Needs: middleware.All("note:read")},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(gate.Unary()), grpc.StreamInterceptor(gate.Stream()))
	defer server.Stop()

	handler := func(context.Context, any) (any, error) { return "notes", nil }
	for _, method := range []string{"About", "Mine", "Erase"} {
		answer, err := gate.Unary()(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: "/notes.v1.Notes/" + method}, handler)
		fmt.Println(method, answer, err)
	}
	// Output:
	// About notes <nil>
	// Mine <nil> rpc error: code = Unauthenticated desc = nobody is signed in
	// Erase <nil> rpc error: code = PermissionDenied desc = no rule lets /notes.v1.Notes/Erase be called
}
