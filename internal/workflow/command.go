package workflow

import (
	"fmt"
	"strconv"
	"strings"
)

// Annotation is a message of a step about a place.
type Annotation struct {
	Level   string `json:"level"` // error, warning or notice
	Title   string `json:"title,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Col     int    `json:"col,omitempty"`
	Message string `json:"message"`
}

func (a Annotation) String() string {
	place := ""
	if a.File != "" {
		place = a.File
		if a.Line > 0 {
			place += fmt.Sprintf(":%d", a.Line)
			if a.Col > 0 {
				place += fmt.Sprintf(":%d", a.Col)
			}
		}
		place += ": "
	}
	text := a.Message
	if a.Title != "" {
		text = a.Title + ": " + text
	}
	return place + a.Level + ": " + text
}

// command is a line ::name key=value,...::data of a step's output
// (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands).
type command struct {
	name       string
	properties map[string]string
	data       string
}

func parseCommand(line string) (command, bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "::")
	if !ok {
		return command{}, false
	}
	head, data, ok := strings.Cut(rest, "::")
	if !ok {
		return command{}, false
	}
	name, list, _ := strings.Cut(head, " ")
	if name == "" {
		return command{}, false
	}
	c := command{name: strings.ToLower(name), properties: map[string]string{}, data: unescape(data)}
	for part := range strings.SplitSeq(list, ",") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			c.properties[strings.ToLower(k)] = unescapeProperty(v)
		}
	}
	return c, true
}

func unescape(s string) string {
	return strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n").Replace(s)
}

func unescapeProperty(s string) string {
	return strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",").Replace(s)
}

// annotation is what ::error, ::warning and ::notice say.
func (c command) annotation() Annotation {
	a := Annotation{Level: c.name, Title: c.properties["title"], File: c.properties["file"], Message: c.data}
	a.Line, _ = strconv.Atoi(c.properties["line"])
	a.Col, _ = strconv.Atoi(c.properties["col"])
	return a
}

// replacement is what to use in place of a command that GitHub has taken away.
func replacement(name string) string {
	switch name {
	case "set-output":
		return "append to the file $GITHUB_OUTPUT"
	case "set-env":
		return "append to the file $GITHUB_ENV"
	case "add-path":
		return "append to the file $GITHUB_PATH"
	case "save-state":
		return "there is no later part of an action to read it"
	}
	return ""
}
