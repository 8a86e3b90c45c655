package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
)

// tlsHandshakeRecord is the content type that begins a TLS connection.
const tlsHandshakeRecord = 0x16

// errClient says that these credentials were used to dial.
var errClient = errors.New("listen: these credentials are for a server")

// sniffer tells TLS from plaintext by the first byte of a connection.
type sniffer struct {
	tls *tls.Config
}

// Credentials returns the transport credentials of a server that accepts TLS with cert's certificate
// and plaintext on the same port.
func Credentials(cert *Certificate) credentials.TransportCredentials {
	return &sniffer{tls: &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2"}, // clients of grpc-go refuse a server that does not negotiate it
		GetCertificate: cert.get,
	}}
}

// ServerHandshake reads the first byte and completes a TLS handshake if it asks for one. The caller
// sets the connection's deadline.
func (s *sniffer) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	first := make([]byte, 1)
	if _, err := conn.Read(first); err != nil {
		return nil, nil, fmt.Errorf("first byte: %w", err)
	}
	whole := &prefixConn{Conn: conn, prefix: first}
	if first[0] != tlsHandshakeRecord {
		return whole, PlaintextInfo{}, nil
	}
	secure := tls.Server(whole, s.tls)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	info := credentials.TLSInfo{
		State:          secure.ConnectionState(),
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}
	return secure, info, nil
}

// ClientHandshake refuses: clients bring credentials of their own.
func (s *sniffer) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errClient
}

// Info describes the protocol.
func (s *sniffer) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls or plaintext"}
}

// Clone returns credentials that share the certificate.
func (s *sniffer) Clone() credentials.TransportCredentials {
	return &sniffer{tls: s.tls.Clone()}
}

// OverrideServerName is a client's affair.
func (s *sniffer) OverrideServerName(string) error { return errClient }

// PlaintextInfo is the AuthInfo of a connection without TLS.
type PlaintextInfo struct {
	credentials.CommonAuthInfo
}

// AuthType names the transport.
func (PlaintextInfo) AuthType() string { return "plaintext" }

// prefixConn is a connection whose first bytes have been read already.
type prefixConn struct {
	net.Conn

	prefix []byte // owned by the reader
}

// Read returns the prefix first, then what the connection has.
func (c *prefixConn) Read(b []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.prefix)
	c.prefix = c.prefix[n:]
	return n, nil
}
