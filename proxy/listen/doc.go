// Package listen lets one port serve gRPC in plaintext and over TLS.
//
// Some official clients dial TLS unless told otherwise, others plaintext; all of them speak first.
// The first byte tells the two apart: a TLS record of a handshake begins with 0x16, an HTTP/2
// connection with the 'P' of its preface.
//
//	accept ──first byte──► 0x16: TLS handshake, ALPN h2 ──► HTTP/2
//	                  └──► else: plaintext ────────────────► HTTP/2
//
// [Credentials] does this in the handshake step of a gRPC server, so that a client that connects and
// says nothing holds up nobody else, and is cut off by the server's connection timeout.
//
// [Certificate] keeps the certificate: it makes a self-signed one when there is none, which satisfies
// every client that encrypts by default, and reads the files again when they change.
package listen
