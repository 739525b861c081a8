package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLargeWritesLeaveRoomForLargeDecisions(t *testing.T) {
	t.Parallel()
	s := bounded(nil)
	s.admission.bodies.left.Store(smallBody)
	for class, want := range map[class]int{
		classWrite: http.StatusServiceUnavailable, classRead: http.StatusServiceUnavailable, classDecision: http.StatusNoContent,
	} {
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchangeOf(r.Context())
			x.operation.class = class
			defer x.release(s.admission.bodiesOf(class))
			if _, err := s.receive(w, r, x); err != nil {
				s.fail(w, r, err)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("a", maxBody))))
		if answer.Code != want {
			t.Errorf("%s: got %d, want %d", class, answer.Code, want)
		}
	}
	if got := s.admission.decisionBodies.left.Load(); got != maxDecisionBodies {
		t.Errorf("got %d bytes left for bodies of decisions, want all %d", got, maxDecisionBodies)
	}
}
