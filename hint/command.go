package hint

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Command is a line for a shell, as data: nothing in it is quoted.
type Command struct {
	// Words are a program and its arguments. If the first is a flag, they are
	// to be added to the command line that failed. If Instead is set, they take
	// the place of that word there.
	Words   []string `json:"words"`
	Instead string   `json:"instead,omitempty"`

	Pipe    []string `json:"pipe,omitempty"`    // a program that reads what the first writes
	Output  string   `json:"output,omitempty"`  // the file that takes what they write
	Purpose string   `json:"purpose,omitempty"` // such as "to make one"
}

// rewrite returns the command with f applied to each word.
func (c Command) rewrite(f func(string) string) Command {
	c.Words, c.Pipe = slices.Clone(c.Words), slices.Clone(c.Pipe)
	for _, words := range [][]string{c.Words, c.Pipe} {
		for i, word := range words {
			words[i] = f(word)
		}
	}
	c.Instead = f(c.Instead)
	return c
}

// Line returns the command as a line for a shell, without the purpose.
func (c Command) Line() string {
	line := Quote(c.Words...)
	if len(c.Pipe) > 0 {
		line += " | " + Quote(c.Pipe...)
	}
	if c.Output != "" {
		line += " >" + Quote(c.Output)
	}
	return line
}

// String returns the command as people read it: the line and its purpose.
func (c Command) String() string {
	if c.Purpose == "" {
		return c.Line()
	}
	return c.Line() + " " + c.Purpose
}

// Quote returns the words, quoted for a shell.
func Quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote quotes word for a shell if necessary. zsh expands a leading = to a
// path, so a word that begins with = is quoted; elsewhere = is plain.
func quote(word string) string {
	const plain = "/._-+,:=@%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	special := func(r rune) bool { return r < 128 && !strings.ContainsRune(plain, r) }
	switch {
	case Visible(word) != word:
		return quoteBytes(word)
	case word == "" || word[0] == '=' || strings.ContainsFunc(word, special):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// quoteBytes quotes a word that is not [Visible] in the dollar-single-quotes of
// POSIX.1-2024, which bash, ksh and zsh have as well: the line can be printed,
// and names the same file. Escapes are octal, because those have a fixed length.
func quoteBytes(word string) string {
	var b strings.Builder
	b.WriteString("$'")
	for word != "" {
		_, n := utf8.DecodeRuneInString(word)
		c := word[:n]
		word = word[n:]
		if c == Visible(c) && !strings.Contains(`'\!`, c) {
			b.WriteString(c)
			continue
		}
		for i := range len(c) {
			fmt.Fprintf(&b, `\%03o`, c[i])
		}
	}
	b.WriteString("'")
	return b.String()
}
