// Package s3 keeps objects in a bucket of AWS S3, or of a server that speaks its protocol.
//
//	Open ──is the bucket there?──► Store ──Put, Create, GetRange, …──► Close
//
// # Bytes
//
// Every put and every part carries its CRC32C in a header, which a good server compares with what
// arrived; trailing checksums are not used, several servers fail on them. Over TLS and loopback the
// payload is not signed as well: hashing it costs more than sending it.
//
// # Retries
//
// Every call is a loop of at most [Config.Attempts] attempts, each with a timeout that grows with its
// bytes, and between them a pause with jitter. An attempt whose outcome is unknown may have taken effect;
// if the next one then finds the key taken, the stored bytes are compared with ours, and equal ones
// are a success.
//
// # What it leaves to others
//
// It believes what the server says. Whether that can be believed is found out by tiering/probe.
package s3
