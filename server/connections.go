package server

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

const defaultConnections = 10_000

// connections bounds how many connections of each listener are open, and counts those of
// all.
type connections struct {
	most    int64
	open    atomic.Int64
	refused atomic.Uint64
}

// Bound bounds the connections of a listener that Serve is not given, such as ext_authz's,
// by Config.MaxConnections of its own, and counts them in the metrics.
func (s *Server) Bound(l net.Listener) net.Listener { return s.connections.bound(l) }

// bound closes at once what of a listener is too much: who is told so can go elsewhere,
// and who is left to hang cannot.
func (c *connections) bound(l net.Listener) net.Listener {
	return &boundListener{Listener: l, connections: c}
}

type boundListener struct {
	net.Listener
	connections *connections
	open        atomic.Int64
}

// Accept implements net.Listener.
func (l *boundListener) Accept() (net.Conn, error) {
	c := l.connections
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= c.most {
			c.open.Add(1)
			return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1); c.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		c.refused.Add(1)
		_ = conn.Close()
	}
}

// countedConn is a connection that is counted off when it is closed.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

func (c *connections) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_connections_open", Help: "Connections of clients that are open.",
		}, func() float64 { return float64(c.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_connections_refused_total", Help: "Connections that were closed at once, for there were too many.",
		}, func() float64 { return float64(c.refused.Load()) }),
	}
}
