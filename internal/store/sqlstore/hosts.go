package sqlstore

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// hosts has each connection begin with the host that took the last one, where the URL
// names several and says which kind it wants. In the URL's order every connection would
// wait first for one that has gone silent.
type hosts struct {
	// last is nil before the first connection, and after its host has gone silent, which
	// silent is then.
	last, silent atomic.Pointer[host]
}

// distrust has the next connection begin with another host than the last one did, which
// has gone silent.
func (h *hosts) distrust() {
	if last := h.last.Swap(nil); last != nil {
		h.silent.Store(last)
	}
}

type host struct {
	name string
	port uint16
}

// beforeConnect is order for those who call it with a context.
func (h *hosts) beforeConnect(_ context.Context, config *pgx.ConnConfig) error {
	h.order(config)
	return nil
}

// order prepares the configuration of one connection, which nobody else has.
func (h *hosts) order(config *pgx.ConnConfig) {
	validate := config.ValidateConnect
	if validate == nil || len(config.Fallbacks) == 0 {
		return
	}
	tries := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	last, silent := h.last.Load(), h.silent.Load()
	switch {
	case last != nil:
		move(tries, *last, true)
	case silent != nil:
		move(tries, *silent, false)
	}
	if last != nil || silent != nil {
		config.Host, config.Port, config.TLSConfig = tries[0].Host, tries[0].Port, tries[0].TLSConfig
		config.Fallbacks = tries[1:]
	}

	// The driver looks all hosts up, and then tries one after the other.
	addresses := map[string][]string{}
	lookup, dial, dialed := config.LookupFunc, config.DialFunc, ""
	config.LookupFunc = func(ctx context.Context, name string) ([]string, error) {
		found, err := lookup(ctx, name)
		addresses[name] = found
		return found, err
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = address
		return dial(ctx, network, address)
	}
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := validate(ctx, conn); err != nil {
			return err
		}
		for _, t := range tries {
			if isAt(t, addresses[t.Host], dialed) {
				h.last.Store(&host{t.Host, t.Port})
				break
			}
		}
		return nil
	}
}

// move puts the tries of one host at the front or at the end.
func move(tries []*pgconn.FallbackConfig, of host, toFront bool) {
	isOf := func(t *pgconn.FallbackConfig) bool { return host{t.Host, t.Port} == of }
	slices.SortStableFunc(tries, func(a, b *pgconn.FallbackConfig) int {
		switch {
		case isOf(a) == isOf(b):
			return 0
		case isOf(a) == toFront:
			return -1
		default:
			return 1
		}
	})
}

// isAt tells whether a host, looked up, is at the address that was dialed.
func isAt(t *pgconn.FallbackConfig, found []string, dialed string) bool {
	if filepath.IsAbs(t.Host) {
		found = []string{t.Host} // a socket's folder
	}
	for _, f := range found {
		if _, address := pgconn.NetworkAddress(f, t.Port); address == dialed {
			return true
		}
	}
	return false
}
