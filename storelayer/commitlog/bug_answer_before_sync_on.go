//go:build bug_answer_before_sync

package commitlog

// bugAnswerBeforeSync is a planted bug, to prove that the tests find it: it
// answers durable requests after the write, before the sync.
const bugAnswerBeforeSync = true
