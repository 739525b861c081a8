package store

// WeighProperties tells about how many bytes of memory properties take. It walks
// through all that they hold.
func WeighProperties(properties map[string]any) int {
	if len(properties) == 0 {
		return 0
	}
	return weighValue(properties)
}

func weighValue(value any) int {
	const word, entry = 32, 100
	switch v := value.(type) {
	case string:
		return word + len(v)
	case []any:
		weight := word
		for _, element := range v {
			weight += word + weighValue(element)
		}
		return weight
	case map[string]any:
		weight := 2 * entry
		for key, element := range v {
			weight += entry + len(key) + weighValue(element)
		}
		return weight
	default:
		return word
	}
}
