package message

// Located is a message as it is kept, and where it stands in its queue.
type Located struct {
	Queue  Queue
	Offset Offset
	Stored []byte // the stored-message layout, without the record's envelope
}
