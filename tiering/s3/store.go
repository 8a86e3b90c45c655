package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/stratamq/stratamq/tiering"
)

// Store is a [tiering.ObjectStore] in a bucket.
type Store struct {
	location  tiering.Location
	config    Config
	client    *s3.Client
	transport *http.Transport
	closed    atomic.Bool
}

var _ tiering.ObjectStore = (*Store)(nil)

// Open connects to the bucket of location and checks that it is there. The bucket is not made: whoever pays for it
// decides where it lies and who may read it.
func Open(ctx context.Context, location tiering.Location, config Config) (*Store, error) {
	if location.Scheme != tiering.SchemeS3 {
		return nil, fmt.Errorf("open object store %s: %w: not an s3 URL", location, tiering.ErrInvalidURL)
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("open object store %s: %w", location, err)
	}
	loaded, err := loadConfig(ctx, location, config)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", location, err)
	}
	s := newStore(location, config, loaded)
	if err := s.checkBucket(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open object store %s: %w", location, err), s.Close())
	}
	return s, nil
}

// loadConfig finds credentials and region.
func loadConfig(ctx context.Context, location tiering.Location, config Config) (aws.Config, error) {
	var options []func(*awsconfig.LoadOptions) error
	if config.AccessKeyID != "" {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			config.AccessKeyID, config.SecretAccessKey.Reveal(), config.SessionToken.Reveal())))
	}
	if location.Region != "" {
		options = append(options, awsconfig.WithRegion(location.Region))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("%w: load the AWS configuration: %w", tiering.ErrDenied, err)
	}
	if loaded.Region == "" {
		if location.Endpoint == "" {
			return aws.Config{}, fmt.Errorf("%w: AWS needs a region; add ?region=… or set AWS_REGION", tiering.ErrInvalidURL)
		}
		loaded.Region = "us-east-1" // what servers other than AWS expect in signatures
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, fmt.Errorf("%w: no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: %w", tiering.ErrDenied, err)
	}
	return loaded, nil
}

func newStore(location tiering.Location, config Config, loaded aws.Config) *Store {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // a range is one of the stored bytes
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		ForceAttemptHTTP2:     false,
		ExpectContinueTimeout: time.Second,
	}
	client := s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: transport}
		o.Retryer = aws.NopRetryer{} // the loop of Store.retry is ours, body included
		o.UsePathStyle = location.PathStyle
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired // we set the header ourselves
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired // ranges have none; blocks have theirs
		o.DisableLogOutputChecksumValidationSkipped = true
		o.Logger = logging.Nop{} // what goes wrong is returned
		o.ContinueHeaderThresholdBytes = -1
		if location.Endpoint != "" {
			o.BaseEndpoint = aws.String(location.Endpoint)
		}
		if trustedWire(location.Endpoint) {
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
	})
	return &Store{location: location, config: config, client: client, transport: transport}
}

// trustedWire reports whether nobody on the way can change a payload: TLS, or the same machine.
func trustedWire(endpoint string) bool {
	if endpoint == "" {
		return true // AWS is reached over TLS
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback()
}

func (s *Store) checkBucket(ctx context.Context) error {
	err := s.retry(ctx, "head bucket", s.location.Bucket, 0, func(ctx context.Context, _ bool) error {
		_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(s.location.Bucket)})
		return err
	})
	switch {
	case errors.Is(err, tiering.ErrNotFound), errors.Is(err, tiering.ErrNoBucket):
		return fmt.Errorf("%w: there is no bucket %q at %s; create it, or correct the URL", tiering.ErrNoBucket, s.location.Bucket, s.endpoint())
	case errors.Is(err, tiering.ErrDenied):
		return fmt.Errorf("the credentials may not use bucket %q at %s: %w", s.location.Bucket, s.endpoint(), err)
	}
	return err
}

func (s *Store) endpoint() string {
	if s.location.Endpoint == "" {
		return "AWS"
	}
	return s.location.Endpoint
}

// String returns the store's URL.
func (s *Store) String() string { return s.location.String() }

// Close closes idle connections; later calls fail.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.transport.CloseIdleConnections()
	return nil
}

// check refuses calls that cannot succeed.
func (s *Store) check(ctx context.Context, op, key string) error {
	err := context.Cause(ctx)
	if err == nil && s.closed.Load() {
		err = net.ErrClosed
	}
	if err == nil {
		err = tiering.ValidateKey(key)
	}
	if err != nil {
		return &tiering.OpError{Op: op, Key: key, Err: err}
	}
	return nil
}

// full returns the key in the bucket.
func (s *Store) full(key string) string {
	if s.location.Prefix == "" {
		return key
	}
	return s.location.Prefix + "/" + key
}

// short is the inverse of full.
func (s *Store) short(full string) (string, bool) {
	if s.location.Prefix == "" {
		return full, true
	}
	return strings.CutPrefix(full, s.location.Prefix+"/")
}
