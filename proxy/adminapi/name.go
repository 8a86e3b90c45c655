package adminapi

import (
	"strings"

	"github.com/stratamq/stratamq/meta"
)

// maxGroupNameLen bounds a group's name with its namespace, in bytes: what clients may use.
const maxGroupNameLen = 120

// checkTopicName refuses a name that no client could use, or that is the broker's own.
func checkTopicName(name string) error {
	switch {
	case name == "":
		return invalid("name: empty")
	case len(name) > meta.MaxTopicNameLen:
		return invalid("name: %d bytes, at most %d with the namespace", len(name), meta.MaxTopicNameLen)
	case !plainName(name):
		return invalid("name: %q has a character other than %% | a-z A-Z 0-9 _ -", name)
	case strings.HasPrefix(name, "%") || strings.HasPrefix(name, "rmq_sys_"):
		return invalid("name: topics whose names begin with %% or rmq_sys_ are the broker's own")
	}
	return nil
}

func checkGroupName(name string) error {
	switch {
	case name == "":
		return invalid("name: empty")
	case len(name) > maxGroupNameLen:
		return invalid("name: %d bytes, at most %d with the namespace", len(name), maxGroupNameLen)
	case !plainName(name):
		return invalid("name: %q has a character other than %% | a-z A-Z 0-9 _ -", name)
	case strings.HasPrefix(name, "CID_RMQ_SYS_"):
		return invalid("name: groups whose names begin with CID_RMQ_SYS_ are the broker's own")
	}
	return nil
}

// plainName reports whether a name has no other characters than those of RocketMQ's names.
func plainName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '%', c == '|', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
