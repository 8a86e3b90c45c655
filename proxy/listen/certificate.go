package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// selfSignedLife is long: nobody checks a self-signed certificate, and nobody renews it.
	selfSignedLife = 10 * 365 * 24 * time.Hour
	// recheckAfter bounds how often handshakes look whether the files have changed.
	recheckAfter = time.Second
)

// Certificate is a server certificate in two PEM files, read again when they change. It is safe for
// concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu struct {
		sync.Mutex
		cert    *tls.Certificate
		stamp   stamp // of the files that cert was read from
		checked time.Time
	}
}

// stamp tells whether a pair of files has changed.
type stamp struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

// LoadCertificate reads a certificate chain and its key from PEM files. A pair that later changes on
// disk is taken over by the next handshakes; one that then cannot be read is logged, and the last good
// one stays in use.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", certFile, err)
	}
	c.mu.cert = &cert
	c.mu.stamp, err = c.stat()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// SelfSigned returns the certificate in dir, cert.pem and key.pem, and makes one for hosts if dir has
// none. Hosts are names or IP addresses; loopback is always among them.
func SelfSigned(dir string, hosts []string, log *slog.Logger) (*Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		if err := writeSelfSigned(dir, certFile, keyFile, hosts); err != nil {
			return nil, fmt.Errorf("self-signed certificate in %s: %w", dir, err)
		}
	}
	return LoadCertificate(certFile, keyFile, log)
}

// File returns the path of the certificate.
func (c *Certificate) File() string { return c.certFile }

// Fingerprint returns the SHA-256 of the certificate in use, in hexadecimal.
func (c *Certificate) Fingerprint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sha256.Sum256(c.mu.cert.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// get is a tls.Config's GetCertificate.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.mu.checked) >= recheckAfter {
		c.mu.checked = now
		c.reloadLocked()
	}
	return c.mu.cert, nil
}

// reloadLocked takes over a changed pair. A pair caught between the writes of its two files does not
// match and is tried again at the next check, because the stamp moves only with a good pair.
func (c *Certificate) reloadLocked() {
	now, err := c.stat()
	if err == nil && now == c.mu.stamp {
		return
	}
	if err == nil {
		var cert tls.Certificate
		if cert, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.mu.cert, c.mu.stamp = &cert, now
			c.log.Info("certificate reloaded", "file", c.certFile)
			return
		}
	}
	c.log.Error("changed certificate cannot be read, the last good one stays", "file", c.certFile, "err", err)
}

func (c *Certificate) stat() (stamp, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return stamp{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return stamp{}, fmt.Errorf("certificate key: %w", err)
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

// writeSelfSigned makes a key and a certificate for it. The certificate comes last, so that an
// interrupted start leaves nothing that the next one would take for a pair.
func writeSelfSigned(dir, certFile, keyFile string, hosts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "StrataMQ self-signed"},
		NotBefore:             now.Add(-time.Hour), // a client's clock may be behind
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // so that a client can be given this very file as its root
	}
	for _, host := range append([]string{"localhost", "127.0.0.1", "::1"}, hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeWhole(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})); err != nil {
		return err
	}
	return writeWhole(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}

// writeWhole makes a file visible with all of its bytes or not at all, readable for its owner.
func writeWhole(name string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
