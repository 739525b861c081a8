package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// This file bounds what the bodies and the answers of slow callers keep: neither keeps
// a place, a large one must make progress, and all large ones together take only so much
// memory.
const (
	// smallBody is up to how many bytes a body is counted nowhere: as much as the
	// connection that it comes on takes anyhow.
	smallBody = 16 << 10
	// maxBodies bounds the bytes of all larger ones, and maxDecisionBodies those of
	// decisions. To decode one can take ten times as much, but is done in a place.
	maxBodies         = 32 << 20
	maxDecisionBodies = 8 << 20
	// bodyGrace and bodyRate, in bytes per second, are how fast a large body must come.
	bodyGrace = 5 * time.Second
	bodyRate  = 64 << 10

	// answerPart is how much of an answer is written at once: what is no longer than
	// that never waits for a caller. A caller must take one in partPatience.
	answerPart   = 64 << 10
	partPatience = 10 * time.Second
	// maxAnswers bounds the bytes of all longer answers that are written without a place.
	maxAnswers = 64 << 20
)

// budget is how many bytes there may be more of something.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.left.Add(n) }

// receive reads the body of a request. What a large one takes of the budget is given
// back with x.release.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, x *exchange) ([]byte, error) {
	body := http.MaxBytesReader(w, r.Body, maxBody)
	var data []byte
	var err error
	if r.ContentLength >= 0 && r.ContentLength <= smallBody {
		data, err = io.ReadAll(body)
	} else {
		data, err = s.receiveLarge(w, r, x, body)
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, fault.New(fault.CodeTooLarge, "body: over %d bytes", maxBody)
	}
	if _, refused := errors.AsType[*shed](err); refused {
		return nil, err
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeInvalid, Detail: "body: could not be read to its end", Cause: err}
	}
	return data, nil
}

// receiveLarge reads a body that is large, or of unknown length.
func (s *Server) receiveLarge(w http.ResponseWriter, r *http.Request, x *exchange, body io.Reader) ([]byte, error) {
	hurried := &hurried{body: body, control: http.NewResponseController(w), began: time.Now()}
	// However long the caller took, the connection is watched for as long as before.
	defer func() { _ = hurried.control.SetReadDeadline(time.Now().Add(readTimeout)) }()
	begun, err := io.ReadAll(io.LimitReader(hurried, smallBody+1))
	if err != nil || len(begun) <= smallBody {
		return begun, err
	}
	size := int64(maxBody)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if !s.admission.bodiesOf(x.operation.class).take(size) {
		return nil, s.admission.refuse(&shed{x.operation.class, shedMemory})
	}
	x.bodyBytes = size
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	data.Write(begun)
	_, err = data.ReadFrom(hurried)
	return data.Bytes(), err
}

// hurried reads a body that must come fast enough.
type hurried struct {
	body    io.Reader
	control *http.ResponseController
	began   time.Time
	read    int64
}

func (h *hurried) Read(p []byte) (int, error) {
	late := h.began.Add(bodyGrace + time.Duration(h.read)*time.Second/bodyRate)
	if err := h.control.SetReadDeadline(late); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := h.body.Read(p)
	h.read += int64(n)
	return n, err
}

// release gives back what the request holds: at its end, whichever that is.
func (x *exchange) release(bodies *budget) {
	x.place.leave()
	if x.bodyBytes > 0 {
		bodies.give(x.bodyBytes)
		x.bodyBytes = 0
	}
}

// Write implements http.ResponseWriter. An answer is written when it is whole, in one
// call, so the request's place is free from then on: a caller that reads slowly keeps
// none. A large answer keeps its place where too many others are being written.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	if len(p) <= answerPart {
		x.place.leave()
		return x.ResponseWriter.Write(p)
	}
	if a := x.place.in; a != nil && a.answers.take(int64(len(p))) {
		x.place.leave()
		defer a.answers.give(int64(len(p)))
	}
	n, err := x.writeLarge(p)
	x.gone = x.gone || err != nil
	return n, err
}

// writeLarge writes in parts, each of which the caller must take in time.
func (x *exchange) writeLarge(p []byte) (written int, err error) {
	control := http.NewResponseController(x.ResponseWriter)
	last := time.Now().Add(writeTimeout)
	for len(p) > 0 && err == nil {
		late := time.Now().Add(partPatience)
		if late.After(last) {
			late = last
		}
		if err := control.SetWriteDeadline(late); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return written, err
		}
		var n int
		n, err = x.ResponseWriter.Write(p[:min(len(p), answerPart)])
		written, p = written+n, p[n:]
	}
	return written, err
}
