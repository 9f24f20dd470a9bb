package sourcetest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Row is a line of the package table in docs/ARCHITECTURE.md.
type Row struct {
	Package string   // directory
	Pure    bool     // on the pure side of the line
	Own     []string // directories of this module that it may import
	Foreign []string // modules of others that it may import
}

// tableHead is the head of the package table.
const tableHead = "| Package | What it is | Pure | May import, of this module | May import, of others |"

var quoted = regexp.MustCompile("`([^`]+)`")

// Table reads the package table out of the document. Names in back quotes
// count; all else in the cells is for people.
func Table(document string) ([]Row, error) {
	_, body, found := strings.Cut(document, tableHead+"\n")
	if !found {
		return nil, fmt.Errorf("there is no table with the head %q", tableHead)
	}
	var rows []Row
	for i, line := range strings.Split(body, "\n") {
		if i == 0 {
			continue // the dashes
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		if len(cells) != 5 {
			return nil, fmt.Errorf("%d cells, want 5: %s", len(cells), line)
		}
		name := names(cells[0])
		if len(name) != 1 {
			return nil, fmt.Errorf("no package in the first cell: %s", line)
		}
		rows = append(rows, Row{
			Package: name[0], Pure: strings.TrimSpace(cells[2]) == "yes",
			Own: names(cells[3]), Foreign: names(cells[4]),
		})
	}
	if len(rows) == 0 {
		return nil, errors.New("the package table is empty")
	}
	return rows, nil
}

// names returns what a cell has in back quotes.
func names(cell string) (list []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}

// Imports finds where files and table do not agree: packages without a line,
// lines without a package, imports that the table does not allow.
func Imports(files []*File, rows []Row) (list []Finding) {
	byName := make(map[string]Row)
	for _, r := range rows {
		byName[r.Package] = r
	}
	all := packages(files)
	for _, p := range all {
		if _, ok := byName[p]; !ok {
			list = append(list, Finding(fmt.Sprintf("package %s is not in the package table", p)))
		}
	}
	for _, r := range rows {
		for _, p := range append([]string{r.Package}, r.Own...) {
			if !slices.Contains(all, p) {
				list = append(list, Finding(fmt.Sprintf("the package table names %s, which does not exist", p)))
			}
		}
	}
	for _, f := range files {
		if row, ok := byName[f.Dir]; ok && !f.Test {
			list = append(list, row.check(f)...)
		}
	}
	return list
}

// check finds the imports of a file that its package may not have.
func (r *Row) check(f *File) (list []Finding) {
	for _, spec := range f.AST.Imports {
		from := importPath(spec)
		if own, ok := strings.CutPrefix(from, Module+"/"); ok {
			if !slices.Contains(r.Own, own) {
				list = append(list, f.at(spec.Pos(), "%s may not import %s", r.Package, own))
			}
			continue
		}
		if !isStandard(from) && !slices.ContainsFunc(r.Foreign, func(m string) bool {
			return from == m || strings.HasPrefix(from, m+"/")
		}) {
			list = append(list, f.at(spec.Pos(), "%s may not import %s", r.Package, from))
		}
	}
	return list
}
