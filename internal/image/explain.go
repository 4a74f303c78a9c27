package image

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Explain says what is wrong with a registry, and what to do about it where that
// is known.
func Explain(reg name.Registry, repository string, err error) error {
	host := reg.RegistryStr()
	var answer *transport.Error
	var unknown x509.UnknownAuthorityError
	var certificate x509.CertificateInvalidError
	var dns *net.DNSError
	var network net.Error
	switch {
	case IsOtherBytes(err):
		return fmt.Errorf("registry %s sent other bytes than the digest says, or a proxy before it did; nothing of them is used; try again, and if it stays push what is damaged anew: %w", host, err)
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return fmt.Errorf("the certificate of registry %s does not hold today; the clock of this machine says %s: if that is wrong, set it: %w", host, time.Now().Format(time.DateOnly), err)
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of registry %s is signed by nobody whom this machine trusts; add its authority to the system's (update-ca-certificates): %w", host, err)
	// After the certificates: at a loopback address HTTP is tried when HTTPS failed,
	// and answers too.
	case errors.As(err, &answer):
		return explainAnswer(host, repository, answer.StatusCode, err)
	case errors.As(err, &dns):
		return fmt.Errorf("registry %s cannot be found; check its name and the network: %w", host, err)
	case errors.Is(err, errSilent):
		return fmt.Errorf("registry %s: %w; try again later", host, err)
	case isCutOff(err):
		return fmt.Errorf("registry %s, or something on the way to it, broke the connection off; the same command goes on from there: %w", host, err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &network):
		return fmt.Errorf("registry %s cannot be reached; check its name and the network: %w", host, err)
	}
	return err
}

func explainAnswer(host, repository string, status int, err error) error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("registry %s refuses access to %s; log in with: docker login %s: %w", host, repository, host, err)
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("registry %s has had too many requests; try again later, or log in for a higher limit: docker login %s: %w", host, host, err)
	case status == http.StatusInsufficientStorage:
		return fmt.Errorf("registry %s has no space left: %w", host, err)
	case status >= 500:
		return fmt.Errorf("registry %s fails; try again later: %w", host, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("registry %s has no such thing in %s; check the reference, or log in if it is private: docker login %s: %w", host, repository, host, err)
	}
	return err
}

// ExplainReference is Explain for what was read from an image's registry.
func ExplainReference(ref string, err error) error {
	r, parseErr := name.ParseReference(ref)
	if parseErr != nil {
		return err
	}
	return Explain(r.Context().Registry, r.Context().RepositoryStr(), err)
}

// Retryable reports whether another try may succeed: the network failed, the
// registry is busy, or it does not know any more of an upload that was under way,
// as when the embedded registry moved to another process.
func Retryable(err error) bool {
	if err == nil {
		return false
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.Temporary() || slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool {
			return d.Code == transport.BlobUploadUnknownErrorCode
		})
	}
	if isCutOff(err) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, net.ErrClosed) {
		return true
	}
	// net/http has no value for it: a request that it must not repeat by itself
	// met a connection that the server was closing.
	return strings.Contains(err.Error(), "server closed idle connection")
}

func isCutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// IsOtherBytes reports whether content did not have the digest or the size that
// it was asked for by. go-containerregistry keeps the type of this error to itself.
func IsOtherBytes(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "error verifying") || strings.Contains(text, "does not match requested digest")
}
