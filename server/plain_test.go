package server

import "testing"

func TestOnlyPlainQuestionsAreRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, body string
		plain         bool
	}{
		{"POST /api/check", `{"user":"alice","permission":"edit"}`, true},
		{"POST /api/check", `{"user":"alice","permission":"edit","resource":{"type":"post","id":"7","owner":"bob","properties":{"n":1}},"context":{"ip":"10.0.0.1"}}`, true},
		{"POST /api/check", `{"user":"alice","permission":"edit","explain":false}`, false},
		{"POST /api/check", `{"user":"alice","permission":"edit","user":"bob"}`, false},
		{"POST /api/check", `{"user":"alice","permission":"*"}`, false},
		{"POST /api/check", `{"user":"\u0061lice","permission":"edit"}`, false},
		{"POST /access/v1/evaluation", `{"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`, true},
		{
			"POST /access/v1/evaluation", `{"subject":{"type":"user","id":"alice","properties":{}},"action":{"name":"edit","properties":{}},` +
				`"resource":{"type":"post","id":"7","properties":{}},"context":{}}`, true,
		},
		{"POST /access/v1/evaluation", `{"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"},"extra":1}`, false},
	} {
		if got := readPlain([]byte(test.body), plainQuestions[test.pattern]) != nil; got != test.plain {
			t.Errorf("%s %s: read as plain: got %t, want %t", test.pattern, test.body, got, test.plain)
		}
	}
	operations, err := readOperations()
	if err != nil {
		t.Fatal(err)
	}
	for pattern := range plainQuestions {
		if operations[pattern].body == nil {
			t.Errorf("no operation %q with a body to be read", pattern)
		}
	}
}
