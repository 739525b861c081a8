package sqlstore

import (
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A connection is looked at without waiting for whoever reads from it.
func TestIsStirred(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()

	// As a reader that the driver has left behind holds the connection.
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	reading, done := make(chan struct{}), make(chan struct{})
	go func() {
		_ = raw.Read(func(uintptr) bool {
			close(reading)
			<-done
			return true
		})
	}()
	<-reading
	defer close(done)

	// until is done when isStirred answers so, which it does at once but for the way of a
	// message.
	until := func(when string, want bool) {
		t.Helper()
		answered := make(chan struct{})
		go func() {
			for isStirred(conn) != want {
				runtime.Gosched()
			}
			close(answered)
		}()
		select {
		case <-answered:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it does not answer %t", when, want)
		}
	}
	until("idle", false)
	if _, err := server.Write([]byte("farewell")); err != nil {
		t.Fatal(err)
	}
	until("with a message", true)
}
