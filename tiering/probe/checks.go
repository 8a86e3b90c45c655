package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stratamq/stratamq/tiering"
)

// ranges reads ranges, the edges of the object among them, and one that goes beyond its end.
func (p *probe) ranges(ctx context.Context) (Finding, error) {
	const check = "ranges"
	refuse := func(off, end int, seen string) (Finding, error) {
		return Finding{check, Refused, fmt.Sprintf(
			"asked for the bytes [%d, %d) of an object of %d and %s; history is read by ranges, so a store that serves wrong ones cannot be used",
			off, end, bodyLen, seen)}, nil
	}
	if err := p.put(ctx, keyRanges, p.body, tiering.PutOptions{}); err != nil {
		return Finding{}, err
	}
	wanted := [][2]int{{0, 1}, {0, 4096}, {1, 2}, {4095, 8193}, {50_000, 90_000}, {bodyLen - 1, bodyLen}, {bodyLen - 1000, bodyLen}, {0, bodyLen}}
	for _, r := range wanted {
		got := make([]byte, r[1]-r[0])
		err := p.store.GetRange(ctx, p.prefix+keyRanges, got, int64(r[0]))
		switch {
		case errors.Is(err, tiering.ErrCorrupt):
			return refuse(r[0], r[1], "got another range")
		case errors.Is(err, tiering.ErrNotFound):
			return refuse(r[0], r[1], "was told that it is not there, just after its put")
		case err != nil:
			return Finding{}, err
		case !bytes.Equal(got, p.body[r[0]:r[1]]):
			return refuse(r[0], r[1], "got other bytes")
		}
	}
	err := p.store.GetRange(ctx, p.prefix+keyRanges, make([]byte, 100), bodyLen-50)
	if err == nil {
		return refuse(bodyLen-50, bodyLen+50, "got as many")
	}
	if !errors.Is(err, tiering.ErrCorrupt) {
		return Finding{}, err
	}
	return Finding{check, Holds, fmt.Sprintf("%d ranges had exactly the bytes that were put, and one beyond the end failed", len(wanted))}, nil
}

// conditionalPut puts where an object is already, and races several writers for one key.
func (p *probe) conditionalPut(ctx context.Context) (Finding, error) {
	const check = "conditional put"
	const follows = "object keys are unique without it, and what must be put once is looked for first and read back"
	if err := p.put(ctx, keyTaken, []byte("first"), tiering.PutOptions{IfAbsent: true}); err != nil {
		if errors.Is(err, tiering.ErrUnsupported) {
			return Finding{check, Degraded, "a put with If-None-Match: * was refused as unknown; " + follows}, nil
		}
		return Finding{}, err
	}
	err := p.put(ctx, keyTaken, []byte("second"), tiering.PutOptions{IfAbsent: true})
	if err == nil {
		return Finding{check, Degraded, "a put with If-None-Match: * replaced the object that was there; " + follows}, nil
	}
	if !errors.Is(err, tiering.ErrExists) {
		return Finding{}, err
	}
	winners, err := p.race(ctx)
	if err != nil {
		return Finding{}, err
	}
	if winners != 1 {
		return Finding{check, Degraded, fmt.Sprintf("of %d puts at once with If-None-Match: * for one key, %d succeeded; %s", racers, winners, follows)}, nil
	}
	p.report.Capabilities.ConditionalPut = true
	return Finding{check, Holds, fmt.Sprintf("a put with If-None-Match: * spared the object that was there, and of %d at once one succeeded", racers)}, nil
}

// race returns how many of several writers were told that they won.
func (p *probe) race(ctx context.Context) (int, error) {
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			errs[i] = p.put(ctx, keyRace, []byte{byte(i)}, tiering.PutOptions{IfAbsent: true})
		})
	}
	wg.Wait()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
		} else if !errors.Is(err, tiering.ErrExists) {
			return 0, err
		}
	}
	return winners, nil
}

// upload makes an object of one small part.
func (p *probe) upload(ctx context.Context, name string, body []byte, opts tiering.PutOptions) error {
	upload, err := p.store.Create(ctx, p.prefix+name, tiering.MinPartSize)
	if err != nil {
		return err
	}
	err = upload.Part(ctx, 1, body)
	if err == nil {
		err = upload.Complete(ctx, 1, opts)
	}
	if err != nil {
		return errors.Join(err, upload.Abort(context.WithoutCancel(ctx)))
	}
	return nil
}

func (p *probe) conditionalComplete(ctx context.Context) (Finding, error) {
	const check = "conditional complete"
	const follows = "object keys are unique without it"
	opts := tiering.PutOptions{IfAbsent: true, HasCRC32C: true, CRC32C: tiering.Checksum(p.body)}
	err := p.upload(ctx, keyComplete, p.body, opts)
	if errors.Is(err, tiering.ErrUnsupported) {
		return Finding{check, Degraded, "completing an upload with If-None-Match: * was refused as unknown; " + follows}, nil
	}
	if err != nil {
		return Finding{}, err
	}
	err = p.upload(ctx, keyComplete, p.body[:1000], tiering.PutOptions{IfAbsent: true, HasCRC32C: true, CRC32C: tiering.Checksum(p.body[:1000])})
	if err == nil {
		return Finding{check, Degraded, "completing an upload with If-None-Match: * replaced the object that was there; " + follows}, nil
	}
	if !errors.Is(err, tiering.ErrExists) {
		return Finding{}, err
	}
	p.report.Capabilities.ConditionalComplete = true
	return Finding{check, Holds, "completing an upload with If-None-Match: * spared the object that was there"}, nil
}

// checksumVerified puts bytes with a CRC32C that is not theirs.
func (p *probe) checksumVerified(ctx context.Context) (Finding, error) {
	const check = "checksums verified"
	const follows = "everything that is uploaded is read back before local bytes go"
	wrong := tiering.PutOptions{HasCRC32C: true, CRC32C: tiering.Checksum(p.body) + 1}
	err := p.put(ctx, keyWrong, p.body, wrong)
	if err == nil {
		return Finding{check, Degraded, "a put whose CRC32C was not that of its bytes was accepted; " + follows}, nil
	}
	if !errors.Is(err, tiering.ErrCorrupt) && !errors.Is(err, tiering.ErrUnsupported) {
		return Finding{}, err
	}
	err = p.upload(ctx, keyWrongPart, p.body, wrong)
	if err == nil {
		return Finding{check, Degraded, "an upload in parts whose CRC32C was not that of its bytes was accepted; " + follows}, nil
	}
	if !errors.Is(err, tiering.ErrCorrupt) && !errors.Is(err, tiering.ErrUnsupported) {
		return Finding{}, err
	}
	p.report.Capabilities.ChecksumVerified = true
	return Finding{check, Holds, "a put and an upload in parts whose CRC32C was not that of their bytes were refused"}, nil
}

// checksumReturned asks for the CRC32C of an object that was put, and of one uploaded in parts.
func (p *probe) checksumReturned(ctx context.Context) (Finding, error) {
	const check = "checksums returned"
	body := p.body[:5000]
	want := tiering.Checksum(body)
	opts := tiering.PutOptions{HasCRC32C: true, CRC32C: want}
	if err := p.put(ctx, keyRanges, body, opts); err != nil {
		return Finding{}, err
	}
	if err := p.upload(ctx, keyComplete, body, opts); err != nil {
		return Finding{}, err
	}
	for _, name := range []string{keyRanges, keyComplete} {
		info, err := p.store.Head(ctx, p.prefix+name)
		switch {
		case err != nil:
			return Finding{}, err
		case info.HasCRC32C && info.CRC32C != want:
			return Finding{check, Degraded, "the store names a CRC32C that is not that of the object's bytes; it is not asked for, and whole objects are checked by reading them"}, nil
		case !info.HasCRC32C && p.report.Capabilities.ChecksumVerified:
			return Finding{check, Holds, "the store names no CRC32C for what it holds; it verified the bytes when they were put, so only a later check of whole objects has to read them"}, nil
		case !info.HasCRC32C:
			return Finding{check, Degraded, "the store names no CRC32C for what it holds; whole objects are checked by reading them"}, nil
		}
	}
	p.report.Capabilities.ChecksumReturned = true
	return Finding{check, Holds, "the store names the CRC32C of objects that were put or uploaded in parts"}, nil
}

// listAfterPut lists after a put and after a delete.
func (p *probe) listAfterPut(ctx context.Context) (Finding, error) {
	const check = "lists"
	const follows = "nothing but the collection of orphans depends on lists, and that waits for its grace"
	if err := p.put(ctx, keyListed, []byte("x"), tiering.PutOptions{}); err != nil {
		return Finding{}, err
	}
	listed, err := p.listed(ctx)
	if err != nil {
		return Finding{}, err
	}
	if !listed {
		return Finding{check, Degraded, "a list did not show an object that was put just before; " + follows}, nil
	}
	if err := p.store.Delete(ctx, p.prefix+keyListed); err != nil {
		return Finding{}, err
	}
	if listed, err = p.listed(ctx); err != nil {
		return Finding{}, err
	}
	if listed {
		return Finding{check, Degraded, "a list showed an object that was deleted just before; " + follows}, nil
	}
	p.report.Capabilities.ListAfterPut = true
	return Finding{check, Holds, "a list showed an object right after its put, and no more after its deletion"}, nil
}

func (p *probe) listed(ctx context.Context) (bool, error) {
	for info, err := range p.store.List(ctx, p.prefix, "") {
		if err != nil {
			return false, err
		}
		if info.Key == p.prefix+keyListed {
			return true, nil
		}
	}
	return false, nil
}
