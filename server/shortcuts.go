package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

// shortcuts stands before the strict handler for the questions that are asked all
// the time, and answers them with the same bytes but none of its allocations.
type shortcuts struct {
	api.ServerInterface
	server *Server
}

func (s shortcuts) HasPermission(w http.ResponseWriter, r *http.Request, user api.UserParam, permission api.PermissionParam) {
	d, err := tenant(r.Context()).UserHasPermission(r.Context(), user, permission)
	if err != nil {
		s.server.fail(w, r, err)
		return
	}
	body := append(make([]byte, 0, 160), `{"code":200,"data":{"has_permission":`...)
	body = strconv.AppendBool(body, d.Allowed)
	body = appendEnvelopeEnd(append(body, '}'))
	writeDecision(w, r, d, body)
}

func (s shortcuts) CanRunWorkflow(w http.ResponseWriter, r *http.Request, user api.UserParam, workflow api.WorkflowParam) {
	s.HasPermission(w, r, user, workflow)
}

func (s shortcuts) Check(w http.ResponseWriter, r *http.Request) {
	q := exchangeOf(r.Context()).plain
	if q == nil {
		s.ServerInterface.Check(w, r)
		return
	}
	d, err := tenant(r.Context()).Check(r.Context(), q.request)
	if err != nil {
		s.server.fail(w, r, err)
		return
	}
	body := append(make([]byte, 0, 160), `{"code":200,"data":{"allowed":`...)
	body = strconv.AppendBool(body, d.Allowed)
	body = append(body, `,"revision":`...)
	body = strconv.AppendInt(body, d.Revision, 10)
	body = appendEnvelopeEnd(append(body, '}'))
	writeDecision(w, r, d, body)
}

func (s shortcuts) Evaluate(w http.ResponseWriter, r *http.Request) {
	q := exchangeOf(r.Context()).plain
	if q == nil {
		s.ServerInterface.Evaluate(w, r)
		return
	}
	q.request.SubjectType = s.server.authzen.foreign(q.subjectType)
	d, err := tenant(r.Context()).Check(r.Context(), q.request)
	if err != nil {
		s.server.fail(w, r, err)
		return
	}
	body := append(make([]byte, 0, 80), `{"context":{"revision":`...)
	body = strconv.AppendInt(body, d.Revision, 10)
	body = append(body, `},"decision":`...)
	body = strconv.AppendBool(body, d.Allowed)
	writeDecision(w, r, d, append(body, "}\n"...))
}

// appendEnvelopeEnd appends what follows the data in the envelope.
func appendEnvelopeEnd(body []byte) []byte {
	body = append(body, `,"message":"OK","success":true,"timestamp":"`...)
	body = time.Now().UTC().AppendFormat(body, timestampLayout)
	return append(body, "\"}\n"...)
}

func writeDecision(w http.ResponseWriter, r *http.Request, d authz.Decision, body []byte) {
	markStale(r.Context(), d.Stale)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Gatehouse-Revision", strconv.FormatInt(d.Revision, 10))
	_, _ = w.Write(body) // the caller has gone where this fails
}
