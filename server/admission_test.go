package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/engine"
)

// A new operation belongs into one of these.
var operationsByClass = map[class][]string{
	classNone: {
		"GetAuthZENConfiguration", "GetHealth", "GetJWKS", "GetLiveness", "GetMetrics", "GetReadiness", "Ping",
	},
	classDecision: {
		"AuthorizeForward", "CanRunWorkflow", "Check", "CheckBatch", "CheckMembership", "CheckRolePermission", "Evaluate", "EvaluateAll",
		"HasPermission", "IntrospectToken", "RefreshToken", "RotateSession", "VerifySession",
	},
	classRead: {
		"GetAuditCheckpoint", "GetGroup", "GetResource", "GetRole", "GetScope", "GetSession", "GetSettings", "GetTool", "GetUser", "ListAuditEvents",
		"ListChanges", "ListDecisions", "ListGrants", "ListMembers", "ListPermissions", "ListResourceMembers", "ListResources", "ListRolePermissions",
		"ListRoles", "ListScopeMembers", "ListScopes", "ListSessions", "ListTools", "ListUserPermissions", "ListUserRoles", "ListWorkflowUsers",
		"ProveAuditConsistency", "ProveAuditInclusion", "SearchActions", "SearchResources", "SearchSubjects", "WhichRolesCan", "WhichUsersCan",
	},
	classWrite: {
		"AddGroupChild", "AddGroupMember", "AddMembership", "AddPermission", "AddRole", "Batch", "CreateSession", "CreateToken", "DeleteGrant",
		"DeleteGroup", "DeleteGroupChild", "DeleteGroupMember", "DeleteGroupRole", "DeleteMembership", "DeletePermission", "DeleteResource",
		"DeleteResourceGroup", "DeleteResourceMember", "DeleteRole", "DeleteScope", "DeleteScopeGroup", "DeleteScopeMember", "DeleteSession",
		"DeleteSessions", "DeleteTool", "DeleteUser", "PutGrant", "PutGroup", "PutGroupRole", "PutResource", "PutResourceGroup",
		"PutResourceMember", "PutRole", "PutScope", "PutScopeGroup", "PutScopeMember", "PutSettings", "PutTool", "PutUser", "RemoveRole", "RevokeToken",
	},
}

func TestEveryOperationHasItsClass(t *testing.T) {
	t.Parallel()
	operations, err := readOperations()
	if err != nil {
		t.Fatal(err)
	}
	got := map[class][]string{}
	for _, op := range operations {
		got[op.class] = append(got[op.class], op.id)
	}
	for class, want := range operationsByClass {
		if slices.Sort(got[class]); !slices.Equal(got[class], want) {
			t.Errorf("%s: got %q, want %q", class, got[class], want)
		}
	}
}

// bounded is a server that has places for one decision, and answers it with next alone.
func bounded(next http.HandlerFunc) *Server {
	quiet := slog.New(slog.DiscardHandler)
	s := &Server{
		log: quiet, meters: newMeters(), admission: newAdmission(1, func(int) engine.Capacity { return engine.Capacity{Reads: 1, Writes: 1} }, quiet),
		stop: func() {}, leave: func() {},
	}
	s.handler = s.guard(operation{class: classDecision}, next)
	return s
}

func TestPlaceIsGivenBack(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		next http.HandlerFunc
	}{
		"with the answer":         {t.Context(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }},
		"without an answer":       {t.Context(), func(http.ResponseWriter, *http.Request) {}},
		"by a panic":              {t.Context(), func(http.ResponseWriter, *http.Request) { panic("of the test") }},
		"after a caller has gone": {ended, func(http.ResponseWriter, *http.Request) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bounded(func(w http.ResponseWriter, r *http.Request) { tc.next(w, r) })
			for range 3 {
				answer := httptest.NewRecorder()
				s.ServeHTTP(answer, httptest.NewRequestWithContext(tc.ctx, http.MethodGet, "/", nil))
				if answer.Code == http.StatusServiceUnavailable {
					t.Fatal("there is no place, want the one that was given back")
				}
				if got := s.admission.decisions.Load(); got != 0 {
					t.Fatalf("got %d at work, want 0", got)
				}
			}
		})
	}
}

func TestDecisionsBeyondTheBoundAreShed(t *testing.T) {
	t.Parallel()
	var s *Server
	s = bounded(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("got %d with %v, want 503 with Retry-After", answer.Code, answer.Header())
		}
		if !strings.Contains(answer.Body.String(), "as much to do as it can") {
			t.Errorf("got %s", answer.Body)
		}
		// The first has its answer now, and so its place is free for the next.
		_, _ = io.WriteString(w, "{}")
		if got := s.admission.decisions.Load(); got != 0 {
			t.Errorf("got %d at work while an answer is written, want 0", got)
		}
	})
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if got := s.admission.refused[classDecision][shedFull].Load(); got != 1 {
		t.Errorf("got %d refusals counted, want 1", got)
	}
}

// pipes is a listener for connections in memory.
type pipes struct{ conns chan net.Conn }

func (p *pipes) Accept() (net.Conn, error) {
	conn, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// connect serves s on a connection in memory, in a bubble, and returns the client's end.
func connect(t *testing.T, s *Server) net.Conn {
	t.Helper()
	l := &pipes{make(chan net.Conn, 1)}
	client, server := net.Pipe()
	l.conns <- server
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	s.stop = func() {}
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		_ = client.Close()
		cancel()
		close(l.conns)
		<-served
	})
	return client
}

func TestSlowCallersAreCutOff(t *testing.T) {
	t.Parallel()
	const length = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n"
	for name, tc := range map[string]struct {
		head   string
		within time.Duration
	}{
		"a large body":           {length, 6 * time.Second},
		"a body in chunks":       {"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nfff00\r\n", 6 * time.Second},
		"a body that never ends": {"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n", readTimeout + time.Second},
		"a header":               {"POST / HTTP/1.1\r\nHost: test\r\nX-Slow: ", readHeaderTimeout + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := bounded(nil)
				s.connections.most = 1
				s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					x := exchangeOf(r.Context())
					defer x.release(&s.admission.bodies)
					if _, err := s.receive(w, r, x); err == nil {
						t.Error("the body was read to its end")
					}
					s.fail(w, r, context.DeadlineExceeded)
				})
				conn := connect(t, s)
				began := time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_, err := io.WriteString(conn, tc.head)
					for n := 0; err == nil && (n < 5 || name != "a body that never ends"); n++ {
						time.Sleep(time.Second) // of the bubble
						_, err = io.WriteString(conn, "a")
					}
				}()
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(began); took > tc.within {
					t.Errorf("it was cut off after %s, want %s at most", took, tc.within)
				}
				<-sent
				if got := s.admission.bodies.left.Load(); got != maxBodies {
					t.Errorf("got %d bytes left for bodies, want all %d", got, maxBodies)
				}
			})
		})
	}
}

func TestSlowReaderIsCutOffAndHoldsNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		large := make([]byte, 10<<20)
		wrote := make(chan error, 1)
		s := bounded(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(large)
			wrote <- err
		})
		s.connections.most = 1
		conn := connect(t, s)
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := s.admission.decisions.Load(); got != 0 {
			t.Errorf("got %d at work while the answer is read, want 0", got)
		}
		if got := s.admission.answers.left.Load(); got != maxAnswers-int64(len(large)) {
			t.Errorf("got %d bytes left for answers, want the answer taken off %d", got, maxAnswers)
		}
		began := time.Now()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for one := make([]byte, 1); ; time.Sleep(time.Second) { // of the bubble
				if _, err := conn.Read(one); err != nil {
					return
				}
			}
		}()
		if err := <-wrote; !isTimeout(err) {
			t.Errorf("got %v, want a timeout", err)
		}
		if took := time.Since(began); took > 2*partPatience {
			t.Errorf("the reader was cut off after %s, want %s at most", took, 2*partPatience)
		}
		<-gone
		if got := s.admission.answers.left.Load(); got != maxAnswers {
			t.Errorf("got %d bytes left for answers, want all %d", got, maxAnswers)
		}
	})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func TestAnswersBeyondTheBudgetKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	var s *Server
	s = bounded(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, answerPart+1))
		if got := s.admission.decisions.Load(); got != 1 {
			t.Errorf("got %d at work, want the one whose answer found no room", got)
		}
	})
	s.admission.answers.left.Store(answerPart)
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	if answer.Code != http.StatusOK || answer.Body.Len() != answerPart+1 {
		t.Errorf("got %d with %d bytes, want it whole", answer.Code, answer.Body.Len())
	}
	if work, left := s.admission.decisions.Load(), s.admission.answers.left.Load(); work != 0 || left != answerPart {
		t.Errorf("afterwards: got %d at work and %d bytes left", work, left)
	}
}

func TestLargeBodiesBeyondTheBudgetAreShed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size   int
		hidden bool
		status int
	}{
		"small":                      {size: smallBody, status: http.StatusNoContent},
		"small, of unknown length":   {size: smallBody, hidden: true, status: http.StatusNoContent},
		"large":                      {size: smallBody + 1, status: http.StatusServiceUnavailable},
		"large, of unknown length":   {size: smallBody + 1, hidden: true, status: http.StatusServiceUnavailable},
		"as large as there may come": {size: maxBody, status: http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bounded(nil)
			s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				x := exchangeOf(r.Context())
				defer x.release(&s.admission.bodies)
				x.operation.class = classWrite
				data, err := s.receive(w, r, x)
				if err != nil {
					s.fail(w, r, err)
					return
				}
				if len(data) != tc.size {
					t.Errorf("got %d bytes, want %d", len(data), tc.size)
				}
				w.WriteHeader(http.StatusNoContent)
			})
			for _, room := range []struct {
				left   int64
				status int
			}{{smallBody, tc.status}, {maxBody, http.StatusNoContent}} {
				s.admission.bodies.left.Store(room.left)
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("a", tc.size)))
				if tc.hidden {
					r.ContentLength = -1
				}
				answer := httptest.NewRecorder()
				s.ServeHTTP(answer, r)
				if answer.Code != room.status {
					t.Errorf("with %d bytes left: got %d, want %d", room.left, answer.Code, room.status)
				}
				if got := s.admission.bodies.left.Load(); got != room.left {
					t.Errorf("got %d bytes left afterwards, want %d", got, room.left)
				}
			}
		})
	}
}

func TestConnectionsBeyondTheBoundAreClosed(t *testing.T) {
	t.Parallel()
	l := &pipes{make(chan net.Conn, 3)}
	var clients []net.Conn
	dial := func() {
		client, server := net.Pipe()
		clients = append(clients, client)
		l.conns <- server
	}
	c := &connections{most: 1}
	bound := c.bound(l)
	dial()
	first, err := bound.Accept()
	if err != nil {
		t.Fatal(err)
	}
	dial()
	accepted := make(chan net.Conn)
	go func() {
		conn, _ := bound.Accept()
		accepted <- conn
	}()
	if _, err := clients[1].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one too many: got %v, want its end", err)
	}
	for range 2 { // the second counts nothing off
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	dial()
	if conn := <-accepted; conn == nil {
		t.Error("got no connection after one was closed")
	}
	if open, refused := c.open.Load(), c.refused.Load(); open != 1 || refused != 1 {
		t.Errorf("got %d open and %d refused, want 1 and 1", open, refused)
	}
}
