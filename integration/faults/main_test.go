// Package faults_test has real servers and their database fail under load, and holds
// what clients were told against what the database has kept.
//
// A test starts a rig, takes something away, gives it back and lets the rig finish: see
// TestServerKilled. The package history says what is checked, and the package wire is
// the network that fails. PostgreSQL comes from its programs on this machine, for each
// test its own.
package faults_test

import (
	"os"
	"testing"

	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Run(m)) }
