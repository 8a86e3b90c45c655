package verify

import (
	"io"

	"github.com/stratamq/stratamq/message"
)

// Problem is something that is not as it has to be.
type Problem struct {
	Key string // of the object; "" if it is about a whole shard
	Err error
}

// ShardReport is what was found of one shard.
type ShardReport struct {
	Shard     message.ShardID
	Entries   uint64
	End       message.Position // of the sealed part of its log
	Objects   int
	Deleted   int // objects that retention has marked; they are not looked at
	Snapshots int
	Bytes     int64 // of objects and snapshots that were read
	Records   uint64
	RawBytes  uint64 // of records
	Queues    int
	Orphans   []string // keys that no entry names
	Problems  []Problem
}

// Report is what was found in a bucket.
type Report struct {
	Cluster string
	Shards  []ShardReport
}

// OK reports whether there is no problem. Orphans are none.
func (r *Report) OK() bool {
	for _, s := range r.Shards {
		if len(s.Problems) > 0 {
			return false
		}
	}
	return true
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	p := &printer{w: w}
	p.printf("cluster %s: %d shards\n", r.Cluster, len(r.Shards))
	for _, s := range r.Shards {
		p.printf("shard %s  %d entries up to %d, %d objects, %d deleted, %d snapshots, %d bytes, %d records of %d bytes in %d queues\n",
			s.Shard, s.Entries, uint64(s.End), s.Objects, s.Deleted, s.Snapshots, s.Bytes, s.Records, s.RawBytes, s.Queues)
		for _, key := range s.Orphans {
			p.printf("  orphan   %s\n", key)
		}
		for _, problem := range s.Problems {
			p.printf("  PROBLEM  %s: %v\n", problem.Key, problem.Err)
		}
	}
	if r.OK() {
		p.printf("ok\n")
	} else {
		p.printf("damaged\n")
	}
	return p.err
}
