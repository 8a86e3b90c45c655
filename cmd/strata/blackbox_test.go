package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// A second instance on the same folder is refused, by a sentence that names folder and holder, and the
// first one does not notice.
func TestSecondInstance(t *testing.T) {
	dir := dataDir(t)
	first := start(t, dir)
	second := launch(t, dir)
	if exit := second.wait(); exit != 6 {
		t.Errorf("exit code %d, want 6", exit)
	}
	want := fmt.Sprintf("strata: data folder: %s is in use by strata server, process %d, since ", dir, first.cmd.Process.Pid)
	if got := second.log.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q…", got, want)
	}
	first.strata("topic", "create", testTopic)
	if exit, _ := first.stop(); exit != 0 {
		t.Errorf("the first one ended with %d", exit)
	}
	// The lock has gone with its holder.
	start(t, dir).strata("topic", "describe", testTopic)
}

// SIGTERM while producers and consumers are at work: the server ends in less than 5 s with status 0, long
// polls are answered, every send is answered or has an error that says unknown, and what was answered OK is
// there afterwards.
func TestStopUnderLoad(t *testing.T) {
	dir := dataDir(t)
	b := start(t, dir)
	b.strata("topic", "create", testTopic)
	b.strata("topic", "create", "idle")
	client := b.dial()

	var acked, unknown, attempts atomic.Int64
	var group sync.WaitGroup
	warm := make(chan struct{})
	for p := range 32 {
		group.Go(func() {
			for i := 0; ; i++ {
				s, err := send(t.Context(), client, fmt.Sprintf("%d-%d", p, i), bytes.Repeat([]byte("x"), 1024))
				attempts.Add(1)
				switch {
				case err != nil:
					if code := status.Code(err); code != codes.Unavailable && code != codes.Canceled {
						t.Errorf("send ended with %v", err)
					}
					unknown.Add(1)
					return
				case s.GetCode() == pb.Code_OK:
					if acked.Add(1) == 500 {
						close(warm)
					}
				case s.GetCode() == pb.Code_HA_NOT_AVAILABLE:
					return // it says that nothing was stored
				case s.GetCode() == pb.Code_MASTER_PERSISTENCE_TIMEOUT:
					unknown.Add(1)
					return
				default:
					t.Errorf("send answered %v", s)
					return
				}
			}
		})
	}
	polls := make(chan string, 16)
	for range cap(polls) {
		group.Go(func() {
			began := time.Now()
			res, err := client.ReceiveMessage(as(t.Context(), "idler"), &pb.ReceiveMessageRequest{
				Group:        &pb.Resource{Name: "idlers"},
				MessageQueue: &pb.MessageQueue{Topic: &pb.Resource{Name: "idle"}},
				BatchSize:    1,

				InvisibleDuration: durationpb.New(30 * time.Second),
			})
			if err != nil {
				polls <- err.Error()
				return
			}
			frame, err := res.Recv()
			if err != nil {
				polls <- err.Error()
				return
			}
			polls <- frame.GetStatus().GetCode().String()
			if time.Since(began) > 15*time.Second {
				t.Errorf("a long poll was not answered before its time: %s", time.Since(began))
			}
		})
	}
	select {
	case <-warm:
	case <-time.After(startLimit):
		t.Fatalf("only %d sends in %s", acked.Load(), startLimit)
	}
	b.waitMetric("strata_grpc_long_polls", "16")

	exit, took := b.stop()
	if exit != 0 {
		t.Errorf("exit code %d", exit)
	}
	if took >= 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
	group.Wait()
	close(polls)
	for answer := range polls {
		if answer != pb.Code_MESSAGE_NOT_FOUND.String() {
			t.Errorf("a long poll ended with %s", answer)
		}
	}

	stored := start(t, dir).messageCount()
	if low, high := int(acked.Load()), int(acked.Load()+unknown.Load()); stored < low || stored > high {
		t.Errorf("%d messages are there, %d were acknowledged and %d are unknown", stored, low, unknown.Load())
	}
	t.Logf("stopped in %s: %d acknowledged, %d unknown, %d there", took, acked.Load(), unknown.Load(), stored)
}

// More bytes at once than may be in flight are answered 42900, at once, and later sends are served.
func TestOverload(t *testing.T) {
	b := start(t, dataDir(t), "--max-in-flight", "32MiB")
	b.strata("topic", "create", testTopic)
	client := b.dial()
	body := make([]byte, 4<<20)

	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	var refused, served atomic.Int64
	var group sync.WaitGroup
	for p := range 48 {
		group.Go(func() {
			for i := 0; refused.Load() == 0 && ctx.Err() == nil; i++ {
				s, err := send(ctx, client, fmt.Sprintf("%d-%d", p, i), body)
				switch {
				case err != nil:
					t.Errorf("overload must be an answer, not %v", err)
					return
				case s.GetCode() == pb.Code_OK:
					served.Add(1)
				case s.GetCode() == pb.Code_TOO_MANY_REQUESTS:
					if int32(s.GetCode()) != 42900 || s.GetMessage() == "" {
						t.Errorf("answered %v", s)
					}
					refused.Add(1)
				default:
					t.Errorf("answered %v", s)
				}
			}
		})
	}
	group.Wait()
	if refused.Load() == 0 {
		t.Fatalf("none of %d sends was refused", served.Load())
	}
	if s, err := send(t.Context(), client, "later", body); err != nil || s.GetCode() != pb.Code_OK {
		t.Errorf("after the overload: %v, %v", s, err)
	}
	served.Add(1)
	if stored := b.messageCount(); int64(stored) != served.Load() {
		t.Errorf("%d messages are there, %d were acknowledged", stored, served.Load())
	}
}

// Below the disk mark sends are answered 42900 with the reason, and consumers go on.
func TestDiskMark(t *testing.T) {
	dir := dataDir(t)
	b := start(t, dir)
	b.strata("topic", "create", testTopic)
	b.strata("message", "send", testTopic, "before")
	if exit, _ := b.stop(); exit != 0 {
		t.Fatalf("exit code %d", exit)
	}

	b = start(t, dir, "--disk-mark", "1000TiB")
	client := b.dial()
	s, err := send(t.Context(), client, "refused", []byte("x"))
	if err != nil || s.GetCode() != pb.Code_TOO_MANY_REQUESTS || !strings.Contains(s.GetMessage(), "disk mark") {
		t.Errorf("send: %v, %v", s, err)
	}
	s, messages, err := receive(t.Context(), client, "late", 5*time.Second)
	if err != nil || s.GetCode() != pb.Code_OK || len(messages) != 1 || string(messages[0].GetBody()) != "before" {
		t.Fatalf("receive: %v, %d messages, %v", s, len(messages), err)
	}
	ack, err := client.AckMessage(as(t.Context(), "consumer-late"), &pb.AckMessageRequest{
		Group: &pb.Resource{Name: "late"}, Topic: &pb.Resource{Name: testTopic},
		Entries: []*pb.AckMessageEntry{{MessageId: "x", ReceiptHandle: messages[0].GetSystemProperties().GetReceiptHandle()}},
	})
	if err != nil || ack.GetStatus().GetCode() != pb.Code_OK {
		t.Errorf("ack: %v, %v", ack.GetStatus(), err)
	}
	if n := b.messageCount(); n != 1 {
		t.Errorf("%d messages are there", n)
	}
}

// A certificate that changes on disk is taken over without a restart, connections that are there go on, and
// a pair that does not fit leaves the last good one in use.
func TestCertificateReload(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	writeCertificate(t, cert, key, 1)
	b := start(t, dataDir(t), "--tls-cert", cert, "--tls-key", key)
	before := handshake(t, b.grpc)
	if n := serial(before); n != 1 {
		t.Fatalf("certificate %d is served at first", n)
	}

	writeCertificate(t, cert, key, 2)
	deadline := time.Now().Add(startLimit)
	for served := int64(1); served != 2; {
		if time.Now().After(deadline) {
			t.Fatalf("certificate %d is still served", served)
		}
		conn := handshake(t, b.grpc)
		served = serial(conn)
		closeConn(t, conn)
	}
	if _, err := before.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		t.Errorf("the old connection broke: %v", err)
	}
	closeConn(t, before)

	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(b.log.String(), "changed certificate cannot be read") {
		if time.Now().After(deadline) {
			t.Fatal("nobody said that the certificate cannot be read")
		}
		conn := handshake(t, b.grpc)
		if n := serial(conn); n != 2 {
			t.Errorf("certificate %d is served", n)
		}
		closeConn(t, conn)
	}
}

func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "test"},
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}, certFile: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func handshake(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	// The certificate is the test's own; which one it is, is what is looked at.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*tls.Conn)
}

func serial(conn *tls.Conn) int64 {
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func closeConn(t *testing.T, conn *tls.Conn) {
	t.Helper()
	if err := conn.Close(); err != nil {
		t.Logf("close: %v", err) // the server may have been faster
	}
}

// A copy of a data folder holds nothing unless a person says that the original is gone for ever.
func TestCopiedFolder(t *testing.T) {
	dir := dataDir(t)
	b := start(t, dir)
	b.strata("topic", "create", testTopic)
	b.strata("message", "send", testTopic, "x")
	b.stop()
	copied := filepath.Join(t.TempDir(), "copied")
	if out, err := exec.CommandContext(t.Context(), "cp", "-r", dir, copied).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	refused := launch(t, copied)
	if exit := refused.wait(); exit != 1 || !strings.Contains(refused.log.String(), "--accept-copied-data") {
		t.Errorf("exit code %d\n%s", exit, refused.log)
	}
	accepted := start(t, copied, "--accept-copied-data")
	if n := accepted.messageCount(); n != 1 {
		t.Errorf("%d messages are there", n)
	}
	accepted.stop()
	if n := start(t, copied).messageCount(); n != 1 {
		t.Errorf("%d messages are there", n)
	}
}

// A folder whose metadata is gone is not taken for a new one, nor one whose log is gone.
func TestLostParts(t *testing.T) {
	for _, lost := range []string{"meta", filepath.Join("shards", "00000", "log"), "shards"} {
		t.Run(filepath.Base(lost), func(t *testing.T) {
			dir := dataDir(t)
			b := start(t, dir)
			b.strata("topic", "create", testTopic)
			b.strata("message", "send", testTopic, "x")
			b.stop()
			if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
				t.Fatal(err)
			}
			refused := launch(t, dir)
			if exit := refused.wait(); exit != 1 && exit != 7 {
				t.Errorf("exit code %d\n%s", exit, refused.log)
			}
			if !strings.Contains(refused.log.String(), dir) {
				t.Errorf("the message does not name the folder:\n%s", refused.log)
			}
		})
	}
}

// A bucket that does not answer keeps neither the start nor a send waiting, /readyz says so without taking the
// broker out, and the stop is as short as ever.
func TestBucketAway(t *testing.T) {
	nobody, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	b := start(t, dataDir(t), "--object-store", "s3://bucket/prefix?endpoint=http://"+nobody)
	b.strata("topic", "create", testTopic)
	b.strata("message", "send", testTopic, "x")
	if status := b.strata("status"); !strings.Contains(status, "object-store  not ready") {
		t.Errorf("status:\n%s", status)
	}
	if exit, took := b.stop(); exit != 0 || took >= 5*time.Second {
		t.Errorf("exit code %d after %s", exit, took)
	}
}
