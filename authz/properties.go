package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// ValidateProperties accepts properties, or a context, whose numbers all mean what was
// written: of a magnitude below 2^53. JSON's readers take larger ones for the nearest
// 64-bit float (RFC 7493, section 2.2), so that two ids could pass for the same; such
// belong into strings. The error names the field.
func ValidateProperties(properties map[string]any) error {
	for key, value := range properties {
		if err := validateValue(value); err != nil {
			return fmt.Errorf("%s%w", key, err)
		}
	}
	return nil
}

// validateValue returns an error that begins with where within the value it is.
func validateValue(value any) error {
	switch v := value.(type) {
	case nil, string, bool:
		return nil
	case float64:
		return validateNumber(v)
	case json.Number:
		number, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return fmt.Errorf(": is not a number: %q", string(v))
		}
		return validateNumber(number)
	case map[string]any:
		for key, inner := range v {
			if err := validateValue(inner); err != nil {
				return fmt.Errorf(".%s%w", key, err)
			}
		}
		return nil
	case []any:
		for i, inner := range v {
			if err := validateValue(inner); err != nil {
				return fmt.Errorf(".%d%w", i, err)
			}
		}
		return nil
	default:
		return validateOther(reflect.ValueOf(v))
	}
}

// validateOther is for what JSON does not bring, but a program that embeds the engine
// may.
func validateOther(v reflect.Value) error {
	switch {
	case v.CanInt():
		return validateNumber(float64(v.Int()))
	case v.CanUint():
		return validateNumber(float64(v.Uint()))
	case v.CanFloat():
		return validateNumber(v.Float())
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for i := range v.Len() {
			if err := validateValue(v.Index(i).Interface()); err != nil {
				return fmt.Errorf(".%d%w", i, err)
			}
		}
	case v.Kind() == reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := validateValue(it.Value().Interface()); err != nil {
				return fmt.Errorf(".%v%w", it.Key(), err)
			}
		}
	}
	return nil
}

func validateNumber(number float64) error {
	if math.Abs(number) >= 1<<53 {
		return errors.New(": must be a number between -2^53 and 2^53, or a string: larger ones are not kept exactly")
	}
	return nil
}
