package authz_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

func TestValidateProperties(t *testing.T) {
	t.Parallel()
	const most = 1<<53 - 1
	for _, good := range []any{
		nil, "9007199254740993", true, 0.5, -1.0, float64(most), -float64(most), int64(most), uint(7), json.Number("9007199254740991"),
		[]any{1.0, map[string]any{"a": most}}, []string{"a"}, map[string]int{"a": 1},
	} {
		if err := authz.ValidateProperties(map[string]any{"field": good}); err != nil {
			t.Errorf("%v: got %v, want it accepted", good, err)
		}
	}
	// As an encoded 2^53 + 1 is decoded.
	var decoded map[string]any
	if err := json.Unmarshal([]byte(`{"field":9007199254740993}`), &decoded); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		value any
		at    string
	}{
		{decoded["field"], "field: "},
		{float64(-1 << 53), "field: "},
		{1e300, "field: "},
		{math.Inf(-1), "field: "},
		{int64(1 << 53), "field: "},
		{uint64(math.MaxUint64), "field: "},
		{float32(1e20), "field: "},
		{json.Number("9007199254740993"), "field: "},
		{json.Number("1e999"), "field: "},
		{[]any{1.0, map[string]any{"id": 1e17}}, "field.1.id: "},
		{map[string][]int64{"ids": {1, 1 << 60}}, "field.ids.1: "},
	} {
		if err := authz.ValidateProperties(map[string]any{"field": test.value}); err == nil || !strings.HasPrefix(err.Error(), test.at) {
			t.Errorf("%v: got %v, want an error at %q", test.value, err, test.at)
		}
	}
}
