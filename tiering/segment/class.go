package segment

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stratamq/stratamq/message"
)

// Class groups the records of a segment that expire about the same time into one object. What expires is decided from
// the queues' first offsets under the retention of that day, never by the class.
type Class uint8

// The ladder of classes. The numbers are part of the format.
const (
	ClassPending Class = 0 // open halves and timers that are not due
	Class1d      Class = 1
	Class3d      Class = 2
	Class7d      Class = 3
	Class30d     Class = 4
	Class1y      Class = 5
	ClassEver    Class = 6
)

var classes = [...]struct {
	name  string
	limit time.Duration // 0 for none
}{
	ClassPending: {"pending", 0},
	Class1d:      {"1d", 24 * time.Hour},
	Class3d:      {"3d", 3 * 24 * time.Hour},
	Class7d:      {"7d", 7 * 24 * time.Hour},
	Class30d:     {"30d", 30 * 24 * time.Hour},
	Class1y:      {"1y", 366 * 24 * time.Hour},
	ClassEver:    {"ever", 0},
}

// ClassFor returns the shortest class that is not shorter than a topic's age limit; none (0 or less) is [ClassEver].
func ClassFor(limit time.Duration) Class {
	if limit > 0 {
		for class := Class1d; class < ClassEver; class++ {
			if limit <= classes[class].limit {
				return class
			}
		}
	}
	return ClassEver
}

// String returns the class's name in object keys.
func (c Class) String() string {
	if int(c) < len(classes) {
		return classes[c].name
	}
	return fmt.Sprintf("class-%d", uint8(c))
}

// ParseClass is the inverse of String.
func ParseClass(name string) (Class, error) {
	for class := range classes {
		if classes[class].name == name {
			return Class(class), nil
		}
	}
	return 0, fmt.Errorf("no retention class %q", name)
}

// Key is the key of a sealed object:
//
//	<cluster>/<shard>/<base position, 20 digits>/<class>-<epoch>-<uuid>
//
// It is unique for ever: a seal that is repeated, by the same leader or another, writes other objects.
type Key struct {
	Cluster string // A-Z a-z 0-9 - _
	Shard   message.ShardID
	Base    message.Position // first position of the sealed segment
	Class   Class
	Epoch   message.Epoch
	UUID    string // 16 random bytes in hexadecimal
}

var (
	clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	uuidText    = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// ShardPrefix begins the keys of all sealed objects of a shard.
func ShardPrefix(cluster string, shard message.ShardID) string {
	return cluster + "/" + shard.String() + "/"
}

// String returns the key's text.
func (k Key) String() string {
	return ShardPrefix(k.Cluster, k.Shard) + k.Base.String() + "/" + k.Class.String() + "-" + k.Epoch.String() + "-" + k.UUID
}

// ParseKey is the inverse of String: it accepts no other way to write the key.
func ParseKey(text string) (Key, error) {
	bad := func() (Key, error) { return Key{}, fmt.Errorf("%q is no key of a sealed object", text) }
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return bad()
	}
	name := strings.SplitN(parts[3], "-", 3)
	if len(name) != 3 {
		return bad()
	}
	shard, err1 := strconv.ParseUint(parts[1], 10, 16)
	base, err2 := strconv.ParseUint(parts[2], 10, 64)
	class, err3 := ParseClass(name[0])
	epoch, err4 := strconv.ParseUint(name[1], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return bad()
	}
	k := Key{
		Cluster: parts[0], Shard: message.ShardID(shard), Base: message.Position(base),
		Class: class, Epoch: message.Epoch(epoch), UUID: name[2],
	}
	if !clusterName.MatchString(k.Cluster) || !uuidText.MatchString(k.UUID) || k.String() != text {
		return bad()
	}
	return k, nil
}
