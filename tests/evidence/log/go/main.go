// Command crosscheck reads a log that Interlock derived with Go's own
// implementation of tiles, proofs and notes, and answers with what that makes.
//
// Arguments: a folder with the log (tiles below tile/, a checkpoint, a key in
// vkey). Standard input: JSON as in question. Standard output: JSON as in
// answer. Whatever does not hold ends it with a message.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type question struct {
	Size        int64
	Inclusion   map[int64][]tlog.Hash // by index, at Size
	Consistency map[int64][]tlog.Hash // by the old size, to Size
	Roots       map[int64]tlog.Hash   // by size
	Tiles       map[int64][]string    // new hash tiles from that old size to Size
}

type answer struct {
	Vkey, Note  string
	Inclusion   map[int64][]tlog.Hash
	Consistency map[int64][]tlog.Hash
}

type hashes []tlog.Hash

func (all hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = all[index]
	}
	return found, nil
}

// folder reads tiles where tlog-tiles puts them.
type folder string

func (folder) Height() int                     { return height }
func (folder) SaveTiles([]tlog.Tile, [][]byte) {}
func (root folder) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(root), path))
}

func (root folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		content, err := root.read(path(tile))
		if err != nil {
			return nil, err
		}
		data[i] = content
	}
	return data, nil
}

// path is the tile's path in tlog-tiles: without the height, which is 8.
func path(tile tlog.Tile) string { return strings.Replace(tile.Path(), "tile/8/", "tile/", 1) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func check(err error, what string, number int64) {
	if err != nil {
		log.Fatalf("%s %d: %v", what, number, err)
	}
}

func main() {
	log.SetFlags(0)
	root := folder(os.Args[1])
	var asked question
	check(json.NewDecoder(os.Stdin).Decode(&asked), "question", 0)

	verifier := must(note.NewVerifier(string(must(root.read("vkey")))))
	opened := must(note.Open(must(root.read("checkpoint")), note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	if len(opened.Sigs) != 1 || len(lines) != 4 || lines[1] != fmt.Sprint(asked.Size) {
		log.Fatalf("checkpoint: %q", opened.Text)
	}
	head := must(tlog.ParseHash(lines[2]))

	// The tree anew from the entries of the bundles.
	var stored hashes
	for index := int64(0); index*256 < asked.Size; index++ {
		width := min(256, int(asked.Size-index*256))
		tile := tlog.Tile{H: height, L: -1, N: index, W: width}
		bundle := must(root.read(strings.Replace(path(tile), "tile/data/", "tile/entries/", 1)))
		for position := range int64(width) {
			length := int(binary.BigEndian.Uint16(bundle))
			entry := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			stored = append(stored, must(tlog.StoredHashes(index*256+position, entry, stored))...)
		}
		if len(bundle) != 0 {
			log.Fatalf("bundle %d: %d bytes more", index, len(bundle))
		}
	}
	if anew := must(tlog.TreeHash(asked.Size, stored)); anew != head {
		log.Fatalf("root: checkpoint %v, from entries %v", head, anew)
	}
	for size, found := range asked.Roots {
		if expected := must(tlog.TreeHash(size, stored)); found != expected {
			log.Fatalf("root at %d: %v, expected %v", size, found, expected)
		}
	}

	// Every tile, byte for byte, and which of them are new.
	for old, paths := range asked.Tiles {
		var expected []string
		for _, tile := range tlog.NewTiles(height, old, asked.Size) {
			expected = append(expected, path(tile))
			data := must(root.read(path(tile)))
			if string(data) != string(must(tlog.ReadTileData(tile, stored))) {
				log.Fatalf("%s differs", path(tile))
			}
		}
		if strings.Join(expected, " ") != strings.Join(paths, " ") {
			log.Fatalf("new tiles from %d: %v, expected %v", old, paths, expected)
		}
	}

	// Proofs through the tiles, which this reader authenticates with HashFromTile.
	reader := tlog.TileHashReader(tlog.Tree{N: asked.Size, Hash: head}, root)
	reply := answer{Inclusion: map[int64][]tlog.Hash{}, Consistency: map[int64][]tlog.Hash{}}
	for index, proof := range asked.Inclusion {
		leaf := must(reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)}))[0]
		check(tlog.CheckRecord(proof, asked.Size, head, index, leaf), "inclusion", index)
		reply.Inclusion[index] = must(tlog.ProveRecord(asked.Size, index, reader))
	}
	for old, proof := range asked.Consistency {
		check(tlog.CheckTree(proof, asked.Size, head, old, asked.Roots[old]), "consistency", old)
		reply.Consistency[old] = must(tlog.ProveTree(asked.Size, old, reader))
	}

	secret, public, err := note.GenerateKey(rand.Reader, "go.example/crosscheck")
	check(err, "key", 0)
	signer := must(note.NewSigner(secret))
	text := fmt.Sprintf("go.example/crosscheck/2026\n%d\n%s\n", asked.Size, base64.StdEncoding.EncodeToString(head[:]))
	reply.Vkey, reply.Note = public, string(must(note.Sign(&note.Note{Text: text}, signer)))
	check(json.NewEncoder(os.Stdout).Encode(reply), "answer", 0)
}
