package message

// The properties that mean something to the broker. The names are RocketMQ's: they are what a
// Remoting client reads out of a stored message.
const (
	PropertyKeys         = "KEYS"     // the message's keys, joined by spaces
	PropertyTag          = "TAGS"     // its one tag
	PropertyMessageID    = "UNIQ_KEY" // the id that the producer's client made
	PropertyMessageGroup = "__SHARDINGKEY"
	PropertyWait         = "WAIT"        // "false": the producer does not wait for the message to be safe
	PropertyInstanceID   = "INSTANCE_ID" // the namespace
	PropertyTraceContext = "TRACE_CONTEXT"
	PropertyPriority     = "_SYS_MSG_PRIORITY_"
	PropertyLiteTopic    = "__LITE_TOPIC"
	PropertyBornHost     = "__BORNHOST"     // the producer's host as it names itself
	PropertyBornTime     = "BORN_TIMESTAMP" // Unix milliseconds
	PropertyMessageType  = "MSG_TYPE"       // "reply" for the answer of a request
	PropertyCluster      = "CLUSTER"        // where a request's answer is sent to
	PropertyRegion       = "MSG_REGION"
	PropertyTraceOn      = "TRACE_ON"
)

// Properties of delivery and redelivery.
const (
	PropertyRetryTopic        = "RETRY_TOPIC"       // the topic a redelivered message was sent to
	PropertyOriginMessageID   = "ORIGIN_MESSAGE_ID" // the id its first delivery had
	PropertyReconsumeTimes    = "RECONSUME_TIME"    // of a message that a consumer sends back itself
	PropertyMaxReconsumeTimes = "MAX_RECONSUME_TIMES"
	PropertyDeadLetterTopic   = "DLQ_ORIGIN_TOPIC"      // the topic a dead message was sent to
	PropertyDeadLetterID      = "DLQ_ORIGIN_MESSAGE_ID" // its id there
	PropertyPopCheck          = "POP_CK"                // a Remoting consumer's receipt handle
	PropertyFirstPopTime      = "1ST_POP_TIME"          // Unix milliseconds
)

// Properties of delayed messages. At most one of the first four is set.
const (
	PropertyDelayLevel     = "DELAY"            // 1 to 18
	PropertyDelaySeconds   = "TIMER_DELAY_SEC"  // from the send on
	PropertyDelayMillis    = "TIMER_DELAY_MS"   // from the send on
	PropertyDeliveryMillis = "TIMER_DELIVER_MS" // Unix milliseconds
)

// Properties of transactions.
const (
	PropertyTransactionPrepared = "TRAN_MSG" // "true" for a half message
	PropertyTransactionID       = "__transactionId__"
	PropertyProducerGroup       = "PGROUP"                         // who is asked how the transaction ended
	PropertyRecoverySeconds     = "CHECK_IMMUNITY_TIME_IN_SECONDS" // no check before
	PropertyTransactionChecks   = "TRANSACTION_CHECK_TIMES"        // checks so far
	PropertyRealTopic           = "REAL_TOPIC"                     // the target of a half message
	PropertyRealQueueID         = "REAL_QID"
)

// reservedProperties holds every name that only the protocols themselves may write.
var reservedProperties = nameSet(
	PropertyKeys, PropertyTag, PropertyMessageID, PropertyMessageGroup, PropertyWait, PropertyInstanceID,
	PropertyTraceContext, PropertyPriority, PropertyLiteTopic, PropertyBornHost, PropertyBornTime,
	PropertyMessageType, PropertyCluster, PropertyRegion, PropertyTraceOn,
	PropertyRetryTopic, PropertyOriginMessageID, PropertyReconsumeTimes, PropertyMaxReconsumeTimes,
	PropertyDeadLetterTopic, PropertyDeadLetterID, PropertyPopCheck, PropertyFirstPopTime,
	PropertyDelayLevel, PropertyDelaySeconds, PropertyDelayMillis, PropertyDeliveryMillis,
	PropertyTransactionPrepared, PropertyTransactionID, PropertyProducerGroup, PropertyRecoverySeconds,
	PropertyTransactionChecks, PropertyRealTopic, PropertyRealQueueID,

	// Names that other brokers and clients write, and that mean nothing here.
	"MIN_OFFSET", "MAX_OFFSET", "BUYER_ID", "TRANSFER_FLAG", "CORRECTION_FLAG", "MQ2_FLAG", "CONSUME_START_TIME",
	"POP_CK_OFFSET", "TRAN_PREPARED_QUEUE_OFFSET", "DUP_INFO", "EXTEND_UNIQ_INFO", "CORRELATION_ID",
	"REPLY_TO_CLIENT", "TTL", "ARRIVE_TIME", "PUSH_REPLY_TIME", "INNER_NUM", "INNER_BASE",
	"INNER_MULTI_DISPATCH", "INNER_MULTI_QUEUE_OFFSET", "TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS",
	"TIMER_ROLL_TIMES", "TIMER_OUT_MS", "TIMER_DEL_UNIQKEY", "TIMER_DELAY_LEVEL", "PROPERTY_FORWARD_QUEUE_ID",
	"REDIRECT", "__RMQ.TRANSIENT.TOPIC_SYS_FLAG", "__RMQ.TRANSIENT.GROUP_SYS_FLAG", "__CRC32#",
)

func nameSet(names ...string) map[string]struct{} {
	set := make(map[string]struct{}, len(names))
	for _, name := range names {
		set[name] = struct{}{}
	}
	return set
}

// IsReservedProperty tells whether a name belongs to the protocols: a producer may not use it for a
// property of its own, and a consumer does not see it among those.
func IsReservedProperty[T ~string | ~[]byte](name T) bool {
	_, reserved := reservedProperties[string(name)]
	return reserved
}
