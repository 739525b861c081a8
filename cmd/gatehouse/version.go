package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by -ldflags "-X main.version=v1.2.3"; empty takes what the build
// knows of itself.
var version string

type versionCommand struct{}

// Help implements kong.HelpProvider.
func (versionCommand) Help() string {
	return `Example:

    gatehouse version` + exitCodes
}

// Run prints the version, and what the program was built with and for.
func (versionCommand) Run(_ context.Context, p *program) error {
	_, err := fmt.Fprintf(p.stdout, "gatehouse %s (%s %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// buildVersion returns the program's version, or the commit that it was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "unreleased"
}
