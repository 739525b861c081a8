package sdk

import (
	"fmt"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// checkTexts refuses what JSON would quietly replace: text that is not UTF-8.
func checkTexts(texts ...name) error {
	for _, text := range texts {
		if !utf8.ValidString(text.value) {
			return invalid("%s: must be valid UTF-8", text.field)
		}
	}
	return nil
}

// checkProperties is checkTexts for properties, at any depth of maps and slices.
func checkProperties(field string, value any) error {
	switch v := value.(type) {
	case string:
		return checkTexts(name{field, v})
	case map[string]any:
		for key, part := range v {
			if err := checkTexts(name{field, key}); err != nil {
				return err
			}
			if err := checkProperties(field+"."+key, part); err != nil {
				return err
			}
		}
	case []any:
		for i, part := range v {
			if err := checkProperties(fmt.Sprintf("%s[%d]", field, i), part); err != nil {
				return err
			}
		}
	}
	return nil
}

// givenProperties leaves properties out of a request where there are none.
func givenProperties(properties map[string]any) *api.Properties {
	if len(properties) == 0 {
		return nil
	}
	return (*api.Properties)(&properties)
}

// givenList leaves an empty list out of a request.
func givenList[T any](list []T) *[]T {
	if len(list) == 0 {
		return nil
	}
	return &list
}

// givenParent names a parent in a request; the root goes without a name.
func givenParent(parent authz.Node) *api.ScopeRef {
	if parent == authz.Root || parent == (authz.Node{}) {
		return nil
	}
	return &api.ScopeRef{Kind: api.ScopeKind(parent.Type), Id: parent.ID}
}

// parentOf is the parent that an answer names.
func parentOf(ref *api.ScopeRef) authz.Node {
	if ref == nil {
		return authz.Root
	}
	return authz.Node{Type: string(ref.Kind), ID: ref.Id}
}

// propertiesOf are an answer's properties; nil where there are none.
func propertiesOf(properties api.Properties) map[string]any {
	if len(properties) == 0 {
		return nil
	}
	return properties
}

// orZero is the value of a field that an answer may leave out.
func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}

// converted turns a list of words of one type into another's; nil where there are
// none.
func converted[To, From ~string](list []From) []To {
	var words []To
	for _, word := range list {
		words = append(words, To(word))
	}
	return words
}
