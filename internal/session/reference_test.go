package session_test

import (
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/session"
)

// reference is the outcome table read aloud, one line after the other, over the time at
// which each former generation was superseded. It says nothing about Row.Recent.
func reference(row session.Row, supersededAt map[int64]time.Time, user session.User, p int64, client session.Client, rules session.Rules, now time.Time) session.Verdict {
	n := row.Generation
	sameIP := normal(row.IP) == normal(client.IP)
	identical := sameIP && row.UserAgent == client.UserAgent

	if p <= 0 {
		return session.Verdict{Refusal: authz.ErrInvalidToken}
	}
	if !row.EndedAt.IsZero() {
		return session.Verdict{Refusal: authz.ErrSessionEnded}
	}
	if idle, absolute := now.Before(row.IdleExpiresAt), now.Before(row.ExpiresAt); !idle || !absolute {
		return session.Verdict{Refusal: authz.ErrSessionEnded}
	}
	if user.Inactive || user.Epoch > row.Epoch {
		return session.Verdict{Refusal: authz.ErrSessionEnded}
	}
	if row.Binding == authz.BindingStrict && !identical {
		return session.Verdict{Refusal: authz.ErrBindingMismatch, End: authz.EndBindingMismatch}
	}
	if row.Binding == authz.BindingStandard && (row.UserAgent == chrome) != (client.UserAgent == chrome) {
		return session.Verdict{Refusal: authz.ErrBindingMismatch, End: authz.EndBindingMismatch}
	}
	if p == n && rules.RotateAfter > 0 && now.Before(row.RotatedAt.Add(rules.RotateAfter)) {
		v := session.Verdict{Outcome: authz.SessionCurrent, Row: row, Confirms: row.Confirmed != n, Moved: !identical}
		v.Row.Confirmed = n
		if v.Moved {
			v.Row.IP, v.Row.UserAgent = client.IP, client.UserAgent
		}
		return v
	}
	if p == n {
		v := session.Verdict{Outcome: authz.SessionRotated, Row: row, Moved: !sameIP}
		v.Row.Generation, v.Row.Confirmed, v.Row.Replays = n+1, n, 0
		v.Row.RotatedAt, v.Row.IdleExpiresAt = now, now.Add(rules.Idle)
		if v.Row.IdleExpiresAt.After(row.ExpiresAt) {
			v.Row.IdleExpiresAt = row.ExpiresAt
		}
		v.Row.IP, v.Row.UserAgent = client.IP, client.UserAgent
		return v
	}
	if p < n && row.Replays < 100 {
		v := session.Verdict{Outcome: authz.SessionReplayed, Row: row}
		v.Row.Replays++
		if rules.Overlap > 0 && !now.After(supersededAt[p].Add(rules.Overlap)) {
			return v
		}
		if p == n-1 && row.Confirmed < n && rules.LostWindow > 0 && !now.After(row.RotatedAt.Add(rules.LostWindow)) && identical && row.Recovered != n {
			v.Row.Recovered, v.Recovered = n, true
			return v
		}
	}
	if p < n {
		return session.Verdict{Refusal: authz.ErrTokenReused, End: authz.EndTokenReused}
	}
	return session.Verdict{Refusal: authz.ErrSessionEnded, End: authz.EndGenerationAhead}
}

// normal is an address of the tests in the shorter way of writing it.
func normal(ip string) string {
	if ip == "::ffff:192.0.2.1" {
		return "192.0.2.1"
	}
	return ip
}

// history spells Row.Recent and Row.RotatedAt out.
func history(row session.Row) map[int64]time.Time {
	all := map[int64]time.Time{}
	if row.Generation > 1 {
		all[row.Generation-1] = row.RotatedAt
	}
	for i := len(row.Recent) - 1; i >= 0; i-- {
		for g := row.Recent[i].UpTo; g > 0; g-- {
			all[g] = row.Recent[i].At
		}
	}
	return all
}

// FuzzNext compares Next with the reference over arbitrary rows of up to 14 generations.
func FuzzNext(f *testing.F) {
	for seed := range 64 {
		text := make([]byte, 48)
		for i := range text {
			text[i] = byte(seed*(i+3)*31 + i*i)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := input(text)
		row, user, p, client, rules := in.row(), in.user(), in.n(18)-2, in.client(), in.rules()
		got := session.Next(row, user, p, client, rules, start)
		want := reference(row, history(row), user, p, client, rules, start)
		recent := got.Row.Recent
		got.Row.Recent, want.Row.Recent = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("generation %d of %+v for %+v from %+v by %+v:\ngot  %+v\nwant %+v", p, row, user, client, rules, got, want)
		}
		if want.Outcome != authz.SessionRotated && !want.Recovered {
			if got.Refusal == "" && !reflect.DeepEqual(recent, row.Recent) {
				t.Fatalf("Recent changed from %v to %v with %+v", row.Recent, recent, got)
			}
			return
		}
		checkRecent(t, row, p, got, recent, rules)
	})
}

// checkRecent checks what a verdict keeps of the times at which generations were
// superseded.
func checkRecent(t *testing.T, row session.Row, p int64, verdict session.Verdict, recent []session.Superseded, rules session.Rules) {
	t.Helper()
	if len(recent) > 34 {
		t.Fatalf("Recent has %d entries", len(recent))
	}
	want := history(row)
	if verdict.Recovered {
		want[p] = start
	}
	kept := history(session.Row{Generation: verdict.Row.Generation, RotatedAt: verdict.Row.RotatedAt, Recent: recent})
	for generation, at := range want {
		if at.After(start) {
			at = start
		}
		got, drift := kept[generation], kept[generation].Sub(at)
		switch {
		case rules.Overlap <= 0 || start.Sub(at) > rules.Overlap:
			if !got.IsZero() && (rules.Overlap <= 0 || start.Sub(got) <= rules.Overlap) {
				t.Fatalf("generation %d of %v, superseded at %v, is kept as %v by %v in %v", generation, row, at, got, rules, recent)
			}
		case drift < 0 || drift > rules.Overlap/32+1:
			t.Fatalf("generation %d of %v, superseded at %v, is kept as %v by %v in %v", generation, row, at, got, rules, recent)
		}
	}
}

// input makes values of a fuzzer's bytes; when they are used up it goes on with zeros.
type input []byte

func (in *input) n(below int64) int64 {
	var next [2]byte
	*in = (*in)[copy(next[:], *in):]
	return int64(binary.BigEndian.Uint16(next[:])) % below
}

func (in *input) bool() bool { return in.n(2) == 1 }

// often is true but for one time in eight.
func (in *input) often() bool { return in.n(8) != 7 }

// ago is a time before start, or seldom after it, with the limits of rules among them.
func (in *input) ago() time.Time {
	steps := []time.Duration{0, 1, time.Microsecond, 200 * time.Millisecond, 5 * time.Second, 10 * time.Second, 10*time.Second + 1, time.Minute, 5 * time.Minute, 5*time.Minute + 1, time.Hour, -1, -time.Minute}
	return start.Add(-steps[in.n(int64(len(steps)))])
}

func (in *input) client() session.Client {
	return session.Client{
		IP:        []string{"192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "198.51.100.7", ""}[in.n(5)],
		UserAgent: []string{firefox, firefox, firefox, newerFirefox, chrome}[in.n(5)],
	}
}

func (in *input) row() session.Row {
	client := in.client()
	row := session.Row{
		ID: "s", User: "ann", Epoch: in.n(3),
		Generation: in.n(14) + 1, CreatedAt: start.Add(-time.Hour), RotatedAt: in.ago(),
		IdleExpiresAt: start.Add(time.Hour), ExpiresAt: start.Add(2 * time.Hour),
		IP: client.IP, UserAgent: client.UserAgent,
		Binding: []authz.SessionBinding{authz.BindingStandard, authz.BindingOff, authz.BindingStrict}[in.n(3)],
	}
	row.Confirmed = row.Generation - in.n(2)
	if in.n(4) == 3 {
		row.Recovered = row.Generation
	}
	row.Replays = []int64{0, 1, 98, 99, 100, 101}[in.n(6)]
	if !in.often() {
		row.EndedAt = in.ago()
	}
	if !in.often() {
		row.IdleExpiresAt = in.ago()
	}
	if !in.often() {
		row.ExpiresAt = in.ago()
	}
	last := row.Generation - 2
	if row.Recovered > 0 {
		last++
	}
	at := start.Add(-30 * time.Second)
	for g := int64(1); g <= last; g++ {
		at = at.Add(time.Duration(in.n(1<<16)) * 70 * time.Microsecond)
		if in.bool() || g == last {
			row.Recent = append(row.Recent, session.Superseded{UpTo: g, At: at})
		}
	}
	if len(row.Recent) > 0 && !in.often() {
		row.Recent[0].At = time.Time{}
	}
	return row
}

func (in *input) user() session.User {
	return session.User{Inactive: !in.often(), Epoch: in.n(2)}
}

func (in *input) rules() session.Rules {
	return session.Rules{
		Overlap:     []time.Duration{10 * time.Second, 0, -time.Second, time.Microsecond}[max(0, in.n(8)-4)],
		LostWindow:  []time.Duration{5 * time.Minute, 0, -time.Second}[max(0, in.n(6)-3)],
		RotateAfter: []time.Duration{0, 5 * time.Second, -time.Second}[in.n(3)],
		Idle:        time.Hour, Absolute: 24 * time.Hour,
	}
}
