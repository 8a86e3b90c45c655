//go:build !bug_settle_before_dead_letter

package shard

// bugSettleBeforeDeadLetter is a planted bug that a named test must catch; it is compiled in by a build tag alone.
const bugSettleBeforeDeadLetter = false
