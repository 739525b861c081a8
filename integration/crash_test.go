package integration_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestKilledServerKeepsWhatItHasAcknowledged(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		var attempts []attempt
		for round, acknowledged := range []int{1, 30, 150, 75} {
			server := i.Serve()
			sent := load(t, client(t, server, key), fmt.Sprint(round), acknowledged, server.Kill)
			if len(sent) < acknowledged {
				t.Fatalf("round %d: %d writes were sent, want %d and more", round, len(sent), acknowledged)
			}
			attempts = append(attempts, sent...)

			server = i.Serve()
			c := client(t, server, key)
			// PostgreSQL may still be at the last work of the killed server. A write
			// waits for it.
			role := fmt.Sprint("after-round-", round)
			written, err := c.AddRole(t.Context(), role, authz.RoleOptions{})
			if err != nil {
				t.Fatalf("round %d: the first write after the restart: %v", round, err)
			}
			attempts = append(attempts, attempt{"ROLE_CREATED role/" + role, written.Revision})
			unacknowledged := wantWhole(t, i, c, key, attempts)
			t.Logf("round %d: %d writes sent so far, %d kept without an answer", round, len(attempts), unacknowledged)
			server.Terminate()
			server.WantSuccess()
		}
	})
}

func TestTerminatedServerAnswersWhatItHasAccepted(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		server := i.Serve()
		sent := load(t, client(t, server, key), "load", 100, server.Terminate)
		server.WantSuccess()
		if unanswered := wantWhole(t, i, client(t, i.Serve(), key), key, sent); unanswered != 0 {
			t.Errorf("writes that were made and not answered: got %d, want 0", unanswered)
		}
	})
}

func TestTerminatedServerWaitsForARequestInItsHands(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		server := i.Serve()
		address := strings.TrimPrefix(server.URL, "http://")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(servertest.CommandTimeout)); err != nil {
			t.Fatal(err)
		}
		const body = `{"description":"Edits"}`
		fmt.Fprintf(conn, "POST /api/role/editor HTTP/1.1\r\nHost: gatehouse\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", key, len(body))
		// The server asks for the body when its handler reads: it has the request.
		r := bufio.NewReader(conn)
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("got %q, %v, want 100 Continue", line, err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		server.Terminate()
		servertest.Eventually(t, servertest.CommandTimeout, "new connections are refused", func() bool {
			other, err := net.Dial("tcp", address)
			if err == nil {
				_ = other.Close()
			}
			return err != nil
		})
		fmt.Fprint(conn, body)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("the answer: got %v, %v, want 200", response, err)
		}
		_ = response.Body.Close()
		server.WantSuccess()
		roles, err := client(t, i.Serve(), key).Roles(t.Context(), authz.Page{})
		if want := (authz.Role{Name: "editor", Description: "Edits"}); err != nil || len(roles.Items) != 1 || roles.Items[0] != want {
			t.Errorf("roles: got %v, %v, want %v", roles.Items, err, want)
		}
	})
}
