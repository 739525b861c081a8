//go:build !unix

package pgtest

import (
	"context"
	"errors"
)

func startPrograms(context.Context, []string) (*Server, string, error) {
	return nil, "", errors.New("not on this operating system")
}
