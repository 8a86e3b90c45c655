package tiering

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Schemes of object store URLs.
const (
	SchemeFile = "file"
	SchemeS3   = "s3"
)

// Schemes returns the schemes that have a driver.
func Schemes() []string { return []string{SchemeFile, SchemeS3} }

// Location is a parsed object store URL:
//
//	file:///var/lib/strata/objects
//	s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&path_style=true
//
// It never holds credentials.
type Location struct {
	Scheme string

	Dir string // of file: an absolute path

	Bucket    string // of s3
	Prefix    string // of s3: in front of every key, without slashes at its ends; "" for none
	Endpoint  string // of s3: "http://host:port" of a server that is not AWS; "" for AWS
	Region    string // of s3: "" for the one of the environment, or us-east-1 with an endpoint
	PathStyle bool   // of s3: the bucket stands in the path, not in the host name; the default with an endpoint
}

var (
	bucketName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName   = regexp.MustCompile(`^[a-zA-Z0-9-]{0,64}$`)
	endpointHost = regexp.MustCompile(`^[a-zA-Z0-9.-]+(:[0-9]+)?$|^\[[0-9a-fA-F:.]+\](:[0-9]+)?$`)
)

// ParseURL reads an object store URL. Its errors wrap [ErrInvalidURL] and say what to write instead.
func ParseURL(text string) (Location, error) {
	u, err := url.Parse(text)
	if err != nil {
		// The parser's error repeats the text, which might hold a secret.
		return Location{}, fmt.Errorf("%w: it does not parse; write file:///directory or s3://bucket/prefix?endpoint=http://host:port", ErrInvalidURL)
	}
	if u.User != nil {
		return Location{}, fmt.Errorf("%w: it contains credentials; put them into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)", ErrInvalidURL)
	}
	if u.Fragment != "" {
		return Location{}, fmt.Errorf("%w: nothing may follow a #", ErrInvalidURL)
	}
	switch u.Scheme {
	case SchemeFile:
		return parseFile(u)
	case SchemeS3:
		return parseS3(u)
	case "":
		return Location{}, fmt.Errorf("%w: %q has no scheme; write file:///directory or s3://bucket/prefix", ErrInvalidURL, u.Path)
	default:
		return Location{}, fmt.Errorf("%w: unknown scheme %q; there are file:// and s3://", ErrInvalidURL, u.Scheme)
	}
}

func parseFile(u *url.URL) (Location, error) {
	if u.Host != "" || u.Opaque != "" || !path.IsAbs(u.Path) {
		return Location{}, fmt.Errorf("%w: a file URL needs an absolute path after three slashes: file:///var/lib/strata/objects", ErrInvalidURL)
	}
	if u.RawQuery != "" {
		return Location{}, fmt.Errorf("%w: a file URL takes no parameters, not %q", ErrInvalidURL, firstKey(u.Query()))
	}
	dir := path.Clean(u.Path)
	if dir == "/" {
		return Location{}, fmt.Errorf("%w: the root directory cannot be an object store; name a directory below it", ErrInvalidURL)
	}
	return Location{Scheme: SchemeFile, Dir: dir}, nil
}

func parseS3(u *url.URL) (Location, error) {
	if !bucketName.MatchString(u.Host) {
		return Location{}, fmt.Errorf("%w: %q is no bucket name (3 to 63 of a-z 0-9 . -); write s3://bucket/prefix, and the server's address as ?endpoint=", ErrInvalidURL, u.Host)
	}
	loc := Location{Scheme: SchemeS3, Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if loc.Prefix != "" {
		if err := ValidateKey(loc.Prefix); err != nil || len(loc.Prefix) > maxNameLen {
			return Location{}, fmt.Errorf("%w: prefix %q: names of A-Z a-z 0-9 - _ . = joined by slashes, at most %d bytes", ErrInvalidURL, loc.Prefix, maxNameLen)
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, fmt.Errorf("%w: its parameters do not parse; write ?endpoint=…&region=…&path_style=…", ErrInvalidURL)
	}
	pathStyle := ""
	for name, values := range query {
		if len(values) != 1 {
			return Location{}, fmt.Errorf("%w: parameter %q is given %d times", ErrInvalidURL, name, len(values))
		}
		switch name {
		case "endpoint":
			loc.Endpoint = values[0]
		case "region":
			loc.Region = values[0]
		case "path_style":
			pathStyle = values[0]
		default:
			return Location{}, fmt.Errorf("%w: unknown parameter %q; there are endpoint, region and path_style", ErrInvalidURL, name)
		}
	}
	if err := checkEndpoint(loc.Endpoint); err != nil {
		return Location{}, err
	}
	if !regionName.MatchString(loc.Region) {
		return Location{}, fmt.Errorf("%w: region %q; write one such as us-east-1", ErrInvalidURL, loc.Region)
	}
	loc.PathStyle = loc.Endpoint != ""
	if pathStyle != "" {
		if loc.PathStyle, err = strconv.ParseBool(pathStyle); err != nil {
			return Location{}, fmt.Errorf("%w: path_style is %q, not true or false", ErrInvalidURL, pathStyle)
		}
	}
	return loc, nil
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Scheme != "http" && e.Scheme != "https" || !endpointHost.MatchString(e.Host) || e.User != nil ||
		e.Path != "" && e.Path != "/" || e.RawQuery != "" || e.Fragment != "" {
		return fmt.Errorf("%w: endpoint is the address of the server alone, such as http://127.0.0.1:9000 or https://s3.example.com", ErrInvalidURL)
	}
	return nil
}

// String returns the URL that parses to l.
func (l Location) String() string {
	if l.Scheme == SchemeFile {
		return (&url.URL{Scheme: SchemeFile, Path: l.Dir}).String()
	}
	u := url.URL{Scheme: l.Scheme, Host: l.Bucket}
	if l.Prefix != "" {
		u.Path = "/" + l.Prefix
	}
	// Endpoint and region have no byte that a query would need escaped, and people read this.
	var params []string
	if l.Endpoint != "" {
		params = append(params, "endpoint="+l.Endpoint)
	}
	if l.PathStyle != (l.Endpoint != "") {
		params = append(params, "path_style="+strconv.FormatBool(l.PathStyle))
	}
	if l.Region != "" {
		params = append(params, "region="+l.Region)
	}
	u.RawQuery = strings.Join(params, "&")
	return u.String()
}

// firstKey returns the least key of q.
func firstKey(q url.Values) string {
	first := ""
	for name := range q {
		if first == "" || name < first {
			first = name
		}
	}
	return first
}
