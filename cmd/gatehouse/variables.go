package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// prefix begins the name of every variable of the program.
const prefix = "AUTH_"

// variable is what the tags of one field of settings say.
type variable struct {
	name string
	// group heads this variable and those that follow; empty: the same as before.
	group string
	// standard is the default as it would be written; empty where there is none.
	standard string
	// standing says in words what stands where there is none.
	standing string
	help     string
	later    string
	secret   bool
	field    reflect.StructField
}

// variables lists what settings declares, in its order.
var variables = declared()

func declared() []variable {
	var list []variable
	for _, field := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		tag := field.Tag
		if tag.Get("env") == "" {
			continue
		}
		list = append(list, variable{
			name:     tag.Get("env"),
			group:    tag.Get("group"),
			standard: tag.Get("envDefault"),
			standing: tag.Get("default"),
			help:     tag.Get("help"),
			later:    tag.Get("later"),
			secret:   tag.Get("secret") == "true",
			field:    field,
		})
	}
	return list
}

func names() []string {
	list := make([]string, len(variables))
	for i, v := range variables {
		list[i] = v.name
	}
	return list
}

// values says what the variable can be set to.
func (v variable) values() string {
	tag := v.field.Tag
	least, most := tag.Get("min"), tag.Get("max")
	switch {
	case tag.Get("form") != "":
		return tag.Get("form")
	case tag.Get("enum") != "":
		words := strings.Split(tag.Get("enum"), ",")
		last := len(words) - 1
		return strings.Join(words[:last], ", ") + " or " + words[last]
	case v.field.Type == reflect.TypeFor[time.Duration]():
		return fmt.Sprintf("a duration from %s to %s, such as 90s or 1h30m", least, most)
	case v.field.Type.Kind() == reflect.Bool:
		return "true or false"
	case v.field.Type.Kind() == reflect.Int:
		return fmt.Sprintf("a whole number from %s to %s", least, most)
	default:
		return fmt.Sprintf("at least %s bytes", least)
	}
}

// allows reports whether value, of the field's type, keeps to enum, min and max.
func (v variable) allows(value reflect.Value) bool {
	tag := v.field.Tag
	if enum := tag.Get("enum"); enum != "" && !slices.Contains(strings.Split(enum, ","), value.String()) {
		return false
	}
	least, most := tag.Get("min"), tag.Get("max")
	return (least == "" || measure(value) >= v.bound(least)) && (most == "" || measure(value) <= v.bound(most))
}

// measure is what min and max bound.
func measure(value reflect.Value) int64 {
	if value.Kind() == reflect.String {
		return int64(value.Len())
	}
	return value.Int()
}

// bound reads a min or max tag.
func (v variable) bound(text string) int64 {
	if v.field.Type == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err) // the tag is wrong; no input leads here
		}
		return int64(d)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// parse reads every variable of e that is set, and the defaults of the others. Its
// error names the first one that cannot be taken, in the order of settings.
func parse(e environment) (settings, error) {
	if err := e.refuseUnknown(names()); err != nil {
		return settings{}, err
	}
	s, err := env.ParseAsWithOptions[settings](env.Options{Environment: e.values})
	s.present = map[string]bool{}
	for _, v := range variables {
		value, set := e.values[v.name]
		if !set {
			continue
		}
		if !failed(err, v) && v.allows(reflect.ValueOf(s).FieldByIndex(v.field.Index)) {
			s.present[v.name] = true
			continue
		}
		got := ""
		if !v.secret {
			got = fmt.Sprintf(", not %q", value)
		}
		return settings{}, usagef("%s%s: must be %s%s", v.name, e.where(v.name), v.values(), got)
	}
	return s, err
}

// failed reports whether err, which may be nil, tells of the variable's value. What
// it says is of no use to who set it, and may repeat a secret.
func failed(err error, v variable) bool {
	all, _ := errors.AsType[env.AggregateError](err)
	return slices.ContainsFunc(all.Errors, func(err error) bool {
		parsing, ok := errors.AsType[env.ParseError](err)
		return ok && parsing.Name == v.field.Name
	})
}
