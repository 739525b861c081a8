// Package wire is the network between a PostgreSQL and its clients, and fails as it is
// told to. Connections must not be encrypted: a Wire reads along, to find the COMMITs.
package wire

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// Moment is when, of a COMMIT, a connection is cut.
type Moment int

const (
	// BeforeCommit keeps the COMMIT from the server, which so rolls back.
	BeforeCommit Moment = iota + 1
	// AfterCommit keeps the server's answer from the client: it has committed, or has
	// said why not.
	AfterCommit
)

// Wire passes connections on to a server. Mend makes it whole again after Cut, Silence
// and Delay; Close ends it. Its methods may be called by many goroutines.
type Wire struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu sync.Mutex
	// changed is closed, and replaced, when the wire's state is.
	changed chan struct{}
	state   state
	links   map[*link]struct{}
	closed  bool
	// moment and left say of which COMMITs connections are cut; wereCut counts them.
	moment        Moment
	left, wereCut int
}

// state is how a Wire fails; the zero value is a whole one.
type state struct {
	cut, silent bool
	delay       time.Duration
}

// Start starts a Wire to a server's address, host:port, on a free port of loopback.
func Start(target string) (*Wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a wire: %w", err)
	}
	w := &Wire{listener: listener, target: target, changed: make(chan struct{}), links: map[*link]struct{}{}}
	w.running.Go(w.accept)
	return w, nil
}

// Address is where the wire's clients connect to, as host:port.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// URL is a database's URL with the wire's address in place of the server's.
func (w *Wire) URL(database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("put a wire before a database: %w", err)
	}
	u.Host = w.Address()
	return u.String(), nil
}

// Close ends the wire with its connections, and waits until they are gone.
func (w *Wire) Close() {
	_ = w.listener.Close()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.Cut()
	w.running.Wait()
}

// Cut ends every connection, and each new one at once.
func (w *Wire) Cut() { w.become(state{cut: true}) }

// Silence stops all bytes on their way, both ways, and ends no connection.
func (w *Wire) Silence() { w.become(state{silent: true}) }

// Delay makes each answer come later by delay.
func (w *Wire) Delay(delay time.Duration) { w.become(state{delay: delay}) }

// Mend makes the wire whole. What it kept from passing passes now.
func (w *Wire) Mend() { w.become(state{}) }

func (w *Wire) become(s state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	close(w.changed)
	w.changed = make(chan struct{})
	if s.cut {
		for l := range w.links {
			l.end()
		}
	}
}

// now returns the state, and a channel that is closed when it changes.
func (w *Wire) now() (state, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.changed
}

// CutCommits cuts the connections that the next COMMITs come on, up to so many, each at
// a moment of its COMMIT; the others are left alone.
func (w *Wire) CutCommits(moment Moment, commits int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moment, w.left, w.wereCut = moment, commits, 0
}

// CommitsCut is how many COMMITs the last CutCommits has cut by now.
func (w *Wire) CommitsCut() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wereCut
}

// atCommit says when to cut the COMMIT that comes now; 0 for never.
func (w *Wire) atCommit() Moment {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return 0
	}
	w.left--
	return w.moment
}

func (w *Wire) commitCut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wereCut++
}

func (w *Wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.running.Go(func() { w.connect(client) })
	}
}

// connect passes a connection on until one side ends it.
func (w *Wire) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	if s, _ := w.now(); s.cut {
		return
	}
	server, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	l := &link{wire: w, client: client, server: server, ended: make(chan struct{})}
	defer l.end()
	if !w.keep(l) {
		return
	}
	defer w.drop(l)
	l.pass()
}

// keep remembers a link, unless the wire is cut.
func (w *Wire) keep(l *link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.cut || w.closed {
		return false
	}
	w.links[l] = struct{}{}
	return true
}

func (w *Wire) drop(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, l)
}
