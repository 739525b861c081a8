package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// class is what kind of work a request is. Each has bounds of its own, so that lists and
// writes never take from decisions what those need, and what is beyond them is refused
// at once with 503.
type class uint8

const (
	// classNone are the probes and what is answered from memory to anybody.
	classNone class = iota
	classDecision
	classRead
	classWrite
	classes
)

func (c class) String() string { return [...]string{"none", "decision", "read", "write"}[c] }

// urgent are the operations beside those with the ability check that somebody waits for
// in front of an application that would let them in: as urgent as decisions. Most of them
// are never answered from memory alone.
var urgent = map[string]bool{
	"AuthorizeForward": true, "RotateSession": true, "VerifySession": true, "RefreshToken": true, "IntrospectToken": true,
}

// classify says which class an operation is of.
func (o operation) classify() class {
	switch {
	case o.ability == engine.AbilityCheck, urgent[o.id]:
		return classDecision
	case o.ability == "":
		return classNone
	case o.reads:
		return classRead
	default:
		return classWrite
	}
}

const (
	// defaultDecisions bounds the decisions at work, which mostly wait for a processor
	// alone: far more than are ever at work at once while all is well.
	defaultDecisions = 1024
	// waitingPerPlace and minWaiting say how many may wait for a place.
	waitingPerPlace = 16
	minWaiting      = 128
	// longestWait bounds how long they do.
	longestWait = 5 * time.Second
	// shedLogEvery is how often the log tells of requests that were refused.
	shedLogEvery = 10 * time.Second
)

// Why a request was refused: the places and the line before them were full, it has
// waited for too long, too much memory is taken by large bodies, or what is not in memory
// is waited for by too many.
const (
	shedFull     = "full"
	shedWaited   = "waited"
	shedMemory   = "memory"
	shedDatabase = "database"
)

// shed is why a request was refused that would have been too much.
type shed struct {
	class  class
	reason string
}

func (s *shed) Error() string {
	return "too many requests of class " + s.class.String() + ": " + s.reason
}

// admission bounds what is at work at once.
type admission struct {
	log *slog.Logger
	// decisions are counted and not seated: they take microseconds, and a place in a
	// line would cost as much. mostDecisions bounds them.
	decisions     atomic.Int64
	mostDecisions int64
	// waiting are those of the decisions that may not be made from memory. They have
	// half of the places, so that a database that hangs keeps the others waiting for none.
	waiting atomic.Int64
	// seats are the places of the other classes.
	seats [classes]*places

	// bodies and answers are the bytes that large ones may still take. The bodies of
	// decisions have their own, which slow writes cannot use up.
	bodies, decisionBodies, answers budget

	refused [classes]map[string]*atomic.Uint64
	// logged is when the log last told of refusals, in microseconds.
	logged atomic.Int64
}

func newAdmission(decisions int, capacity func(ahead int) engine.Capacity, log *slog.Logger) *admission {
	if decisions == 0 {
		decisions = defaultDecisions
	}
	a := &admission{log: log, mostDecisions: int64(decisions)}
	// Decisions that wait for the database go first.
	now := func() engine.Capacity { return capacity(int(a.waiting.Load())) }
	most := now()
	a.seats[classRead] = newPlaces(func() int { return now().Reads }, max(minWaiting, waitingPerPlace*most.Reads), longestWait)
	a.seats[classWrite] = newPlaces(func() int { return now().Writes }, max(minWaiting, waitingPerPlace*most.Writes), longestWait)
	a.bodies.left.Store(maxBodies)
	a.decisionBodies.left.Store(maxDecisionBodies)
	a.answers.left.Store(maxAnswers)
	for c := range classes {
		a.refused[c] = map[string]*atomic.Uint64{shedFull: {}, shedMemory: {}, shedDatabase: {}}
		if a.seats[c] != nil {
			a.refused[c][shedWaited] = &atomic.Uint64{}
		}
	}
	return a
}

// place is one that a request has taken. The zero value is none.
type place struct {
	in    *admission
	of    class
	waits bool
	line  lineKey
}

// leave gives the place back, once.
func (p *place) leave() {
	a := p.in
	if a == nil {
		return
	}
	p.in = nil
	if p.of == classDecision {
		a.decisions.Add(-1)
		if p.waits {
			a.waiting.Add(-1)
		}
		return
	}
	a.seats[p.of].leave(p.line)
}

// bodiesOf is what the large bodies of a class are taken off.
func (a *admission) bodiesOf(c class) *budget {
	if c == classDecision {
		return &a.decisionBodies
	}
	return &a.bodies
}

// lineOf is the line that a request stands in.
func (x *exchange) lineOf() lineKey {
	op := &x.operation
	if op.class != classRead && op.class != classWrite {
		return lineKey{}
	}
	return lineKey{tenant: x.principal.Tenant.ID(), policy: op.class == classWrite && !op.sessions && !op.tokens}
}

// check refuses a request for which there would be no place, before anything is done
// for it. One that it lets through still has to enter.
func (a *admission) check(x *exchange) error {
	switch c := x.operation.class; {
	case c == classNone || x.within:
		return nil
	case c == classDecision:
		if a.decisions.Load() < a.mostDecisions {
			return nil
		}
	default:
		if !a.seats[c].crowded(x.lineOf()) {
			return nil
		}
	}
	return a.refuse(&shed{x.operation.class, shedFull})
}

// enter takes a place for a request, which waits for one where its class may. A mutation
// of a batch has the batch's.
func (a *admission) enter(ctx context.Context, x *exchange) error {
	c := x.operation.class
	if c == classNone || x.within {
		return nil
	}
	if c == classDecision {
		if a.decisions.Add(1) > a.mostDecisions {
			a.decisions.Add(-1)
			return a.refuse(&shed{c, shedFull})
		}
		x.place = place{in: a, of: c, waits: x.operation.waits}
		if x.operation.waits && a.waiting.Add(1) > max(1, a.mostDecisions/2) {
			x.place.leave()
			return a.refuse(&shed{c, shedDatabase})
		}
		return nil
	}
	line := x.lineOf()
	err := a.seats[c].enter(ctx, line)
	if why, refused := errors.AsType[*shed](err); refused {
		why.class = c
		return a.refuse(why)
	}
	if err == nil {
		x.place = place{in: a, of: c, line: line}
	}
	return err
}

// refuse counts a refusal, and is what the caller gets to read of it.
func (a *admission) refuse(why *shed) error {
	a.refused[why.class][why.reason].Add(1)
	now, last := time.Now().UnixMicro(), a.logged.Load()
	if now-last > shedLogEvery.Microseconds() && a.logged.CompareAndSwap(last, now) {
		a.log.Warn("more is asked of the server than it can do at once, and what is too much is refused", "class", why.class.String(), "reason", why.reason)
	}
	detail := "the server has as much to do as it can: try again later"
	switch why.reason {
	case shedMemory:
		detail = "the server holds as many large bodies as it can: try again later"
	case shedDatabase:
		detail = "as many requests wait for the database as may: try again later"
	}
	return fault.Unavailable(why, "%s", detail)
}

// collectors are the metrics of what is refused and what is at work.
func (a *admission) collectors() []prometheus.Collector {
	var all []prometheus.Collector
	for c := classDecision; c < classes; c++ {
		inFlight := a.decisions.Load
		if seats := a.seats[c]; seats != nil {
			inFlight = func() int64 { return int64(seats.inFlight()) }
		}
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_requests_in_flight", Help: "Requests at work.", ConstLabels: prometheus.Labels{"class": c.String()},
		}, func() float64 { return float64(inFlight()) }))
		for reason, count := range a.refused[c] {
			all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "gatehouse_requests_shed_total", Help: "Requests that were refused with 503, for there were too many.",
				ConstLabels: prometheus.Labels{"class": c.String(), "reason": reason},
			}, func() float64 { return float64(count.Load()) }))
		}
	}
	return all
}
