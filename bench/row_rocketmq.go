package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peerScript starts and stops the RocketMQ; it stands beside this program's source, from where `go run ./bench` is
// called.
const peerScript = "bench/peers/rocketmq"

// rowRocketMQ sends the same messages to a RocketMQ, in turns with the broker and the echo.
func (b *bench) rowRocketMQ(ctx context.Context, row *Row) error {
	s, c, err := b.sendTarget(ctx, row.ID)
	if err != nil {
		return err
	}
	defer s.remove()
	defer c.close()
	peer, err := b.startRocketMQ(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := peer.stop(ctx); err != nil {
			b.logf("  RocketMQ was not stopped: %v", err)
		}
	}()
	p, err := dial(peer.addr, b.settings.connections)
	if err != nil {
		return err
	}
	defer p.close()
	if err := awaitTopic(ctx, p, "durable"); err != nil {
		return err
	}
	sides := []contender{
		b.echo.contender(),
		{name: "strata", cpu: s.cpu, load: same(sendTo(c, "durable", 1)), pprof: s.http},
		{name: "rocketmq", cpu: peer.cpu, load: same(sendTo(p, "durable", 1))},
	}
	// A JVM needs its code compiled before it shows what it can do.
	if !b.settings.quick {
		if _, err := sendTo(p, "durable", 1).run(ctx, peer.cpu, 0, 15*time.Second); err != nil {
			return fmt.Errorf("warm up RocketMQ: %w", err)
		}
	}
	result, err := b.hold(ctx, row.ID, sides...)
	if err != nil {
		return err
	}
	result.report(row, sides...)
	row.atLeast("rate / RocketMQ", result.rateRatio(2), 2, "x")
	row.atMost("server CPU per message / RocketMQ", result.cpuRatio(2), 1.0/3, "x")
	return nil
}

// rocketMQ is a running one.
type rocketMQ struct {
	dir  string
	addr string // gRPC
	pids []int  // of its JVMs
}

func (b *bench) startRocketMQ(ctx context.Context) (*rocketMQ, error) {
	base, err := freePorts(ctx, 10)
	if err != nil {
		return nil, err
	}
	peer := &rocketMQ{dir: filepath.Join(b.scratch, "rocketmq-peer")}
	out, err := script(ctx, "start", peer.dir, strconv.Itoa(base))
	if err != nil {
		return nil, err
	}
	if err := peer.parse(out); err != nil {
		return nil, errors.Join(err, peer.stop(ctx))
	}
	if _, err := script(ctx, "topic", peer.dir, "durable", strconv.Itoa(sendQueues)); err != nil {
		return nil, errors.Join(err, peer.stop(ctx))
	}
	return peer, nil
}

// parse reads what the script says of a start.
func (p *rocketMQ) parse(out string) error {
	for scanner := bufio.NewScanner(strings.NewReader(out)); scanner.Scan(); {
		switch name, value, _ := strings.Cut(scanner.Text(), " "); name {
		case "grpc":
			p.addr = value
		case "pid":
			pid, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("process number: %w", err)
			}
			p.pids = append(p.pids, pid)
		}
	}
	if p.addr == "" || len(p.pids) == 0 {
		return fmt.Errorf("%s said neither address nor process: %q", peerScript, out)
	}
	return nil
}

func (p *rocketMQ) cpu() (total time.Duration, err error) {
	for _, pid := range p.pids {
		used, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// stop ends the JVMs, also when the run was interrupted.
func (p *rocketMQ) stop(ctx context.Context) error {
	_, err := script(context.WithoutCancel(ctx), "stop", p.dir)
	return err
}

func script(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, peerScript, args...)
	var stderr tail
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", peerScript, args[0], err, &stderr)
	}
	return string(out), nil
}

// awaitTopic sends until one message is stored: the proxy learns of a new topic a while after it was made.
func awaitTopic(ctx context.Context, c *client, topic string) error {
	ctx, cancel := context.WithTimeout(callerContext(ctx, 0), dialPatience)
	defer cancel()
	request, err := newSendRequest(topic, 1, plainBody)
	if err != nil {
		return err
	}
	for {
		_, err := request.send(ctx, c.conn(0), new(reply))
		if err == nil {
			return nil
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("no send to %s succeeds: %w", topic, err)
		}
	}
}

// freePorts returns the first of n adjacent ports that nobody listened on a moment ago.
func freePorts(ctx context.Context, n int) (int, error) {
	for range 100 {
		addr, err := freeAddr(ctx)
		if err != nil {
			return 0, err
		}
		_, text, err := net.SplitHostPort(addr)
		if err != nil {
			return 0, err
		}
		base, err := strconv.Atoi(text)
		if err != nil {
			return 0, err
		}
		if portsFree(ctx, base, n) {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no %d adjacent ports are free", n)
}

func portsFree(ctx context.Context, base, n int) bool {
	for port := base; port < base+n; port++ {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}
