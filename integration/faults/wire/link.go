package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxChunk is how many bytes are passed on at once, roughly.
	maxChunk = 32 << 10
	// maxChunks is how many may be on their way, each way.
	maxChunks = 1024
	// maxMessage bounds a client's message, so that a stray one is an error.
	maxMessage = 64 << 20
)

// link is one connection.
type link struct {
	wire           *Wire
	client, server net.Conn

	once  sync.Once
	ended chan struct{}
	// committing is set when the answer to come is that to a COMMIT which must not arrive.
	committing atomic.Bool
}

// end ends both sides.
func (l *link) end() {
	l.once.Do(func() {
		close(l.ended)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// chunk is what came at a time.
type chunk struct {
	bytes []byte
	at    time.Time
}

// pass passes bytes both ways until the link ends.
func (l *link) pass() {
	questions, answers := make(chan chunk, maxChunks), make(chan chunk, maxChunks)
	var running sync.WaitGroup
	running.Go(func() { l.readQuestions(questions) })
	running.Go(func() { l.readAnswers(answers) })
	running.Go(func() { l.write(l.server, questions, false) })
	running.Go(func() { l.write(l.client, answers, true) })
	running.Wait()
}

// readQuestions reads the client's messages.
func (l *link) readQuestions(to chan<- chunk) {
	defer close(to)
	r := bufio.NewReaderSize(l.client, maxChunk)
	var bytes []byte
	for begun := false; ; {
		message, query, err := readMessage(r, begun)
		if err != nil {
			return
		}
		begun = begun || !isRequestForEncryption(message)
		if isCommit(query) {
			switch l.wire.atCommit() {
			case BeforeCommit:
				l.cutCommit()
				return
			case AfterCommit:
				l.committing.Store(true)
			}
		}
		if bytes = append(bytes, message...); r.Buffered() > 0 && len(bytes) < maxChunk {
			continue
		}
		if !l.send(to, bytes) {
			return
		}
		bytes = nil
	}
}

// readAnswers reads what the server sends.
func (l *link) readAnswers(to chan<- chunk) {
	defer close(to)
	for {
		bytes := make([]byte, maxChunk)
		n, err := l.server.Read(bytes)
		if n > 0 && l.committing.Load() {
			l.cutCommit()
			return
		}
		if n > 0 && !l.send(to, bytes[:n]) || err != nil {
			return
		}
	}
}

func (l *link) send(to chan<- chunk, bytes []byte) bool {
	select {
	case to <- chunk{bytes, time.Now()}:
		return true
	case <-l.ended:
		return false
	}
}

func (l *link) cutCommit() {
	l.wire.commitCut()
	l.end()
}

// write writes what is read on the other side when the wire lets it pass. After the
// last of it the link ends.
func (l *link) write(to net.Conn, from <-chan chunk, late bool) {
	defer l.end()
	for c := range from {
		if !l.await(c.at, late) {
			return
		}
		if _, err := to.Write(c.bytes); err != nil {
			return
		}
	}
}

// await waits until the wire lets pass what came at a time, and tells whether it does.
func (l *link) await(at time.Time, late bool) bool {
	for {
		s, changed := l.wire.now()
		var due <-chan time.Time
		if !s.silent {
			wait := time.Duration(0)
			if late {
				wait = time.Until(at.Add(s.delay))
			}
			if wait <= 0 {
				return true
			}
			due = time.After(wait)
		}
		select {
		case <-due:
			return true
		case <-changed:
		case <-l.ended:
			return false
		}
	}
}

// readMessage reads one message of a client, and returns it whole, and the SQL of a
// simple query. The first of a connection has no type.
// See https://www.postgresql.org/docs/current/protocol-message-formats.html.
func readMessage(r *bufio.Reader, begun bool) (message []byte, query string, err error) {
	head := 4
	if begun {
		head++
	}
	message = make([]byte, head)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, "", err
	}
	// The length counts itself, but not the type.
	length := binary.BigEndian.Uint32(message[head-4:])
	if length < 4 || length > maxMessage {
		return nil, "", fmt.Errorf("a message of %d bytes", length)
	}
	message = append(message, make([]byte, length-4)...)
	if _, err := io.ReadFull(r, message[head:]); err != nil {
		return nil, "", err
	}
	if begun && message[0] == 'Q' {
		query = strings.TrimSuffix(string(message[head:]), "\x00")
	}
	return message, query, nil
}

// isRequestForEncryption tells whether another first message follows: the server says
// that it does not encrypt.
func isRequestForEncryption(message []byte) bool {
	const ssl, gss = 80877103, 80877104
	if len(message) != 8 {
		return false
	}
	code := binary.BigEndian.Uint32(message[4:])
	return code == ssl || code == gss
}

func isCommit(query string) bool { return strings.EqualFold(query, "commit") }
