package sqlstore

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// tcpUserTimeout is Linux's TCP_USER_TIMEOUT, which package syscall lacks.
const tcpUserTimeout = 0x12

// boundSilence has the kernel give up a connection whose peer has confirmed nothing for a
// while, as happens where a network drops what is sent.
func boundSilence(socket syscall.RawConn, after time.Duration) error {
	var failed error
	err := socket.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(after.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}

// isStirred reports whether a connection that was left idle has something to read: the
// server's farewell, most likely. It does not wait.
func isStirred(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	socket, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	var peeked error
	// Read would wait for a reader, and the driver may have left one behind: it begins one
	// when a write takes long, which goes on until the server says something.
	err = socket.Control(func(fd uintptr) {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err != nil || peeked != syscall.EAGAIN
}
