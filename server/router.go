package server

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// operation is what the guard needs to know of an operation of openapi.yaml.
type operation struct {
	id string
	// meter counts its requests.
	meter *meter
	// ability is what the caller must have; empty means open to anybody.
	ability engine.Ability
	// class says what bounds it.
	class class
	// body is the schema of the request body; nil where the operation takes none.
	body *openapi3.Schema
	// form tells that the body may be a form, too.
	form bool
	// plain is what a plain question may hold; nil where there is no shortcut for it.
	plain []member
	// waits tells that the operation is a decision that may take the database each time.
	waits bool
	// reads tells that the operation changes nothing.
	reads bool
	// once tells that the operation takes an Idempotency-Key.
	once bool
	// streams tells that the operation can answer with server-sent events.
	streams bool
	// authzen tells that the operation speaks AuthZEN's form and not the envelope.
	authzen bool
	// sessions tells that the operation is about sessions, which are not policy.
	sessions bool
	// tokens tells that the operation gives or takes tokens: it speaks OAuth's form and not
	// the envelope, to client keys alone.
	tokens bool
}

// readOperations reads the operations of the embedded description, by the pattern
// that the generated code registers them under: "GET /api/roles".
func readOperations() (map[string]operation, error) {
	spec, err := api.GetSpec()
	if err != nil {
		return nil, err
	}
	operations := map[string]operation{}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			o := operation{
				id:       op.OperationID,
				once:     op.Parameters.GetByInAndName(openapi3.ParameterInHeader, idempotencyHeader) != nil,
				streams:  streams(op),
				authzen:  slices.Contains(op.Tags, "AuthZEN"),
				sessions: slices.Contains(op.Tags, "Sessions"),
				tokens:   slices.Contains(op.Tags, "Tokens"),
			}
			ability, named := op.Extensions["x-ability"].(string)
			if open := op.Security != nil && len(*op.Security) == 0; open == named {
				return nil, fmt.Errorf("operation %s must either be open or name its ability", op.OperationID)
			}
			o.ability = engine.Ability(ability)
			o.reads = method == http.MethodGet || o.ability == engine.AbilityCheck || o.ability == engine.AbilityRead
			o.class, o.waits = o.classify(), urgent[o.id]
			if op.RequestBody != nil {
				o.body = op.RequestBody.Value.Content.Get(jsonType).Schema.Value
				_, o.form = op.RequestBody.Value.Content[formType]
			}
			operations[method+" "+path] = o
		}
	}
	return operations, nil
}

func streams(op *openapi3.Operation) bool {
	success := op.Responses.Status(http.StatusOK)
	return success != nil && success.Value.Content.Get(eventStream) != nil
}

// router registers the generated handlers, each behind the guard of its operation.
// Standing before the generated code it sees a request before any parameter of it
// is looked at, so that an unknown caller learns nothing from a malformed one.
type router struct {
	server     *Server
	operations map[string]operation
}

func (rt router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	op, known := rt.operations[pattern]
	if !known {
		panic("no operation in openapi.yaml for " + pattern)
	}
	rt.server.mux.Handle(pattern, rt.server.guard(op, handler))
}

func (rt router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.server.mux.ServeHTTP(w, r) }

// route refuses what http.ServeMux would answer with a redirect: a path that is
// not in its shortest form. A redirected write would lose its body.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if !shortest(r.URL) {
		s.fail(w, r, errNoPath)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// shortest reports whether a path is in its shortest form. It hides slashes, so that
// ServeMux sees the path as it was meant.
func shortest(u *url.URL) bool {
	p := u.EscapedPath()
	if strings.Contains(p, "//") || strings.Contains(p, "/.") && p != path.Clean(p) || !strings.HasPrefix(p, "/") {
		return false
	}
	if u.RawPath != "" {
		hideSlashes(u, p)
	}
	return true
}

// hideSlashes replaces each segment that is nothing but an encoded slash, which
// ServeMux takes for the end of the path. No name is a slash: what stands in for it,
// U+0000, is in no name either, so that the operation refuses it, after
// authentication, as it does any bad name.
func hideSlashes(u *url.URL, escaped string) {
	segments := strings.Split(escaped, "/")
	for i, segment := range segments {
		if strings.EqualFold(segment, "%2F") {
			segments[i] = "%00"
		}
	}
	path := strings.Join(segments, "/")
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.RawPath, u.Path = path, unescaped
	}
}

var errNoPath = fault.NotFound("there is no such path")

// unmatched answers what no pattern matches: 405 where another method would be
// served, else 404.
func (s *Server) unmatched(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != "" && pattern != "/" {
			allowed = append(allowed, method)
			if op := s.operations[pattern]; op.tokens {
				exchangeOf(r.Context()).operation = op // for the form of the error
			}
		}
	}
	if len(allowed) == 0 {
		s.fail(w, r, errNoPath)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.fail(w, r, fault.New(fault.CodeMethodNotAllowed, "%s is not allowed here", r.Method))
}
