package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// authzen is what the OpenID AuthZEN Authorization API 1.0
// (https://openid.net/specs/authorization-api-1_0.html) needs to know.
type authzen struct {
	// publicURL has no slash at its end; empty where it is not known.
	publicURL    string
	subjectTypes []string
	// evaluation is the schema of a whole evaluation.
	evaluation *openapi3.Schema
}

func newAuthZEN(cfg Config, operations map[string]operation) (authzen, error) {
	a := authzen{
		publicURL:    strings.TrimRight(cfg.PublicURL, "/"),
		subjectTypes: cfg.AuthZENSubjectTypes,
		evaluation:   operations["POST /access/v1/evaluation"].body,
	}
	if len(a.subjectTypes) == 0 {
		a.subjectTypes = []string{"user"}
	}
	if a.publicURL == "" {
		return a, nil
	}
	u, err := url.Parse(a.publicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(a.publicURL, "?#") {
		return a, errors.New("server: Config.PublicURL must be an http or https URL with neither a query nor a fragment")
	}
	return a, nil
}

// GetAuthZENConfiguration never looks at the Host header, which the caller chooses.
func (h handlers) GetAuthZENConfiguration(context.Context, api.GetAuthZENConfigurationRequestObject) (api.GetAuthZENConfigurationResponseObject, error) {
	base := h.server.authzen.publicURL
	if base == "" {
		return nil, fault.NotFound("the server's public URL is not configured")
	}
	return api.GetAuthZENConfiguration200JSONResponse{Body: api.AuthZENConfiguration{
		PolicyDecisionPoint:       base,
		AccessEvaluationEndpoint:  base + "/access/v1/evaluation",
		AccessEvaluationsEndpoint: base + "/access/v1/evaluations",
		SearchSubjectEndpoint:     base + "/access/v1/search/subject",
		SearchResourceEndpoint:    base + "/access/v1/search/resource",
		SearchActionEndpoint:      base + "/access/v1/search/action",
	}}, nil
}

func (h handlers) Evaluate(ctx context.Context, _ api.EvaluateRequestObject) (api.EvaluateResponseObject, error) {
	d, err := h.server.authzen.decide(ctx, bodyObject(ctx))
	if err != nil {
		return nil, err
	}
	return api.Evaluate200JSONResponse{
		Body:    d,
		Headers: api.Evaluate200ResponseHeaders{GatehouseRevision: d.Context.Revision},
	}, nil
}

func (h handlers) EvaluateAll(ctx context.Context, _ api.EvaluateAllRequestObject) (api.EvaluateAllResponseObject, error) {
	body := bodyObject(ctx)
	items, _ := body["evaluations"].([]any)
	if len(items) == 0 {
		if err := judge(body, h.server.authzen.evaluation); err != nil {
			return nil, err
		}
		d, err := h.server.authzen.decide(ctx, body)
		if err != nil {
			return nil, err
		}
		return api.EvaluateAll200JSONResponse{
			Body:    api.EvaluationDecisions{Decision: &d.Decision, Context: &d.Context},
			Headers: api.EvaluateAll200ResponseHeaders{GatehouseRevision: d.Context.Revision},
		}, nil
	}
	decisions, revision, err := h.server.authzen.decideAll(ctx, items, body)
	if err != nil {
		return nil, err
	}
	decisions = upToLast(decisions, option[string](body, "evaluations_semantic"))
	return api.EvaluateAll200JSONResponse{
		Body:    api.EvaluationDecisions{Evaluations: &decisions},
		Headers: api.EvaluateAll200ResponseHeaders{GatehouseRevision: revision},
	}, nil
}

// upToLast cuts off the decisions behind the one that a semantic stops at.
func upToLast(decisions []api.EvaluationDecision, semantic string) []api.EvaluationDecision {
	var stopsAt bool
	switch api.EvaluationOptionsEvaluationsSemantic(semantic) {
	case api.DenyOnFirstDeny:
	case api.PermitOnFirstPermit:
		stopsAt = true
	default:
		return decisions
	}
	i := slices.IndexFunc(decisions, func(d api.EvaluationDecision) bool { return d.Decision == stopsAt })
	if i < 0 {
		return decisions
	}
	return decisions[:i+1]
}

// decide makes the decision on a whole evaluation that has been judged.
func (a authzen) decide(ctx context.Context, body map[string]any) (api.EvaluationDecision, error) {
	request, err := a.understand(body, option[bool](body, "explain"))
	if err != nil {
		return api.EvaluationDecision{}, err
	}
	d, err := tenant(ctx).Check(ctx, request)
	if err != nil {
		return api.EvaluationDecision{}, err
	}
	markStale(ctx, d.Stale)
	return evaluated(d, request.Explain), nil
}

// decideAll makes the decisions on evaluations whose parts may stand in top, all
// at one revision, which is nil where no evaluation is whole. One that is not is
// denied, and says why.
func (a authzen) decideAll(ctx context.Context, items []any, top map[string]any) ([]api.EvaluationDecision, *int64, error) {
	if len(items) > engine.MaxChecks {
		return nil, nil, fault.Invalid("evaluations: must be at most %d", engine.MaxChecks)
	}
	explain := option[bool](top, "explain")
	defaults := a.judgeDefaults(top)
	decisions := make([]api.EvaluationDecision, len(items))
	var whole []authz.Request
	var places []int
	for i, item := range items {
		request, err := a.readItem(item, top, defaults, explain)
		if err != nil {
			decisions[i] = refused(err)
			continue
		}
		whole, places = append(whole, request), append(places, i)
	}
	if len(whole) == 0 {
		return decisions, nil, nil
	}
	made, err := tenant(ctx).CheckBatch(ctx, whole)
	if err != nil {
		return nil, nil, err
	}
	markStale(ctx, made[0].Stale)
	for i, d := range made {
		decisions[places[i]] = evaluated(d, explain)
	}
	return decisions, &made[0].Revision, nil
}

// refused is the answer to an evaluation among others that is not one.
func refused(err error) api.EvaluationDecision {
	d := api.EvaluationDecision{}
	d.Context.Error = &struct {
		Message string `json:"message"`
		Status  int    `json:"status"`
	}{Message: err.Error(), Status: http.StatusBadRequest}
	return d
}

// readItem reads an evaluation that takes what it leaves out from top, whose parts
// have been judged with the given result.
func (a authzen) readItem(item any, top map[string]any, defaults map[string]error, explain bool) (authz.Request, error) {
	own, isObject := item.(map[string]any)
	if !isObject {
		return authz.Request{}, fault.Invalid("evaluation: must be an object")
	}
	whole := complete(own, top)
	for _, part := range parts {
		_, sent := own[part]
		err := defaults[part]
		if sent {
			err = a.judgePart(part, whole[part])
		} else if _, there := whole[part]; !there && len(required[part]) > 0 {
			err = fault.Invalid("%s: is missing", part)
		}
		if err != nil {
			return authz.Request{}, err
		}
	}
	return a.understand(whole, explain)
}

// parts are what an evaluation is made of, in the order in which they are judged.
var parts = []string{"subject", "action", "resource", "context"}

// judgeDefaults judges the top level's parts, once for all evaluations that take
// them as they are.
func (a authzen) judgeDefaults(top map[string]any) map[string]error {
	found := map[string]error{}
	for _, part := range parts {
		if value, there := top[part]; there {
			found[part] = a.judgePart(part, value)
		}
	}
	return found
}

func (a authzen) judgePart(part string, value any) error {
	err := judge(value, a.evaluation.Properties[part].Value)
	if err == nil {
		return nil
	}
	if whole, ok := strings.CutPrefix(err.Error(), "body: "); ok {
		return fault.Invalid("%s: %s", part, whole)
	}
	return fault.Invalid("%s.%v", part, err)
}

// required names the fields that an entity must have, and that it may take from
// the top level's.
var required = map[string][]string{"subject": {"type", "id"}, "action": {"name"}, "resource": {"type", "id"}, "context": nil}

// complete returns an evaluation with what it leaves out taken from the top level.
// An entity of its own stands for the whole of the top level's, but for the
// required fields that it lacks.
func complete(own, top map[string]any) map[string]any {
	whole := map[string]any{}
	for part, fields := range required {
		value, sent := own[part]
		byDefault, defaulted := top[part]
		switch {
		case sent:
			whole[part] = fill(value, byDefault, fields)
		case defaulted:
			whole[part] = byDefault
		}
	}
	return whole
}

// fill returns an entity with the fields that it lacks taken from another. What is
// no object stays, for the schema to judge.
func fill(entity, from any, fields []string) any {
	own, isObject := entity.(map[string]any)
	other, hasDefault := from.(map[string]any)
	if !isObject || !hasDefault {
		return entity
	}
	filled := maps.Clone(own)
	for _, field := range fields {
		if _, sent := own[field]; sent {
			continue
		}
		if value, defaulted := other[field]; defaulted {
			filled[field] = value
		}
	}
	return filled
}

// understand puts an evaluation that has been judged into our words. Its field
// names count to the letter.
func (a authzen) understand(body map[string]any, explain bool) (authz.Request, error) {
	subject, action, resource := object(body, "subject"), object(body, "action"), object(body, "resource")
	request := authz.Request{
		User:        subject["id"].(string),
		SubjectType: a.foreign(subject["type"].(string)),
		Permission:  action["name"].(string),
		Resource: &authz.RequestedResource{
			Node:       authz.Node{Type: resource["type"].(string), ID: resource["id"].(string)},
			Properties: object(resource, "properties"),
		},
		UserProperties:   object(subject, "properties"),
		ActionProperties: object(action, "properties"),
		Context:          object(body, "context"),
		Explain:          explain,
	}
	return request, validate(request)
}

// foreign returns a subject's type, which is not empty, where it names no user here,
// and else nothing: the answer about a user of that name is not for a foreign subject.
func (a authzen) foreign(subjectType string) string {
	if slices.Contains(a.subjectTypes, subjectType) {
		return ""
	}
	return subjectType
}

// validate finds what the engine would refuse a whole batch for.
func validate(r authz.Request) error {
	return firstFault(
		part{"subject.id", authz.ValidateID(r.User)},
		part{"action.name", authz.ValidatePermission(r.Permission)},
		part{"resource.type", authz.ValidateID(r.Resource.Type)},
		part{"resource.id", authz.ValidateID(r.Resource.ID)},
		part{"subject.properties", authz.ValidateProperties(r.UserProperties)},
		part{"action.properties", authz.ValidateProperties(r.ActionProperties)},
		part{"resource.properties", authz.ValidateProperties(r.Resource.Properties)},
		part{"context", authz.ValidateProperties(r.Context)},
	)
}

// part is a part of a question, and what is wrong with it.
type part struct {
	field string
	err   error
}

func firstFault(parts ...part) error {
	for _, p := range parts {
		if p.err != nil {
			return fault.Invalid("%s: %v", p.field, p.err)
		}
	}
	return nil
}

// evaluated is the engine's decision in AuthZEN's form.
func evaluated(d authz.Decision, explain bool) api.EvaluationDecision {
	answer := api.EvaluationDecision{
		Decision: d.Allowed,
		Context:  api.EvaluationContext{Revision: &d.Revision, Truncated: orNil(d.Truncated)},
	}
	if explain {
		reasons := convert(d.Reasons, reasonOf)
		answer.Context.Reasons = &reasons
	}
	return answer
}

// bodyObject is the request's body, which the guard has decoded and held to its
// schema: an object.
func bodyObject(ctx context.Context) map[string]any { return exchangeOf(ctx).body.(map[string]any) }

// object returns a member that is an object where it is there; nil where it is not.
func object(parent map[string]any, name string) map[string]any {
	member, _ := parent[name].(map[string]any)
	return member
}

// option returns an option of a request, the zero value where it is not set.
func option[T any](body map[string]any, name string) T {
	value, _ := object(body, "options")[name].(T)
	return value
}
