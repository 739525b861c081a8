// Package gatehouse holds the description of Gatehouse's REST API.
//
// Gatehouse answers who may do what, and whether a session is still its owner's.
// To ask it in process, start at package engine; over the network, at package sdk;
// to run it as a server, at cmd/gatehouse.
package gatehouse

import _ "embed"

// OpenAPI is openapi.yaml: the contract that the server, the SDK and every client
// in another language are made from.
//
//go:embed openapi.yaml
var OpenAPI []byte
