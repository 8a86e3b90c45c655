// Package doctest keeps the documents true to each other and to the tree: it holds only tests.
//
// README.md and README.zh-CN.md have the same headings, code blocks and tables; relative links lead
// somewhere, down to the heading; a symbol named in a document is declared; an ADR has its sections.
// As in archtest, each check is fed something that it must refuse.
package doctest
