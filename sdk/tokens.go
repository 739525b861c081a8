package sdk

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// IssueTokens gives an access token and a refresh token for the client's key. An
// ability that there is not, or that the key lacks, is authz.ErrInvalidScope.
func (c *Client) IssueTokens(ctx context.Context, request authz.TokenRequest) (authz.Tokens, error) {
	body := api.TokenRequest{Subject: given(request.Subject)}
	if request.Abilities != nil {
		body.Abilities = &request.Abilities
	}
	rsp, err := c.api.CreateToken(unnamed(ctx), body)
	return readTokens(rsp, err)
}

// RefreshTokens takes a refresh token and gives the next one, with a new access token,
// of fewer abilities than the family's where some are given. The error is
// authz.ErrInvalidGrant where the token is not good: see IssueTokens for another. After
// ErrUnavailable the token may have been taken, and ends its family if it is shown again.
func (c *Client) RefreshTokens(ctx context.Context, refreshToken string, abilities ...string) (authz.Tokens, error) {
	rsp, err := c.api.RefreshToken(unnamed(ctx), api.TokenRefresh{RefreshToken: refreshToken, Scope: given(strings.Join(abilities, " "))})
	return readTokens(rsp, err)
}

// RevokeToken ends the family of an access or refresh token, with all its tokens. What
// is no token, or not good any more, is no error.
func (c *Client) RevokeToken(ctx context.Context, token string) error {
	rsp, err := c.api.RevokeToken(reading(ctx), api.TokenReference{Token: token})
	_, err = readOAuth(rsp, err)
	return err
}

// IntrospectToken tells what an access or refresh token is, and whether it is good.
func (c *Client) IntrospectToken(ctx context.Context, token string) (authz.TokenInfo, error) {
	rsp, err := c.api.IntrospectToken(reading(ctx), api.TokenReference{Token: token})
	body, err := readOAuth(rsp, err)
	if err != nil {
		return authz.TokenInfo{}, err
	}
	var info api.TokenInfo
	if !isJSON(rsp.Header) || json.Unmarshal(body, &info) != nil {
		return authz.TokenInfo{}, foreign(rsp)
	}
	if !info.Active {
		return authz.TokenInfo{}, nil
	}
	known := authz.TokenInfo{
		Active: true, Use: authz.TokenUse(orZero(info.TokenUse)), ID: orZero(info.Jti), Family: orZero(info.Family), Tenant: orZero(info.Tenant),
		Issuer: orZero(info.Iss), Client: orZero(info.ClientId), Abilities: strings.Fields(orZero(info.Scope)),
		IssuedAt: time.Unix(orZero(info.Iat), 0).UTC(), ExpiresAt: time.Unix(orZero(info.Exp), 0).UTC(),
	}
	if subject := orZero(info.Sub); subject != known.Client {
		known.Subject = subject
	}
	return known, nil
}

func readTokens(rsp *http.Response, err error) (authz.Tokens, error) {
	body, err := readOAuth(rsp, err)
	if err != nil {
		return authz.Tokens{}, err
	}
	var tokens api.Tokens
	if !isJSON(rsp.Header) || json.Unmarshal(body, &tokens) != nil || checkKey(tokens.AccessToken) != nil || tokens.RefreshToken == "" {
		return authz.Tokens{}, foreign(rsp)
	}
	return authz.Tokens{
		AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken,
		ExpiresIn: time.Duration(tokens.ExpiresIn) * time.Second, Abilities: strings.Fields(tokens.Scope),
	}, nil
}

// readOAuth turns an answer of the token endpoints, or why there is none, into its body
// or an error.
func readOAuth(rsp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, unanswered(err)
	}
	body, err := readBody(rsp)
	if err != nil || rsp.StatusCode == http.StatusOK {
		return body, err
	}
	var e api.TokenError
	if !isJSON(rsp.Header) || json.Unmarshal(body, &e) != nil || e.Error == "" {
		return nil, foreign(rsp)
	}
	failed := refused(rsp, string(e.Error), e.ErrorDescription)
	switch why := authz.TokenRefusal(e.Error); why {
	case authz.ErrInvalidGrant, authz.ErrInvalidScope:
		failed.cause = why
	}
	return nil, failed
}
