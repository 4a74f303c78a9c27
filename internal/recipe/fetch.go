package recipe

import (
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// fetch renders the instruction that puts a source archive into /source. It
// tries the URLs in order and then the archive's place on each mirror that the
// image's apt is configured for. apt's own helper downloads and checks the
// hash, so that nothing has to be installed and apt's proxies apply.
func fetch(n *plan.Node) string {
	a := n.Archive
	var b strings.Builder
	b.WriteString("set -eu\nmkdir -p /source\n")
	fmt.Fprintf(&b, "file=/source/%s\nsha256=%s\n", word(a.Name()), word(a.SHA256))
	b.WriteString(`get() {
    echo "fetching $1"
    /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
        -o Acquire::https::Timeout=20 download-file "$1" "$file" "SHA256:$sha256" &&
        echo "$sha256  $file" | sha256sum -c - && chmod 644 "$file" && return 0
    rm -f "$file"
    return 1
}
`)
	for _, u := range a.URLs {
		fmt.Fprintf(&b, "if get %s; then exit 0; fi\n", word(u))
	}
	if a.Debian != "" {
		fmt.Fprintf(&b, "for mirror in $(apt-get indextargets --no-release-info --format '$(REPO_URI)' | sort -u); do\n    if get \"${mirror%%/}/\"%s; then exit 0; fi\ndone\n", word(a.Debian))
	}
	b.WriteString("echo \"no place gives this archive with SHA-256 $sha256\" >&2\nexit 1\n")
	return "RUN " + plan.HereDoc(b.String())
}

// word is s as one word of a POSIX shell. The plan lets no control characters
// through, so quoting cannot fail; if it did, the word would be an empty one.
func word(s string) string {
	q, err := syntax.Quote(s, syntax.LangPOSIX)
	if err != nil {
		return "''"
	}
	return q
}
