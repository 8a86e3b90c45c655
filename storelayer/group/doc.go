// Package group is the progress of consumer groups: what is leased, what is settled, what comes next.
//
// A [Group] is the state of one (group name, generation) on one shard. It is a state machine: decisions
// look at the state and say what to append to the log, [Group.Apply] takes what the log has made durable.
// It has no goroutine, no clock, no randomness and no I/O; the caller holds a lock per group and
// passes the moment.
//
//	             decision: Lease, Settle, ChangeVisibility, Release, DeadLetter, Commit, Reset
//	                 │ Step: records                       ┌─ refused ──► Abort
//	caller ──► Group ┴──────────────► the log ─────────────┤
//	             ▲                                         └─ watermark passed
//	             └──────────────── Apply ◄───────────────────────┘
//
// # Two layers
//
// The durable layer changes in Apply alone; snapshots, dumps and committed offsets speak of it. A decision
// reserves: its records change an overlay at once, so that the next decision sees them, and the overlay
// gives way as they are applied. The caller keeps the order: the records of the decisions of one group
// enter the log in the order in which they were made.
//
// # What is kept for a queue
//
// Everything below the floor is settled. Above it stand the settled offsets, as sorted runs, and the
// deliveries: offsets that were leased and are not settled, with the last lease and the number of attempts.
// The next new offset is the first one that is neither. So the size follows the unsettled messages,
// not the distance, and a lease that a power cut took back is simply a new offset again.
//
//	     floor               next
//	──────┴───────────────────┴──────────►
//	settled │ deliveries and  │ not read yet, except what a lost
//	        │ settled runs    │ lease's ack has settled
//
// # Redelivery
//
// A message whose lease has ended is leased again in place, from its own offset. After its last attempt it is
// no longer leased, and stays unsettled until the [DeadLetter] record, which stands in one frame with its copy.
//
// # Crash safety
//
// A lease may be lost with the tail of the log, since nobody waits for its sync. Its handle names an earlier
// epoch and a number above the last one that the queue has recovered of that epoch; see [Group.Settle].
// Every queue carries the position up to which it is current, and Apply skips older records: a snapshot
// is taken queue by queue while the log goes on.
package group
