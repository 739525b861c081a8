package server

import (
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// This file answers the searches of AuthZEN, whose bodies the guard has held to
// their schemas.

func (h handlers) SearchSubjects(ctx context.Context, _ api.SearchSubjectsRequestObject) (api.SearchSubjectsResponseObject, error) {
	body := bodyObject(ctx)
	request := searched(body)
	if err := firstFault(
		part{"action.name", authz.ValidatePermission(request.Permission)},
		part{"resource.type", authz.ValidateID(request.Resource.Type)},
		part{"resource.id", authz.ValidateID(request.Resource.ID)},
	); err != nil {
		return nil, err
	}
	subjectType := text(body, "subject", "type")
	found, err := h.server.authzen.search(body, func(p authz.Page) (authz.List[string], error) {
		return tenant(ctx).Subjects(ctx, request, p)
	})
	if err != nil {
		return nil, err
	}
	return api.SearchSubjects200JSONResponse{
		Body:    api.SubjectResults{Page: found.page, Results: entities(subjectType, found.names)},
		Headers: api.SearchSubjects200ResponseHeaders{GatehouseRevision: found.revision},
	}, nil
}

func (h handlers) SearchResources(ctx context.Context, _ api.SearchResourcesRequestObject) (api.SearchResourcesResponseObject, error) {
	body := bodyObject(ctx)
	request := searched(body)
	resourceType := request.Resource.Type
	if err := firstFault(
		part{"subject.id", authz.ValidateID(request.User)},
		part{"action.name", authz.ValidatePermission(request.Permission)},
		part{"resource.type", authz.ValidateID(resourceType)},
	); err != nil {
		return nil, err
	}
	found, err := h.server.authzen.search(body, func(p authz.Page) (authz.List[string], error) {
		return tenant(ctx).ResourcesFor(ctx, request, resourceType, p)
	})
	if err != nil {
		return nil, err
	}
	return api.SearchResources200JSONResponse{
		Body:    api.ResourceResults{Page: found.page, Results: entities(resourceType, found.names)},
		Headers: api.SearchResources200ResponseHeaders{GatehouseRevision: found.revision},
	}, nil
}

func (h handlers) SearchActions(ctx context.Context, _ api.SearchActionsRequestObject) (api.SearchActionsResponseObject, error) {
	body := bodyObject(ctx)
	request := searched(body)
	if err := firstFault(
		part{"subject.id", authz.ValidateID(request.User)},
		part{"resource.type", authz.ValidateID(request.Resource.Type)},
		part{"resource.id", authz.ValidateID(request.Resource.ID)},
	); err != nil {
		return nil, err
	}
	found, err := h.server.authzen.search(body, func(p authz.Page) (authz.List[string], error) {
		return tenant(ctx).Actions(ctx, request, p)
	})
	if err != nil {
		return nil, err
	}
	answer := api.ActionResults{Page: found.page}
	answer.Results = convert(found.names, func(name string) api.FoundAction { return api.FoundAction{Name: name} })
	return api.SearchActions200JSONResponse{
		Body:    answer,
		Headers: api.SearchActions200ResponseHeaders{GatehouseRevision: found.revision},
	}, nil
}

// searched reads a search in our words, without what it leaves open.
func searched(body map[string]any) authz.Request {
	subject, action, resource := object(body, "subject"), object(body, "action"), object(body, "resource")
	return authz.Request{
		User:       text(body, "subject", "id"),
		Permission: text(body, "action", "name"),
		Resource: &authz.RequestedResource{
			Node:       authz.Node{Type: text(body, "resource", "type"), ID: text(body, "resource", "id")},
			Properties: object(resource, "properties"),
		},
		UserProperties:   object(subject, "properties"),
		ActionProperties: object(action, "properties"),
		Context:          object(body, "context"),
	}
}

// text returns a member of an entity that is a string; empty where it is not.
func text(body map[string]any, entity, member string) string {
	value, _ := object(body, entity)[member].(string)
	return value
}

// found is a page of results.
type found struct {
	names []string
	page  api.SearchedPage
	// revision is nil where nothing was looked for.
	revision *int64
}

// search asks for a page of a list whose other parts are known to be good. About
// subjects that are of a type that names no user here it does not ask: there is
// nothing to find.
func (a authzen) search(body map[string]any, list func(authz.Page) (authz.List[string], error)) (found, error) {
	p, err := searchPage(object(body, "page"))
	if err != nil {
		return found{}, err
	}
	if a.foreign(text(body, "subject", "type")) != "" {
		if p.Cursor != "" {
			return found{}, errPageToken
		}
		return found{}, nil
	}
	l, err := list(p)
	if err != nil {
		if p.Cursor != "" && fault.CodeOf(err) == fault.CodeInvalid {
			err = errPageToken
		}
		return found{}, err
	}
	return found{names: l.Items, page: api.SearchedPage{NextToken: pageToken(p.Limit, l.Next)}, revision: &l.Revision}, nil
}

var errPageToken = fault.Invalid("page.token: is not one that this search gave")

// pageToken names the next page, and how many results it is to hold.
func pageToken(limit int, cursor string) string {
	if cursor == "" {
		return ""
	}
	return strconv.Itoa(limit) + "." + cursor
}

// searchPage reads which page is wanted. A limit of the request's own goes before
// the token's.
func searchPage(page map[string]any) (authz.Page, error) {
	var p authz.Page
	if token, _ := page["token"].(string); token != "" {
		limit, cursor, _ := strings.Cut(token, ".")
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 || n > engine.MaxPage || cursor == "" || pageToken(n, cursor) != token {
			return p, errPageToken
		}
		p = authz.Page{Limit: n, Cursor: cursor}
	}
	if limit, asked := page["limit"].(float64); asked {
		p.Limit = int(limit)
	}
	return p, nil
}

func entities(entityType string, ids []string) []api.FoundEntity {
	return convert(ids, func(id string) api.FoundEntity { return api.FoundEntity{Type: entityType, Id: id} })
}
