package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/integration/faults/history"
	"github.com/gatehouse/gatehouse/sdk"
)

// What a load is made of. A worker begins no request before the last has ended, and not
// more often than these say.
const (
	writers, writeEvery   = 5, 25 * time.Millisecond
	batchers              = 2
	readers, readEvery    = 5, 15 * time.Millisecond
	listers, listEvery    = 1, 30 * time.Millisecond
	visitors, visitEvery  = 3, 25 * time.Millisecond
	registersOf           = 3 // of each kind and writer
	rotations             = 4 // of each session, before its owner signs out
	requestTimeout        = time.Minute
	checksOfBatch         = 5
	memberRole            = "member"
	memberPermission      = "enter"
	visitorAddress, agent = "127.0.0.2", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

// requestNames are the kinds of request that every server must answer.
var requestNames = []string{
	"SetMembership", "SetGrant", "Batch",
	"UserHasPermission", "Check", "CheckBatch", "Evaluate", "AtLeast",
	"Members", "AuditEvents",
	"CreateSession", "RotateSession", "VerifySession", "EndSession",
}

// actions are what the audit log says of registers.
var actions = history.Actions{
	Gives: []string{"MEMBERSHIP_ADDED", "PERMISSION_GRANTED"},
	Takes: []string{"MEMBERSHIP_REMOVED", "PERMISSION_REVOKED"},
}

// register is a membership or a grant, and the question that it alone decides.
type register struct {
	user, role, permission string
	// grants tells that it is the role's permission; else it is the user's membership.
	grants bool
}

// name is what the change feed and the audit log call it.
func (r register) name() string {
	if r.grants {
		return "permission/" + r.role + "/" + r.permission
	}
	return "membership/" + r.user + "/" + r.role
}

func (r register) set(ctx context.Context, c *sdk.Client, granted bool) (authz.Written, error) {
	switch {
	case r.grants && granted:
		return c.AddPermission(ctx, r.role, r.permission)
	case r.grants:
		return c.DeletePermission(ctx, r.role, r.permission)
	case granted:
		return c.AddMembership(ctx, r.user, r.role, authz.Window{})
	default:
		return c.DeleteMembership(ctx, r.user, r.role)
	}
}

func (r register) mutation(granted bool) sdk.Mutation {
	m := sdk.Mutation{Method: http.MethodDelete, Path: sdk.Path("membership", r.user, r.role)}
	if r.grants {
		m.Path = sdk.Path("permission", r.role, r.permission)
	}
	if granted {
		m.Method = http.MethodPost
	}
	return m
}

// unit is registers that are set together, by one writer.
type unit []register

func (u unit) names() []string {
	names := make([]string, len(u))
	for i, r := range u {
		names[i] = r.name()
	}
	return names
}

// load is what clients do, and what they note of it. One writer has each register, and
// one visitor each session.
type load struct {
	t        *testing.T
	key      string
	sites    []*site
	recorder *history.Recorder
	http     []*http.Client // by site
	// once try a request once, and patient as the SDK does by default. By site.
	once, patient []*sdk.Client
	registers     []register
	// writable are the registers, as their writers have them.
	writable [writers + batchers][]unit

	// written is the last revision that was acknowledged to anybody.
	written atomic.Int64
	visits  atomic.Int64

	stopping sync.Once
	stopped  chan struct{}
	working  sync.WaitGroup
}

// newLoad makes a tenant for a load, in which nothing is granted yet.
func newLoad(t *testing.T, sites []*site) *load {
	t.Helper()
	l := &load{t: t, key: uuid.NewString(), sites: sites, recorder: history.NewRecorder(), stopped: make(chan struct{})}
	for _, s := range sites {
		connections := &http.Transport{DialContext: s.dial, MaxIdleConnsPerHost: writers + readers + visitors}
		t.Cleanup(connections.CloseIdleConnections)
		client := &http.Client{Transport: noting{connections}}
		l.http = append(l.http, client)
		for retry, clients := range map[sdk.Retry]*[]*sdk.Client{{Tries: 1}: &l.once, {}: &l.patient} {
			c, err := sdk.New("http://"+s.name, l.key, sdk.WithHTTPClient(client), sdk.WithRetry(retry))
			if err != nil {
				t.Fatal(err)
			}
			*clients = append(*clients, c)
		}
	}
	// The first request opens the tenant.
	if _, err := l.patient[0].AddRole(t.Context(), memberRole, authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	setUp := []sdk.Mutation{add("permission", memberRole, memberPermission)}
	for w := range writers {
		holder := fmt.Sprint("holder-", w)
		for n := range registersOf {
			role := fmt.Sprint("role-", w, "-", n)
			setUp = append(setUp, add("role", role), add("membership", holder, role))
			l.writable[w] = append(l.writable[w],
				unit{{user: fmt.Sprint("user-", w, "-", n), role: memberRole, permission: memberPermission}},
				unit{{user: holder, role: role, permission: "open-" + role, grants: true}})
		}
	}
	for b := range batchers {
		left, right := fmt.Sprint("left-", b), fmt.Sprint("right-", b)
		setUp = append(setUp, add("role", left), add("role", right),
			add("permission", left, "use-"+left), add("permission", right, "use-"+right))
		for n := range registersOf {
			user := fmt.Sprint("pair-", b, "-", n)
			l.writable[writers+b] = append(l.writable[writers+b], unit{
				{user: user, role: left, permission: "use-" + left},
				{user: user, role: right, permission: "use-" + right},
			})
		}
	}
	for _, units := range l.writable {
		for _, u := range units {
			l.registers = append(l.registers, u...)
		}
	}
	result, err := l.patient[0].Batch(t.Context(), setUp)
	if err != nil {
		t.Fatal(err)
	}
	l.written.Store(result.Revision)
	return l
}

func add(names ...string) sdk.Mutation {
	return sdk.Mutation{Method: http.MethodPost, Path: sdk.Path(names...)}
}

// start starts the workers, which end with the test at the latest.
func (l *load) start() {
	l.t.Cleanup(l.stop)
	for n, units := range l.writable {
		w := writer{load: l, clients: l.once, named: n%2 == 1}
		if n < 2 {
			w.clients = l.patient // which does not try again what may have been done, unless it is named
		}
		plans := make([]plan, len(units))
		for i, u := range units {
			plans[i] = plan{unit: u, granted: true}
		}
		l.work(writeEvery, func(n int) { w.step(&plans[n%len(plans)]) })
	}
	for r := range readers {
		clients := l.once
		if r == 0 {
			clients = l.patient
		}
		l.work(readEvery, func(n int) { l.read(n, clients) })
	}
	for range listers {
		l.work(listEvery, func(n int) { l.list(n) })
	}
	for n := range visitors {
		v := &visitor{load: l, signsOut: n > 0, named: n != 1}
		l.work(visitEvery, func(int) { v.step() })
	}
}

// work takes a step again and again until the load stops.
func (l *load) work(every time.Duration, step func(n int)) {
	l.working.Go(func() {
		pace := time.NewTicker(every)
		defer pace.Stop()
		for n := 0; ; n++ {
			select {
			case <-pace.C:
				step(n)
			case <-l.stopped:
				return
			}
		}
	})
}

// stop lets every worker end what it is at.
func (l *load) stop() {
	l.stopping.Do(func() { close(l.stopped) })
	l.working.Wait()
}

func (l *load) anySite() int { return rand.IntN(len(l.sites)) }

// ask sends a request to a site, and returns what is to be noted of it.
func (l *load) ask(at int, name string, send func(context.Context) error) history.Request {
	q := history.Request{Server: l.sites[at].name, Name: name, Start: l.recorder.Now()}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), noted{}, &q), requestTimeout)
	defer cancel()
	err := send(ctx)
	q.End = l.recorder.Now()
	q.Outcome = outcomeOf(err, q.Answers)
	if err != nil {
		q.Failure = err.Error()
	}
	return q
}

// outcomeOf is what is known when a request has ended with err. A token that is not
// taken is an answer.
func outcomeOf(err error, answers []history.Answer) history.Outcome {
	if _, refused := errors.AsType[authz.SessionRefusal](err); err == nil || refused {
		return history.Done
	}
	for i, a := range answers {
		// An answer that did not come whole is none.
		broken := i == len(answers)-1 && a.Status > 0 && a.Status < http.StatusBadRequest
		if a.Unknown || broken {
			return history.Unknown
		}
	}
	if len(answers) == 0 {
		return history.Unknown
	}
	return history.Refused
}

// isDialError tells whether nothing was sent at all.
func isDialError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// writer makes units what they are planned to be.
type writer struct {
	load    *load
	clients []*sdk.Client
	// named tells that writes have a key, under which they are asked for until they are
	// answered.
	named bool
}

// plan is what comes next for a unit.
type plan struct {
	unit    unit
	granted bool
	key     idempotencyKey
}

// step asks for what is planned.
func (w writer) step(p *plan) {
	l, at, name := w.load, w.load.anySite(), "SetMembership"
	switch {
	case len(p.unit) > 1:
		name = "Batch"
	case p.unit[0].grants:
		name = "SetGrant"
	}
	if w.named {
		p.key.choose()
	}
	done := history.Write{Registers: p.unit.names(), Granted: p.granted, Key: p.key.value}
	done.Request = l.ask(at, name, func(ctx context.Context) error {
		ctx = p.key.put(ctx)
		if len(p.unit) == 1 {
			written, err := p.unit[0].set(ctx, w.clients[at], p.granted)
			done.Revision = written.Revision
			return err
		}
		mutations := make([]sdk.Mutation, len(p.unit))
		for i, r := range p.unit {
			mutations[i] = r.mutation(p.granted)
		}
		result, err := w.clients[at].Batch(ctx, mutations)
		done.Revision = result.Revision
		return err
	})
	l.recorder.Write(done)
	if done.Outcome == history.Done {
		l.raiseWritten(done.Revision)
	}
	if w.named && p.key.settled(done.Outcome) || !w.named && done.Outcome != history.Refused {
		p.granted = !p.granted
	}
}

// idempotencyKey is what a change is called in each of its tries.
type idempotencyKey struct {
	value string
	// again tells that it was answered, and is asked for once more.
	again bool
}

// choose names the next change, unless the last has yet to be settled.
func (k *idempotencyKey) choose() {
	if k.value == "" {
		k.value = uuid.NewString()
	}
}

// put sends the key along, if there is one.
func (k *idempotencyKey) put(ctx context.Context) context.Context {
	if k.value == "" {
		return ctx
	}
	return sdk.WithIdempotencyKey(ctx, k.value)
}

// settled tells whether the change needs no other try after one with that outcome. Now
// and then one that was answered gets another, which must have no effect.
func (k *idempotencyKey) settled(outcome history.Outcome) bool {
	if outcome != history.Done {
		return false
	}
	if !k.again && rand.IntN(4) == 0 {
		k.again = true
		return false
	}
	*k = idempotencyKey{}
	return true
}

// raiseWritten notes a revision unless a later one is known.
func (l *load) raiseWritten(revision int64) {
	for {
		last := l.written.Load()
		if revision <= last || l.written.CompareAndSwap(last, revision) {
			return
		}
	}
}

// read asks about one register or a few, in each way in turn.
func (l *load) read(n int, clients []*sdk.Client) {
	at, r := l.anySite(), l.registers[rand.IntN(len(l.registers))]
	switch n % 5 {
	case 0:
		l.readRegister(at, clients, r, 0)
	case 1:
		l.readRegister(at, clients, r, l.written.Load())
	case 2:
		l.note(at, "Check", r, func(ctx context.Context) (authz.Decision, error) {
			return clients[at].Check(ctx, authz.Request{User: r.user, Permission: r.permission})
		})
	case 3:
		l.note(at, "Evaluate", r, func(ctx context.Context) (authz.Decision, error) { return l.evaluate(ctx, at, r) })
	case 4:
		l.readBatch(at, clients)
	}
}

// readRegister asks about a register, as it is at a revision at least, or at any where
// that is 0.
func (l *load) readRegister(at int, clients []*sdk.Client, r register, least int64) {
	name, c := "UserHasPermission", clients[at]
	if least > 0 {
		name, c = "AtLeast", c.AtLeast(least)
	}
	g := history.Reading{Least: least}
	g.Request = l.ask(at, name, func(ctx context.Context) error {
		d, err := c.UserHasPermission(ctx, r.user, r.permission)
		g.Granted, g.Revision, g.Stale = map[string]bool{r.name(): d.Allowed}, d.Revision, d.Stale
		return err
	})
	l.recorder.Reading(g)
}

// note sends a question about one register.
func (l *load) note(at int, name string, r register, send func(context.Context) (authz.Decision, error)) {
	var g history.Reading
	g.Request = l.ask(at, name, func(ctx context.Context) error {
		d, err := send(ctx)
		g.Granted, g.Revision, g.Stale = map[string]bool{r.name(): d.Allowed}, d.Revision, d.Stale
		return err
	})
	l.recorder.Reading(g)
}

// readBatch asks about a few registers at once.
func (l *load) readBatch(at int, clients []*sdk.Client) {
	var asked []register
	var requests []authz.Request
	for range checksOfBatch {
		r := l.registers[rand.IntN(len(l.registers))]
		asked, requests = append(asked, r), append(requests, authz.Request{User: r.user, Permission: r.permission})
	}
	g := history.Reading{Granted: map[string]bool{}}
	g.Request = l.ask(at, "CheckBatch", func(ctx context.Context) error {
		decisions, err := clients[at].CheckBatch(ctx, requests)
		for i, d := range decisions {
			g.Granted[asked[i].name()], g.Revision, g.Stale = d.Allowed, d.Revision, d.Stale
		}
		return err
	})
	l.recorder.Reading(g)
}

// evaluate asks as AuthZEN does; the SDK has no words of its own for that.
func (l *load) evaluate(ctx context.Context, at int, r register) (authz.Decision, error) {
	body := fmt.Sprintf(`{"subject":{"type":"user","id":%q},"action":{"name":%q},"resource":{"type":"door","id":"front"}}`, r.user, r.permission)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.sites[at].name+"/access/v1/evaluation", bytes.NewBufferString(body))
	if err != nil {
		return authz.Decision{}, err
	}
	req.Header.Set("Authorization", "Bearer "+l.key)
	req.Header.Set("Content-Type", "application/json")
	rsp, err := l.http[at].Do(req)
	if err != nil {
		return authz.Decision{}, err
	}
	defer func() { _ = rsp.Body.Close() }()
	text, err := io.ReadAll(rsp.Body)
	if err == nil && rsp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", rsp.Status, text)
	}
	if err != nil {
		return authz.Decision{}, err
	}
	var answer struct {
		Decision bool
		Context  struct{ Revision int64 }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return authz.Decision{}, err
	}
	d := authz.Decision{Allowed: answer.Decision, Revision: answer.Context.Revision}
	if stale := rsp.Header.Get("Gatehouse-Stale"); stale != "" {
		seconds, err := strconv.Atoi(stale)
		if err != nil {
			return authz.Decision{}, err
		}
		d.Stale = time.Duration(seconds) * time.Second
	}
	return d, nil
}

// list asks for lists, which come from the database.
func (l *load) list(n int) {
	at := l.anySite()
	switch n % 3 {
	case 0:
		l.readMembers(at, 0)
	case 1:
		l.readMembers(at, l.written.Load())
	case 2:
		l.recorder.Reading(history.Reading{Request: l.ask(at, "AuditEvents", func(ctx context.Context) error {
			_, err := l.once[at].AuditEvents(ctx, sdk.AuditFilter{}, authz.Page{Limit: 10})
			return err
		})})
	}
}

// readMembers lists the members of the role that all memberships are of, but for those
// of batches.
func (l *load) readMembers(at int, least int64) {
	c := l.once[at]
	if least > 0 {
		c = c.AtLeast(least)
	}
	g := history.Reading{Granted: map[string]bool{}, Least: least}
	for _, r := range l.registers {
		if r.role == memberRole {
			g.Granted[r.name()] = false
		}
	}
	g.Request = l.ask(at, "Members", func(ctx context.Context) error {
		members, err := c.Members(ctx, memberRole, authz.Page{})
		g.Revision = members.Revision
		for _, m := range members.Items {
			g.Granted[register{user: m.User, role: memberRole}.name()] = true
		}
		return err
	})
	l.recorder.Reading(g)
}

// visitor signs in, shows the session's token now and then, and signs out; and begins
// anew, as another user.
type visitor struct {
	load *load
	// signsOut tells that sessions are ended; else they are left.
	signsOut bool
	// named tells that signing in has a key, under which it is asked for until it is
	// answered.
	named bool
	key   idempotencyKey

	user, id, token string
	steps           int
}

func (v *visitor) step() {
	l, at := v.load, v.load.anySite()
	c := l.once[at]
	s := history.SessionStep{User: v.user, ID: v.id}
	presented := authz.PresentedSession{Token: v.token, IP: visitorAddress, UserAgent: agent}
	switch {
	case v.id == "":
		// Each user signs in once, so that no session comes from another request.
		if v.key.value == "" {
			v.user = fmt.Sprint("visitor-", l.visits.Add(1))
		}
		if v.named {
			v.key.choose()
		}
		s.Act, s.User = history.CreateSession, v.user
		var token string
		s.Request = l.ask(at, "CreateSession", func(ctx context.Context) error {
			issued, err := c.CreateSession(v.key.put(ctx), authz.NewSession{User: v.user, IP: visitorAddress, UserAgent: agent})
			s.ID, token = issued.Session.ID, issued.Token
			return err
		})
		if !v.named || v.key.settled(s.Outcome) {
			v.id, v.token, v.steps = s.ID, token, 0
		}
	case v.steps < 2*rotations && v.steps%2 == 0:
		s.Act = history.RotateSession
		s.Request = l.ask(at, "RotateSession", func(ctx context.Context) error {
			rotated, err := c.RotateSession(ctx, presented)
			if refusal, refused := errors.AsType[authz.SessionRefusal](err); refused {
				s.Refusal = refusal.Error()
			}
			if err == nil {
				v.token, s.Generation, s.Rotated = rotated.Token, rotated.Session.Generation, rotated.Outcome == authz.SessionRotated
			}
			return err
		})
		v.next(s.Request)
	case v.steps < 2*rotations, v.steps > 2*rotations:
		s.Act = history.VerifySession
		s.Request = l.ask(at, "VerifySession", func(ctx context.Context) error {
			status, err := c.VerifySession(ctx, presented)
			s.Active = status.Active
			return err
		})
		v.next(s.Request)
	case v.signsOut:
		s.Act = history.EndSession
		s.Request = l.ask(at, "EndSession", func(ctx context.Context) error {
			_, err := c.EndSession(ctx, v.id)
			return err
		})
		v.next(s.Request)
	default:
		v.id = ""
		return
	}
	l.recorder.Session(s)
	if v.steps > 2*rotations+1 || s.Refusal != "" {
		v.id = ""
	}
}

// next goes on, unless a step must be taken again.
func (v *visitor) next(q history.Request) {
	if q.Outcome == history.Done {
		v.steps++
	}
}
