package session_test

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/session"
)

func TestBinding(t *testing.T) {
	t.Parallel()
	const (
		windowsFirefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
		windows11      = "Mozilla/5.0 (Windows NT 11.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
		edge           = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
		iPhone         = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
		newerIPhone    = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1"
	)
	const ip4, other4, mapped = "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"
	tests := []struct {
		name                   string
		bound, client          session.Client
		strict, standard, free bool
	}{
		{"the same", session.Client{IP: ip4, UserAgent: firefox}, session.Client{IP: ip4, UserAgent: firefox}, true, true, true},
		{"another address", session.Client{IP: ip4, UserAgent: firefox}, session.Client{IP: other4, UserAgent: firefox}, false, true, true},
		{"the address mapped into IPv6", session.Client{IP: ip4, UserAgent: firefox}, session.Client{IP: mapped, UserAgent: firefox}, true, true, true},
		{"an IPv6 address in full", session.Client{IP: "2001:db8::1", UserAgent: firefox}, session.Client{IP: "2001:0DB8:0:0:0:0:0:1", UserAgent: firefox}, true, true, true},
		{"another zone", session.Client{IP: "fe80::1%eth0", UserAgent: firefox}, session.Client{IP: "fe80::1%eth1", UserAgent: firefox}, false, true, true},
		{"no addresses but equal text", session.Client{IP: "unix", UserAgent: firefox}, session.Client{IP: "unix", UserAgent: firefox}, true, true, true},
		{"no address any more", session.Client{IP: ip4, UserAgent: firefox}, session.Client{IP: "", UserAgent: firefox}, false, true, true},
		{"an address for none", session.Client{IP: "", UserAgent: firefox}, session.Client{IP: ip4, UserAgent: firefox}, false, true, true},

		{"a newer version", session.Client{UserAgent: firefox}, session.Client{UserAgent: newerFirefox}, false, true, true},
		{"a newer operating system", session.Client{UserAgent: windowsFirefox}, session.Client{UserAgent: windows11}, false, true, true},
		{"a newer phone system", session.Client{UserAgent: iPhone}, session.Client{UserAgent: newerIPhone}, false, true, true},
		{"another family", session.Client{UserAgent: firefox}, session.Client{UserAgent: chrome}, false, false, true},
		{"another family of one engine", session.Client{UserAgent: edge}, session.Client{UserAgent: chrome}, false, false, true},
		{"another operating system", session.Client{UserAgent: firefox}, session.Client{UserAgent: windowsFirefox}, false, false, true},
		{"a tool's newer version", session.Client{UserAgent: "curl/8.5.0"}, session.Client{UserAgent: "curl/8.6.0"}, false, true, true},
		{"another tool", session.Client{UserAgent: "curl/8.5.0"}, session.Client{UserAgent: "Wget/1.21"}, false, false, true},
		{"unknown text", session.Client{UserAgent: "(x)"}, session.Client{UserAgent: "(y)"}, false, false, true},
		{"no text any more", session.Client{UserAgent: firefox}, session.Client{}, false, false, true},
		{"text for none", session.Client{}, session.Client{UserAgent: firefox}, false, false, true},
		{"no text ever", session.Client{}, session.Client{}, true, true, true},
		{"text that names no family", session.Client{UserAgent: "XiaoMi"}, session.Client{UserAgent: "XiaoMi (1)"}, false, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for binding, want := range map[authz.SessionBinding]bool{
				authz.BindingStrict: tt.strict, authz.BindingStandard: tt.standard, authz.BindingOff: tt.free,
				// What is no binding is as good as the closest.
				"": tt.strict, "none": tt.strict,
			} {
				row := with(func(r *session.Row) { r.Binding, r.IP, r.UserAgent = binding, tt.bound.IP, tt.bound.UserAgent })
				got := session.Next(row, session.User{}, 5, tt.client, rules, start)
				if admitted := got.Refusal != authz.ErrBindingMismatch; admitted != want {
					t.Errorf("binding %q: got %v, want %v", binding, admitted, want)
				}
			}
		})
	}
}

// FuzzBinding gives the parser of User-Agents whatever clients may send.
func FuzzBinding(f *testing.F) {
	for _, ua := range []string{firefox, chrome, "", "CrOS x86_64", "X11; CrOS armv7l 1.2", "(Android)", "http://", "Instagram 1", "[;/:("} {
		f.Add(ua, firefox)
		f.Add(ua, ua+" ")
	}
	f.Fuzz(func(t *testing.T, bound, presented string) {
		for _, binding := range []authz.SessionBinding{authz.BindingStrict, authz.BindingStandard} {
			row := with(func(r *session.Row) { r.Binding, r.UserAgent = binding, bound })
			other := with(func(r *session.Row) { r.Binding, r.UserAgent = binding, presented })
			there := session.Next(row, session.User{}, 5, session.Client{IP: home.IP, UserAgent: presented}, rules, start)
			back := session.Next(other, session.User{}, 5, session.Client{IP: home.IP, UserAgent: bound}, rules, start)
			if there.Refusal != back.Refusal {
				t.Errorf("%s: %q after %q is %q, the other way round %q", binding, presented, bound, there.Refusal, back.Refusal)
			}
			if bound == presented && there.Refusal != "" {
				t.Errorf("%s: %q after itself is %q", binding, bound, there.Refusal)
			}
		}
	})
}
