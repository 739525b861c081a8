package faults_test

import (
	"testing"

	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestServerKilled(t *testing.T) {
	_, database := startPostgreSQL(t)
	i := servertest.Install(t, database)
	r := startRig(t, i, i, i)
	for _, s := range r.sites[:2] {
		s.process.Kill()
		r.after(300)
		s.serve()
	}
	r.isHealed()
	r.finish()
}
