package sdk_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

func TestBatch(t *testing.T) {
	t.Parallel()
	client := newClient(t, startServer(t, nil))
	ctx := t.Context()
	mutations := []sdk.Mutation{
		{Method: http.MethodPut, Path: sdk.Path("roles", "editor"), Body: map[string]any{"description": "Edits"}},
		{Method: http.MethodPost, Path: sdk.Path("permission", "editor", "post:edit")},
		{Method: http.MethodPost, Path: sdk.Path("membership", "a/b c", "editor")},
	}
	result, err := client.Batch(ctx, mutations)
	if err != nil || result.Revision != 1 || len(result.Data) != 3 {
		t.Fatalf("got %+v %v, want 3 answers at revision 1", result, err)
	}
	if got, want := string(result.Data[1]), `{"result":true}`; got != want {
		t.Errorf("answer: got %s, want %s", got, want)
	}
	if d, err := client.AtLeast(result.Revision).UserHasPermission(ctx, "a/b c", "post:edit"); err != nil || !d.Allowed {
		t.Errorf("got %+v %v, want an allowance", d, err)
	}

	_, err = client.Batch(ctx, append(mutations[:1:1],
		sdk.Mutation{Method: http.MethodPost, Path: sdk.Path("role", "author")},
		sdk.Mutation{Method: http.MethodPost, Path: sdk.Path("permission", "none", "edit")}))
	var failed *sdk.Error
	if !errors.As(err, &failed) || !errors.Is(err, sdk.ErrNotFound) || !strings.HasPrefix(failed.Detail, "mutations.2: ") {
		t.Errorf("got %v, want that of the third mutation", err)
	}
	if roles, err := client.Roles(ctx, authz.Page{}); err != nil || len(roles.Items) != 1 || roles.Revision != 1 {
		t.Errorf("roles: got %+v %v, want one at revision 1", roles, err)
	}
}

func TestBatchSendsOnlyWhatJSONCanCarry(t *testing.T) {
	t.Parallel()
	client := newClient(t, "http://127.0.0.1:1")
	for want, mutation := range map[string]sdk.Mutation{
		"mutations.0: body: ": {Method: http.MethodPut, Path: "/api/users/a", Body: map[string]any{"properties": func() {}}},
		"mutations.0: path: ": {Method: http.MethodPut, Path: "/api/users/\xff"},
	} {
		if _, err := client.Batch(t.Context(), []sdk.Mutation{mutation}); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an invalid request that says %q", err, want)
		}
	}
}
