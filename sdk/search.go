package sdk

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// The searches go over AuthZEN, which has no question without a resource, and none
// about the owner or the parent of one: either is ErrInvalid. They speak of users
// as subjects of the type "user", which AUTH_AUTHZEN_SUBJECT_TYPES must not have
// replaced.

// Subjects lists the users who may do what request asks for, whose User does not
// count: of those that the tenant knows, which are the registered, the holders of
// roles and members of groups anywhere, and the owners. A page may be short, or
// empty, before the last one.
func (c *Client) Subjects(ctx context.Context, request authz.Request, page authz.Page) (authz.List[string], error) {
	body, err := searchBody(request, page)
	if err != nil {
		return authz.List[string]{}, err
	}
	delete(body["subject"].(map[string]any), "id")
	encoded, err := encode(body)
	if err != nil {
		return authz.List[string]{}, err
	}
	return found[api.SubjectResults](c.api.SearchSubjects(reading(ctx), encoded))(func(r api.SubjectResults) ([]string, string) {
		return ids(r.Results), r.Page.NextToken
	})
}

// ResourcesFor lists the ids of the stored resources of a type, or of the scopes of
// a kind, on which request is allowed. Of request's Resource only the Properties
// count, which override those of every resource. Pages are as in Subjects.
func (c *Client) ResourcesFor(ctx context.Context, request authz.Request, resourceType string, page authz.Page) (authz.List[string], error) {
	resource := authz.RequestedResource{Node: authz.Node{Type: resourceType}}
	if request.Resource != nil {
		resource.Properties = request.Resource.Properties
	}
	request.Resource = &resource
	body, err := searchBody(request, page)
	if err != nil {
		return authz.List[string]{}, err
	}
	delete(body["resource"].(map[string]any), "id")
	encoded, err := encode(body)
	if err != nil {
		return authz.List[string]{}, err
	}
	return found[api.ResourceResults](c.api.SearchResources(reading(ctx), encoded))(func(r api.ResourceResults) ([]string, string) {
		return ids(r.Results), r.Page.NextToken
	})
}

// Actions lists the permissions that request would be allowed for, whose own does
// not count: of those that the tenant knows, which are granted somewhere by their
// exact name or defined by a tool. Pages are as in Subjects.
func (c *Client) Actions(ctx context.Context, request authz.Request, page authz.Page) (authz.List[string], error) {
	body, err := searchBody(request, page)
	if err != nil {
		return authz.List[string]{}, err
	}
	delete(body["action"].(map[string]any), "name")
	encoded, err := encode(body)
	if err != nil {
		return authz.List[string]{}, err
	}
	return found[api.ActionResults](c.api.SearchActions(reading(ctx), encoded))(func(r api.ActionResults) ([]string, string) {
		var names []string
		for _, action := range r.Results {
			names = append(names, action.Name)
		}
		return names, r.Page.NextToken
	})
}

// searchBody is a search in AuthZEN's form, with all parts of its entities.
func searchBody(request authz.Request, page authz.Page) (map[string]any, error) {
	resource := request.Resource
	switch {
	case request.SubjectType != "":
		return nil, errSubjectType
	case resource == nil:
		return nil, invalid("resource: a search over HTTP must name one")
	case resource.Owner != "" || resource.Parent != (authz.Node{}) && resource.Parent != authz.Root:
		return nil, invalid("resource: a search over HTTP takes neither an owner nor a parent")
	}
	if err := checkTexts(name{"user", request.User}, name{"permission", request.Permission},
		name{"resource.type", resource.Type}, name{"resource.id", resource.ID}); err != nil {
		return nil, err
	}
	for _, properties := range []struct {
		of     string
		values map[string]any
	}{
		{"subject.properties", request.UserProperties}, {"action.properties", request.ActionProperties},
		{"resource.properties", resource.Properties}, {"context", request.Context},
	} {
		if err := checkProperties(properties.of, properties.values); err != nil {
			return nil, err
		}
	}
	body := map[string]any{
		"subject":  entity(map[string]any{"type": "user", "id": request.User}, request.UserProperties),
		"action":   entity(map[string]any{"name": request.Permission}, request.ActionProperties),
		"resource": entity(map[string]any{"type": resource.Type, "id": resource.ID}, resource.Properties),
		"page":     wanted(page),
	}
	if len(request.Context) > 0 {
		body["context"] = request.Context
	}
	return body, nil
}

func entity(named, properties map[string]any) map[string]any {
	if len(properties) > 0 {
		named["properties"] = properties
	}
	return named
}

// wanted names a page. Its limit is what the engine would take for it.
func wanted(page authz.Page) map[string]any {
	part := map[string]any{}
	if page.Limit != 0 {
		part["limit"] = page.Limit
	}
	if page.Cursor != "" {
		part["token"] = page.Cursor
	}
	return part
}

func encode(body map[string]any) (json.RawMessage, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, invalid("properties: %v", err)
	}
	return encoded, nil
}

// found reads a page of results, which stand in no envelope: an error is one string
// in JSON.
func found[T any](rsp *http.Response, err error) func(func(T) ([]string, string)) (authz.List[string], error) {
	return func(results func(T) ([]string, string)) (authz.List[string], error) {
		if err != nil {
			return authz.List[string]{}, unanswered(err)
		}
		body, err := readBody(rsp)
		if err != nil {
			return authz.List[string]{}, err
		}
		if !isJSON(rsp.Header) {
			return authz.List[string]{}, foreign(rsp)
		}
		if rsp.StatusCode != http.StatusOK {
			var detail string
			if json.Unmarshal(body, &detail) != nil {
				return authz.List[string]{}, foreign(rsp)
			}
			return authz.List[string]{}, refused(rsp, http.StatusText(rsp.StatusCode), detail)
		}
		var data struct {
			Page    *struct{} `json:"page"`
			Results *[]any    `json:"results"`
		}
		var answer T
		if json.Unmarshal(body, &data) != nil || data.Page == nil || data.Results == nil || json.Unmarshal(body, &answer) != nil {
			return authz.List[string]{}, foreign(rsp)
		}
		list := authz.List[string]{}
		list.Items, list.Next = results(answer)
		list.Revision, err = number(rsp.Header, revisionHeader)
		return list, err
	}
}

func ids(entities []api.FoundEntity) []string {
	var ids []string
	for _, entity := range entities {
		ids = append(ids, entity.Id)
	}
	return ids
}
