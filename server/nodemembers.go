package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) ListScopeMembers(ctx context.Context, r api.ListScopeMembersRequestObject) (api.ListScopeMembersResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	list, err := nodeMembers(ctx, node, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return api.ListScopeMembers200JSONResponse{NodeMemberListResponseJSONResponse: list}, nil
}

func (handlers) PutScopeMember(ctx context.Context, r api.PutScopeMemberRequestObject) (api.PutScopeMemberResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	member, err := putMember(ctx, userRef(r.User), r.Role, node, r.Body)
	if err != nil {
		return nil, err
	}
	return api.PutScopeMember200JSONResponse{NodeMemberResponseJSONResponse: member}, nil
}

func (handlers) DeleteScopeMember(ctx context.Context, r api.DeleteScopeMemberRequestObject) (api.DeleteScopeMemberResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).RemoveMembership(ctx, userRef(r.User), r.Role, node)
	if err != nil {
		return nil, err
	}
	return api.DeleteScopeMember200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) PutScopeGroup(ctx context.Context, r api.PutScopeGroupRequestObject) (api.PutScopeGroupResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	member, err := putMember(ctx, groupRef(r.Group), r.Role, node, r.Body)
	if err != nil {
		return nil, err
	}
	return api.PutScopeGroup200JSONResponse{NodeMemberResponseJSONResponse: member}, nil
}

func (handlers) DeleteScopeGroup(ctx context.Context, r api.DeleteScopeGroupRequestObject) (api.DeleteScopeGroupResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).RemoveMembership(ctx, groupRef(r.Group), r.Role, node)
	if err != nil {
		return nil, err
	}
	return api.DeleteScopeGroup200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) ListResourceMembers(ctx context.Context, r api.ListResourceMembersRequestObject) (api.ListResourceMembersResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	list, err := nodeMembers(ctx, node, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return api.ListResourceMembers200JSONResponse{NodeMemberListResponseJSONResponse: list}, nil
}

func (handlers) PutResourceMember(ctx context.Context, r api.PutResourceMemberRequestObject) (api.PutResourceMemberResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	member, err := putMember(ctx, userRef(r.User), r.Role, node, r.Body)
	if err != nil {
		return nil, err
	}
	return api.PutResourceMember200JSONResponse{NodeMemberResponseJSONResponse: member}, nil
}

func (handlers) DeleteResourceMember(ctx context.Context, r api.DeleteResourceMemberRequestObject) (api.DeleteResourceMemberResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).RemoveMembership(ctx, userRef(r.User), r.Role, node)
	if err != nil {
		return nil, err
	}
	return api.DeleteResourceMember200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) PutResourceGroup(ctx context.Context, r api.PutResourceGroupRequestObject) (api.PutResourceGroupResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	member, err := putMember(ctx, groupRef(r.Group), r.Role, node, r.Body)
	if err != nil {
		return nil, err
	}
	return api.PutResourceGroup200JSONResponse{NodeMemberResponseJSONResponse: member}, nil
}

func (handlers) DeleteResourceGroup(ctx context.Context, r api.DeleteResourceGroupRequestObject) (api.DeleteResourceGroupResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).RemoveMembership(ctx, groupRef(r.Group), r.Role, node)
	if err != nil {
		return nil, err
	}
	return api.DeleteResourceGroup200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) PutGroupRole(ctx context.Context, r api.PutGroupRoleRequestObject) (api.PutGroupRoleResponseObject, error) {
	member, err := putMember(ctx, groupRef(r.Group), r.Role, authz.Root, r.Body)
	if err != nil {
		return nil, err
	}
	return api.PutGroupRole200JSONResponse{NodeMemberResponseJSONResponse: member}, nil
}

func (handlers) DeleteGroupRole(ctx context.Context, r api.DeleteGroupRoleRequestObject) (api.DeleteGroupRoleResponseObject, error) {
	written, err := tenant(ctx).RemoveMembership(ctx, groupRef(r.Group), r.Role, authz.Root)
	if err != nil {
		return nil, err
	}
	return api.DeleteGroupRole200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func putMember(ctx context.Context, subject authz.SubjectRef, role string, node authz.Node, body *api.Window) (api.NodeMemberResponseJSONResponse, error) {
	window, err := window(body)
	if err != nil {
		return api.NodeMemberResponseJSONResponse{}, err
	}
	membership := authz.Membership{Subject: subject, Role: role, Node: node, Window: window}
	written, err := tenant(ctx).PutMembership(ctx, membership)
	if err != nil {
		return api.NodeMemberResponseJSONResponse{}, err
	}
	return api.NodeMemberResponseJSONResponse{
		Body: api.NodeMemberEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: nodeMember(membership),
		},
		Headers: api.NodeMemberResponseResponseHeaders{GatehouseRevision: &written.Revision},
	}, nil
}

func nodeMembers(ctx context.Context, node authz.Node, limit *int, cursor *string) (api.NodeMemberListResponseJSONResponse, error) {
	p, err := page(limit, cursor)
	if err != nil {
		return api.NodeMemberListResponseJSONResponse{}, err
	}
	l, err := tenant(ctx).NodeMembers(ctx, node, p)
	if err != nil {
		return api.NodeMemberListResponseJSONResponse{}, err
	}
	return api.NodeMemberListResponseJSONResponse{
		Body: api.NodeMemberListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, nodeMember),
		},
		Headers: api.NodeMemberListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func nodeMember(m authz.Membership) api.NodeMember {
	member := api.NodeMember{
		Role: m.Role, NotBefore: orNil(m.Window.NotBefore), ExpiresAt: orNil(m.Window.ExpiresAt),
	}
	if m.Subject.Type == authz.GroupType {
		member.Group = &m.Subject.Name
	} else {
		member.User = &m.Subject.Name
	}
	return member
}

func userRef(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.UserType, Name: name} }

func groupRef(name string) authz.SubjectRef {
	return authz.SubjectRef{Type: authz.GroupType, Name: name}
}
