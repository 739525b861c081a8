package sqlstore

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var errRefused = errors.New("refused")

func TestHostsBeginWithTheLastThatTookAConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query string
		want  []string
	}{
		"of a kind":   {"&target_session_attrs=read-write", []string{"10.0.0.2:5432", "10.0.0.1:5432"}},
		"of any kind": {"", []string{"10.0.0.1:5432", "10.0.0.2:5432"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := postgresConfig("postgres://u@db1:5432,db2:5432/gatehouse?sslmode=disable" + c.query)
			if err != nil {
				t.Fatal(err)
			}
			var dialed []string
			config.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) {
				return map[string][]string{"db1": {"10.0.0.1"}, "db2": {"10.0.0.2"}}[host], nil
			}
			config.ConnConfig.DialFunc = func(_ context.Context, _, address string) (net.Conn, error) {
				dialed = append(dialed, address)
				return nil, errRefused
			}
			var h hosts
			if config.ConnConfig.ValidateConnect != nil {
				config.ConnConfig.ValidateConnect = func(context.Context, *pgconn.PgConn) error { return nil }
			}
			took := config.ConnConfig.Copy()
			h.order(took)
			// The driver tries all hosts, and the last is what takes the connection.
			if _, err := pgx.ConnectConfig(t.Context(), took); !errors.Is(err, errRefused) {
				t.Fatalf("got %v, want %v", err, errRefused)
			}
			if took.ValidateConnect != nil {
				if err := took.ValidateConnect(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			wantOrder := func(want []string) {
				t.Helper()
				dialed = nil
				next := config.ConnConfig.Copy()
				h.order(next)
				if _, err := pgx.ConnectConfig(t.Context(), next); !errors.Is(err, errRefused) {
					t.Fatalf("got %v, want %v", err, errRefused)
				}
				if !slices.Equal(dialed, want) {
					t.Errorf("dialed %v, want %v", dialed, want)
				}
			}
			wantOrder(c.want)
			h.last.Store(&host{"db1", 5432})
			for range 2 { // the second time there is nobody else to distrust
				h.distrust()
				wantOrder(c.want)
			}
		})
	}
}
