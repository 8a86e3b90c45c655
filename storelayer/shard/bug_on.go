//go:build bug_settle_before_dead_letter

package shard

// bugSettleBeforeDeadLetter settles a message before its copy is in the log.
const bugSettleBeforeDeadLetter = true
