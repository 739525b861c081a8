package history

import "slices"

// checkSessions holds what owners of sessions were told against each other, and against
// what was kept.
func (c *checker) checkSessions() {
	ofUser := map[string][]Session{}
	for _, s := range c.kept.Sessions {
		ofUser[s.User] = append(ofUser[s.User], s)
	}
	created := map[string]int{}
	for _, e := range c.kept.Events {
		if e.Action == SessionCreated {
			created[e.Resource]++
		}
	}
	lives, asked := map[string]*life{}, map[string]bool{}
	for i := range c.history.Steps {
		step := &c.history.Steps[i]
		if step.Act == CreateSession {
			asked[step.User] = asked[step.User] || step.Outcome != Refused
			if step.Outcome == Done && !slices.ContainsFunc(ofUser[step.User], func(s Session) bool { return s.ID == step.ID }) {
				c.found(Lost, "%s: session %s of %s is not kept", &step.Request, step.ID, step.User)
			}
			continue
		}
		if lives[step.ID] == nil {
			lives[step.ID] = &life{made: map[int64]bool{}}
		}
		c.checkStep(step, lives[step.ID])
	}
	for user, sessions := range ofUser {
		if len(sessions) > 1 || !asked[user] {
			c.found(Duplicated, "%s has %d sessions", user, len(sessions))
		}
	}
	for _, s := range c.kept.Sessions {
		switch n := created[sessionResource+s.ID]; {
		case n == 0:
			c.found(Lost, "no audit event of session %s of %s", s.ID, s.User)
		case n > 1:
			c.found(Duplicated, "%d audit events of session %s of %s", n, s.ID, s.User)
		}
		switch l := lives[s.ID]; {
		case l == nil:
		case l.ended && s.Live:
			c.found(WrongAllow, "session %s of %s lives on after its end", s.ID, s.User)
		case !l.ending && !s.Live:
			c.found(SessionLost, "session %s of %s has ended, and nobody asked for it", s.ID, s.User)
		}
	}
}

// life is what is known of a session.
type life struct {
	// made are the generations that an answer says it has made.
	made map[int64]bool
	last int64
	// ending tells that its owner has asked for its end, and ended that it has come.
	ending, ended bool
}

func (c *checker) checkStep(step *SessionStep, l *life) {
	switch {
	case step.Refusal != "":
		if !l.ending {
			c.found(SessionLost, "%s: session %s of %s: %s", &step.Request, step.ID, step.User, step.Refusal)
		}
		return
	case step.Act == EndSession:
		l.ending, l.ended = true, l.ended || step.Outcome == Done
		return
	case step.Outcome != Done:
		return
	}
	switch step.Act {
	case RotateSession:
		switch {
		case l.ended:
			c.found(WrongAllow, "%s: session %s of %s was taken after its end", &step.Request, step.ID, step.User)
		case step.Rotated && l.made[step.Generation], step.Generation < l.last:
			c.found(Forked, "%s: generation %d of session %s after %d", &step.Request, step.Generation, step.ID, l.last)
		}
		l.made[step.Generation] = l.made[step.Generation] || step.Rotated
		l.last = max(l.last, step.Generation)
	case VerifySession:
		switch {
		case step.Active && l.ended:
			c.found(WrongAllow, "%s: session %s of %s is active after its end", &step.Request, step.ID, step.User)
		case !step.Active && !l.ending:
			c.found(SessionLost, "%s: session %s of %s is not active", &step.Request, step.ID, step.User)
		}
	}
}
