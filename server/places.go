package server

import (
	"context"
	"slices"
	"sync"
	"time"
)

// places are what requests have to be at work in, where many at work at once would only
// wait for each other's database connections. Whoever finds none free waits in the line
// of its kind, and the lines take turns: however many requests one tenant sends, those
// of another wait for one of its own and not for all.
type places struct {
	// most says how many requests may be at work now, one at least; maxWaiting bounds
	// those that wait, and longest how long one of them does.
	most       func() int
	maxWaiting int
	longest    time.Duration

	mu              sync.Mutex
	atWork, waiting int
	// lines are those with somebody at work or waiting, and turns those with somebody
	// waiting, in the order of their turns.
	lines map[lineKey]*line
	turns []*line
}

// lineKey says whose request it is. The changes of a tenant's policy stand in a line of
// their own, for they wait for each other in the database.
type lineKey struct {
	tenant string
	policy bool
}

type line struct {
	key    lineKey
	atWork int
	queue  []*waiter
}

// waiter is a request that waits. turn gets nil when it has a place, and why it gets
// none when it has to go.
type waiter struct {
	line *line
	turn chan error
}

// maxPolicyChanges bounds the changes of one tenant's policy that are at work at once:
// one holds the tenant's row, and the next is ready to take it. More would hold a
// connection each to wait for it.
const maxPolicyChanges = 2

// seatEvery is how often those who wait look whether there are more places than before.
const seatEvery = 100 * time.Millisecond

func newPlaces(most func() int, maxWaiting int, longest time.Duration) *places {
	return &places{most: most, maxWaiting: maxWaiting, longest: longest, lines: map[lineKey]*line{}}
}

// enter takes a place, or waits for one. The error is a *shed, or ctx's.
func (p *places) enter(ctx context.Context, key lineKey) error {
	w, err := p.join(key)
	if w == nil {
		return err
	}
	tired, again := time.NewTimer(p.longest), time.NewTicker(seatEvery)
	defer tired.Stop()
	defer again.Stop()
	for err == nil {
		select {
		case err := <-w.turn:
			return err
		case <-again.C:
			p.mu.Lock()
			p.seat()
			p.mu.Unlock()
		case <-tired.C:
			err = &shed{reason: shedWaited}
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if !p.quit(w) {
		return <-w.turn
	}
	return err
}

// crowded tells that enter would fail at once.
func (p *places) crowded(key lineKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seat()
	return p.waiting >= p.maxWaiting && p.displaced(p.lines[key]) == nil
}

// join takes a place, or else gets in line: it then returns whom to wait as.
func (p *places) join(key lineKey) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seat()
	l := p.lines[key]
	if p.atWork < p.most() && l.admits() {
		if l == nil {
			l = p.open(key)
		}
		l.atWork++
		p.atWork++
		return nil, nil
	}
	if p.waiting >= p.maxWaiting {
		last := p.displaced(l)
		if last == nil {
			return nil, &shed{reason: shedFull}
		}
		p.remove(last)
		last.turn <- &shed{reason: shedFull}
	}
	if l == nil {
		l = p.open(key)
	}
	if len(l.queue) == 0 {
		p.turns = append(p.turns, l)
	}
	w := &waiter{line: l, turn: make(chan error, 1)}
	l.queue = append(l.queue, w)
	p.waiting++
	return w, nil
}

// displaced is who has to make room for one more in a line, which may be nil: the last
// of the longest other line, where that is longer than this one would be. p.mu is held.
func (p *places) displaced(l *line) *waiter {
	least := 1
	if l != nil {
		least += len(l.queue)
	}
	var longest *line
	for _, other := range p.turns {
		if len(other.queue) > least {
			longest, least = other, len(other.queue)
		}
	}
	if longest == nil {
		return nil
	}
	return longest.queue[len(longest.queue)-1]
}

// quit takes a waiter out of its line, unless its turn has come.
func (p *places) quit(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remove(w)
}

// leave gives a place back.
func (p *places) leave(key lineKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[key]
	l.atWork--
	p.atWork--
	p.seat()
	p.close(l)
}

// seat gives the free places to those whose turn it is. p.mu is held.
func (p *places) seat() {
	for i := 0; i < len(p.turns) && p.atWork < p.most(); {
		l := p.turns[i]
		if !l.admits() {
			i++
			continue
		}
		l.atWork++
		p.atWork++
		w := l.queue[0]
		p.remove(w)
		if len(l.queue) > 0 { // its next turn is after those of the others
			p.turns = append(slices.Delete(p.turns, i, i+1), l)
		}
		w.turn <- nil
	}
}

// remove takes a waiter out of its line, and reports whether it was there. p.mu is held.
func (p *places) remove(w *waiter) bool {
	l := w.line
	at := slices.Index(l.queue, w)
	if at < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, at, at+1)
	p.waiting--
	if len(l.queue) == 0 {
		at := slices.Index(p.turns, l)
		p.turns = slices.Delete(p.turns, at, at+1)
	}
	p.close(l)
	return true
}

// open makes a line. p.mu is held.
func (p *places) open(key lineKey) *line {
	l := &line{key: key}
	p.lines[key] = l
	return l
}

// close forgets a line with nobody in it. p.mu is held.
func (p *places) close(l *line) {
	if l.atWork == 0 && len(l.queue) == 0 {
		delete(p.lines, l.key)
	}
}

func (p *places) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.atWork
}

// admits tells whether one more of the line, which may be nil, may be at work.
func (l *line) admits() bool {
	return l == nil || !l.key.policy || l.atWork < maxPolicyChanges
}
