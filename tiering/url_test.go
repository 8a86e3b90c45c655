package tiering

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]Location{
		"file:///var/lib/strata":                {Scheme: "file", Dir: "/var/lib/strata"},
		"file:///var//lib/../lib/with%20space/": {Scheme: "file", Dir: "/var/lib/with space"},
		"s3://bucket":                           {Scheme: "s3", Bucket: "bucket"},
		"s3://bucket/":                          {Scheme: "s3", Bucket: "bucket"},
		"s3://my.bucket-1/some/where/?region=eu-central-1": {
			Scheme: "s3", Bucket: "my.bucket-1", Prefix: "some/where", Region: "eu-central-1",
		},
		"s3://bucket/p?endpoint=http://127.0.0.1:9000&region=us-east-1": {
			Scheme: "s3", Bucket: "bucket", Prefix: "p", Endpoint: "http://127.0.0.1:9000", Region: "us-east-1", PathStyle: true,
		},
		"s3://bucket?endpoint=https%3A%2F%2Fs3.example.com&path_style=false": {
			Scheme: "s3", Bucket: "bucket", Endpoint: "https://s3.example.com",
		},
		"s3://bucket?path_style=true":             {Scheme: "s3", Bucket: "bucket", PathStyle: true},
		"s3://bucket?endpoint=http://[::1]:9000/": {Scheme: "s3", Bucket: "bucket", Endpoint: "http://[::1]:9000/", PathStyle: true},
	} {
		got, err := ParseURL(text)
		if err != nil || got != want {
			t.Errorf("%s gives %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if again, err := ParseURL(got.String()); err != nil || again != want {
			t.Errorf("%s prints as %s, which gives %+v, %v", text, got, again, err)
		}
	}
}

// TestParseURLErrors checks that every refusal says what to write, and none repeats a secret.
func TestParseURLErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                          "no scheme; write file:///directory or s3://bucket/prefix",
		"/var/lib/strata":                           "no scheme",
		"gs://bucket":                               `unknown scheme "gs"; there are file:// and s3://`,
		"http://host/bucket":                        `unknown scheme "http"`,
		"file://relative/dir":                       "three slashes",
		"file:relative":                             "three slashes",
		"file:///":                                  "name a directory below it",
		"file:///x?sync=no":                         `no parameters, not "sync"`,
		"s3://":                                     "no bucket name",
		"s3:///bucket":                              "no bucket name",
		"s3://Bucket":                               "no bucket name",
		"s3://bucket:9000/x":                        "no bucket name",
		"s3://bucket/a//b":                          "prefix",
		"s3://bucket/a/../b":                        "prefix",
		"s3://bucket?endpoint=host:9000":            "such as http://127.0.0.1:9000",
		"s3://bucket?endpoint=http://h/p":           "such as http://127.0.0.1:9000",
		"s3://bucket?endpoint=http://a%20b":         "such as http://127.0.0.1:9000",
		"s3://bucket?region=a%26b":                  "us-east-1",
		"s3://bucket?path_style=maybe":              "not true or false",
		"s3://bucket?regoin=x":                      `unknown parameter "regoin"; there are endpoint, region and path_style`,
		"s3://bucket?region=a&region=b":             "2 times",
		"s3://bucket#x":                             "#",
		"s3://KEY:hunter2@bucket":                   "AWS_SECRET_ACCESS_KEY",
		"s3://KEY:hunter2@bucket\x01":               "does not parse",
		"s3://bucket?endpoint=http://K:hunter2@h:1": "such as http://127.0.0.1:9000",
	} {
		_, err := ParseURL(text)
		if !errors.Is(err, ErrInvalidURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error of %q shows the secret: %v", text, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, text := range []string{
		"file:///var/lib/strata", "s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1&path_style=true",
		"s3://b%20/x", "file:///%2e%2e/x", "s3://bucket?endpoint=http://[::1]:1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		location, err := ParseURL(text)
		if err != nil {
			if !errors.Is(err, ErrInvalidURL) {
				t.Fatalf("error is %v", err)
			}
			return
		}
		if again, err := ParseURL(location.String()); err != nil || again != location {
			t.Fatalf("%q gives %+v, which prints as %q and gives %+v, %v", text, location, location, again, err)
		}
	})
}
