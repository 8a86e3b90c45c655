package offload

import "github.com/stratamq/stratamq/internal/failpoint"

// The moments before and after each durable step.
var (
	fpBeforeClaim    = failpoint.Register("offload/before-claim")
	fpAfterClaim     = failpoint.Register("offload/after-claim")
	fpBeforeObject   = failpoint.Register("offload/before-object")
	fpAfterObject    = failpoint.Register("offload/after-object") // complete, not verified
	fpAfterVerify    = failpoint.Register("offload/after-verify")
	fpBeforeSnapshot = failpoint.Register("offload/before-snapshot")
	fpAfterSnapshot  = failpoint.Register("offload/after-snapshot")
	fpBeforeHead     = failpoint.Register("offload/before-head")
	fpAfterHead      = failpoint.Register("offload/after-head")
	fpBeforeEntry    = failpoint.Register("offload/before-entry")
	fpAfterEntry     = failpoint.Register("offload/after-entry")
	fpBeforeQueues   = failpoint.Register("offload/before-consumequeue")
	fpBeforeIndex    = failpoint.Register("offload/before-index")
	fpAfterIndex     = failpoint.Register("offload/after-index")
	fpAfterSealed    = failpoint.Register("offload/after-sealed")
	fpBeforeTrim     = failpoint.Register("offload/before-trim")
	fpAfterTrim      = failpoint.Register("offload/after-trim")
)
