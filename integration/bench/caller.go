package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// caller is a keep-alive connection that sends ready-made requests and reads no
// more of an answer than its status and its end. So little of the machine goes to
// asking that the rest goes to answering.
type caller struct {
	conn   net.Conn
	buffer []byte
}

// dial connects until close, or until ctx ends.
func dial(ctx context.Context, address string) (*caller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &caller{conn: conn, buffer: make([]byte, 0, 64<<10)}
	context.AfterFunc(ctx, c.close)
	return c, nil
}

func (c *caller) close() { _ = c.conn.Close() }

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	headerEnd     = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")
	chunksEnd     = []byte("\r\n0\r\n\r\n")
)

// exchange sends a request and returns the answer, whose status must be 200. The
// answer is good until the next exchange.
func (c *caller) exchange(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	answer := c.buffer[:0]
	for {
		if len(answer) == cap(answer) {
			answer = slices.Grow(answer, cap(answer))
		}
		n, err := c.conn.Read(answer[len(answer):cap(answer)])
		if err != nil {
			return nil, err
		}
		answer = answer[:len(answer)+n]
		if whole(answer) {
			break
		}
	}
	c.buffer = answer
	if !bytes.HasPrefix(answer, statusOK) {
		return nil, fmt.Errorf("the answer is %.300q", answer)
	}
	return answer, nil
}

// whole reports whether an answer has come to its end.
func whole(answer []byte) bool {
	end := bytes.Index(answer, headerEnd)
	if end < 0 {
		return false
	}
	header, body := answer[:end+2], answer[end+len(headerEnd):]
	_, rest, counted := bytes.Cut(header, contentLength)
	if !counted {
		// JSON holds no bare line ends, so this is the last chunk.
		return bytes.HasSuffix(body, chunksEnd)
	}
	digits, _, _ := bytes.Cut(rest, headerEnd[:2])
	n, err := strconv.Atoi(string(digits))
	return err == nil && len(body) >= n
}

// newRequest makes the bytes of a request without a body.
func newRequest(method, path, key string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: gatehouse\r\nAuthorization: Bearer %s\r\n\r\n", method, path, key)
}

// newPost makes the bytes of a POST of JSON.
func newPost(path, key, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: gatehouse\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, key, len(body), body)
}

// sample is what one measurement gave.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
}

// hammer repeats what each worker does, all at once, for as long as told.
func hammer(ctx context.Context, duration time.Duration, workers []func() error) (sample, error) {
	times := make([][]time.Duration, len(workers))
	failures := make([]error, len(workers))
	var running sync.WaitGroup
	begin := time.Now()
	end := begin.Add(duration)
	for w, work := range workers {
		running.Go(func() {
			took := make([]time.Duration, 0, 1<<16)
			for last := time.Now(); last.Before(end) && ctx.Err() == nil; {
				if err := work(); err != nil {
					failures[w] = err
					break
				}
				now := time.Now()
				took = append(took, now.Sub(last))
				last = now
			}
			times[w] = took
		})
	}
	running.Wait()
	elapsed := time.Since(begin)
	if ctx.Err() != nil {
		return sample{}, ctx.Err()
	}
	if err := errors.Join(failures...); err != nil {
		return sample{}, err
	}
	merged := slices.Concat(times...)
	slices.Sort(merged)
	if len(merged) == 0 {
		return sample{}, errors.New("nothing was done in time")
	}
	return sample{
		perSecond: float64(len(merged)) / elapsed.Seconds(),
		p50:       merged[len(merged)/2],
		p99:       merged[len(merged)*99/100],
	}, nil
}
