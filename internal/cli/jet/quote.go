package jet

import "strings"

// commandLine writes arguments so that any POSIX shell reads the same ones back.
// A NUL cannot be part of an argument.
func commandLine(argv []string) (string, error) {
	words := make([]string, len(argv))
	for i, arg := range argv {
		if strings.ContainsRune(arg, 0) {
			return "", mistake("argument %d holds a NUL character", i)
		}
		words[i] = quote(arg)
	}
	return strings.Join(words, " "), nil
}

// quote leaves plain words alone and puts others between single quotes, within
// which a shell interprets nothing.
func quote(s string) string {
	plain := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@%+"
	if strings.HasPrefix(s, "-") {
		plain += "=" // elsewhere it could be an assignment; a variable has no - in its name
	}
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
