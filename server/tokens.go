package server

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) CreateToken(ctx context.Context, r api.CreateTokenRequestObject) (api.CreateTokenResponseObject, error) {
	var request authz.TokenRequest
	if r.Body != nil {
		request = authz.TokenRequest{Abilities: orZero(r.Body.Abilities), Subject: orZero(r.Body.Subject)}
	}
	tokens, err := exchangeOf(ctx).principal.IssueTokens(ctx, request)
	if err != nil {
		return nil, err
	}
	return api.CreateToken200JSONResponse{TokensResponseJSONResponse: tokensOf(tokens)}, nil
}

// The guard has made JSON of forms.

func (handlers) RefreshToken(ctx context.Context, r api.RefreshTokenRequestObject) (api.RefreshTokenResponseObject, error) {
	var abilities []string
	if r.JSONBody.Scope != nil {
		abilities = strings.Split(*r.JSONBody.Scope, " ")
	}
	tokens, err := exchangeOf(ctx).principal.RefreshTokens(ctx, r.JSONBody.RefreshToken, abilities)
	if err != nil {
		return nil, err
	}
	return api.RefreshToken200JSONResponse{TokensResponseJSONResponse: tokensOf(tokens)}, nil
}

func (handlers) RevokeToken(ctx context.Context, r api.RevokeTokenRequestObject) (api.RevokeTokenResponseObject, error) {
	if err := exchangeOf(ctx).principal.RevokeToken(ctx, r.JSONBody.Token); err != nil {
		return nil, err
	}
	return api.RevokeToken200Response{}, nil
}

func (handlers) IntrospectToken(ctx context.Context, r api.IntrospectTokenRequestObject) (api.IntrospectTokenResponseObject, error) {
	info, err := exchangeOf(ctx).principal.IntrospectToken(ctx, r.JSONBody.Token)
	if err != nil {
		return nil, err
	}
	body := api.TokenInfo{Active: info.Active}
	if info.Active {
		issued, expires := info.IssuedAt.Unix(), info.ExpiresAt.Unix()
		body = api.TokenInfo{
			Active: true, TokenUse: orNil(api.TokenInfoTokenUse(info.Use)), Scope: orNil(strings.Join(info.Abilities, " ")),
			ClientId: &info.Client, Tenant: &info.Tenant, Family: &info.Family, Sub: orNil(cmp.Or(info.Subject, info.Client)),
			Aud: &info.Issuer, Iss: &info.Issuer, Iat: &issued, Nbf: &issued, Exp: &expires, Jti: orNil(info.ID),
		}
		if info.Use == authz.AccessToken {
			body.TokenType = orNil(api.TokenInfoTokenTypeBearer)
		}
	}
	return api.IntrospectToken200JSONResponse{Body: body}, nil
}

func tokensOf(tokens authz.Tokens) api.TokensResponseJSONResponse {
	return api.TokensResponseJSONResponse{Body: api.Tokens{
		AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken, TokenType: api.TokensTokenTypeBearer,
		ExpiresIn: int64(tokens.ExpiresIn / time.Second), Scope: strings.Join(tokens.Abilities, " "),
	}}
}
