package commitlog

import "github.com/stratamq/stratamq/internal/failpoint"

// The moments before and after each durable step.
var (
	fpBeforeCreate     = failpoint.Register("commitlog/before-segment-create")
	fpAfterCreate      = failpoint.Register("commitlog/after-segment-create")
	fpBeforeHeaderSync = failpoint.Register("commitlog/before-segment-header-sync")
	fpAfterHeaderSync  = failpoint.Register("commitlog/after-segment-header-sync")
	fpAfterRename      = failpoint.Register("commitlog/after-segment-rename")
	fpAfterDirSync     = failpoint.Register("commitlog/after-segment-dirsync")
	fpBeforeWrite      = failpoint.Register("commitlog/before-write")
	fpAfterWrite       = failpoint.Register("commitlog/after-write") // before the sync
	fpBeforeSync       = failpoint.Register("commitlog/before-sync") // local requests have been answered
	fpAfterSync        = failpoint.Register("commitlog/after-sync")
	fpBeforeAnswer     = failpoint.Register("commitlog/before-answer") // applied, nobody told
	fpBeforeFillSync   = failpoint.Register("commitlog/before-fill-sync")
	fpAfterFillSync    = failpoint.Register("commitlog/after-fill-sync")
	fpBeforeCut        = failpoint.Register("commitlog/before-cut")
	fpBeforeCutSync    = failpoint.Register("commitlog/before-cut-sync")
	fpAfterCutSync     = failpoint.Register("commitlog/after-cut-sync")
	fpBeforeResync     = failpoint.Register("commitlog/before-resync")
	fpAfterResync      = failpoint.Register("commitlog/after-resync")
	fpBeforeTrim       = failpoint.Register("commitlog/before-trim-remove")
	fpAfterTrim        = failpoint.Register("commitlog/after-trim-remove") // before the sync of the folder
	fpAfterTrimDirSync = failpoint.Register("commitlog/after-trim-dirsync")
)
