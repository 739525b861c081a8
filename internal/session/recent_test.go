package session_test

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/session"
)

// TestRecentStaysShort rotates a session at many paces, and compares what Next still
// excuses with the times of all rotations.
func TestRecentStaysShort(t *testing.T) {
	t.Parallel()
	for _, pace := range []time.Duration{0, time.Microsecond, time.Millisecond, 100 * time.Millisecond, rules.Overlap / 32, rules.Overlap/32 + 1, time.Second, rules.Overlap, rules.Overlap + 1, time.Minute} {
		t.Run(pace.String(), func(t *testing.T) {
			t.Parallel()
			row := session.New("s", authz.NewSession{User: "ann", IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStandard}, 0, rules, start)
			now, at := start, map[int64]time.Time{}
			longest := 0
			for range 3000 {
				now = now.Add(pace)
				at[row.Generation] = now
				row = session.Next(row, session.User{}, row.Generation, home, rules, now).Row
				longest = max(longest, len(row.Recent))
			}
			if longest > 34 {
				t.Errorf("Recent had %d entries, want at most 34", longest)
			}
			for _, later := range []time.Duration{0, rules.Overlap / 2, rules.Overlap, 2 * rules.Overlap} {
				for generation, at := range at {
					age := now.Add(later).Sub(at)
					got := session.Next(row, session.User{}, generation, train, rules, now.Add(later))
					if taken := got.Refusal == ""; taken != (age <= rules.Overlap) && (age <= rules.Overlap || age > rules.Overlap+rules.Overlap/32+1) {
						t.Fatalf("generation %d, superseded %v ago: got %+v", generation, age, got)
					}
				}
			}
		})
	}
}

// TestRecentSurvivesClockSteps moves the clock to and fro: Recent stays short, an honest
// browser's replay is taken, and what was superseded too long ago stays so.
func TestRecentSurvivesClockSteps(t *testing.T) {
	t.Parallel()
	row := session.New("s", authz.NewSession{User: "ann", IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStandard}, 0, rules, start)
	now := start
	for step := range 2000 {
		now = now.Add(time.Duration(step*7919%23) * 100 * time.Millisecond)
		switch step % 10 {
		case 4:
			now = now.Add(time.Minute)
		case 9:
			now = now.Add(-time.Minute)
		}
		row = session.Next(row, session.User{}, row.Generation, home, rules, now).Row
		if len(row.Recent) > 34 {
			t.Fatalf("step %d: Recent has %d entries, want at most 34", step, len(row.Recent))
		}
		if got := session.Next(row, session.User{}, row.Generation-1, home, rules, now.Add(time.Second)); got.Outcome != authz.SessionReplayed {
			t.Fatalf("step %d: parallel request: got %+v", step, got)
		}
		if step < 200 {
			continue
		}
		for _, clock := range []time.Duration{0, -time.Minute, -time.Hour} {
			if got := session.Next(row, session.User{}, row.Generation-100, train, rules, now.Add(clock)); got.End != authz.EndTokenReused {
				t.Fatalf("step %d, clock %v: superseded a hundred rotations ago: got %+v", step, clock, got)
			}
		}
	}
}
