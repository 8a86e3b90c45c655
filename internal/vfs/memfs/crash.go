package memfs

import (
	"maps"
	"math/rand/v2"
)

// Keep says how much of what was not synced a power cut leaves.
type Keep uint8

// The amounts.
const (
	KeepRandom Keep = iota // any part, by the seed
	KeepNone               // the durable state alone
	KeepAll                // everything, as if all had been synced just in time
)

// CrashOptions shape a power cut.
type CrashOptions struct {
	Keep Keep
}

// Stop ends the machine: every call from now on fails with [ErrCrashed] and changes nothing. A
// hook may call it, and the call that it looks at does not happen any more.
func (f *FS) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stopped = true
}

// Stopped reports whether the machine was ended.
func (f *FS) Stopped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.stopped
}

// Crash cuts the power and returns the file system that the next start finds. The old one is
// stopped. The seed chooses what survives of what was not synced: each sector by itself, each
// change of a name by itself.
func (f *FS) Crash(seed uint64, o CrashOptions) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stopped = true
	rng := rand.New(rand.NewPCG(seed, 1))
	next := f.nextLocked(rng.Uint64())

	names := maps.Clone(f.mu.durable)
	keepNames := []float64{0.1, 0.5, 1}[rng.IntN(3)]
	for _, c := range f.mu.pending {
		if o.Keep == KeepAll || o.Keep == KeepRandom && rng.Float64() < keepNames {
			c.apply(names)
		}
	}
	next.mu.dirs = maps.Clone(f.mu.kept)
	next.mu.kept = maps.Clone(f.mu.kept)
	survivors := make(map[*inode]*inode)
	for _, name := range sortedNames(names) {
		n := names[name]
		if survivors[n] == nil {
			survivors[n] = n.crashed(rng, o)
		}
		next.mu.names[name] = survivors[n]
		next.mu.durable[name] = survivors[n]
	}
	return next
}

// Restart kills the process and returns the file system that the next one finds: the page cache
// lives on, with what is not synced still not synced. The old one is stopped.
func (f *FS) Restart() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stopped = true
	next := f.nextLocked(f.mu.rng.Uint64())
	next.mu.dirs = maps.Clone(f.mu.dirs)
	next.mu.kept = maps.Clone(f.mu.kept)
	nodes := make(map[*inode]*inode)
	clone := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		if nodes[n] == nil {
			nodes[n] = n.restarted()
		}
		return nodes[n]
	}
	for name, n := range f.mu.names {
		next.mu.names[name] = clone(n)
	}
	for name, n := range f.mu.durable {
		next.mu.durable[name] = clone(n)
	}
	for _, c := range f.mu.pending {
		c.node = clone(c.node)
		next.mu.pending = append(next.mu.pending, c)
	}
	return next
}

func (f *FS) nextLocked(seed uint64) *FS {
	next := New(seed)
	next.mu.now = f.mu.now
	next.mu.space = f.mu.space
	return next
}
