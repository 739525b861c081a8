//go:build !linux

package sqlstore

import (
	"net"
	"syscall"
	"time"
)

func boundSilence(syscall.RawConn, time.Duration) error { return nil }

func isStirred(net.Conn) bool { return false }
