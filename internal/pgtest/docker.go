package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	// healthTimeout keeps a machine without Docker from waiting for it.
	healthTimeout = 3 * time.Second
)

// startContainer runs the image in Docker. Testcontainers' own reaper removes the
// container if this process dies.
func startContainer(ctx context.Context, settings []string) (_ *Server, from string, err error) {
	// Its log would take many lines, and errors say enough.
	log.SetDefault(log.NewNoopLogger())
	if err := dockerAnswers(ctx); err != nil {
		return nil, "", err
	}
	image := cmp.Or(os.Getenv(imageVariable), defaultImage)
	container, err := postgres.Run(ctx, image, testcontainers.WithCmdArgs(settings...))
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("image %s: %w", image, err), testcontainers.TerminateContainer(container))
	}
	stop := func() error {
		return testcontainers.TerminateContainer(container, testcontainers.StopTimeout(0))
	}
	raw, err := container.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("find the container's address: %w", err), stop())
	}
	admin, err := url.Parse(raw)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("read the container's address: %w", err), stop())
	}
	return &Server{admin: admin, stop: stop}, "Docker image " + image, nil
}

func dockerAnswers(ctx context.Context) (err error) {
	defer func() {
		// Testcontainers panics where it finds no engine in any of its places.
		if reason := recover(); reason != nil {
			err = errors.New("no engine answers")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return errors.New("no engine answers")
	}
	if err := provider.Health(ctx); err != nil {
		return errors.New("no engine answers")
	}
	return nil
}
