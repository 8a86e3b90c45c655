package message

// Stored is a message as it is kept, and where it stands in its queue.
type Stored struct {
	Queue  Queue
	Offset Offset
	Bytes  []byte // the stored-message layout, without the record's envelope
}
